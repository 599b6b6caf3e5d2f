"""What the daemon says on stderr: one line a run, `key=value`, for a journal or a log collector.

Must never print a character that a terminal could act on, and never hold up a run: a stderr that is gone is gone.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

from opsctl.files.secrets import hide
from opsctl.ports import Clock
from opsctl.render.text import clean

_PLAIN = re.compile(r"[^\s\"=]+")
_LONGEST = 2000
Value = str | int | float | None


def line(**fields: Value) -> str:
    """One line; None is left out, text that is not a single word is quoted."""
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items() if value is not None)


def _value(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = clean(" ".join(str(value).split()))[:_LONGEST]
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Log:
    """Lines with a time and a level; with `quiet` only those of problems."""

    def __init__(
        self, clock: Clock, *, quiet: bool = False, debug: bool = False, write: Callable[[str], object] | None = None
    ) -> None:
        self._clock = clock
        self._quiet = quiet
        self._debug = debug
        self._write = write or _stderr

    def info(self, message: str, **fields: Value) -> None:
        """Something happened as it should."""
        if not self._quiet:
            self._say("info", message, fields)

    def warn(self, message: str, **fields: Value) -> None:
        """Something that a person should know."""
        self._say("warn", message, fields)

    def error(self, message: str, **fields: Value) -> None:
        """Something that a person must know."""
        self._say("error", message, fields)

    def bug(self, wrong: Exception, message: str) -> None:
        """An exception that nobody expected: one line, and its traceback where it is asked for."""
        frames = traceback.extract_tb(wrong.__traceback__)
        at = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else None
        self._say("error", message, {"error": f"{type(wrong).__name__}: {hide(str(wrong))}", "at": at})
        if self._debug:
            text = hide("".join(traceback.format_exception(wrong)))
            self._write("".join(f"{clean(one)}\n" for one in text.splitlines()))

    def _say(self, level: str, message: str, fields: dict[str, Value]) -> None:
        now = f"{self._clock.now():%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        self._write(line(ts=now, level=level, msg=message, **fields) + "\n")


def _stderr(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
