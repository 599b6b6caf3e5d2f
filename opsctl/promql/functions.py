"""The functions of instant vectors and scalars: arithmetic, dates, labels, sorting, absence.

Must never read samples: they get what the selectors gave.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from opsctl.core.signals import Labels
from opsctl.promql.ast import Expr, Range, Selector
from opsctl.promql.errors import PromqlError, UnsupportedError
from opsctl.promql.grammar import DATES
from opsctl.promql.grid import Grid, Scalar, Value, merged
from opsctl.promql.quoting import go_quoted, valid_name
from opsctl.promql.regex import compile_anchored
from opsctl.promql.series import NAME, Bools, Floats, Ints, SeriesSet

if TYPE_CHECKING:
    from opsctl.promql.evaluate import Evaluation

_EXPANSION = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))", re.ASCII)
_DAY = 86_400

MATH: dict[str, Callable[[Floats], Floats]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg": np.degrees,
    "exp": np.exp,
    "floor": np.floor,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "rad": np.radians,
    "sgn": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}


def call(run: Evaluation, name: str, args: tuple[Expr, ...], times: Ints) -> Value:
    """The function's value at every step; `UnsupportedError` for one that this engine does not have."""
    if name in MATH:
        grid = run.grid(args[0], times)
        return Grid(grid.series.dropping(), MATH[name](grid.values), grid.present)
    if name in DATES:
        return _date(run, name, args, times)
    known = _FUNCTIONS.get(name)
    if known is None:
        raise UnsupportedError(f"the function {name}() is")
    return known(run, args, times)


# -- scalars ------------------------------------------------------------------------------------------------------


def _time(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    return Scalar(times / 1000)


def _pi(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    return Scalar(np.full(len(times), np.pi))


def _vector(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    return _one(run.numbers(args[0], times))


def _one(values: Floats) -> Grid:
    return Grid(_UNLABELLED, values[None, :], np.ones((1, len(values)), bool))


_UNLABELLED = SeriesSet(((),))


def _scalar(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    """The value where there is exactly one series, NaN elsewhere."""
    grid = run.grid(args[0], times)
    alone = np.count_nonzero(grid.present, axis=0) == 1
    return Scalar(np.where(alone, np.where(grid.present, grid.values, 0.0).sum(axis=0), np.nan))


# -- values -------------------------------------------------------------------------------------------------------


def _round(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    grid = run.grid(args[0], times)
    nearest = run.numbers(args[1], times) if len(args) > 1 else np.ones(len(times))
    inverse = 1.0 / nearest
    return Grid(grid.series.dropping(), np.floor(grid.values * inverse + 0.5) / inverse, grid.present)


def _clamp(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    grid = run.grid(args[0], times)
    low, high = run.numbers(args[1], times), run.numbers(args[2], times)
    values = np.maximum(low, np.minimum(high, grid.values))
    return Grid(grid.series.dropping(), values, grid.present & ~(high < low))


def _clamp_min(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    grid = run.grid(args[0], times)
    return Grid(grid.series.dropping(), np.maximum(run.numbers(args[1], times), grid.values), grid.present)


def _clamp_max(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    grid = run.grid(args[0], times)
    return Grid(grid.series.dropping(), np.minimum(run.numbers(args[1], times), grid.values), grid.present)


def _date(run: Evaluation, name: str, args: tuple[Expr, ...], times: Ints) -> Grid:
    grid = run.grid(args[0], times) if args else _one(times / 1000)
    sound = np.isfinite(grid.values) & (np.abs(grid.values) < 1e15)
    seconds = np.where(sound, np.trunc(grid.values), 0.0).astype(np.int64)
    return Grid(grid.series.dropping(), np.where(sound, _calendar(name, seconds), np.nan), grid.present)


def _calendar(name: str, seconds: Ints) -> Floats:
    """A part of the UTC date of unix seconds."""
    if name in ("hour", "minute"):
        return (seconds % _DAY // 3600 if name == "hour" else seconds % 3600 // 60).astype(np.float64)
    days = seconds // _DAY
    if name == "day_of_week":
        return ((days + 4) % 7).astype(np.float64)
    dates = days.astype("datetime64[D]")
    months, years = dates.astype("datetime64[M]"), dates.astype("datetime64[Y]")
    parts = {
        "year": years.astype(np.int64) + 1970,
        "month": months.astype(np.int64) % 12 + 1,
        "day_of_month": (dates - months.astype("datetime64[D]")).astype(np.int64) + 1,
        "day_of_year": (dates - years.astype("datetime64[D]")).astype(np.int64) + 1,
        "days_in_month": ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64),
    }
    part: Floats = parts[name].astype(np.float64)
    return part


# -- order and absence --------------------------------------------------------------------------------------------


def _sort(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    return _ordered(run, args, times, 1.0)


def _sort_desc(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    return _ordered(run, args, times, -1.0)


def _ordered(run: Evaluation, args: tuple[Expr, ...], times: Ints, sign: float) -> Value:
    """Rows by value, NaN last; only an instant answer has an order."""
    grid = run.grid(args[0], times)
    if run.ranged or len(times) != 1:
        return grid
    values = grid.values[:, 0]
    nan = np.isnan(values)
    return grid.taken(np.lexsort((np.where(nan, 0.0, sign * values), nan)))


def _absent(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    return absent(args[0], run.grid(args[0], times).present, len(times))


def absent(arg: Expr, present: Bools, steps: int) -> Grid:
    """1 at every step without any series; the labels are those that the selector asks for by equality."""
    missing: Bools = ~present.any(axis=0).reshape(steps)
    return Grid(SeriesSet((_asked(arg),)), np.ones((1, steps)), missing[None, :])


def _asked(arg: Expr) -> Labels:
    selector = arg.selector if isinstance(arg, Range) else arg
    if not isinstance(selector, Selector):
        return ()
    names = [m.name for m in selector.matchers]
    return tuple(
        sorted(
            (m.name, m.value)
            for m in selector.matchers
            if m.name != NAME and m.op == "=" and names.count(m.name) == 1 and m.value
        )
    )


# -- labels -------------------------------------------------------------------------------------------------------


def _label_replace(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    grid = run.grid(args[0], times)
    target, template, source, pattern = (run.text(arg) for arg in args[1:5])
    _check_label(target, "label_replace")
    key = ("label_replace", target, template, source, pattern)
    series = grid.series.derive(key, lambda: _replaced(grid.series, target, template, source, pattern))
    return merged(Grid(series, grid.values, grid.present))


def _replaced(series: SeriesSet, target: str, template: str, source: str, pattern: str) -> SeriesSet:
    compiled = compile_anchored(pattern)
    labels, drops = list(series.labels), series.drops.copy()
    for row, each in enumerate(labels):
        match = compiled.match(dict(each).get(source, ""))
        if match is not None:
            labels[row] = _with(each, target, expand(template, match))
            drops[row] &= target != NAME
    return SeriesSet(labels, drops)


def expand(template: str, match: re.Match[str]) -> str:
    """Go's `Expand`: `$1`, `${1}`, `$name`, `$$`; a group that is not there is nothing."""

    def value(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        name = found[2] or found[3]
        if name.isdigit():
            return (match[int(name)] or "") if int(name) <= (match.re.groups or 0) else ""
        return match.groupdict().get(name) or ""

    return _EXPANSION.sub(value, template)


def _label_join(run: Evaluation, args: tuple[Expr, ...], times: Ints) -> Value:
    grid = run.grid(args[0], times)
    target, separator, *sources = (run.text(arg) for arg in args[1:])
    for name in (target, *sources):
        _check_label(name, "label_join")
    key = ("label_join", target, separator, *sources)
    series = grid.series.derive(key, lambda: _joined(grid.series, target, separator, sources))
    return merged(Grid(series, grid.values, grid.present))


def _joined(series: SeriesSet, target: str, separator: str, sources: list[str]) -> SeriesSet:
    labels = []
    for each in series.labels:
        values = dict(each)
        labels.append(_with(each, target, separator.join(values.get(name, "") for name in sources)))
    drops = np.zeros(len(labels), bool) if target == NAME else series.drops
    return SeriesSet(labels, drops)


def _with(labels: Labels, name: str, value: str) -> Labels:
    """The labels with one set, or taken away where the value is empty."""
    values = dict(labels)
    values.pop(name, None)
    if value:
        values[name] = value
    return tuple(sorted(values.items()))


def _check_label(name: str, function: str) -> None:
    if not valid_name(name):
        raise PromqlError(f"invalid label name in {function}(): {go_quoted(name)}")


_FUNCTIONS: dict[str, Callable[[Evaluation, tuple[Expr, ...], Ints], Value]] = {
    "time": _time,
    "pi": _pi,
    "vector": _vector,
    "scalar": _scalar,
    "round": _round,
    "clamp": _clamp,
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
    "sort": _sort,
    "sort_desc": _sort_desc,
    "absent": _absent,
    "label_replace": _label_replace,
    "label_join": _label_join,
}
