"""Aggregations: by groups of labels, at every step.

A group's members at a step are laid out one after the other, so that everything windows can compute groups can too.
Must never look at labels but through `SeriesSet`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

import numpy as np

from opsctl.promql import segments
from opsctl.promql.ast import Aggregate
from opsctl.promql.errors import PromqlError
from opsctl.promql.grid import Grid, Scalar, Value, Words, merged
from opsctl.promql.quoting import go_quoted, valid_name
from opsctl.promql.series import NAME, Floats, Groups, Ints, SeriesSet

_K_MAX = float(1 << 63)


def aggregate(expr: Aggregate, grid: Grid, param: Value | None) -> Grid:
    """The aggregation; `param` is k, the quantile or the label of count_values."""
    if NAME in expr.labels and not expr.without and len(grid.series) and 0 < grid.series.drops.sum() < len(grid.series):
        grid = grid.taken(np.flatnonzero(grid.present.any(axis=1)))  # only what is there decides on dropping names
    groups = grid.series.grouped(expr.labels, expr.without)
    if expr.op in ("topk", "bottomk"):
        assert isinstance(param, Scalar)
        return _k(grid, groups, param.values, top=expr.op == "topk")
    if expr.op == "count_values":
        assert isinstance(param, Words)
        return _count_values(grid, groups, param.text)
    if not len(grid.series):
        return Grid(groups.series, grid.values, grid.present)
    if expr.op in ("sum", "count", "avg"):
        easy = _easy(expr.op, grid, groups)
        if easy is not None:
            return easy
    return _by_members(expr.op, grid, groups, param)


def _easy(op: str, grid: Grid, groups: Groups) -> Grid | None:
    """Everything is there and nothing can cancel: one pass."""
    values, present = grid.values, grid.present
    if not present.all() or not (values.min(initial=0.0) >= 0):
        return None
    if op == "count":
        sums = np.broadcast_to(groups.sizes[:, None], (groups.count, values.shape[1])).astype(np.float64)
    else:  # as `_by_members` adds: a group's sum must not depend on which other groups there are
        sums = np.add.reduceat(values[groups.order], groups.starts, axis=0)
    if op == "avg":
        sums = sums / groups.sizes[:, None]
        if not np.isfinite(sums).all():
            return None
    return Grid(groups.series, sums, np.ones(sums.shape, bool))


def _by_members(op: str, grid: Grid, groups: Groups, param: Value | None) -> Grid:
    """Members that are there, by step and group."""
    there = grid.present[groups.order].T
    flat = grid.values[groups.order].T[there]
    counts = np.add.reduceat(there, groups.starts, axis=1, dtype=np.int64)
    chosen = np.flatnonzero(counts.ravel())
    out = np.zeros(counts.size)
    if chosen.size:
        sizes = counts.ravel()[chosen]
        starts = np.cumsum(sizes) - sizes
        if op == "quantile":
            assert isinstance(param, Scalar)
            out[chosen] = segments.quantile(param.values[chosen // groups.count], flat, starts, sizes)
        else:
            out[chosen] = _OF_MEMBERS[op](flat, starts, sizes)
    shape = (counts.shape[0], counts.shape[1])
    return Grid(groups.series, out.reshape(shape).T, (counts > 0).T)


_OF_MEMBERS: dict[str, Callable[[Floats, Ints, Ints], Floats]] = {
    "sum": lambda v, starts, sizes: segments.total(v, starts),
    "avg": segments.mean,
    "count": lambda v, starts, sizes: sizes.astype(np.float64),
    "group": lambda v, starts, sizes: np.ones(len(starts)),
    "min": lambda v, starts, sizes: segments.smallest(v, starts),
    "max": lambda v, starts, sizes: segments.largest(v, starts),
    "stdvar": segments.variance,
    "stddev": lambda v, starts, sizes: np.sqrt(segments.variance(v, starts, sizes)),
}


def _k(grid: Grid, groups: Groups, k: Floats, *, top: bool) -> Grid:
    """The k largest or smallest of each group; NaN comes last; an instant answer is in that order."""
    if np.isnan(k).any():
        raise PromqlError("Parameter value is NaN")
    if (np.abs(k) >= _K_MAX).any():
        raise PromqlError(f"Scalar value {k[np.abs(k) >= _K_MAX][0]:g} overflows int64")
    wanted = np.trunc(k)
    nan = np.isnan(grid.values)
    keyed = np.where(nan, 0.0, -grid.values if top else grid.values)
    ids = np.broadcast_to(groups.ids[:, None], grid.values.shape)
    order = np.lexsort((keyed, nan, ~grid.present, ids), axis=0)
    ranks = np.empty(order.shape, np.int64)
    within = np.arange(len(grid.series)) - np.repeat(groups.starts, groups.sizes)
    np.put_along_axis(ranks, order, np.broadcast_to(within[:, None], order.shape), axis=0)
    kept = Grid(grid.series, grid.values, grid.present & (ranks < wanted))
    return kept.taken(order[:, 0]) if grid.values.shape[1] == 1 else kept


def _count_values(grid: Grid, groups: Groups, label: str) -> Grid:
    if not valid_name(label):
        raise PromqlError(f"invalid label name {go_quoted(label)}")
    numbers: dict[object, int] = {}
    cells: dict[tuple[int, int], int] = {}
    for row, step in zip(*(each.tolist() for each in np.nonzero(grid.present)), strict=True):
        labels = dict(groups.series.labels[groups.ids[row]])
        labels[label] = number_text(float(grid.values[row, step]))
        out = numbers.setdefault(tuple(sorted(labels.items())), len(numbers))
        cells[out, step] = cells.get((out, step), 0) + 1
    values = np.zeros((len(numbers), grid.values.shape[1]))
    for (row, step), count in cells.items():
        values[row, step] = count
    return merged(Grid(SeriesSet(list(numbers)), values, values > 0))  # type: ignore[arg-type]


def number_text(value: float) -> str:
    """A number as Prometheus writes it into a label: the shortest decimal without exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f")
    return text[:-2] if text.endswith(".0") else text
