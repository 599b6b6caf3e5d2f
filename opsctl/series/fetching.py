"""Whole traces of some time from a backend that answers with at most so many: in slices, until nothing is left out.

Must never take a truncated answer for a whole one: what cannot be had within the budget is `Failed(partial)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from opsctl.core.signals import Absent, Failed, Measured, Reason
from opsctl.core.traces import Trace, TracePage, trace_of
from opsctl.ports.traces import TraceQuery, TraceSource
from opsctl.series.source import Deadline, NotCountedError, time_of

TRACES_AT_ONCE = 1_000
TRACES_OF_A_SMALL_STORE = 100
A_FEW = 20
SEARCHES_MAX = 128
"""So many questions one evaluation may ask."""

_SHORTEST_US = 100_000  # Zipkin cannot be asked for less than a minute: cutting finer changes nothing there
_AIM = 0.6  # of an answer's most, so that a little more traffic still fits


@dataclass(frozen=True, slots=True)
class Search:
    """Which traces: those with a span of a service, of one operation or with an error where that is said."""

    service: str
    operation: str = ""
    errors_only: bool = False

    def takes(self, other: Search) -> bool:
        """Whether everything that the other finds is found by this one."""
        return (
            self.service == other.service
            and self.operation in ("", other.operation)
            and (other.errors_only or not self.errors_only)
        )


class Traces:
    """What was fetched: whole traces, each once, however often one came."""

    def __init__(self) -> None:
        self._traces: dict[str, Trace] = {}

    def add(self, traces: Iterable[Trace]) -> None:
        """Keep the spans of some traces."""
        for trace in traces:
            before = self._traces.get(trace.trace_id)
            self._traces[trace.trace_id] = trace if before is None else _merged(before, trace)

    def __iter__(self) -> Iterator[Trace]:
        return iter(self._traces.values())


def _merged(one: Trace, other: Trace) -> Trace:
    """Both answers' spans: a later answer may have more, and both sides of a call may have one id."""
    if one is other or one.spans == other.spans:
        return one
    spans = {(span.span_id, span.service, span.kind, span.start_us): span for span in (*one.spans, *other.spans)}
    return trace_of(one.trace_id, tuple(spans.values()))


class Fetch:
    """Fetches for one evaluation."""

    def __init__(self, source: TraceSource, deadline: Deadline) -> None:
        self._source = source
        self._deadline = deadline
        self._asked = 0
        self._limit = TRACES_AT_ONCE
        self.found = Traces()

    def newest(self, search: Search, after_ms: int, to_ms: int) -> None:
        """A few traces of the same, to see whether there are any."""
        self._once(_query(search, after_ms * 1000 + 1, to_ms * 1000, A_FEW))

    def fetch(self, search: Search, after_ms: int, to_ms: int) -> None:
        """Every trace with a span that fits and began in (after, to].

        All of it is asked for at once; where that is too much, in slices as long as the traffic that was seen allows.
        """
        start_us, end_us = after_ms * 1000 + 1, to_ms * 1000
        width = end_us - start_us + 1
        while start_us <= end_us:
            stop_us = min(end_us, start_us + width - 1)
            width = stop_us - start_us + 1
            found = self._once(_query(search, start_us, stop_us, self._limit))
            if found is None:
                if width <= _SHORTEST_US:
                    self._partial(f"{search.service} has more traces at once than {self._limit}, an answer's most")
                width = max(_SHORTEST_US, width // 4)
                continue
            start_us = stop_us + 1
            width = round(width * min(4.0, _AIM * self._limit / max(1, found)))

    def _once(self, query: TraceQuery) -> int | None:
        """How many traces came; None where that was not all."""
        if self._asked >= SEARCHES_MAX:
            minutes = (query.end - query.start).total_seconds() / 60
            self._partial(f"{SEARCHES_MAX} searches did not bring all traces; the last was for {minutes:.3g} minutes")
        self._asked += 1
        match self._source.search(query, self._deadline.left()):
            case Absent():
                return 0
            case Measured(page):
                self.found.add(page.traces)
                return None if page.truncated else len(page.traces)
            case Failed(reason=Reason.TOO_LARGE):
                return None
            case Failed(reason=Reason.PARTIAL, partial=TracePage(truncated=True) as page):
                self.found.add(page.traces)
                return None
            case Failed(reason=Reason.REJECTED) if self._limit > TRACES_OF_A_SMALL_STORE:
                self._limit = TRACES_OF_A_SMALL_STORE  # Jaeger's memory refuses a limit that is more than it keeps
                return None
            case failed:
                raise NotCountedError(failed)

    def _partial(self, message: str) -> NoReturn:
        hint = "name a service and a span, or a shorter range"
        raise NotCountedError(Failed(Reason.PARTIAL, f"{message}: {hint}", self._source.name))


def _query(search: Search, start_us: int, end_us: int, limit: int) -> TraceQuery:
    return TraceQuery(
        search.service,
        time_of(start_us / 1000),
        time_of(end_us / 1000),
        operation=search.operation,
        errors_only=search.errors_only,
        limit=limit,
    )


Spans = list[tuple[int, int]]
"""Stretches of time (after, to] in ms."""


def fewest(wanted: Mapping[Search, Spans]) -> dict[Search, Spans]:
    """The searches and their times, each stretch once, without what another search brings as well."""
    joined = {search: _joined(spans) for search, spans in wanted.items()}

    def covered(search: Search) -> bool:
        mine = joined[search]
        return any(
            other != search and other.takes(search) and all(_inside(span, spans) for span in mine)
            for other, spans in joined.items()
        )

    return {search: spans for search, spans in joined.items() if not covered(search)}


def _joined(spans: Spans) -> Spans:
    out: Spans = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _inside(span: tuple[int, int], spans: Spans) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in spans)
