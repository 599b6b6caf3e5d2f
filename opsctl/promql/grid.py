"""The values of an evaluation: a matrix of series and steps, a scalar per step, or a text.

A cell whose `present` is False holds no meaning. Must never be changed once made: grids share arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

import numpy as np

from opsctl.core.signals import Labels
from opsctl.promql.errors import PromqlError
from opsctl.promql.series import Bools, Floats, Ints, SeriesSet

DUPLICATE = "vector cannot contain metrics with the same labelset"


@dataclass(slots=True)
class Grid:
    """An instant vector at every step; `values` and `present` are (series, steps)."""

    series: SeriesSet
    values: Floats
    present: Bools

    def taken(self, rows: Ints) -> Grid:
        """Some rows, in that order."""
        return Grid(self.series.take(rows), self.values[rows], self.present[rows])


@dataclass(slots=True)
class Scalar:
    """A number at every step."""

    values: Floats


@dataclass(slots=True)
class Words:
    """A string."""

    text: str


Value = Union[Grid, Scalar, Words]


def empty(steps: int) -> Grid:
    """No series."""
    return Grid(SeriesSet(()), np.zeros((0, steps)), np.zeros((0, steps), bool))


def broadcast(value: Value, steps: int) -> Value:
    """A value of one step at each of several."""
    if isinstance(value, Grid):
        shape = (len(value.series), steps)
        return Grid(value.series, np.broadcast_to(value.values, shape), np.broadcast_to(value.present, shape))
    return Scalar(np.broadcast_to(value.values, (steps,))) if isinstance(value, Scalar) else value


def merged(grid: Grid) -> Grid:
    """Rows of the same labels made one; at a step at most one of them may be there (`PromqlError`)."""
    plan = grid.series.derive("merge", lambda: _merge_plan(_identities(grid.series)))
    if plan is None:
        return grid
    targets, firsts = plan
    series = grid.series.derive("merged", lambda: grid.series.take(firsts))
    values, present = _merge(grid, targets, len(firsts))
    return Grid(series, values, present)


def _identities(series: SeriesSet) -> list[object]:
    return list(zip(series.labels, series.drops.tolist(), strict=True))


def finished(grid: Grid) -> tuple[tuple[Labels, ...], Floats, Bools]:
    """Labels as they are shown, values and presence; names dropped, equal label sets made one, empty rows gone."""
    labels, values, present = grid.series.final(), grid.values, grid.present
    plan = grid.series.derive("final merge", lambda: _merge_plan(list(labels)))
    if plan is not None:
        targets, firsts = plan
        values, present = _merge(grid, targets, len(firsts))
        labels = tuple(labels[i] for i in firsts.tolist())
    there = present.any(axis=1)
    if not there.all():
        rows = np.flatnonzero(there)
        return tuple(labels[i] for i in rows.tolist()), values[rows], present[rows]
    return labels, values, present


def _merge_plan(identities: list[object]) -> tuple[Ints, Ints] | None:
    """Which row each row becomes part of, and the first of each; None if all are different."""
    numbers: dict[object, int] = {}
    targets = [numbers.setdefault(each, len(numbers)) for each in identities]
    if len(numbers) == len(targets):
        return None
    array = np.array(targets, np.int64)
    return array, np.unique(array, return_index=True)[1].astype(np.int64)


def _merge(grid: Grid, targets: Ints, count: int) -> tuple[Floats, Bools]:
    steps = grid.values.shape[1]
    hits = np.zeros((count, steps), np.int64)
    np.add.at(hits, targets, grid.present)
    if (hits > 1).any():
        raise PromqlError(DUPLICATE)
    values = np.zeros((count, steps))
    rows, columns = np.nonzero(grid.present)
    values[targets[rows], columns] = grid.values[rows, columns]
    return values, hits > 0
