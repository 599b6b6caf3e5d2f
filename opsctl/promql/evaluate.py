"""Evaluates a plan over a store: one walk through the tree, a matrix of series and steps at every node.

An instant query is a matrix of one step. Must never change the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from opsctl.promql import aggregate as aggregations
from opsctl.promql import functions, histograms, over_time
from opsctl.promql.ast import (
    Aggregate,
    At,
    Binary,
    Call,
    Expr,
    Negation,
    Number,
    Paren,
    Range,
    Selector,
    Subquery,
    Text,
    unwrap,
)
from opsctl.promql.binary import binary
from opsctl.promql.errors import PromqlError
from opsctl.promql.grammar import KEEPS_NAME
from opsctl.promql.grid import Grid, Scalar, Value, Words, broadcast, empty, merged
from opsctl.promql.notes import Notes
from opsctl.promql.samples import BIAS, Samples
from opsctl.promql.series import Bools, Floats, Ints, SeriesSet
from opsctl.promql.store import Selection, SeriesStore
from opsctl.promql.windows import Windows

if TYPE_CHECKING:
    from opsctl.promql.plan import Plan

SAMPLES_MAX = 50_000_000
STEPS_MAX = 11_000


@dataclass(frozen=True, slots=True)
class Settings:
    """How to evaluate: `semantics` 3 has left-open windows, 2 closed ones."""

    lookback_ms: int = 300_000
    semantics: int = 3
    subquery_step_ms: int = 60_000
    samples_max: int = SAMPLES_MAX


@dataclass(slots=True)
class Evaluation:
    """One query over one store; `start_ms` and `end_ms` are what `@ start()` and `@ end()` mean."""

    store: SeriesStore
    plan: Plan
    settings: Settings
    start_ms: int
    end_ms: int
    ranged: bool
    notes: Notes = field(default_factory=Notes)
    spent: int = 0

    def spend(self, samples: int) -> None:
        """Count samples and cells against the cap before they are made."""
        self.spent += samples
        if self.spent > self.settings.samples_max:
            raise PromqlError(f"the query touches more than {self.settings.samples_max} samples, the cap")

    def value(self, expr: Expr, times: Ints) -> Value:
        """The value of an expression at each time."""
        if len(times) > 1 and id(expr) in self.plan.invariant:
            return broadcast(self.value(expr, times[:1]), len(times))
        return _VALUES[type(expr)](self, expr, times)

    def _paren(self, expr: Paren, times: Ints) -> Value:
        return self.value(expr.expr, times)

    def _binary(self, expr: Binary, times: Ints) -> Value:
        return binary(expr, self.value(expr.left, times), self.value(expr.right, times))

    def _instant(self, expr: Selector, times: Ints) -> Value:
        return self._selector(expr, times)[0]

    def _number(self, expr: Number, times: Ints) -> Value:
        return Scalar(np.full(len(times), expr.value))

    def _words(self, expr: Text, times: Ints) -> Value:
        return Words(expr.value)

    def _negation(self, expr: Negation, times: Ints) -> Value:
        value = self.value(expr.expr, times)
        if isinstance(value, Scalar):
            return Scalar(-value.values)
        if isinstance(value, Grid):
            return Grid(value.series.dropping(), -value.values, value.present)
        raise PromqlError("a string cannot be negated")

    def _range(self, expr: Range | Subquery, times: Ints) -> Value:
        raise PromqlError("a range vector cannot be used here; an instant vector is needed")

    def grid(self, expr: Expr, times: Ints) -> Grid:
        """An expression that is an instant vector."""
        value = self.value(expr, times)
        if not isinstance(value, Grid):
            raise PromqlError("an instant vector is needed here")
        return value

    def numbers(self, expr: Expr, times: Ints) -> Floats:
        """An expression that is a scalar."""
        value = self.value(expr, times)
        if not isinstance(value, Scalar):
            raise PromqlError("a scalar is needed here")
        return value.values

    def text(self, expr: Expr) -> str:
        """An expression that is a string."""
        inner = unwrap(expr)
        if not isinstance(inner, Text):
            raise PromqlError("a string is needed here")
        return inner.value

    def _aggregate(self, expr: Aggregate, times: Ints) -> Grid:
        param = None if expr.param is None else self.value(expr.param, times)
        grid = self.grid(expr.expr, times)
        if expr.op == "quantile" and isinstance(param, Scalar):
            self.notes.quantile(param.values, expr.param)
        return aggregations.aggregate(expr, grid, param)

    # -- selectors ------------------------------------------------------------------------------------------------

    def _when(self, time: At, offset_ms: int, times: Ints) -> Ints:
        """The times that a selector with these modifiers looks at."""
        if time is None:
            return times - offset_ms if offset_ms else times
        fixed = {"start": self.start_ms, "end": self.end_ms}[time] if isinstance(time, str) else time
        return np.full(len(times), fixed - offset_ms, np.int64)

    def _selector(self, expr: Selector, times: Ints) -> tuple[Grid, Ints]:
        """The last sample of each series, and when it was taken."""
        at = self._when(expr.time, expr.offset_ms, times)
        selection = self.store.select(expr.matchers)
        self.spend(len(selection.series) * len(times))
        parts = [self._latest(samples, rows, at) for samples, rows in selection.parts]
        if len(parts) == 1:
            values, present, taken = parts[0]
        elif not parts:
            return empty(len(times)), np.zeros((0, len(times)), np.int64)
        else:
            values, present, taken = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Grid(selection.series, values, present), taken

    def _latest(self, samples: Samples, rows: Ints, at: Ints) -> tuple[Floats, Bools, Ints]:
        shape = (len(rows), len(at))
        oldest = at - self.settings.lookback_ms + (0 if self.settings.semantics == 3 else -1)
        base = (rows * samples.capacity)[:, None]
        if samples.axis is not None:
            column = samples.columns_upto(at) - 1
            there = column >= 0
            column = np.where(there, column, 0)
            taken = samples.axis[column]
            there &= taken > oldest
            values = samples.flat.take(base + column)
            return values, np.broadcast_to(there, shape), np.broadcast_to(taken, shape)
        index = samples.upto(rows, at) - 1
        found = index >= base
        index = np.where(found, index, base)
        when = samples.times_at(index)
        found &= when > oldest
        if samples.until is not None:
            found &= at < samples.until.reshape(-1).take(index)
        return samples.flat.take(index), found, when

    # -- range vectors --------------------------------------------------------------------------------------------

    def windows(self, expr: Expr, times: Ints) -> tuple[list[Windows], SeriesSet]:
        """The windows of a range vector, in parts, and the series of all parts."""
        inner = unwrap(expr)
        closed = self.settings.semantics != 3
        if isinstance(inner, Range):
            at = self._when(inner.selector.time, inner.selector.offset_ms, times)
            selection = self.store.select(inner.selector.matchers)
            self.spend(len(selection.series) * len(times))  # cells; the samples come below
            found = [Windows(samples, rows, at, inner.range_ms, closed) for samples, rows in selection.parts]
            self.spend(sum(windows.loaded for windows in found))
            return found, selection.series
        if not isinstance(inner, Subquery):
            raise PromqlError("a range vector is needed here")
        at = self._when(inner.time, inner.offset_ms, times)
        selection = self._subquery(inner, at)
        return [
            Windows(samples, rows, at, inner.range_ms, closed) for samples, rows in selection.parts
        ], selection.series

    def _subquery(self, expr: Subquery, at: Ints) -> Selection:
        """The inner expression at every multiple of the step that any window needs, as samples."""
        step = expr.step_ms or self.settings.subquery_step_ms
        edge = int(at.min()) - expr.range_ms
        first = -(-edge // step) * step
        if first == edge and self.settings.semantics == 3:
            first += step
        last = int(at.max())
        if first > last:
            return Selection((), SeriesSet(()))
        self.spend((last - first) // step + 1)
        inner_times = np.arange(first, last + 1, step, dtype=np.int64)
        value = self.value(expr.expr, inner_times)
        if isinstance(value, Scalar):
            value = Grid(SeriesSet(((),)), value.values[None, :], np.ones((1, len(inner_times)), bool))
        if not isinstance(value, Grid):
            raise PromqlError("a subquery needs an instant vector")
        value = merged(value)
        self.spend(value.values.size)
        return Selection(((_as_samples(value, inner_times), np.arange(len(value.series))),), value.series)

    # -- calls ----------------------------------------------------------------------------------------------------

    def _call(self, expr: Call, times: Ints) -> Value:
        name, args = expr.function, expr.args
        ranged = over_time.PLAIN.get(name)
        if ranged is not None:
            return self._over(expr, times, ranged)
        special = _SPECIAL.get(name)
        if special is not None:
            return special(self, expr, times)
        if name in histograms.FUNCTIONS:
            return histograms.FUNCTIONS[name](self, expr, times)
        return functions.call(self, name, args, times)

    def _over(self, expr: Call, times: Ints, compute: Callable[[Windows], over_time.Answer]) -> Grid:
        """A function of a range vector, over all parts."""
        at = _range_argument(expr)
        parts, series = self.windows(expr.args[at], times)
        if not parts:
            return empty(len(times))
        answers = [compute(windows) for windows in parts]
        values, present = answers[0]
        if len(answers) > 1:
            values, present = (np.concatenate(each) for each in zip(*answers, strict=True))
        if expr.function in ("rate", "increase"):
            self.notes.counter(series, present, expr.args[at])
        return Grid(series if expr.function in KEEPS_NAME else series.dropping(), values, present)

    def over_quantile(self, expr: Call, times: Ints) -> Grid:
        """quantile_over_time."""
        q = self.numbers(expr.args[0], times)
        grid = self._over(expr, times, lambda windows: over_time.quantile_over_time(windows, q))
        if grid.present.any():
            self.notes.quantile(q, expr.args[0])
        return grid

    def over_line(self, expr: Call, times: Ints) -> Grid:
        """predict_linear."""
        ahead = self.numbers(expr.args[1], times)
        return self._over(expr, times, lambda windows: over_time.predict_linear(windows, times, ahead))

    def over_smoothed(self, expr: Call, times: Ints) -> Grid:
        """double_exponential_smoothing, in 2.x holt_winters."""
        factor, trend = (self.numbers(each, times) for each in expr.args[1:3])
        return self._over(expr, times, lambda windows: over_time.smoothed(windows, factor, trend))

    def over_absent(self, expr: Call, times: Ints) -> Grid:
        """absent_over_time."""
        there = self._over(Call("count_over_time", expr.args), times, over_time.PLAIN["count_over_time"])
        return functions.absent(expr.args[0], there.present, len(times))

    def timestamp(self, expr: Call, times: Ints) -> Grid:
        """When the sample was taken; of anything but a selector, the step."""
        inner = unwrap(expr.args[0])
        if isinstance(inner, Selector):
            grid, taken = self._selector(inner, times)
            return Grid(grid.series.dropping(), taken / 1000, grid.present)
        grid = self.grid(inner, times)
        return Grid(grid.series.dropping(), np.broadcast_to(times / 1000, grid.values.shape), grid.present)


_SPECIAL = {
    "quantile_over_time": Evaluation.over_quantile,
    "predict_linear": Evaluation.over_line,
    "double_exponential_smoothing": Evaluation.over_smoothed,
    "absent_over_time": Evaluation.over_absent,
    "timestamp": Evaluation.timestamp,
}


def _range_argument(expr: Call) -> int:
    return 1 if expr.function == "quantile_over_time" else 0


_VALUES: dict[type[Expr], Callable[[Evaluation, Any, Ints], Value]] = {
    Aggregate: Evaluation._aggregate,
    Binary: Evaluation._binary,
    Call: Evaluation._call,
    Negation: Evaluation._negation,
    Number: Evaluation._number,
    Paren: Evaluation._paren,
    Range: Evaluation._range,
    Selector: Evaluation._instant,
    Subquery: Evaluation._range,
    Text: Evaluation._words,
}


def _as_samples(grid: Grid, times: Ints) -> Samples:
    """A grid as rows of samples, for the windows over it."""
    samples = Samples()
    if int(times[0]) <= -BIAS or int(times[-1]) >= BIAS - 1:
        raise PromqlError("the subquery's times are out of bounds")
    if grid.present.all():
        samples.append_shared(times, np.ascontiguousarray(grid.values))
    else:
        rows = np.arange(len(grid.series))
        samples.append_rows(rows, times, np.ascontiguousarray(grid.values), np.ascontiguousarray(grid.present))
    return samples
