"""The engine: text and times in, labelled numbers out.

Plans are kept by text and what was worked out about series is kept with them, so a question that is asked again
costs its arithmetic. Must never be used by two threads at once, nor while its store grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from opsctl.core.signals import Labels
from opsctl.promql.errors import PromqlError
from opsctl.promql.evaluate import SAMPLES_MAX, STEPS_MAX, Evaluation, Settings
from opsctl.promql.grid import Grid, Scalar, Value, Words, finished
from opsctl.promql.lower import TIME_MAX_MS
from opsctl.promql.notes import Notes
from opsctl.promql.plan import Kind, Plan, plan
from opsctl.promql.series import Bools, Floats, Ints
from opsctl.promql.store import SeriesStore

_PLANS_MAX = 4096
_SORTS = frozenset({"sort", "sort_desc"})


@dataclass(frozen=True, slots=True)
class Result:
    """An answer: `values` and `present` are (series, steps), `times_ms` the steps.

    A scalar is one row without labels; a string has no rows. A range vector asked at an instant has a column for every
    time at which any of its series has a sample.
    """

    kind: Kind
    labels: tuple[Labels, ...]
    values: Floats
    present: Bools
    times_ms: Ints
    text: str = ""
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()


class Engine:
    """Evaluates PromQL over a store."""

    def __init__(
        self,
        store: SeriesStore,
        lookback_ms: int = 300_000,
        semantics: Literal[2, 3] = 3,
        subquery_step_ms: int = 60_000,
        samples_max: int = SAMPLES_MAX,
    ) -> None:
        self.store = store
        self._settings = Settings(lookback_ms, semantics, subquery_step_ms, samples_max)
        self._plans: dict[str, Plan] = {}

    def plan(self, text: str) -> Plan:
        """The plan of an expression, from the cache if it was asked before."""
        found = self._plans.get(text)
        if found is None:
            if len(self._plans) >= _PLANS_MAX:
                self._plans.clear()
            found = self._plans[text] = plan(text)
        return found

    def instant(self, text: str, at_ms: int) -> Result:
        """The value at one time; `PromqlError` where it has none."""
        _check_time(at_ms)
        planned = self.plan(text)
        evaluation = self._evaluation(planned, at_ms, at_ms, ranged=False)
        times = np.array([at_ms], np.int64)
        with np.errstate(all="ignore"):
            if planned.kind == "matrix":
                return _range_vector(evaluation, times)
            return _result(planned.kind, evaluation.value(planned.expr, times), times, evaluation.notes)

    def range(self, text: str, start_ms: int, end_ms: int, step_ms: int) -> Result:
        """The values at start, start + step, … ≤ end, series in the order of their labels."""
        _check_time(start_ms)
        _check_time(end_ms)
        if step_ms <= 0:
            raise PromqlError("the step of a range must be at least 1 ms")
        if end_ms < start_ms:
            raise PromqlError("the end of a range must not be before its start")
        steps = (end_ms - start_ms) // step_ms + 1
        if steps > STEPS_MAX:
            raise PromqlError(f"a range of {steps} steps is more than {STEPS_MAX}, the cap", hint="take a larger step")
        planned = self.plan(text)
        if planned.kind in ("matrix", "string"):
            raise PromqlError(f"a range query needs an instant vector or a scalar, not a {planned.kind}")
        evaluation = self._evaluation(planned, start_ms, end_ms, ranged=True)
        times = np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)
        with np.errstate(all="ignore"):
            result = _result("matrix", evaluation.value(planned.expr, times), times, evaluation.notes)
        return _sorted(result)

    def _evaluation(self, planned: Plan, start_ms: int, end_ms: int, *, ranged: bool) -> Evaluation:
        notes = Notes(line_starts=planned.line_starts)
        if ranged:
            for call in planned.sorts:
                notes.warn("sort is ineffective for range queries since results are always ordered by labels", call)
        return Evaluation(self.store, planned, self._settings, start_ms, end_ms, ranged, notes)


def _check_time(at_ms: int) -> None:
    if abs(at_ms) > TIME_MAX_MS:
        raise PromqlError(f"the time {at_ms} ms is out of bounds: 278 years around 1970")


def _result(kind: Kind, value: Value, times: Ints, notes: Notes) -> Result:
    warnings, infos = tuple(notes.warnings), tuple(notes.infos)
    if isinstance(value, Grid):
        labels, values, present = finished(value)
        return Result(kind, labels, values, present, times, "", warnings, infos)
    if isinstance(value, Scalar):
        there = np.ones((1, len(times)), bool)
        return Result(kind, ((),), value.values[None, :], there, times, "", warnings, infos)
    assert isinstance(value, Words)
    return Result("string", (), np.zeros((0, 1)), np.zeros((0, 1), bool), times, value.text, warnings, infos)


def _sorted(result: Result) -> Result:
    order = sorted(range(len(result.labels)), key=result.labels.__getitem__)
    if order == list(range(len(order))):
        return result
    labels = tuple(result.labels[i] for i in order)
    return Result(
        result.kind,
        labels,
        result.values[order],
        result.present[order],
        result.times_ms,
        result.text,
        result.warnings,
        result.infos,
    )


def _range_vector(evaluation: Evaluation, times: Ints) -> Result:
    """The samples of a range vector themselves."""
    parts, series = evaluation.windows(evaluation.plan.expr, times)
    found: list[tuple[int, Ints, Floats]] = []
    row = 0
    for windows in parts:
        for runs in windows.runs():
            taken = windows.samples.times_at(runs.index)
            for i, window in enumerate(runs.windows.tolist()):
                run = slice(int(runs.starts[i]), int(runs.starts[i] + runs.sizes[i]))
                found.append((row + window, taken[run], runs.values[run]))
        row += windows.shape[0]
    columns = np.unique(np.concatenate([each[1] for each in found])) if found else np.zeros(0, np.int64)
    evaluation.spend(len(series) * len(columns))
    values = np.zeros((len(series), len(columns)))
    present = np.zeros(values.shape, bool)
    for at, taken, samples in found:
        where = np.searchsorted(columns, taken)
        values[at, where], present[at, where] = samples, True
    return _result("matrix", Grid(series, values, present), columns, evaluation.notes)
