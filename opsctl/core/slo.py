"""Objectives, error budgets and burn windows: the types and their arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Signal


class Severity(StrEnum):
    """How loud an alert is; `page` alone goes to the pager."""

    PAGE = "page"
    TICKET = "ticket"
    SHOW = "show"


_LOUD = (Severity.PAGE, Severity.TICKET, Severity.SHOW)


def milder(a: Severity, b: Severity) -> Severity:
    """The quieter of two severities."""
    return max(a, b, key=_LOUD.index)


def tier_severity(tier: int) -> Severity:
    """Tier 1 pages, 2 tickets, 3 shows."""
    return _LOUD[min(max(tier, 1), 3) - 1]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule, step or setting was written; `line` is 1-based."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class BurnRow:
    """One pair of windows: fires when both burn faster than `factor` budgets per period."""

    severity: Severity
    long: timedelta
    short: timedelta
    factor: float
    clamped: bool = False  # the computed factor was under 1 and was raised to it


@dataclass(frozen=True, slots=True)
class BurnTable:
    """A named list of burn rows, computed for one period; `dropped` are rows that cannot fire at the SLO's target."""

    name: str
    rows: tuple[BurnRow, ...]
    dropped: tuple[BurnRow, ...] = ()

    def windows(self) -> tuple[timedelta, ...]:
        """Every window of the rows, ascending, each once."""
        return tuple(sorted({w for row in self.rows for w in (row.short, row.long)}))


@dataclass(frozen=True, slots=True)
class WindowQueries:
    """The two expressions of one window: counts of events in it; `events` says which side the first counts."""

    part: str
    total: str


OnNoEvents = Literal["unknown", "pass"]
MissingBad = Literal["zero", "no-data"]


@dataclass(frozen=True, slots=True)
class Slo:
    """One service level objective, ready to ask.

    `queries` has an entry for each window of `burn` and one for `period`. `part` says whether the first query counts
    bad or good events; `missing_part` what an absent first query means while the total is positive.
    """

    name: str
    uid: str
    service: str
    team: str
    target: float  # ratio in (0, 1)
    period: timedelta
    severity: Severity
    burn: BurnTable
    part: Literal["bad", "good"]
    queries: Mapping[timedelta, WindowQueries]
    missing_part: MissingBad
    on_no_data: Severity
    on_no_events: OnNoEvents
    confidence: float
    origin: Origin
    min_events: int = 0
    display_name: str = ""
    description: str = ""
    formerly: tuple[str, ...] = ()
    identity: tuple[tuple[str, str], ...] = ()
    runbook: str | None = None
    runbook_no_data: str | None = None
    counts: Literal["events", "steps"] = "events"  # steps: a threshold metric with Occurrences
    signal: Signal = Signal.METRICS  # who answers its queries

    @property
    def budget(self) -> float:
        """1 − target: the share of events that may be bad."""
        return 1.0 - self.target

    @property
    def alert_name(self) -> str:
        """CamelCase(name) + BudgetBurn, as runbook triggers and incidents call it."""
        return "".join(part.capitalize() for part in self.name.replace("_", "-").split("-")) + "BudgetBurn"
