"""Burn windows: what a row of windows, and with it an SLO's alert, says at one step.

Pure. Must never call a row under on a window that has no data, no whole answer or a nonsense ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from opsctl.core.frozen import dataclass
from opsctl.core.machine import Presence, SloStep, Step
from opsctl.core.measure import Counted, NoData, NoEvents, WindowValue, sure
from opsctl.core.rules import WindowEvidence
from opsctl.core.slo import BurnRow, Severity, Slo, milder
from opsctl.core.stats import lower_bound

SOONEST = timedelta(minutes=5)
LATEST = timedelta(minutes=15)

Values = Mapping[timedelta, WindowValue]


@dataclass(frozen=True, slots=True)
class RowStep:
    """One row at one step; `doubtful` is over the line, but on too few events to be sure."""

    row: BurnRow
    severity: Severity
    threshold: float
    long: WindowValue
    short: WindowValue
    step: Step
    doubtful: bool = False


def row_severity(slo: Slo, row: BurnRow) -> Severity:
    """The milder of the row's and the SLO's tier."""
    return milder(row.severity, slo.severity)


def severities(slo: Slo) -> frozenset[Severity]:
    """Those of the SLO's burn alerts."""
    return frozenset(row_severity(slo, row) for row in slo.burn.rows)


def shortest(slo: Slo) -> timedelta:
    """The window on which missing data is judged."""
    return min(row.short for row in slo.burn.rows)


def patience(slo: Slo) -> timedelta:
    """How long data may be missing before an alert says so: the fastest page row's own delay, in 5 to 15 minutes."""
    paging = [row for row in slo.burn.rows if row_severity(slo, row) is Severity.PAGE] or list(slo.burn.rows)
    fastest = min(row.factor * slo.budget * row.long for row in paging)
    return min(LATEST, max(SOONEST, fastest))


def row_step(slo: Slo, row: BurnRow, values: Values) -> RowStep:
    """One row: over when both windows are over the line, surely; unknown where that cannot be said."""
    threshold = row.factor * slo.budget
    long, short = values[row.long], values[row.short]
    step, doubtful = _decide(slo, threshold, long, short)
    return RowStep(row, row_severity(slo, row), threshold, long, short, step, doubtful)


def _decide(slo: Slo, threshold: float, long: WindowValue, short: WindowValue) -> tuple[Step, bool]:
    if not isinstance(long, Counted):
        return Step.UNKNOWN, False
    if isinstance(short, NoEvents):
        # Nothing happened lately. What the long window holds decides only if it is under the line.
        return (Step.UNDER if long.ratio <= threshold else Step.UNKNOWN), False
    if not isinstance(short, Counted):
        return Step.UNKNOWN, False
    if long.ratio <= threshold or short.ratio <= threshold:
        return Step.UNDER, False
    if sure(long, threshold, slo.confidence, slo.min_events):
        return Step.OVER, False
    return Step.UNDER, True


def row_steps(slo: Slo, values: Values, only: frozenset[Severity] | None = None) -> tuple[RowStep, ...]:
    """Every row (of those severities), in the table's order."""
    return tuple(row_step(slo, row, values) for row in slo.burn.rows if only is None or row_severity(slo, row) in only)


def slo_step(slo: Slo, rows: Iterable[RowStep], values: Values) -> SloStep:
    """One step of the SLO's alerts: any row over is over; without data on the shortest window nothing is under."""
    presence = _presence(values[shortest(slo)])
    blind = presence in (Presence.MISSING, Presence.UNKNOWN)
    burn: dict[Severity, Step] = {}
    for row in rows:
        step = Step.UNKNOWN if blind and row.step is Step.UNDER else row.step
        burn[row.severity] = _worse(burn.get(row.severity, Step.UNDER), step)
    if presence is Presence.SILENT and all(step is Step.UNDER for step in burn.values()):
        presence = Presence.COUNTED
    return SloStep(burn, presence)


def _worse(a: Step, b: Step) -> Step:
    order = (Step.OVER, Step.UNKNOWN, Step.UNDER)
    return min(a, b, key=order.index)


def _presence(value: WindowValue) -> Presence:
    match value:
        case Counted():
            return Presence.COUNTED
        case NoEvents():
            return Presence.SILENT
        case NoData():
            return Presence.MISSING
        case _:
            return Presence.UNKNOWN


def row_windows(slo: Slo, only: frozenset[Severity]) -> tuple[timedelta, ...]:
    """The windows of those severities' rows and the shortest of all, ascending."""
    wanted = {shortest(slo)}
    for row in slo.burn.rows:
        if row_severity(slo, row) in only:
            wanted |= {row.long, row.short}
    return tuple(sorted(wanted))


def window_evidence(slo: Slo, rows: Iterable[RowStep]) -> tuple[WindowEvidence, ...]:
    """Two entries a row, long then short; the bound is worked out where the line is crossed."""
    out = []
    for row in rows:
        crossed = row.step is Step.OVER or row.doubtful
        out.append(_evidence(slo, row.row.long, row.long, row.threshold, bounded=crossed))
        out.append(_evidence(slo, row.row.short, row.short, row.threshold, bounded=False))
    return tuple(out)


def _evidence(slo: Slo, window: timedelta, value: WindowValue, threshold: float, *, bounded: bool) -> WindowEvidence:
    match value:
        case Counted(bad, total, ratio):
            bound = lower_bound(*value.events, slo.confidence) if bounded else None
            return WindowEvidence(window, bad, total, ratio, ratio / slo.budget, threshold, bound)
        case NoEvents():
            return WindowEvidence(window, 0.0, 0.0, None, None, threshold)
        case _:
            return WindowEvidence(window, None, None, None, None, threshold)
