"""The functions of a range vector but the rates: `*_over_time`, deriv, predict_linear, changes, resets, smoothing.

Each takes windows and gives values and presence, (series, steps). Must never see labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from opsctl.promql import segments
from opsctl.promql.errors import PromqlError
from opsctl.promql.rates import extrapolated, instant
from opsctl.promql.series import Bools, Floats, Ints
from opsctl.promql.windows import Runs, Windows

Answer = tuple[Floats, Bools]


def of_runs(windows: Windows, compute: Callable[[Runs], Floats], at_least: int = 1) -> Answer:
    """What `compute` says of each window's samples."""

    def computed() -> Iterator[tuple[Runs, Floats]]:
        for runs in windows.runs(at_least):
            yield runs, compute(runs)

    values = windows.filled(computed())
    return values, np.broadcast_to(windows.count() >= at_least, windows.shape)


def _last(windows: Windows) -> Answer:
    there = np.broadcast_to(windows.count() >= 1, windows.shape)
    return windows.flat.take(np.where(there, windows.high - 1, 0)), there


def _first(windows: Windows) -> Answer:
    there = np.broadcast_to(windows.count() >= 1, windows.shape)
    return windows.flat.take(np.where(there, windows.low, 0)), there


def _count(windows: Windows) -> Answer:
    count = np.broadcast_to(windows.count(), windows.shape)
    return count.astype(np.float64), count >= 1


def _present(windows: Windows) -> Answer:
    return np.ones(windows.shape), np.broadcast_to(windows.count() >= 1, windows.shape)


def _turns(windows: Windows, turned: Callable[[Floats, Floats], Bools]) -> Answer:
    def compute(runs: Runs) -> Floats:
        hits = np.zeros(len(runs.values))
        hits[1:] = turned(runs.values[:-1], runs.values[1:])
        hits[runs.starts] = 0
        return np.add.reduceat(hits, runs.starts)

    return of_runs(windows, compute)


def _changed(before: Floats, after: Floats) -> Bools:
    changed: Bools = (before != after) & ~(np.isnan(before) & np.isnan(after))
    return changed


def _fell(before: Floats, after: Floats) -> Bools:
    return after < before


def _deriv(windows: Windows) -> Answer:
    def compute(runs: Runs) -> Floats:
        ms = windows.samples.times_at(runs.index)
        seconds = (ms - np.repeat(ms[runs.starts], runs.sizes)) / 1000
        return _line(runs, seconds)[0]

    return of_runs(windows, compute, 2)


def _line(runs: Runs, seconds: Floats) -> tuple[Floats, Floats]:
    slope, intercept = segments.regression(seconds, runs.values, runs.starts, runs.sizes)
    first = runs.values[runs.starts]
    constant = np.logical_and.reduceat(runs.values == np.repeat(first, runs.sizes), runs.starts)
    endless = constant & np.isinf(first)
    return np.where(endless, np.nan, slope), np.where(endless, np.nan, intercept)


def predict_linear(windows: Windows, times: Ints, ahead: Floats) -> Answer:
    """The value `ahead` seconds after each step on the line through the window's samples."""
    steps = windows.shape[1]

    def compute(runs: Runs) -> Floats:
        step = runs.windows % steps
        ms = windows.samples.times_at(runs.index)
        seconds = (ms - np.repeat(times[step], runs.sizes)) / 1000
        slope, intercept = _line(runs, seconds)
        return slope * ahead[step] + intercept

    return of_runs(windows, compute, 2)


def quantile_over_time(windows: Windows, q: Floats) -> Answer:
    """The quantile of each window's values; `q` is per step."""
    steps = windows.shape[1]
    return of_runs(
        windows, lambda runs: segments.quantile(q[runs.windows % steps], runs.values, runs.starts, runs.sizes)
    )


def smoothed(windows: Windows, factor: Floats, trend: Floats) -> Answer:
    """Holt's double exponential smoothing; factors are per step and between 0 and 1."""
    for name, short, each in (("smoothing", "sf", factor), ("trend", "tf", trend)):
        wrong = each[(each <= 0) | (each >= 1)]
        if wrong.size and np.any(windows.count() >= 1):
            raise PromqlError(f"invalid {name} factor. Expected: 0 < {short} < 1, got: {wrong[0]:f}")
    steps = windows.shape[1]

    def compute(runs: Runs) -> Floats:
        step = runs.windows % steps
        return _smooth(runs, factor[step], trend[step])

    return of_runs(windows, compute, 2)


def _smooth(runs: Runs, factor: Floats, trend: Floats) -> Floats:
    """All windows advance together, one sample a turn."""
    before = np.zeros(len(runs.starts))
    level = runs.values[runs.starts].copy()
    slope = runs.values[runs.starts + 1] - level
    for i in range(1, int(runs.sizes.max())):
        live = np.flatnonzero(runs.sizes > i)
        if i > 1:
            moved = trend[live] * (level[live] - before[live])
            slope[live] = moved + (1 - trend[live]) * slope[live]
        value = factor[live] * runs.values[runs.starts[live] + i]
        following = value + (1 - factor[live]) * (level[live] + slope[live])
        before[live], level[live] = level[live], following
    return level


PLAIN: dict[str, Callable[[Windows], Answer]] = {
    "rate": lambda w: extrapolated(w, counter=True, per_second=True),
    "increase": lambda w: extrapolated(w, counter=True, per_second=False),
    "delta": lambda w: extrapolated(w, counter=False, per_second=False),
    "irate": lambda w: instant(w, per_second=True),
    "idelta": lambda w: instant(w, per_second=False),
    "first_over_time": _first,
    "last_over_time": _last,
    "count_over_time": _count,
    "present_over_time": _present,
    "sum_over_time": lambda w: of_runs(w, lambda r: segments.total(r.values, r.starts)),
    "avg_over_time": lambda w: of_runs(w, lambda r: segments.mean(r.values, r.starts, r.sizes)),
    "min_over_time": lambda w: of_runs(w, lambda r: segments.smallest(r.values, r.starts)),
    "max_over_time": lambda w: of_runs(w, lambda r: segments.largest(r.values, r.starts)),
    "stdvar_over_time": lambda w: of_runs(w, lambda r: segments.variance(r.values, r.starts, r.sizes)),
    "stddev_over_time": lambda w: of_runs(w, lambda r: np.sqrt(segments.variance(r.values, r.starts, r.sizes))),
    "changes": lambda w: _turns(w, _changed),
    "resets": lambda w: _turns(w, _fell),
    "deriv": _deriv,
}
