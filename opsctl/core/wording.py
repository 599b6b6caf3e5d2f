"""How numbers, times and findings are said to people, in one place: the on-call reads them at three in the morning.

Pure. Must never decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from opsctl.core.burn import RowStep
from opsctl.core.machine import Step
from opsctl.core.measure import Counted, NoData, NoEvents, Unanswered, Unclear, WindowValue
from opsctl.core.rules import BudgetEvidence
from opsctl.core.slo import Severity, Slo
from opsctl.core.windows import format_duration

_DAY = timedelta(days=1)


def events(value: float) -> str:
    """A count of events with thousands separated."""
    return f"{round(value):,}"


def percent(ratio: float) -> str:
    """A ratio as a percentage with three significant digits, never in exponents."""
    value = ratio * 100
    if value == 0:
        return "0 %"
    if abs(value) < 0.001:
        return "< 0.001 %"
    return f"{float(f'{value:.3g}'):.10g} %"


def times(burn: float) -> str:
    """A burn rate: `45×`, `1.3×`."""
    return f"{burn:.0f}×" if burn >= 10 else f"{burn:.2g}×"


def clock(at: datetime, now: datetime) -> str:
    """A time in UTC, with the date when it is not today's."""
    at = at.astimezone(UTC)
    return f"{at:%H:%MZ}" if at.date() == now.astimezone(UTC).date() else f"{at:%Y-%m-%d %H:%MZ}"


def lasted(length: timedelta) -> str:
    """A length of time in whole minutes and up: `7m`, `1h5m`, `2d3h`."""
    minutes = max(0, round(length.total_seconds())) // 60
    if minutes == 0:
        return f"{round(length.total_seconds())}s"
    shown = timedelta(minutes=minutes) if length < _DAY else timedelta(hours=minutes // 60)
    return format_duration(shown)


def window_words(window: timedelta, value: WindowValue) -> str:
    """One window's finding: `1h: 4.5 % bad of 12,345`."""
    name = format_duration(window)
    match value:
        case Counted(_, total, ratio):
            return f"{name}: {percent(ratio)} bad of {events(total)}"
        case NoEvents():
            return f"{name}: no events"
        case NoData(missing):
            return f"{name}: no data" if missing == "total" else f"{name}: no series for the {missing} events"
        case Unclear(message) | Unanswered(message):
            return f"{name}: {message}"


def row_words(row: RowStep) -> str:
    """Both windows of a row."""
    return f"{window_words(row.row.long, row.long)}; {window_words(row.row.short, row.short)}"


def over_row(rows: Iterable[RowStep], severity: Severity | None = None) -> RowStep | None:
    """The first row of the table that is over its line: the shortest windows say best what happens now."""
    over = (row for row in rows if row.step is Step.OVER and (severity is None or row.severity is severity))
    return next(over, None)


def _ratio(value: WindowValue) -> float:
    return value.ratio if isinstance(value, Counted) else 0.0


def burn_words(slo: Slo, row: RowStep) -> str:
    """`burns 45× its budget (1h: 4.5 % bad of 12,345; 5m: 5.1 % bad of 1,020; the line is 1.44 %)`."""
    rate = times(_ratio(row.long) / slo.budget)
    return f"burns {rate} its budget ({row_words(row)}; the line is {percent(row.threshold)})"


def row_line(slo: Slo, row: RowStep, bound: float | None) -> str:
    """A row for an incident's details, with what it was held against."""
    line = (
        f"{row.row.severity.value} row: {row_words(row)}; "
        f"line {percent(row.threshold)} ({row.row.factor:g} × {percent(slo.budget)})"
    )
    if bound is not None:
        line += f"; with {percent(slo.confidence)} confidence at least {percent(bound)} bad"
    return line


def budget_words(slo: Slo, budget: BudgetEvidence, now: datetime) -> str:
    """What is left of the budget, and how old that answer is."""
    period = format_duration(slo.period)
    if budget.remaining <= 0:
        spent = percent(1.0 - budget.remaining)
        words = f"{spent} of the {period} budget is spent"
    else:
        words = f"{percent(budget.remaining)} of the {period} budget is left"
    age = now - budget.asked_at
    return words if age < timedelta(minutes=1) else f"{words} ({lasted(age)} ago)"
