"""Answers PromQL from series in this process, by the engine in `opsctl/promql`.

The default where nothing is installed (demo, tests, replay). Must never open a socket or a file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from opsctl.core.signals import Absent, Failed, Labels, Matrix, Measured, Reading, Reason, Vector
from opsctl.core.windows import format_duration
from opsctl.ports import Probe
from opsctl.promql import PromqlError, Selector, parse, render
from opsctl.promql.answers import failure_of, matrix_of, parts_of, reading_of, vector_of, wrong_span
from opsctl.promql.lexer import TEXT_MAX_BYTES

if TYPE_CHECKING:
    from opsctl.core.exploring import ExemplarSeries, Metadata, RuleQuery, SeriesQuery, ServerAlert, ServerRule
    from opsctl.promql.engine import Engine
    from opsctl.promql.store import SeriesStore

T = TypeVar("T")


class MemorySource:
    """Series in memory behind the contract of a server; asked in the calling thread."""

    concurrency = 1
    query_bytes = TEXT_MAX_BYTES

    def __init__(self, store: SeriesStore | Engine, name: str = "memory") -> None:
        from opsctl.promql.engine import Engine

        self.name = name
        self._closed = False
        self._engine = store if isinstance(store, Engine) else Engine(store)
        self._one_at_a_time = threading.Lock()  # the engine is not for two threads

    @contextmanager
    def filling(self) -> Iterator[None]:
        """While the block adds to its store nobody evaluates: a scrape is there as a whole."""
        with self._one_at_a_time:
            yield

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        """Evaluate at one time; a scalar is one sample without labels."""
        begun = time.monotonic()
        if self._closed or timeout_seconds <= 0:
            return self._late()
        try:
            with self._one_at_a_time:
                result = self._engine.instant(query, _ms(at))
        except PromqlError as wrong:
            return failure_of(wrong, self.name)
        if result.kind not in {"vector", "scalar"}:
            message = f"the expression gives a {result.kind}; an instant vector or a scalar is needed"
            return Failed(Reason.REJECTED, message, self.name)
        return reading_of(vector_of(result), (result,), self.name, time.monotonic() - begun)

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        """Evaluate at start, start + step, … ≤ end; more steps than the engine takes at once are asked in parts."""
        begun = time.monotonic()
        first, last, step_ms = _ms(start), _ms(end), round(step.total_seconds() * 1000)
        if wrong := wrong_span(first, last, step_ms):
            return Failed(Reason.REJECTED, wrong, self.name)
        results = []
        for from_ms, to_ms in parts_of(first, last, step_ms):
            if self._closed or time.monotonic() - begun >= timeout_seconds:
                return self._late()
            try:
                with self._one_at_a_time:
                    results.append(self._engine.range(query, from_ms, to_ms, step_ms))
            except PromqlError as refused:
                return failure_of(refused, self.name)
        return reading_of(matrix_of(results), results, self.name, time.monotonic() - begun)

    def series(self, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[Labels, ...]]:
        """The label sets of series that have samples in the time, sorted; without selectors it is rejected."""
        if not query.selectors:
            return Failed(Reason.REJECTED, "series are asked for by a selector", self.name)
        return self._listed(query, timeout_seconds, lambda found: found)

    def label_names(self, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every label name of those series, sorted."""
        return self._listed(query, timeout_seconds, lambda found: {name for labels in found for name, _ in labels})

    def label_values(self, label: str, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every value of a label of those series, sorted."""
        if not label:
            return Failed(Reason.REJECTED, "the label has no name", self.name)
        return self._listed(
            query, timeout_seconds, lambda found: {value for labels in found for name, value in labels if name == label}
        )

    def exemplars(
        self, expression: str, start: datetime, end: datetime, timeout_seconds: float
    ) -> Reading[tuple[ExemplarSeries, ...]]:
        """Not kept here."""
        return self._not_here("exemplars")

    def rules(self, query: RuleQuery, timeout_seconds: float) -> Reading[tuple[ServerRule, ...]]:
        """Nothing is evaluated here but what is asked."""
        return self._not_here("rules of its own")

    def alerts(self, timeout_seconds: float) -> Reading[tuple[ServerAlert, ...]]:
        """Nothing is evaluated here but what is asked."""
        return self._not_here("alerts of its own")

    def metadata(self, metric: str | None, timeout_seconds: float) -> Reading[Mapping[str, tuple[Metadata, ...]]]:
        """Not kept here."""
        return self._not_here("metadata")

    def probe(self, timeout_seconds: float) -> Probe:
        """It is here."""
        if self._closed or timeout_seconds <= 0:
            return Probe(self.name, self.name, False, False, self._late().message)
        return Probe(self.name, self.name, True, True, "answers PromQL", clock_skew_seconds=0.0)

    def close(self) -> None:
        """Answer no more."""
        self._closed = True

    def _listed(
        self, query: SeriesQuery, timeout_seconds: float, shape: Callable[[list[Labels]], Iterable[T]]
    ) -> Reading[tuple[T, ...]]:
        """What is made of the label sets, sorted and cut at the limit."""
        begun = time.monotonic()
        if self._closed or timeout_seconds <= 0:
            return self._late()
        try:
            with self._one_at_a_time:
                labels = self._label_sets(query)
        except PromqlError as wrong:
            return failure_of(wrong, self.name)
        found = tuple(sorted(shape(labels)))  # type: ignore[type-var]
        took = time.monotonic() - begun
        if query.limit and len(found) > query.limit:
            warning = f"there are more than {query.limit}; the rest is left out"
            message = f"the answer may be partial: {warning}"
            return Failed(Reason.PARTIAL, message, self.name, found[: query.limit], (warning,), took)
        return Measured(found, self.name, took) if found else Absent(self.name, took)

    def _label_sets(self, query: SeriesQuery) -> list[Labels]:
        end_ms = _ms(query.end)
        window = timedelta(milliseconds=end_ms - _ms(query.start) + 1)  # a window is open on the left
        if window <= timedelta(0):
            raise PromqlError("the end of a range must not be before its start")
        found: set[Labels] = set()
        for text in query.selectors or ('{__name__!=""}',):
            selector = parse(text)
            if not isinstance(selector, Selector) or selector.offset_ms or selector.time is not None:
                raise PromqlError(f"{text} is no selector of series")
            chosen = f"last_over_time({render(selector)}[{format_duration(window)}])"
            found.update(self._engine.instant(chosen, end_ms).labels)
        return list(found)

    def _not_here(self, what: str) -> Failed[Any]:
        return self._late() if self._closed else Failed(Reason.UNSUPPORTED, f"it has no {what}", self.name)

    def _late(self) -> Failed[Any]:
        message = "given up: the time for all questions is over" if self._closed else "no time was left to ask"
        return Failed(Reason.DEADLINE, message, self.name)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
