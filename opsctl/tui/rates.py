"""Rate, errors and duration of every service: three range questions for all of them, kept while a backend is away.

A service whose selector has other labels than `service` is asked for by those: three questions more for each such set.
Must never show what was kept as measured now: its points end where it was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from opsctl.app import Composition
from opsctl.core.catalogue import Catalogue
from opsctl.core.frozen import dataclass as frozen
from opsctl.core.requests import failure_rate, request_rate, slowest
from opsctl.core.signals import Absent, Failed, Matrix, Measured, Reading, Reason
from opsctl.core.windows import format_duration
from opsctl.errors import OpsctlError
from opsctl.views.rates import Points, Rates, ratio, within
from opsctl.views.services import selector_of

POINTS = 60
"""Steps that a window is asked in."""
SHORTEST = timedelta(seconds=15)
RATE_OVER = timedelta(minutes=5)
SETS_MAX = 4
"""So many sets of labels are asked by, beside `service`."""

ByService = Mapping[str, Points]
Labelled = tuple[str, ...]


@frozen(frozen=True, slots=True)
class AllRates:
    """Of every service; `at` is when the oldest part of them was measured."""

    by_service: Mapping[str, Rates]
    problem: str = ""
    at: datetime | None = None


@dataclass
class _Part:
    """What one question was answered last: the window, and each service's points."""

    window: tuple[datetime, datetime] | None = None
    points: ByService = field(default_factory=dict)


@dataclass
class RatesReader:
    """Keeps what was measured last, for when nothing is; asks for a window once."""

    _parts: dict[tuple[str, Labelled], _Part] = field(default_factory=dict)
    _last: tuple[datetime, datetime, AllRates] | None = None

    def read(self, composition: Composition, start: datetime, end: datetime) -> AllRates:
        """The rates of a window; where a question fails, what was known, and why."""
        if self._last is not None and self._last[:2] == (start, end) and not self._last[2].problem:
            return self._last[2]
        step = step_of(end - start)
        names, problem = _names(composition.catalogue)
        for by, ours in names.items():
            for part, expression in _expressions(by, step).items():
                kept = self._parts.setdefault((part, by), _Part())
                if kept.window == (start, end):
                    continue
                reading = _ask(composition, expression, start, end, step)
                problem = problem or _problem(reading)
                if not isinstance(reading, Failed):
                    kept.window = (start, end)
                    kept.points = _by_service(reading, by, ours)
        rates = self._rates(names, start, end)
        measured = [kept.window[1] for kept in self._parts.values() if kept.window is not None]
        found = AllRates(rates, problem, min(measured, default=None))
        self._last = (start, end, found)
        return found

    def _rates(self, names: Iterable[Labelled], start: datetime, end: datetime) -> Mapping[str, Rates]:
        parts: dict[str, dict[str, Points]] = {"requests": {}, "failures": {}, "p99": {}}
        for by in names:
            for name, found in parts.items():
                kept = self._parts[name, by]
                cut = {one: within(points, start, end) for one, points in kept.points.items()}
                if name == "failures":
                    totals = self._parts["requests", by]
                    found.update(_errors(kept, totals, start, end))
                else:
                    found.update({one: points for one, points in cut.items() if points})
        services = parts["requests"].keys() | parts["failures"].keys() | parts["p99"].keys()
        return {
            one: Rates(
                parts["requests"].get(one, ()),
                parts["failures"].get(one, ()),
                parts["p99"].get(one, ()),
            )
            for one in services
        }


def step_of(window: timedelta) -> timedelta:
    """The step in which a window is asked for."""
    return max(SHORTEST, window / POINTS)


def _errors(failed: _Part, totals: _Part, start: datetime, end: datetime) -> Mapping[str, Points]:
    """The share of requests that failed, over the time that both questions were answered for."""
    if failed.window is None or totals.window is None:
        return {}
    first, last = max(start, failed.window[0], totals.window[0]), min(end, failed.window[1], totals.window[1])
    out = {}
    for name, points in totals.points.items():
        found = ratio(failed.points.get(name, ()), within(points, first, last))
        if found:
            out[name] = found
    return out


def _expressions(by: Labelled, step: timedelta) -> Mapping[str, str]:
    window = format_duration(max(RATE_OVER, timedelta(seconds=round(step.total_seconds()))))
    return {
        "requests": request_rate(by, window),
        "failures": failure_rate(by, window),
        "p99": slowest(0.99, by, window),
    }


def _ask(composition: Composition, expression: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
    try:
        source = composition.metrics
        return source.range(expression, start, end, step, composition.context.limits.request.total_seconds())
    except OpsctlError as wrong:
        failed: Failed[Any] = Failed(Reason.UNSUPPORTED, str(wrong), "metrics")
        return failed


def _problem(reading: Reading[Matrix]) -> str:
    return f"{reading.backend}: {reading.message}" if isinstance(reading, Failed) else ""


Named = Mapping[tuple[str, ...], str]
"""The service of each combination of values."""


def _names(catalogue: Catalogue) -> tuple[Mapping[Labelled, Named], str]:
    """By which labels to ask, and which service each combination of their values is; a problem where that is too many.

    A value of `service` that no selector names is a service of that name.
    """
    sets: dict[Labelled, dict[tuple[str, ...], str]] = {("service",): {}}
    left_out = []
    for one in catalogue.services.values():
        selector = selector_of(one, "prometheus")
        labels = {"service": selector} if isinstance(selector, str) else dict(selector)
        by = tuple(sorted(labels))
        if by not in sets and len(sets) > SETS_MAX:
            left_out.append(one.name)
            continue
        sets.setdefault(by, {})[tuple(labels[name] for name in by)] = one.name
    problem = f"no rates of {left_out[0]}: the catalogue's selectors have too many sets of labels" if left_out else ""
    return sets, problem


def _by_service(reading: Measured[Matrix] | Absent, by: Labelled, ours: Named) -> ByService:
    if isinstance(reading, Absent):
        return {}
    taken = set(ours.values())
    named = _strangers(by, taken)
    out: dict[str, Points] = {}
    for series in reading.data.series:
        labels = dict(series.labels)
        values = tuple(labels.get(name, "") for name in by)
        name = ours.get(values) or named(values)
        if name:
            out[name] = series.points
    return out


def _strangers(by: Labelled, taken: set[str]) -> Callable[[tuple[str, ...]], str]:
    """The name of what no selector names: only a `service`, and not one that a selector says is another."""
    if by != ("service",):
        return lambda values: ""
    return lambda values: "" if values[0] in taken else values[0]
