"""The error tree and the exit codes.

    OpsctlError                 70  a bug, or anything nobody mapped
    ├── UsageError               2  the command line is wrong, or a selector matched nothing
    ├── ConfigError              2  a file is wrong: carries path, line, what was expected, the nearest name
    ├── AuthError                4  somebody said 401 or 403
    ├── UnknownError             3  no finding, but a pass cannot be claimed
    ├── ActionError              5  a page or a runbook step failed or ended half-way
    ├── Refused                  6  read-only, confirmation missing, another run holds the lock
    └── DeadlineError          124  no report could be made in time

`--fail-on` findings (1), Ctrl-C (130) and SIGTERM (143) are not errors and have no class here.
A message is one line: what was tried, on what, what came back, what to do.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says to cron and CI; mixed conditions rank as `worst` orders them."""

    OK = 0
    FINDING = 1
    USAGE = 2
    UNKNOWN = 3
    AUTH = 4
    ACTION = 5
    REFUSED = 6
    BUG = 70
    DEADLINE = 124
    INTERRUPTED = 130
    TERMINATED = 143


_RANK = (ExitCode.BUG, ExitCode.USAGE, ExitCode.ACTION, ExitCode.FINDING, ExitCode.AUTH, ExitCode.UNKNOWN)


def worst(codes: frozenset[ExitCode]) -> ExitCode:
    """The one code of several conditions that held: 70 > 2 > 5 > 1 > 4 > 3 > 0."""
    return next((code for code in _RANK if code in codes), ExitCode.OK)


class OpsctlError(Exception):
    """The root; its text is one line for a person."""

    exit_code = ExitCode.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(OpsctlError):
    """The command line is wrong, or a selector matched nothing."""

    exit_code = ExitCode.USAGE


class ConfigError(OpsctlError):
    """A file is wrong; `line` is 1-based, or None where the whole file is meant."""

    exit_code = ExitCode.USAGE

    def __init__(self, path: str, line: int | None, message: str, *, hint: str | None = None) -> None:
        self.path = path
        self.line = line
        where = path if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {message}", hint=hint)


class ConfigErrors(ConfigError):
    """Several wrong places, each a `ConfigError`; prints one line each."""

    def __init__(self, errors: tuple[ConfigError, ...]) -> None:
        first = errors[0]
        super().__init__(first.path, first.line, "several errors")
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class AuthError(OpsctlError):
    """A backend answered 401 or 403, or a secret could not be read."""

    exit_code = ExitCode.AUTH


class UnknownError(OpsctlError):
    """A question could not be answered."""

    exit_code = ExitCode.UNKNOWN


class ActionError(OpsctlError):
    """An action failed or ended half-way; the hint names the command that resumes it."""

    exit_code = ExitCode.ACTION


class Refused(OpsctlError):
    """Read-only, confirmation missing, or another run holds the lock."""

    exit_code = ExitCode.REFUSED


class DeadlineError(OpsctlError):
    """The whole run's deadline passed before a report could be made."""

    exit_code = ExitCode.DEADLINE
