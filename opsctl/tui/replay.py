"""A recorded session looked at again: its reports in their order and at their pace, its answers to the same questions.

Must never ask anybody: what was not asked in the session is a failed reading that says so.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from opsctl.app import Composition
from opsctl.core.rules import AlertingRule
from opsctl.core.signals import Failed, Reading, Reason
from opsctl.core.slo import Slo
from opsctl.errors import ConfigError, UsageError
from opsctl.files.context import ContextSettings
from opsctl.files.rules import RuleSet
from opsctl.files.settings import Settings
from opsctl.ports import Clock, Journal, Probe
from opsctl.tui.feeding import Feeding
from opsctl.tui.queries import Queries
from opsctl.tui.report import Report
from opsctl.tui.reporting import Post
from opsctl.tui.session import Answer, Head, question_of, read_session

T = TypeVar("T")
NOT_ASKED = "was not asked in the recorded session"
_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Session:
    """A whole file."""

    head: Head
    reports: tuple[Report, ...]
    answers: tuple[Answer, ...]


def open_session(path: Path) -> Session:
    """Read it; ConfigError where it is none or has no report."""
    head: Head | None = None
    reports: list[Report] = []
    answers: list[Answer] = []
    for entry in read_session(path):
        match entry:
            case Head():
                head = entry
            case Report():
                reports.append(entry)
            case Answer():
                answers.append(entry)
    if head is None or not reports:
        raise ConfigError(str(path), None, "has no report: the session ended before its first cycle")
    return Session(head, tuple(sorted(reports, key=lambda one: one.made)), tuple(answers))


class ReplayClock:
    """Begins when the session did, and goes on from there at the pace of the wall, times `speed`."""

    def __init__(self, begin: datetime, speed: float = 1.0) -> None:
        self._begin, self._speed, self._started = begin, speed, time.monotonic()

    def now(self) -> datetime:
        """The time in the session."""
        return self._begin + timedelta(seconds=(time.monotonic() - self._started) * self._speed)

    def monotonic(self) -> float:
        """Seconds of the wall."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Of the wall."""
        time.sleep(seconds)


def composition_of(session: Session, clock: Clock, folder: Path) -> Composition:
    """A context of the session's name with its catalogue and rules, no backend, and an empty journal in `folder`."""
    head = session.head
    context = ContextSettings(head.context, head.namespace, state_dir=folder, base=folder)
    composition = Composition(Settings(None, head.context, {head.context: context}), clock, env={})
    rules = {verdict.rule.uid: verdict.rule for report in session.reports for verdict in report.verdicts}
    known = tuple(rules.values())
    composition.__dict__["catalogue"] = head.catalogue
    composition.__dict__["rules"] = RuleSet(
        tuple(one for one in known if isinstance(one, Slo)),
        tuple(one for one in known if isinstance(one, AlertingRule)),
    )
    composition.__dict__["runbooks"] = ()
    return composition


@dataclass
class ReplayFeed(Feeding):
    """The reports, each at its time; another time shows the report that was on then."""

    session: Session
    clock: ReplayClock

    def _run(self, post: Post) -> None:
        shown = -1
        made = [one.made for one in self.session.reports]
        while not self._stopping:
            at = self._at
            place = max(0, bisect_right(made, at if at is not None else self.clock.now()) - 1)
            if place != shown or self._wanted:
                self._wanted, shown = False, place
                post(self.session.reports[place])
                continue
            self._waiter.wait(_LOOK_SECONDS)


class ReplayQueries(Queries):
    """Answers from the session: the newest one to the same question that was there by now, else the first."""

    def __init__(self, composition: Composition, answers: Sequence[Answer]) -> None:
        super().__init__(composition)
        self._clock = composition.clock
        self._known: dict[tuple[str, str, str], list[Answer]] = {}
        for one in answers:
            self._known.setdefault((one.backend, one.kind, one.question), []).append(one)

    async def _reading(
        self, backend: str, key: Hashable, ask: Callable[[Composition, float], Reading[T]]
    ) -> Reading[T]:
        kind, question = question_of(key)
        found = self._known.get((backend, kind, question), [])
        if not found:
            nothing: Failed[Any] = Failed(Reason.UNSUPPORTED, NOT_ASKED, backend)
            return nothing
        place = bisect_right([one.at for one in found], self._clock.now()) - 1
        return found[max(0, place)].reading

    async def journal(self, read: Callable[[Journal], T], key: Hashable = None) -> T:
        """The journal is no part of a session."""
        raise UsageError(f"the journal {NOT_ASKED}")

    async def probe(self, kind: str) -> Probe:
        """Nobody is asked."""
        return Probe(kind, "", False, False, "a recorded session: nobody is asked")
