"""Asks a Jaeger (1.x, 2.x) or what speaks its HTTP API for traces, dependencies and span metrics.

Every question ends as a reading: whatever the server does, nothing is raised and an answer that is not whole is never
`Measured`. What the server was asked to filter is checked again here; errors are filtered here only, because a real
Jaeger finds nothing for `error=true` though spans have it. Must never follow what an answer says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from collectors.jaeger.answers import Envelope, Got, failed, left, partial, read
from collectors.jaeger.looking import SEARCHES, look_through
from collectors.jaeger.span_metrics import SpanMetric, parameters, read_family
from collectors.jaeger.wire import WireTrace, traces_of
from opsctl.core.signals import Absent, Matrix, Measured, Reading, Reason
from opsctl.core.traces import Edge, Operation, SpanKind, Trace, TracePage, is_trace_id, trace_id_of
from opsctl.http import MIB, Answer, Client, Endpoint, HttpProblem
from opsctl.ports import Probe
from opsctl.ports.traces import OF_THE_SPAN, TraceQuery, page_reading

NOT_SEARCHABLE = frozenset({"error", "otel.status_code", "otel.status_description", *OF_THE_SPAN})
"""Attributes that its memory store keeps elsewhere and does not find; so are all of `otel.scope.`."""
LOOK_AT_LEAST = 200  # traces, where most of them may not fit
LOOK_AT_MOST = 1500

D = TypeVar("D")
W = TypeVar("W")


class _Operation(msgspec.Struct):
    name: str
    spanKind: str = ""


class _Dependency(msgspec.Struct):
    parent: str
    child: str
    callCount: int


_decode_names = msgspec.json.Decoder(Envelope[list[str] | None]).decode
_decode_operations = msgspec.json.Decoder(Envelope[list[_Operation] | None]).decode
_decode_dependencies = msgspec.json.Decoder(Envelope[list[_Dependency] | None]).decode
decode_traces = msgspec.json.Decoder(Envelope[list[WireTrace] | None]).decode


class JaegerSource:
    """One server; used by many threads at once."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connect_seconds: float = 2.0,
        request_seconds: float = 10.0,
        max_body: int = 64 * MIB,
        concurrency: int = 8,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = f"jaeger {endpoint.address}"
        self.concurrency = concurrency
        self._address = endpoint.address
        self._wall_clock = wall_clock
        self._client = Client(
            endpoint,
            connect_seconds=connect_seconds,
            request_seconds=request_seconds,
            max_body=max_body,
            pool_size=concurrency,
        )

    def services(self, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every service that it has spans of, sorted."""
        return self._list("/api/services", {}, timeout_seconds, _decode_names, _names)

    def operations(self, service: str, timeout_seconds: float) -> Reading[tuple[Operation, ...]]:
        """The span names of a service, sorted."""
        return self._list("/api/operations", {"service": service}, timeout_seconds, _decode_operations, _operations)

    def search(self, query: TraceQuery, timeout_seconds: float) -> Reading[TracePage]:
        """Whole traces, newest first; a page that may lack some that fit is `truncated`, and `Failed` when empty."""
        begun = time.monotonic()
        deadline = begun + timeout_seconds
        here = query.errors_only or any(_not_searchable(name) for name in query.attributes or ())
        asked = min(max(query.limit * 10, LOOK_AT_LEAST), LOOK_AT_MOST) if here else query.limit + 1
        try:
            if query.end < query.start:
                raise HttpProblem(Reason.REJECTED, "the end of a search must not be before its start")
            if here:
                # Who asks for very many takes them apart by time himself.
                searches = SEARCHES if asked < LOOK_AT_MOST else 1
                got, truncated = look_through(
                    query, asked, lambda part, most: self._found(part, most, deadline), searches
                )
            else:
                got, asked = self._found(query, asked, deadline)
                truncated = len(got.data) >= asked
        except HttpProblem as wrong:
            return failed(wrong, self.name, begun)
        took = time.monotonic() - begun
        page = page_reading(query, got.data, truncated=truncated, backend=self.name, took_seconds=took)
        if got.errors:
            kept = page.data if isinstance(page, Measured) else TracePage((), truncated=True)
            return partial(got.errors, kept, self.name, begun)
        return page

    def trace(self, trace_id: str, timeout_seconds: float) -> Reading[Trace]:
        """One trace, its attributes decoded on use; `Absent` where it is not there."""
        begun = time.monotonic()
        try:
            got = self._one(_checked(trace_id), begun + timeout_seconds)
        except HttpProblem as wrong:
            return failed(wrong, self.name, begun)
        took = time.monotonic() - begun
        wanted = trace_id_of(trace_id)
        traces = [one for one in got.data if one.trace_id == wanted]
        if got.data and not traces:
            what = HttpProblem(Reason.MALFORMED, "answered another trace than the one that was asked for")
            return failed(what, self.name, begun)
        if got.errors and not got.missing:
            return partial(got.errors, traces[0] if traces else None, self.name, begun)
        return Measured(traces[0], self.name, took) if traces else Absent(self.name, took)

    def dependencies(self, end: datetime, lookback: timedelta, timeout_seconds: float) -> Reading[tuple[Edge, ...]]:
        """Who calls whom in (end − lookback, end], sorted; Jaeger counts no errors."""
        params = {"endTs": str(round(end.timestamp() * 1000)), "lookback": str(round(lookback.total_seconds() * 1000))}
        reading = self._list("/api/dependencies", params, timeout_seconds, _decode_dependencies, _edges)
        if isinstance(reading, Absent):
            note = "with Elasticsearch or Cassandra below it, Jaeger has dependencies only where its spark job runs"
            return Absent(reading.backend, reading.took_seconds, (note,))
        return reading

    def span_metrics(
        self,
        kind: SpanMetric,
        services: Sequence[str],
        end: datetime,
        lookback: timedelta,
        step: timedelta,
        timeout_seconds: float,
        *,
        quantile: float | None = None,
        group_by_operation: bool = False,
        span_kinds: Sequence[str] = (),
        rate_per: timedelta = timedelta(minutes=10),
    ) -> Reading[Matrix]:
        """Calls per second, the ratio of errors, or latencies in milliseconds, by `service_name` and `operation`.

        `quantile` is for latencies, in (0, 1]; `span_kinds` are lower case, none means server. Where Jaeger has no
        metrics storage it is `Failed(unsupported)`.
        """
        begun = time.monotonic()
        try:
            if kind == "latencies" and quantile is None:
                raise HttpProblem(Reason.REJECTED, "latencies need a quantile")
            params = parameters(services, end, lookback, step, rate_per, quantile, group_by_operation, span_kinds)
            answer = self._get(f"/api/metrics/{kind}", params, begun + timeout_seconds)
            matrix = read_family(answer, self._address)
        except HttpProblem as wrong:
            return failed(wrong, self.name, begun)
        took = time.monotonic() - begun
        return Measured(matrix, self.name, took) if matrix.series else Absent(self.name, took)

    def probe(self, timeout_seconds: float) -> Probe:
        """Ask for the services, which needs an accepted credential; Jaeger does not tell its version."""
        begun = time.monotonic()
        try:
            sent = self._wall_clock()
            answer = self._get("/api/services", (), begun + timeout_seconds)
            skew = _skew(answer, (sent + self._wall_clock()) / 2)
            count = len(read(answer, _decode_names, _names, self._address).data)
        except HttpProblem as wrong:
            silent = wrong.reason is Reason.UNREACHABLE or (wrong.reason is Reason.DEADLINE and wrong.status is None)
            took = time.monotonic() - begun
            return Probe(self.name, self._address, not silent, False, wrong.message, took_seconds=took)
        message = f"answers, has traces of {count} service{'' if count == 1 else 's'}"
        return Probe(self.name, self._address, True, True, message, "", skew, time.monotonic() - begun)

    @property
    def closed(self) -> bool:
        """Whether nothing more can be asked of it."""
        return self._client.closed

    def close(self) -> None:
        """Drop connections, also ones in use: their readings become `Failed(deadline)`."""
        self._client.close()

    def _get(self, path: str, params: Sequence[tuple[str, str]], deadline: float) -> Answer:
        target = f"{path}?{urlencode(params)}" if params else path
        return self._client.request("GET", target, timeout_seconds=left(deadline), packed=True)

    def _list(
        self,
        path: str,
        params: Mapping[str, str],
        timeout_seconds: float,
        decode: Callable[[bytes], Envelope[W]],
        make: Callable[[W], tuple[D, ...]],
    ) -> Reading[tuple[D, ...]]:
        begun = time.monotonic()
        try:
            answer = self._get(path, list(params.items()), begun + timeout_seconds)
            got = read(answer, decode, make, self._address)
        except HttpProblem as wrong:
            return failed(wrong, self.name, begun)
        if got.errors:
            return partial(got.errors, got.data, self.name, begun)
        took = time.monotonic() - begun
        return Measured(got.data, self.name, took) if got.data else Absent(self.name, took)

    def _found(self, query: TraceQuery, asked: int, deadline: float) -> tuple[Got[list[Trace]], int]:
        """What the server found and how many it was asked for: fewer where so many are too many for it or for us."""
        try:
            return self._readable("/api/traces", _search(query, asked), deadline), asked
        except HttpProblem as wrong:
            keeps_less = "search depth" in wrong.message  # the memory store's words
            if not keeps_less and wrong.reason is not Reason.TOO_LARGE:
                raise
            if asked <= query.limit:
                hint = f"it keeps fewer traces than the limit of {query.limit}" if keeps_less else "take a lower limit"
                reason = Reason.REJECTED if keeps_less else wrong.reason
                raise HttpProblem(reason, f"{wrong.message}: {hint}", status=wrong.status) from wrong
        return self._found(query, query.limit, deadline)

    def _one(self, name: str, deadline: float) -> Got[list[Trace]]:
        """One trace by its whole id, then by what is left of it without leading zeros."""
        for form in dict.fromkeys((name, name[16:] if not name[:16].strip("0") else name)):
            try:
                got = self._traces(f"/api/traces/{quote(form, safe='')}", (), deadline)
            except HttpProblem as wrong:
                if wrong.status != 404 or "trace not found" not in wrong.message:
                    raise
                got = Got([], (), missing=True)
            if got.data or not got.missing:
                break
        return got

    def _traces(self, path: str, params: Sequence[tuple[str, str]], deadline: float) -> Got[list[Trace]]:
        return read(self._get(path, params, deadline), decode_traces, traces_of, self._address)

    def _readable(self, path: str, params: Sequence[tuple[str, str]], deadline: float) -> Got[list[Trace]]:
        """Traces of which every span was looked at: a search counts errors and filters by attributes."""
        got = self._traces(path, params, deadline)
        for trace in got.data:
            for span in trace.spans:
                for warning in span.warnings:
                    if warning.endswith("not Jaeger's"):
                        raise HttpProblem(Reason.MALFORMED, f"span {span.span_id} of {trace.trace_id}: {warning}")
        return got


def _search(query: TraceQuery, limit: int) -> list[tuple[str, str]]:
    params = [("service", query.service), ("start", str(query.start_us)), ("end", str(query.end_us))]
    params.append(("limit", str(limit)))
    if query.operation:
        params.append(("operation", query.operation))
    for name, bound in (("minDuration", query.min_duration), ("maxDuration", query.max_duration)):
        if bound is not None:
            params.append((name, f"{bound // timedelta(microseconds=1)}us"))
    tags = {name: value for name, value in (query.attributes or {}).items() if not _not_searchable(name)}
    if tags:
        params.append(("tags", msgspec.json.encode(tags).decode()))
    return params


def _not_searchable(name: str) -> bool:
    return name in NOT_SEARCHABLE or name.startswith("otel.scope.")


def _checked(trace_id: str) -> str:
    name = trace_id_of(trace_id)
    if not is_trace_id(name):
        raise HttpProblem(Reason.REJECTED, f"trace id {trace_id!r}: expected up to 32 hexadecimal digits")
    return name


def _names(wire: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(sorted(set(wire or ())))


def _operations(wire: Sequence[_Operation] | None) -> tuple[Operation, ...]:
    kinds: dict[str, SpanKind] = {kind: kind for kind in ("server", "client", "producer", "consumer", "internal")}
    found = {Operation(one.name, kinds.get(one.spanKind, "")) for one in wire or ()}
    return tuple(sorted(found, key=lambda one: (one.name, one.kind)))


def _edges(wire: Sequence[_Dependency] | None) -> tuple[Edge, ...]:
    calls: dict[tuple[str, str], int] = {}
    for one in wire or ():
        if one.parent == one.child:  # a service's spans within itself
            continue
        calls[one.parent, one.child] = calls.get((one.parent, one.child), 0) + one.callCount
    return tuple(Edge(parent, child, count) for (parent, child), count in sorted(calls.items()))


def _skew(answer: Answer, ours: float) -> float | None:
    """Theirs minus ours by the header `Date`, which has whole seconds."""
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    return round(theirs.replace(tzinfo=theirs.tzinfo or UTC).timestamp() + 0.5 - ours, 3)
