"""Binary operators: between scalars, vectors and scalars, and matched vectors; the set operators.

Which rows match is a matter of labels and is worked out once for two sets of series; per step only presence is checked.
Must never match by values.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from opsctl.core.signals import Labels
from opsctl.promql.ast import COMPARISONS, Binary, Matching
from opsctl.promql.errors import PromqlError
from opsctl.promql.grid import Grid, Scalar, Value, merged
from opsctl.promql.series import NAME, Bools, Floats, Ints, SeriesSet, only, without

T = TypeVar("T")
_DEFAULT = Matching()
_ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}
_COMPARE: dict[str, Callable[[Floats, Floats], Bools]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}


def binary(expr: Binary, left: Value, right: Value) -> Value:
    """The operation at every step."""
    if isinstance(left, Scalar) and isinstance(right, Scalar):
        return Scalar(_numbers(expr.op, left.values, right.values))
    if isinstance(left, Grid) and isinstance(right, Grid):
        if expr.op in ("and", "or", "unless"):
            return _set(expr, left, right)
        return _matched(expr, left, right)
    if isinstance(left, Grid) and isinstance(right, Scalar):
        return _with_scalar(expr, left, right.values, swapped=False)
    if isinstance(left, Scalar) and isinstance(right, Grid):
        return _with_scalar(expr, right, left.values, swapped=True)
    raise PromqlError(f"operator {expr.op} cannot be used with a string")


def _numbers(op: str, left: Floats, right: Floats) -> Floats:
    if op in COMPARISONS:
        return _COMPARE[op](left, right).astype(np.float64)
    return _ARITHMETIC[op](left, right)


def _with_scalar(expr: Binary, vector: Grid, number: Floats, *, swapped: bool) -> Grid:
    left, right = (number, vector.values) if swapped else (vector.values, number)
    if expr.op not in COMPARISONS:
        return Grid(vector.series.dropping(), _ARITHMETIC[expr.op](left, right), vector.present)
    holds = _COMPARE[expr.op](left, right)
    if expr.returns_bool:
        return Grid(vector.series.dropping(), holds.astype(np.float64), vector.present)
    return Grid(vector.series, vector.values, vector.present & holds)


# -- set operators ------------------------------------------------------------------------------------------------


def _set(expr: Binary, left: Grid, right: Grid) -> Grid:
    how = expr.matching or _DEFAULT
    key = ("set", how.labels, how.on)
    numbers_left, numbers_right, count = _remember(left.series, key, right.series, lambda: _numbered(left, right, how))
    if expr.op == "or":
        seen = _seen(numbers_left, left.present, count)
        series = _remember(left.series, "either", right.series, lambda: _either(left.series, right.series))
        present = np.concatenate([left.present, right.present & ~seen[numbers_right]])
        return merged(Grid(series, np.concatenate([left.values, right.values]), present))
    seen = _seen(numbers_right, right.present, count)[numbers_left]
    return Grid(left.series, left.values, left.present & (seen if expr.op == "and" else ~seen))


def _remember(left: SeriesSet, key: Hashable, right: SeriesSet, make: Callable[[], T]) -> T:
    """What was derived for both sets; the entry holds the right one, so its identity cannot be taken by another."""
    held: tuple[SeriesSet, T] = left.derive((key, id(right)), lambda: (right, make()))
    return held[1]


def _either(left: SeriesSet, right: SeriesSet) -> SeriesSet:
    return SeriesSet((*left.labels, *right.labels), np.concatenate([left.drops, right.drops]))


def _numbered(left: Grid, right: Grid, how: Matching) -> tuple[Ints, Ints, int]:
    numbers: dict[Labels, int] = {}
    sides = []
    for side in (left, right):
        keys = side.series.keys(how.labels, how.on)
        sides.append(np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), np.int64, len(keys)))
    return sides[0], sides[1], len(numbers)


def _seen(numbers: Ints, present: Bools, count: int) -> Bools:
    """Per match group and step, whether a series of it is there."""
    seen = np.zeros((count, present.shape[1]), bool)
    if len(numbers) == count and (numbers == np.arange(count)).all():
        return present
    np.logical_or.at(seen, numbers, present)
    return seen


# -- matched operators --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Join:
    """Pairs of rows with one key; groups of rows and pairs that may not be there together at a step."""

    many: Ints
    one: Ints
    series: SeriesSet
    rivals: tuple[Ints, ...]  # pairs that would give the same result
    unique: bool  # no two pairs share labels


def _matched(expr: Binary, left: Grid, right: Grid) -> Grid:
    how = expr.matching or _DEFAULT
    many, one = (right, left) if how.group == "right" else (left, right)
    drops = expr.returns_bool
    changes = expr.op not in COMPARISONS
    rivals = one.series.derive(("rivals", how), lambda: _rivals(one.series, how))
    if rivals:
        _check_one(rivals, many, one, how)
    key = (how, drops, changes)
    join = _remember(many.series, key, one.series, lambda: _join(many.series, one.series, how, drops, changes))
    present = many.present[join.many] & one.present[join.one]
    for pairs in join.rivals:
        if (np.count_nonzero(present[pairs], axis=0) > 1).any():
            raise PromqlError(
                "multiple matches for labels: "
                + ("grouping labels must ensure unique matches" if how.group else _NOT_EXPLICIT)
            )
    a, b = many.values[join.many], one.values[join.one]
    if how.group == "right":
        a, b = b, a
    return _combined(expr, join, a, b, present)


_NOT_EXPLICIT = "many-to-one matching must be explicit (group_left/group_right)"


def _combined(expr: Binary, join: _Join, a: Floats, b: Floats, present: Bools) -> Grid:
    if expr.op in COMPARISONS:
        holds = _COMPARE[expr.op](a, b)
        if expr.returns_bool:
            values = holds.astype(np.float64)
        else:
            values, present = a, present & holds
    else:
        values = _ARITHMETIC[expr.op](a, b)
    grid = Grid(join.series, values, present)
    return grid if join.unique else merged(grid)


_Rivals = tuple[tuple[Labels, Ints], ...]


def _rivals(one: SeriesSet, how: Matching) -> _Rivals:
    """Rows of the one side that have the same key."""
    found: dict[Labels, list[int]] = {}
    for row, key in enumerate(one.keys(how.labels, how.on)):
        found.setdefault(key, []).append(row)
    return tuple((key, np.array(rows)) for key, rows in found.items() if len(rows) > 1)


def _check_one(rivals: _Rivals, many: Grid, one: Grid, how: Matching) -> None:
    """Two series of the one side with the same key at a step are an error, unless the other side is empty there."""
    busy = many.present.any(axis=0)
    for key, rows in rivals:
        clash = (np.count_nonzero(one.present[rows], axis=0) > 1) & busy
        if clash.any():
            step = int(np.flatnonzero(clash)[0])
            shown = sorted(_text(one.series.labels[i]) for i in rows.tolist() if one.present[i, step])
            side = "left" if how.group == "right" else "right"
            raise PromqlError(
                f"found duplicate series for the match group {_text(key)} on the {side} hand-side of the operation: "
                f"[{shown[0]}, {shown[1]}];many-to-many matching not allowed: "
                "matching labels must be unique on one side"
            )


def _text(labels: Labels) -> str:
    """A label set as Prometheus prints it."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"


def _join(many: SeriesSet, one: SeriesSet, how: Matching, drops: bool, changes: bool) -> _Join:
    by_key: dict[Labels, list[int]] = {}
    for row, key in enumerate(one.keys(how.labels, how.on)):
        by_key.setdefault(key, []).append(row)
    pairs: list[tuple[int, int]] = []
    labels: list[Labels] = []
    rivals: dict[object, list[int]] = {}
    for row, key in enumerate(many.keys(how.labels, how.on)):
        for other in by_key.get(key, ()):
            result = _result(many.labels[row], one.labels[other], how, changes)
            rivals.setdefault((key, result) if how.group else (key, other), []).append(len(pairs))
            pairs.append((row, other))
            labels.append(result)
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    dropping = np.ones(len(pairs), bool) if drops else many.drops[rows[:, 0]] & (not changes)
    return _Join(
        rows[:, 0],
        rows[:, 1],
        SeriesSet(labels, dropping),
        tuple(np.array(each) for each in rivals.values() if len(each) > 1),
        len(set(labels)) == len(labels),
    )


def _result(many: Labels, one: Labels, how: Matching, changes: bool) -> Labels:
    """The labels of a result: Prometheus's `resultMetric`."""
    labels = without(many, {NAME}) if changes else many
    if how.group is None:
        labels = only(labels, set(how.labels)) if how.on else without(labels, set(how.labels))
    if not how.include:
        return labels
    taken = dict(labels)
    other = dict(one)
    for name in how.include:
        taken.pop(name, None)
        if name in other:
            taken[name] = other[name]
    return tuple(sorted(taken.items()))
