"""Answers from traces in this process, under the contract of a trace backend: for the embedded platform and tests.

Must never open a socket or a file, and never keep more than its bound.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.core.trace_shape import NO_PARENT
from opsctl.core.traces import Edge, Operation, Trace, TracePage, is_trace_id, trace_id_of
from opsctl.ports import Probe
from opsctl.ports.traces import TraceQuery, page_reading

MAX_SPANS = 500_000
_MINUTE_US = 60_000_000


class MemoryTraceSource:
    """The newest traces, at most `max_spans` spans of them; the ones that were added first go first."""

    concurrency = 1

    def __init__(self, name: str = "memory", max_spans: int = MAX_SPANS) -> None:
        self.name = name
        self._max_spans = max_spans
        self._traces: dict[str, Trace] = {}
        self._places: dict[tuple[str, int], dict[str, None]] = {}  # ids by service and minute of its spans, as added
        self._spans = 0
        self._lock = threading.Lock()
        self._closed = False

    def add(self, traces: Iterable[Trace]) -> None:
        """Keep whole traces; one whose id is known replaces the one that was there."""
        with self._lock:
            for trace in traces:
                self._forget(trace.trace_id)
                self._traces[trace.trace_id] = trace
                self._spans += len(trace.spans)
                for place in _places(trace):
                    self._places.setdefault(place, {})[trace.trace_id] = None
            while self._spans > self._max_spans and len(self._traces) > 1:
                self._forget(next(iter(self._traces)))

    def _forget(self, trace_id: str) -> None:
        trace = self._traces.pop(trace_id, None)
        if trace is None:
            return
        self._spans -= len(trace.spans)
        for place in _places(trace):
            del self._places[place][trace_id]
            if not self._places[place]:
                del self._places[place]

    def services(self, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every service that it has spans of, sorted."""
        begun = time.monotonic()
        if late := self._late(timeout_seconds):
            return late
        names = {span.service for trace in self._kept() for span in trace.spans}
        return self._all(tuple(sorted(names)), begun)

    def operations(self, service: str, timeout_seconds: float) -> Reading[tuple[Operation, ...]]:
        """The span names of a service, sorted."""
        begun = time.monotonic()
        if late := self._late(timeout_seconds):
            return late
        spans = (span for trace in self._kept() for span in trace.spans)
        found = {(span.name, span.kind) for span in spans if span.service == service}
        return self._all(tuple(Operation(name, kind) for name, kind in sorted(found)), begun)

    def search(self, query: TraceQuery, timeout_seconds: float) -> Reading[TracePage]:
        """Whole traces, newest first; everything was looked at."""
        begun = time.monotonic()
        if late := self._late(timeout_seconds):
            return late
        if query.end < query.start:
            return Failed(Reason.REJECTED, "the end of a search must not be before its start", self.name)
        traces = self._of(query)
        took = time.monotonic() - begun
        return page_reading(query, traces, truncated=False, backend=self.name, took_seconds=took)

    def trace(self, trace_id: str, timeout_seconds: float) -> Reading[Trace]:
        """One trace; `Absent` where it is not there."""
        begun = time.monotonic()
        if late := self._late(timeout_seconds):
            return late
        name = trace_id_of(trace_id)
        if not is_trace_id(name):
            message = f"trace id {trace_id!r}: expected up to 32 hexadecimal digits"
            return Failed(Reason.REJECTED, message, self.name)
        with self._lock:
            found = self._traces.get(name)
        took = time.monotonic() - begun
        return Measured(found, self.name, took) if found is not None else Absent(self.name, took)

    def dependencies(self, end: datetime, lookback: timedelta, timeout_seconds: float) -> Reading[tuple[Edge, ...]]:
        """Who calls whom in traces that began in (end − lookback, end], counted from their spans."""
        begun = time.monotonic()
        if late := self._late(timeout_seconds):
            return late
        last = end.timestamp() * 1e6
        first = last - lookback.total_seconds() * 1e6
        counts: dict[tuple[str, str], list[int]] = {}
        for trace in self._kept():
            if first < trace.start_us <= last:
                _count(trace, counts)
        edges = tuple(Edge(parent, child, *count) for (parent, child), count in sorted(counts.items()))
        return self._all(edges, begun)

    def probe(self, timeout_seconds: float) -> Probe:
        """It is here."""
        if late := self._late(timeout_seconds):
            return Probe(self.name, self.name, False, False, late.message)
        message = f"has {len(self._traces)} traces"
        return Probe(self.name, self.name, True, True, message, clock_skew_seconds=0.0)

    def close(self) -> None:
        """Answer no more."""
        self._closed = True

    def _of(self, query: TraceQuery) -> list[Trace]:
        """Every trace with a span of the service in the minutes that are asked for."""
        minutes = range(query.start_us // _MINUTE_US, query.end_us // _MINUTE_US + 1)
        with self._lock:
            if len(minutes) > len(self._places):
                places = [place for place in self._places if place[0] == query.service and place[1] in minutes]
            else:
                places = [(query.service, minute) for minute in minutes]
            found: dict[str, None] = {}
            for place in places:
                found |= self._places.get(place, {})
            return [self._traces[name] for name in found]

    def _kept(self) -> list[Trace]:
        with self._lock:
            return list(self._traces.values())

    def _late(self, timeout_seconds: float) -> Failed[Any] | None:
        if self._closed:
            return Failed(Reason.DEADLINE, "given up: the time for all questions is over", self.name)
        return Failed(Reason.DEADLINE, "no time was left to ask", self.name) if timeout_seconds <= 0 else None

    def _all(self, found: Any, begun: float) -> Reading[Any]:
        took = time.monotonic() - begun
        return Measured(found, self.name, took) if found else Absent(self.name, took)


def _places(trace: Trace) -> set[tuple[str, int]]:
    return {(span.service, span.start_us // _MINUTE_US) for span in trace.spans}


def _count(trace: Trace, counts: dict[tuple[str, str], list[int]]) -> None:
    for span, parent in zip(trace.spans, trace.shape.parents, strict=True):
        if parent == NO_PARENT or trace.spans[parent].service == span.service:
            continue
        count = counts.setdefault((trace.spans[parent].service, span.service), [0, 0])
        count[0] += 1
        count[1] += span.failed
