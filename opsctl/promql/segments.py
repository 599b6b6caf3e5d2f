"""Statistics of runs of values: a window's samples or a group's members, one after the other in one array.

`starts` are the runs' first indexes; no run is empty. Sums are compensated where
terms cancel, as Prometheus's are. Must never know what the runs stand for.
"""

from __future__ import annotations

import math

import numpy as np

from opsctl.promql.series import Floats, Ints

_CANCELLING = 100.0  # how much larger than the sum the terms may be before the sum is done again, compensated


def total(values: Floats, starts: Ints) -> Floats:
    """The sum of each run."""
    sums = np.add.reduceat(values, starts)
    return _repaired(values, starts, sums)


def mean(values: Floats, starts: Ints, sizes: Ints) -> Floats:
    """The mean of each run, also where the sum would overflow."""
    means: Floats = total(values, starts) / sizes
    for i in np.flatnonzero(~np.isfinite(means)).tolist():
        run = values[starts[i] : starts[i] + sizes[i]]
        if np.isfinite(run).all():
            means[i] = _running_mean(run.tolist())
    return means


def _compensated(run: list[float]) -> float:
    """Neumaier's sum, as Prometheus adds: a second number carries what the first one loses."""
    out, lost = 0.0, 0.0
    for value in run:
        out, lost = _add(out, lost, value)
    return out + lost


def _add(so_far: float, lost: float, value: float) -> tuple[float, float]:
    together = so_far + value
    if math.isinf(together):
        return together, 0.0
    if abs(so_far) >= abs(value):
        return together, lost + ((so_far - together) + value)
    return together, lost + ((value - together) + so_far)


def _running_mean(run: list[float]) -> float:
    """The mean of values whose sum overflows: from the first overflow on, the mean itself is carried along."""
    out, lost, running = 0.0, 0.0, False
    for count, value in enumerate(run, 1):
        if not running:
            more, carry = _add(out, lost, value)
            if not math.isinf(more):
                out, lost = more, carry
                continue
            running, out, lost = True, out / (count - 1), lost / (count - 1)
        share = (count - 1) / count
        out, lost = _add(share * out, share * lost, value / count)
    return out + lost if running else (out + lost) / len(run)


def _repaired(values: Floats, starts: Ints, sums: Floats) -> Floats:
    absolute = np.add.reduceat(np.abs(values), starts)
    doubtful = np.flatnonzero(~(absolute <= _CANCELLING * np.abs(sums)))
    if doubtful.size:
        ends = np.append(starts[1:], len(values))
        for i in doubtful.tolist():
            run = values[starts[i] : ends[i]]
            if np.isfinite(run).all():
                sums[i] = _compensated(run.tolist())
    return sums


def smallest(values: Floats, starts: Ints) -> Floats:
    """The minimum of each run; NaN only where there is nothing else."""
    return np.fmin.reduceat(values, starts)


def largest(values: Floats, starts: Ints) -> Floats:
    """The maximum of each run; NaN only where there is nothing else."""
    return np.fmax.reduceat(values, starts)


def variance(values: Floats, starts: Ints, sizes: Ints) -> Floats:
    """The population variance of each run; taken from its first value, so that equal values have exactly none."""
    first = np.repeat(values[starts], sizes)
    moved = values - first
    centred = moved - np.repeat(np.add.reduceat(moved, starts) / sizes, sizes)
    return np.add.reduceat(centred * centred, starts) / sizes


def ordered(values: Floats, starts: Ints, sizes: Ints) -> Floats:
    """Each run's values ascending, NaN first."""
    runs = np.repeat(np.arange(len(starts)), sizes)
    nan = np.isnan(values)
    return values[np.lexsort((np.where(nan, 0.0, values), ~nan, runs))]


def quantile(q: Floats, values: Floats, starts: Ints, sizes: Ints) -> Floats:
    """The q-quantile of each run by linear interpolation; below 0 -Inf, above 1 +Inf, NaN for NaN."""
    sorted_values = ordered(values, starts, sizes)
    rank = np.clip(np.nan_to_num(q), 0.0, 1.0) * (sizes - 1)
    lower = np.floor(rank).astype(np.int64)
    upper = np.minimum(lower + 1, sizes - 1)
    weight = rank - lower
    below, above = sorted_values[starts + lower], sorted_values[starts + upper]
    out = np.where(weight == 0, below, below * (1 - weight) + above * weight)
    out = np.where(q < 0, -np.inf, np.where(q > 1, np.inf, out))
    return np.where(np.isnan(q), np.nan, out)


def regression(seconds: Floats, values: Floats, starts: Ints, sizes: Ints) -> tuple[Floats, Floats]:
    """Slope and intercept at 0 of each run's least-squares line; equal values have exactly slope 0."""
    n = sizes.astype(np.float64)
    x0, y0 = seconds[starts], values[starts]
    x = seconds - np.repeat(x0, sizes)
    y = values - np.repeat(y0, sizes)
    mean_x = np.add.reduceat(x, starts) / n
    mean_y = np.add.reduceat(y, starts) / n
    x = x - np.repeat(mean_x, sizes)
    covariance = np.add.reduceat(x * (y - np.repeat(mean_y, sizes)), starts)
    slope = covariance / np.add.reduceat(x * x, starts)
    flat = np.add.reduceat(np.abs(y), starts) == 0
    slope = np.where(flat, 0.0, slope)
    intercept = np.where(flat, y0, y0 + mean_y - slope * (x0 + mean_x))
    return slope, intercept
