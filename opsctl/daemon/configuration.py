"""The configuration in force: read again when its files change, kept when what they say now is wrong.

Must never stop a run, nor leave one half-way between two configurations.
"""

from __future__ import annotations

from collections.abc import Callable

from opsctl.app import Composition
from opsctl.errors import OpsctlError, UsageError
from opsctl.files.watched import Signature, inputs, signature

Reopen = Callable[[], Composition]
"""Read the same configuration file and context again."""


class Configuration:
    """One composition at a time."""

    def __init__(self, first: Composition, reopen: Reopen, *, notify: bool) -> None:
        self._now = first
        self._reopen = reopen
        self._notify = notify
        self._forced = False
        self._seen = self._signature()
        self.problem: str | None = None
        self.read = first.clock.now()
        """When what is in force was read."""
        ready(first, notify=notify)

    @property
    def now(self) -> Composition:
        """What is in force."""
        return self._now

    def force(self) -> None:
        """Read all again before the next run, whether anything changed or not; safe in a signal handler."""
        self._forced = True

    def refresh(self) -> bool:
        """Read again what changed; whether something else is in force now. `problem` says why not."""
        if self._now.settings.path is None:  # it came from no file
            return False
        found = self._signature()
        if found == self._seen and not self._forced and self.problem is None:
            return False
        self._forced = False
        try:
            fresh = self._reopen()
            seen = signature(inputs(fresh.settings))  # before they are read: what changes meanwhile differs next time
            ready(fresh, notify=self._notify)
            _same_environment(self._now, fresh)
            fresh.succeed(self._now)
        except Exception as wrong:  # noqa: BLE001  whatever is wrong with a file, or with how we read it: the old one holds
            self.problem = _one_line(wrong)
            return False
        self._forced = _of(found, fresh) != _of(seen, fresh)  # the file itself changed while it was read
        self._now, self._seen, self.problem = fresh, seen, None
        self.read = fresh.clock.now()
        return True

    def _signature(self) -> Signature:
        return signature(inputs(self._now.settings))


def _of(files: Signature, composition: Composition) -> Signature:
    """What the configuration file itself looks like."""
    return frozenset(one for one in files if one[0] == str(composition.settings.path))


def ready(composition: Composition, *, notify: bool) -> None:
    """Read everything that a run needs; raises what is wrong with it."""
    context = composition.context
    if not composition.rules.rules:
        raise UsageError(f"context {context.name} has no rules", hint='add rules = ["bundled:slo"] or a folder')
    if not notify:
        return
    if not context.sinks():
        raise UsageError(
            f"context {context.name} has no sink: nobody would be told",
            hint="add [contexts.NAME.pagerduty], or --no-notify",
        )
    _ = composition.sinks


def _same_environment(before: Composition, after: Composition) -> None:
    was, is_ = before.context.namespace, after.context.namespace
    if was != is_:
        raise UsageError(f"the namespace was {was} and is {is_} now", hint="restart to watch another environment")


def _one_line(wrong: Exception) -> str:
    """What is wrong, the first place of several."""
    if isinstance(wrong, OpsctlError):
        first, _, rest = str(wrong).partition("\n")
        more = len(rest.splitlines())
        return f"{first}, and {more} more" if more else first
    return f"{type(wrong).__name__}: {wrong}"
