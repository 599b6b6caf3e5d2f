"""State from history: back in doubling chunks to a reset point, then the machine forward.

Pure: questions go out through an `Ask`. Must never take a failed answer for a step without data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Protocol

from opsctl.core.alerts import Alert, Cause
from opsctl.core.burn import patience, row_steps, row_windows, slo_step
from opsctl.core.evidence import looked_back
from opsctl.core.frozen import dataclass
from opsctl.core.machine import (
    CAP,
    Active,
    Element,
    Presence,
    ResetWatch,
    Since,
    SloState,
    SloStep,
    Step,
    advance,
    advance_slo,
    chunks,
)
from opsctl.core.measure import Number, Unanswered, Unclear, WindowValue, several, window_value
from opsctl.core.memory import Remembered
from opsctl.core.rules import AlertingRule, Asked
from opsctl.core.signals import Absent, Failed, Labels, Matrix, Reading
from opsctl.core.slo import Severity, Slo
from opsctl.core.windows import MINUTE


class Ask(Protocol):
    """Ask for every step from `start` to `end`; the shell answers from a backend, a replay from saved evidence."""

    def __call__(self, query: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
        """Never raises for what a backend does."""
        ...


@dataclass(slots=True)
class Recorder:
    """An `Ask` that keeps the record of each question for the evidence."""

    ask: Ask
    asked: list[Asked] = field(default_factory=list)

    def __call__(self, query: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
        """Pass it on and write it down."""
        reading = self.ask(query, start, end, step)
        self.asked.append(looked_back(query, start, end, step, reading))
        return reading


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _steps(start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    return [start + i * step for i in range((end - start) // step + 1)]


# SLOs


@dataclass(frozen=True, slots=True)
class SloHistory:
    """The state at the step before now; `problem` says why it is only what was remembered."""

    state: SloState
    problem: str | None = None


def never_seen(query: str, at: datetime, ask: Ask) -> bool | str:
    """Whether a query has no sample in the whole look back; a text when that could not be asked."""
    match ask(query, at - CAP, at - MINUTE, MINUTE):
        case Absent():
            return True
        case Failed(_, message, backend):
            return f"the look back failed: {backend}: {message}"
        case measured:
            return not any(series.points for series in measured.data.series)


def slo_history(
    slo: Slo, at: datetime, needed: frozenset[Severity], need_presence: bool, ask: Ask, was: Remembered | None
) -> SloHistory:
    """The state of an SLO's alerts of those severities just before `at`."""
    steps: list[tuple[datetime, SloStep]] = []  # newest first
    watch = _SloWatch(set(needed), need_presence)
    for start, end in chunks(at, MINUTE):
        older, problem = _slo_chunk(slo, needed, start, end, ask)
        if problem is not None:
            state = _forward(slo, reversed(steps), seeded(was))
            return SloHistory(state, problem)
        for step in reversed(older):
            steps.append(step)
            watch.feed(step[1])
        if watch.settled():
            return SloHistory(_forward(slo, reversed(steps), SloState()))
    oldest = steps[-1][0]
    return SloHistory(began_before(_forward(slo, reversed(steps), seeded(was)), oldest))


@dataclass(slots=True)
class _SloWatch:
    """Which severities have not been under yet, and whether data has not been counted yet, going back."""

    open: set[Severity]
    need_presence: bool

    def feed(self, step: SloStep) -> None:
        self.open -= {severity for severity, outcome in step.burn.items() if outcome is Step.UNDER}
        self.need_presence = self.need_presence and step.presence is not Presence.COUNTED

    def settled(self) -> bool:
        return not self.open and not self.need_presence


def _forward(slo: Slo, steps: Iterable[tuple[datetime, SloStep]], state: SloState) -> SloState:
    wait = patience(slo)
    for at, step in steps:
        state = advance_slo(state, step, at, wait)
    return state


def seeded(was: Remembered | None) -> SloState:
    """The state that a remembered one stands for."""
    if was is None:
        return SloState()
    burning: dict[Severity, Since] = {}
    missing, fired = None, None
    for alert in was.alerts:
        since = Since(alert.since, alert.since_at_least)
        if alert.cause is Cause.BURN:
            burning[alert.severity] = since
        elif alert.cause is Cause.NO_DATA:
            missing, fired = since, alert.fired_at
    return SloState(burning, missing, fired)


def began_before(state: SloState, oldest: datetime) -> SloState:
    """The state with what began at the oldest known step, or earlier, marked as "at least"."""

    def marked(since: Since) -> Since:
        return Since(since.at, True) if since.at <= oldest else since

    burning = {severity: marked(since) for severity, since in state.burning.items()}
    missing = marked(state.missing) if state.missing is not None else None
    return SloState(burning, missing, state.missing_fired)


def _slo_chunk(
    slo: Slo, needed: frozenset[Severity], start: datetime, end: datetime, ask: Ask
) -> tuple[list[tuple[datetime, SloStep]], str | None]:
    grid = _steps(start, end, MINUTE)
    columns: dict[timedelta, list[WindowValue]] = {}
    for window in row_windows(slo, needed):
        query = slo.queries[window]
        parts = _numbers(ask(query.part, start, end, MINUTE), grid)
        totals = _numbers(ask(query.total, start, end, MINUTE), grid)
        for side in (parts, totals):
            if isinstance(side, str):
                return [], side
        assert not isinstance(parts, str)
        assert not isinstance(totals, str)
        columns[window] = [
            window_value(part, total, slo.part, slo.missing_part) for part, total in zip(parts, totals, strict=True)
        ]
    out = []
    for i, at in enumerate(grid):
        values = {window: column[i] for window, column in columns.items()}
        out.append((at, slo_step(slo, row_steps(slo, values, needed), values)))
    return out, None


def _numbers(reading: Reading[Matrix], grid: list[datetime]) -> list[Number] | str:
    """One number a step; a text when there is no whole answer."""
    match reading:
        case Failed(_, message, backend):
            return f"the look back failed: {backend}: {message}"
        case Absent():
            return [None] * len(grid)
        case measured:
            series = measured.data.series
    if not series:
        return [None] * len(grid)
    if len(series) == 1:
        points = {round(at * 1000): value for at, value in series[0].points}
        return [points.get(_ms(at)) for at in grid]
    seen: dict[int, list[float]] = {}
    for one in series:
        for ts, value in one.points:
            seen.setdefault(round(ts * 1000), []).append(value)
    return [_single(seen.get(_ms(at), [])) for at in grid]


def _single(values: list[float]) -> float | Unclear | Unanswered | None:
    if len(values) > 1:
        return several(len(values))
    return values[0] if values else None


# Prometheus rules


@dataclass(frozen=True, slots=True)
class RuleHistory:
    """The active elements at the step before now; `problem` says why they are only what was remembered."""

    active: Active
    problem: str | None = None


Present = Mapping[Labels, float]
Relabel = Callable[[Labels, float], Labels]


def rule_history(
    rule: AlertingRule, at: datetime, now: Present, relabel: Relabel, ask: Ask, was: Remembered | None
) -> RuleHistory:
    """A rule's elements just before `at`; `relabel` gives an element's final labels, which are its identity."""
    steps: list[tuple[datetime, Present]] = []  # newest first
    watch = ResetWatch(rule.keep_firing_for)
    watch.feed(at, now)
    shift = rule.query_offset
    for start, end in chunks(at, rule.interval, rule.keep_firing_for):
        reading = ask(rule.expr, start - shift, end - shift, rule.interval)
        if isinstance(reading, Failed):
            problem = f"the look back failed: {reading.backend}: {reading.message}"
            return RuleHistory(_run(rule, reversed(steps), elements(was)), problem)
        present = _by_step(reading, relabel)
        for step in reversed(_steps(start, end, rule.interval)):
            here = present.get(_ms(step - shift), {})
            steps.append((step, here))
            watch.feed(step, here)
        if watch.settled():
            return RuleHistory(_run(rule, reversed(steps), {}))
    oldest = steps[-1][0]
    active = _run(rule, reversed(steps), elements(was))
    return RuleHistory({k: replace(e, since_at_least=True) if e.since <= oldest else e for k, e in active.items()})


def _run(rule: AlertingRule, steps: Iterable[tuple[datetime, Present]], active: Active) -> Active:
    for at, present in steps:
        active = advance(active, present, at, rule.for_, rule.keep_firing_for)
    return active


def _by_step(reading: Reading[Matrix], relabel: Relabel) -> dict[int, dict[Labels, float]]:
    if isinstance(reading, Absent | Failed):
        return {}
    out: dict[int, dict[Labels, float]] = {}
    for series in reading.data.series:
        for ts, value in series.points:
            out.setdefault(round(ts * 1000), {})[relabel(series.labels, value)] = value
    return out


def elements(was: Remembered | None) -> dict[Labels, Element]:
    """The machine's elements of remembered alerts."""
    return {} if was is None else {alert.labels: _element(alert) for alert in was.alerts}


def _element(alert: Alert) -> Element:
    value = alert.value if alert.value is not None else float("nan")
    return Element(
        alert.labels, alert.state, alert.since, value, alert.fired_at, alert.absent_since, alert.since_at_least
    )


def carried(was: Remembered | None, fingerprint: str, at: datetime, step: timedelta) -> bool:
    """Whether a remembered state is that of the step right before `at`, of the same rule, on whole answers."""
    return was is not None and was.exact and was.fingerprint == fingerprint and was.at == at - step
