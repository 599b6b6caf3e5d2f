"""What the schedule tells the screens after each cycle: one frozen report, with everything that a first look needs.

Pure: no textual, no I/O. Details (a trace, a page of lines, a timeline) are asked for when somebody looks at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import Union

from opsctl.core.alerts import Alert
from opsctl.core.frozen import dataclass
from opsctl.core.replay import BackendRecord
from opsctl.core.rules import Verdict
from opsctl.ports import Incident
from opsctl.ports.runbooks import RunbookRun
from opsctl.views.alerts import AlertRow
from opsctl.views.changes import Change
from opsctl.views.rates import Rates


@dataclass(frozen=True, slots=True)
class Report:
    """One cycle as the screens see it. `at` is the time that it judges, `made` when it was there."""

    number: int
    at: datetime
    made: datetime
    live: bool
    verdicts: tuple[Verdict, ...] = ()
    stale: tuple[Alert, ...] = ()
    backends: tuple[BackendRecord, ...] = ()
    took_seconds: float = 0.0
    incidents: tuple[Incident, ...] = ()  # open ones and those resolved in the last day, newest first
    alerts: tuple[AlertRow, ...] = ()  # the journal's: who is told
    problems: tuple[str, ...] = ()
    rates: Mapping[str, Rates] = field(default_factory=lambda: MappingProxyType({}))  # by service
    rates_problem: str = ""  # why some of them are missing or old
    rates_at: datetime | None = None  # when they were measured
    changes: tuple[Change, ...] = ()  # of the last day, newest first
    runs: tuple[RunbookRun, ...] = ()  # of runbooks, newest first
    old: bool = False  # of an earlier session, shown until the first cycle is through

    @property
    def blind(self) -> tuple[BackendRecord, ...]:
        """Backends that did not answer whole."""
        return tuple(one for one in self.backends if one.status != "ok")


@dataclass(frozen=True, slots=True)
class Trouble:
    """A cycle that came to no report: one line. `ends` is the exit code where the board cannot go on."""

    at: datetime
    text: str
    ends: int | None = None


News = Union[Report, Trouble]


__all__ = ["Change", "Rates", "Report", "Trouble"]
