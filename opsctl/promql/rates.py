"""rate, increase, delta, irate, idelta: the counters' functions.

The extrapolation is Prometheus's (`extrapolatedRate`); resets come from prefix sums, so a window costs the same
whatever its length. Must never look at the samples between a window's first and last, unless infinities make that
necessary.
"""

from __future__ import annotations

import numpy as np

from opsctl.promql.series import Bools, Floats, Ints
from opsctl.promql.windows import Runs, Windows

_CLOSE = 1.1  # average intervals between a sample and the window's edge up to which the slope goes on to the edge


def extrapolated(windows: Windows, *, counter: bool, per_second: bool) -> tuple[Floats, Bools]:
    """The change over each window, extrapolated to its edges; two samples are needed."""
    count = windows.count()
    enough = count >= 2
    first_index = np.where(enough, windows.low, 0)
    last_index = np.where(enough, windows.high - 1, 0)
    flat = windows.flat
    first = flat.take(first_index)
    change = flat.take(last_index) - first
    if counter:
        change += _lost(windows, first_index, last_index)
    first_ms, last_ms = windows.first_times(enough), windows.last_times(enough)
    sampled = (last_ms - first_ms) / 1000
    average = sampled / np.maximum(count - 1, 1)
    to_start = (first_ms - (windows.ends - windows.range_ms)) / 1000
    to_end = (windows.ends - last_ms) / 1000
    threshold = average * _CLOSE
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    if counter and windows.closed:  # 2.x compared in this order
        to_start = np.minimum(to_start, _to_zero(first, change, sampled))
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    if counter:
        to_start = np.minimum(to_start, _to_zero(first, change, sampled))
    factor = (sampled + to_start + to_end) / sampled
    if per_second:
        factor = factor / (windows.range_ms / 1000)
    return change * factor, np.broadcast_to(enough, windows.shape)


def _to_zero(first: Floats, change: Floats, sampled: Floats) -> Floats:
    """How far back the slope meets zero: a counter was never below it, so not further."""
    return np.where((change > 0) & (first >= 0), sampled * (first / change), np.inf)


def _lost(windows: Windows, first_index: Ints, last_index: Ints) -> Floats:
    """What resets took from the counter inside each window."""
    sums = windows.samples.resets()
    if sums is not None:
        out: Floats = sums.take(last_index) - sums.take(first_index)
        return out
    return windows.filled((runs, _fallen(runs)) for runs in windows.runs(2))


def _fallen(runs: Runs) -> Floats:
    """The same from the samples: prefix sums with infinities cannot be taken apart again."""
    lost = np.zeros(len(runs.values))
    before = runs.values[:-1]
    lost[1:] = np.where(runs.values[1:] < before, before, 0.0)
    lost[runs.starts] = 0.0
    return np.add.reduceat(lost, runs.starts)


def instant(windows: Windows, *, per_second: bool) -> tuple[Floats, Bools]:
    """irate (`per_second`) and idelta: from the last two samples."""
    enough = windows.count() >= 2
    last_index = np.where(enough, windows.high - 1, 1)
    before_index = last_index - 1
    last, before = windows.flat.take(last_index), windows.flat.take(before_index)
    change = last - before
    if per_second:
        change = np.where(last < before, last, change)
        times = windows.samples
        change = change / ((times.times_at(last_index) - times.times_at(before_index)) / 1000)
    return change, np.broadcast_to(enough, windows.shape)
