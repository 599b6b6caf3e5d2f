"""PromQL over counted events, behind the contract of a metrics source: parse, count what is needed, evaluate.

Who counts is a subclass's. Must never answer with a count that is not whole, and never raise for what a backend does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, Protocol

import numpy as np

from opsctl.core.signals import Absent, Failed, Labels, Matrix, Reading, Reason, Signal, Vector
from opsctl.ports import Probe
from opsctl.promql import Expr, PromqlError, parse, render, rewrite
from opsctl.promql.answers import STEPS_AT_ONCE, failure_of, matrix_of, parts_of, reading_of, vector_of, wrong_span
from opsctl.promql.ast import walk
from opsctl.promql.engine import Engine, Result
from opsctl.promql.lexer import TEXT_MAX_BYTES
from opsctl.promql.plan import kind_of
from opsctl.promql.store import SeriesStore
from opsctl.series.counts import CELLS_MAX, Question, questions_of
from opsctl.series.names import SIGNAL_OF
from opsctl.series.needs import Need, needs_of

NAME = "__name__"


class NotCountedError(Exception):
    """There is no whole count; `reading` says why."""

    def __init__(self, reading: Failed[Any]) -> None:
        super().__init__(reading.message)
        self.reading: Failed[Any] = replace(reading, partial=None)  # a part of a count is a wrong count


class Backend(Protocol):
    """What a log source and a trace source have in common."""

    name: str
    concurrency: int

    def probe(self, timeout_seconds: float) -> Probe:
        """Ask whether it is there and lets us in."""
        ...

    def close(self) -> None:
        """Drop connections."""
        ...


class Numbers(Protocol):
    """What was found out for some needs."""

    @property
    def cells(self) -> int:
        """How many numbers it takes."""
        ...

    def store(self, needs: Iterable[Need], store: SeriesStore) -> None:
        """Put the numbers of each need into a store under its name."""
        ...


class Deadline:
    """How much time one evaluation has left."""

    def __init__(self, seconds: float, name: str, closed: Callable[[], bool]) -> None:
        self._until = time.monotonic() + seconds
        self._name = name
        self._closed = closed

    def left(self) -> float:
        """Seconds, more than 0."""
        left = self._until - time.monotonic()
        if left <= 0 or self._closed():
            raise NotCountedError(Failed(Reason.DEADLINE, "the count was not done before the deadline", self._name))
        return left


class CountedSeries:
    """A `MetricsSource` over events that somebody else keeps."""

    signal: Signal
    kept_ms: int
    query_bytes = TEXT_MAX_BYTES

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self.concurrency = backend.concurrency
        self._backend = backend
        self._closed = False

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        """Evaluate at one time; a scalar is one sample without labels."""
        begun = time.monotonic()
        at_ms = _ms(at)
        answers = self._answers(query, (at_ms, at_ms, 1), timeout_seconds, ranged=False)
        if isinstance(answers, Failed):
            return answers
        return reading_of(vector_of(answers[0]), answers, self.name, time.monotonic() - begun)

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        """Evaluate at start, start + step, … ≤ end."""
        begun = time.monotonic()
        grid = (_ms(start), _ms(end), round(step.total_seconds() * 1000))
        if wrong := wrong_span(*grid):
            return Failed(Reason.REJECTED, wrong, self.name)
        answers = self._answers(query, grid, timeout_seconds, ranged=True)
        if isinstance(answers, Failed):
            return answers
        return reading_of(matrix_of(answers), answers, self.name, time.monotonic() - begun)

    def probe(self, timeout_seconds: float) -> Probe:
        """As the backend is."""
        return self._backend.probe(timeout_seconds)

    def close(self) -> None:
        """Drop the backend's connections; what is being counted becomes `Failed(deadline)`."""
        self._closed = True
        self._backend.close()

    # -- one evaluation -------------------------------------------------------------------------------------------

    def _answers(
        self, query: str, grid: tuple[int, int, int], timeout_seconds: float, *, ranged: bool
    ) -> list[Result] | Failed[Any]:
        if self._closed or timeout_seconds <= 0:
            message = "given up: the time for all questions is over" if self._closed else "no time was left to ask"
            return Failed(Reason.DEADLINE, message, self.name)
        deadline = Deadline(timeout_seconds, self.name, lambda: self._closed)
        try:
            return [_renamed(one, needs) for one, needs in self._evaluated(query, grid, deadline, ranged=ranged)]
        except PromqlError as wrong:
            return failure_of(wrong, self.name)
        except NotCountedError as stopped:
            return stopped.reading

    def _evaluated(
        self, query: str, grid: tuple[int, int, int], deadline: Deadline, *, ranged: bool
    ) -> Iterator[tuple[Result, Sequence[Need]]]:
        expr = parse(query)
        start_ms, end_ms, step_ms = grid
        parts = list(parts_of(*grid))
        self._check(expr, whole=len(parts) == 1)
        needed = needs_of(expr, np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64), end_ms)
        engine, text = Engine(self._counted(needed.needs, deadline)), render(needed.expr)
        for first, last in parts:
            deadline.left()
            yield (
                engine.range(text, first, last, step_ms) if ranged else engine.instant(text, first),
                needed.needs,
            )

    def _check(self, expr: Expr, *, whole: bool) -> None:
        kind = kind_of(expr)
        if kind in {"matrix", "string"}:
            raise PromqlError(f"the expression gives a {kind}; an instant vector or a scalar is needed")
        for selector in rewrite.selectors(expr):
            if SIGNAL_OF.get(selector.metric or "") is not self.signal:
                name = selector.metric or render(selector)
                raise PromqlError(f"{name} is not a series of {self.signal}: one signal per expression")
        if not whole and any(isinstance(getattr(node, "time", None), str) for node in walk(expr)):
            raise PromqlError(f"@ start() and @ end() need a range of at most {STEPS_AT_ONCE} steps")

    def _counted(self, needs: Sequence[Need], deadline: Deadline) -> SeriesStore:
        store = SeriesStore()
        for question, numbers in self._count(questions_of(needs, self.kept_ms), deadline):
            if numbers.cells > CELLS_MAX:
                message = f"{numbers.cells} counts are more than {CELLS_MAX}: name fewer labels, or a larger step"
                self._stop(Reason.TOO_LARGE, message)
            numbers.store(question.needs, store)
        return store

    def _count(self, questions: Sequence[Question], deadline: Deadline) -> Sequence[tuple[Question, Numbers]]:
        raise NotImplementedError

    def _stop(self, reason: Reason, message: str) -> NoReturn:
        raise NotCountedError(Failed(reason, message, self.name))

    def _whole(self, reading: Reading[Any]) -> Any:
        """The data of a whole answer, None where there is none; a failed one ends the evaluation."""
        if isinstance(reading, Failed):
            raise NotCountedError(reading)
        return None if isinstance(reading, Absent) else reading.data


def time_of(ms: float) -> datetime:
    """A time in UTC; milliseconds may have a fraction."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=round(ms * 1000))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _renamed(result: Result, needs: Sequence[Need]) -> Result:
    """The answer with the metric's own names."""
    names = {need.name: need.family.metric for need in needs}
    labels = tuple(_with_names(one, names) for one in result.labels)
    return Result(
        result.kind,
        labels,
        result.values,
        result.present,
        result.times_ms,
        result.text,
        result.warnings,
        result.infos,
    )


def _with_names(labels: Labels, names: dict[str, str]) -> Labels:
    return tuple((name, names.get(value, value)) if name == NAME else (name, value) for name, value in labels)
