"""Classic histograms: histogram_quantile and histogram_fraction over `le` buckets.

The rules are Prometheus's `bucketQuantile`: buckets of equal bounds are added, falls are evened out (and told), the
first bucket begins at 0 where its bound is positive. Must never treat a native histogram.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opsctl.core.signals import Labels
from opsctl.promql.ast import Call, Expr
from opsctl.promql.grid import Grid, Value, merged
from opsctl.promql.series import NAME, Bools, Floats, Ints, SeriesSet, without

if TYPE_CHECKING:
    from opsctl.promql.evaluate import Evaluation

_SMALL = 1e-12  # relative; differences of counts below it are rounding
_TINY = 2.2250738585072014e-308
_FIXED = (
    "input to histogram_quantile needed to be fixed for monotonicity "
    "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
)


@dataclass(frozen=True, slots=True)
class _Buckets:
    """One histogram: its rows by rising bound."""

    rows: Ints
    bounds: Floats


@dataclass(frozen=True, slots=True)
class _Histograms:
    """All histograms among the series; `malformed` are rows whose `le` is no number."""

    buckets: tuple[_Buckets, ...]
    series: SeriesSet
    names: tuple[str, ...]
    malformed: tuple[tuple[int, str, str], ...]


def _histograms(series: SeriesSet) -> _Histograms:
    found: dict[Labels, list[tuple[float, int]]] = {}
    drops: dict[Labels, bool] = {}
    malformed = []
    for row, labels in enumerate(series.labels):
        values = dict(labels)
        try:
            bound = _bound(values.get("le", ""))
        except ValueError:
            malformed.append((row, values.get(NAME, ""), values.get("le", "")))
            continue
        key = without(labels, {"le"})
        found.setdefault(key, []).append((bound, row))
        drops[key] = True
    buckets = []
    for members in found.values():
        members.sort()
        rows = np.array([row for _, row in members], np.int64)
        buckets.append(_Buckets(rows, np.array([bound for bound, _ in members])))
    out = SeriesSet(list(found), np.array(list(drops.values()), bool))
    names = tuple(dict(labels).get(NAME, "") for labels in found)
    return _Histograms(tuple(buckets), out, names, tuple(malformed))


def _bound(text: str) -> float:
    if "_" in text or text != text.strip():
        raise ValueError(text)
    return float(text)


def histogram_quantile(run: Evaluation, expr: Call, times: Ints) -> Value:
    """The q-quantile of each histogram at every step."""
    q = run.numbers(expr.args[0], times)
    run.notes.quantile(q, expr.args[0])
    return _of_each(run, expr.args[1], times, lambda counts, bounds, steps: _quantiles(q[steps], counts, bounds))


def histogram_fraction(run: Evaluation, expr: Call, times: Ints) -> Value:
    """The share of each histogram's observations between two values."""
    low, high = run.numbers(expr.args[0], times), run.numbers(expr.args[1], times)
    return _of_each(
        run, expr.args[2], times, lambda counts, bounds, steps: _fractions(low[steps], high[steps], counts, bounds)
    )


FUNCTIONS: dict[str, Callable[[Evaluation, Call, Ints], Value]] = {
    "histogram_quantile": histogram_quantile,
    "histogram_fraction": histogram_fraction,
}
_Compute = Callable[[Floats, Floats, Ints], tuple[Floats, Bools]]


def _of_each(run: Evaluation, arg: Expr, times: Ints, compute: _Compute) -> Grid:
    grid = run.grid(arg, times)
    found = grid.series.derive("histograms", lambda: _histograms(grid.series))
    for row, name, bound in found.malformed:
        if grid.present[row].any():
            of = f' for metric name "{name}"' if name else ""
            run.notes.warn(f'bucket label "le" is missing or has a malformed value of "{bound}"{of}', arg)
    values = np.zeros((len(found.buckets), len(times)))
    present = np.zeros(values.shape, bool)
    for i, buckets in enumerate(found.buckets):
        for steps, there in _patterns(grid.present[buckets.rows]):
            counts = grid.values[np.ix_(buckets.rows[there], steps)]
            values[i, steps], fixed = compute(counts, buckets.bounds[there], steps)
            present[i, steps] = True
            if fixed.any():
                name = found.names[i]
                run.notes.info(_FIXED + (f' for metric name "{name}"' if name else ""), arg)
    return merged(Grid(found.series, values, present))


def _patterns(present: Bools) -> Iterator[tuple[Ints, Ints]]:
    """Steps at which the same buckets are there, and which those are; steps without any are left out."""
    if present.all():
        yield np.arange(present.shape[1]), np.arange(present.shape[0])
        return
    patterns, which = np.unique(present, axis=1, return_inverse=True)
    which = which.reshape(-1)
    for number in range(patterns.shape[1]):
        there = np.flatnonzero(patterns[:, number])
        if there.size:
            yield np.flatnonzero(which == number), there


def _coalesced(counts: Floats, bounds: Floats) -> tuple[Floats, Floats]:
    """Buckets of the same bound added up."""
    unique, starts = np.unique(bounds, return_index=True)
    if len(unique) == len(bounds):
        return counts, bounds
    return np.add.reduceat(counts, starts, axis=0), unique


def _monotonic(counts: Floats) -> tuple[Floats, Bools]:
    """Falling counts raised to what came before; True where a fall was more than rounding."""
    out = counts.copy()
    forced = np.zeros(counts.shape[1], bool)
    before = out[0].copy()
    for i in range(1, len(out)):
        now = out[i]
        close = _almost_equal(before, now)
        falls = (now < before) & ~close
        forced |= falls
        out[i] = np.where(close | falls, before, now)
        before = out[i]
    return out, forced


def _almost_equal(a: Floats, b: Floats) -> Bools:
    both = np.abs(a) + np.abs(b)
    small = (a == 0) | (b == 0) | (both < _TINY)
    apart = np.abs(a - b)
    near = np.where(small, apart < _SMALL * _TINY, apart / np.minimum(both, np.finfo(np.float64).max) < _SMALL)
    equal: Bools = (a == b) | near
    return equal


def _quantiles(q: Floats, counts: Floats, bounds: Floats) -> tuple[Floats, Bools]:
    """`counts` are (buckets, steps), cumulative."""
    steps = counts.shape[1]
    nothing = np.zeros(steps, bool)
    plain = np.where(np.isnan(q), np.nan, np.where(q < 0, -np.inf, np.where(q > 1, np.inf, np.nan)))
    if not np.isposinf(bounds[-1]):
        return plain, nothing
    counts, bounds = _coalesced(counts, bounds)
    counts, forced = _monotonic(counts)
    if len(bounds) < 2:
        return plain, nothing
    inside = (q >= 0) & (q <= 1)
    observations = counts[-1]
    rank = q * observations
    last = len(bounds) - 1
    bucket = np.minimum(np.count_nonzero(np.logical_and.accumulate(~(counts[:-1] >= rank), axis=0), axis=0), last)
    column = np.arange(steps)
    previous = np.maximum(bucket - 1, 0)
    low = np.where(bucket > 0, bounds[previous], 0.0)
    below = np.where(bucket > 0, counts[previous, column], 0.0)
    share = (rank - below) / (counts[bucket, column] - below)
    out = low + (bounds[bucket] - low) * share
    out = np.where(bucket == last, bounds[last - 1], out)
    out = np.where((bucket == 0) & (bounds[0] <= 0), bounds[0], out)
    out = np.where(observations == 0, np.nan, out)
    return np.where(inside, out, plain), forced & inside


def _fractions(low: Floats, high: Floats, counts: Floats, bounds: Floats) -> tuple[Floats, Bools]:
    steps = counts.shape[1]
    nothing = np.zeros(steps, bool)
    if not np.isposinf(bounds[-1]):
        return np.full(steps, np.nan), nothing
    counts, bounds = _coalesced(counts, bounds)
    observations = counts[-1]
    share = (_rank(high, counts, bounds) - _rank(low, counts, bounds)) / observations
    share = np.where(low >= high, 0.0, share)
    share = np.where((observations == 0) | np.isnan(low) | np.isnan(high), np.nan, share)
    return share, nothing


def _rank(value: Floats, counts: Floats, bounds: Floats) -> Floats:
    """How many observations are at or below a value, by linear interpolation in its bucket."""
    column = np.arange(counts.shape[1])
    bucket = np.minimum(np.searchsorted(bounds, value, side="left"), len(bounds) - 1)
    upper = bounds[bucket]
    first_low = 0.0 if bounds[0] > 0 else -np.inf
    lower = np.where(bucket > 0, bounds[np.maximum(bucket - 1, 0)], first_low)
    below = np.where(bucket > 0, counts[np.maximum(bucket - 1, 0), column], 0.0)
    here = counts[bucket, column]
    inside = below + (here - below) * (value - lower) / (upper - lower)
    out = np.where(np.isneginf(lower), here, inside)
    out = np.where(np.isposinf(upper), np.where(np.isposinf(value), here, below), out)
    out = np.where(value <= lower, below, out)
    bounded: Floats = np.minimum(out, counts[-1])
    return bounded
