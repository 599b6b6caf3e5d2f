"""Asks a Zipkin (v2 API) for traces and dependencies.

Every question ends as a reading: whatever the server does, nothing is raised and an answer that is not whole is never
`Measured`. Zipkin keeps names in lower case, so they are compared so, and it has no status: a span failed when it has
the tag `error`. Must never follow what an answer says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, TypeVar, cast

import msgspec

from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.core.trace_shape import FIRST_US, LAST_US
from opsctl.core.traces import (
    Edge,
    Operation,
    Span,
    SpanEvent,
    SpanKind,
    Status,
    Trace,
    TracePage,
    Value,
    is_trace_id,
    span_id_of,
    trace_id_of,
    trace_of,
)
from opsctl.http import MIB, Answer, Client, Endpoint, HttpProblem, one_line, status_problem
from opsctl.http.foreign import foreign
from opsctl.ports import Probe
from opsctl.ports.traces import OF_THE_SPAN, TraceQuery, page_reading

BEFORE = timedelta(seconds=60)
"""How much earlier than its span a trace may have begun: Zipkin's window is about the trace's begin."""
LOOK_AT_LEAST = 200  # traces, where most of them may not fit
LOOK_AT_MOST = 1500

D = TypeVar("D")

_NOT_JSON = (msgspec.MsgspecError, ValueError, RecursionError)  # a UnicodeDecodeError is a ValueError
Time = Annotated[int, msgspec.Meta(ge=FIRST_US, le=LAST_US)]

_KINDS = frozenset({"server", "client", "producer", "consumer"})
_NOT_FOUND = re.compile(rb"\s*[0-9a-f]{16,32} not found")


class _Endpoint(msgspec.Struct):
    serviceName: str | None = None


class _Annotation(msgspec.Struct):
    timestamp: Time
    value: str = ""


class _Span(msgspec.Struct):
    traceId: str
    id: str
    parentId: str | None = None
    kind: str | None = None
    name: str | None = None
    timestamp: Time | None = None
    duration: Annotated[int, msgspec.Meta(le=LAST_US)] | None = None
    localEndpoint: _Endpoint | None = None
    remoteEndpoint: _Endpoint | None = None
    tags: dict[str, str] | None = None
    annotations: list[_Annotation] | None = None
    shared: bool | None = None


class _Dependency(msgspec.Struct):
    parent: str
    child: str
    callCount: int
    errorCount: int = 0


_decode_names = msgspec.json.Decoder(list[str]).decode
_decode_trace = msgspec.json.Decoder(list[_Span]).decode
_decode_traces = msgspec.json.Decoder(list[list[_Span]]).decode
_decode_dependencies = msgspec.json.Decoder(list[_Dependency]).decode


class ZipkinSource:
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
        self.name = f"zipkin {endpoint.address}"
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
        return self._list("/api/v2/services", {}, timeout_seconds, lambda body: tuple(sorted(set(_decode_names(body)))))

    def operations(self, service: str, timeout_seconds: float) -> Reading[tuple[Operation, ...]]:
        """The span names of a service, sorted; Zipkin does not tell their kinds."""

        def read(body: bytes) -> tuple[Operation, ...]:
            return tuple(Operation(name) for name in sorted(set(_decode_names(body))))

        return self._list("/api/v2/spans", {"serviceName": service.lower()}, timeout_seconds, read)

    def search(self, query: TraceQuery, timeout_seconds: float) -> Reading[TracePage]:
        """Whole traces, newest first; a page that may lack some that fit is `truncated`, and `Failed` when empty."""
        begun = time.monotonic()
        # Its server may find the parts in different spans, and is not asked for what it cannot read.
        here = query.errors_only or bool(query.attributes) or not query.operation.isprintable()
        asked = min(max(query.limit * 10, LOOK_AT_LEAST), LOOK_AT_MOST) if here else query.limit + 1
        try:
            if query.end < query.start:
                raise HttpProblem(Reason.REJECTED, "the end of a search must not be before its start")
            found, asked = self._found(query, asked, begun + timeout_seconds)
        except HttpProblem as wrong:
            return self._failed(wrong, begun)
        traces = [_trace(spans) for spans in found if spans]
        kept = replace(query, service=query.service.lower(), operation=query.operation.lower())
        took = time.monotonic() - begun
        return page_reading(kept, traces, truncated=len(found) >= asked, backend=self.name, took_seconds=took)

    def trace(self, trace_id: str, timeout_seconds: float) -> Reading[Trace]:
        """One trace; `Absent` where it is not there."""
        begun = time.monotonic()
        try:
            name = _checked(trace_id)
            spans = self._spans(name, begun + timeout_seconds)
        except HttpProblem as wrong:
            return self._failed(wrong, begun)
        took = time.monotonic() - begun
        ours = [span for span in spans if trace_id_of(span.traceId) == name]
        if spans and not ours:
            what = HttpProblem(Reason.MALFORMED, "answered another trace than the one that was asked for")
            return self._failed(what, begun)
        return Measured(_trace(ours), self.name, took) if ours else Absent(self.name, took)

    def dependencies(self, end: datetime, lookback: timedelta, timeout_seconds: float) -> Reading[tuple[Edge, ...]]:
        """Who calls whom in (end − lookback, end], sorted by parent and child."""
        params = {"endTs": str(round(end.timestamp() * 1000)), "lookback": str(max(1, _ms(lookback)))}
        return self._list("/api/v2/dependencies", params, timeout_seconds, _edges)

    def probe(self, timeout_seconds: float) -> Probe:
        """Ask for the services, which needs an accepted credential, and for its version."""
        begun = time.monotonic()
        try:
            sent = self._wall_clock()
            answer = self._get("/api/v2/services", {}, begun + timeout_seconds)
            skew = _skew(answer, (sent + self._wall_clock()) / 2)
            count = len(self._read(answer, _decode_names))
        except HttpProblem as wrong:
            silent = wrong.reason is Reason.UNREACHABLE or (wrong.reason is Reason.DEADLINE and wrong.status is None)
            took = time.monotonic() - begun
            return Probe(self.name, self._address, not silent, False, wrong.message, took_seconds=took)
        message = f"answers, has traces of {count} service{'' if count == 1 else 's'}"
        version = self._version(begun + timeout_seconds)
        return Probe(self.name, self._address, True, True, message, version, skew, time.monotonic() - begun)

    @property
    def closed(self) -> bool:
        """Whether nothing more can be asked of it."""
        return self._client.closed

    def close(self) -> None:
        """Drop connections, also ones in use: their readings become `Failed(deadline)`."""
        self._client.close()

    def _version(self, deadline: float) -> str:
        try:
            info = msgspec.json.decode(self._get("/info", {}, deadline).body, type=dict[str, Any])
            return one_line(str(info["zipkin"]["version"]), 60)
        except (HttpProblem, KeyError, TypeError, *_NOT_JSON):
            return ""

    def _get(self, path: str, params: Mapping[str, str], deadline: float) -> Answer:
        left = deadline - time.monotonic()
        if left <= 0:
            raise HttpProblem(Reason.DEADLINE, "no time was left to ask")
        return self._client.request("GET", path, params=params, timeout_seconds=left, packed=True)

    def _ask(self, path: str, params: Mapping[str, str], deadline: float, decode: Callable[[bytes], D]) -> D:
        return self._read(self._get(path, params, deadline), decode)

    def _found(self, query: TraceQuery, asked: int, deadline: float) -> tuple[list[list[_Span]], int]:
        """What the server found and how many it was asked for: fewer where so many are too many for us."""
        try:
            return self._ask("/api/v2/traces", _search(query, asked), deadline, _decode_traces), asked
        except HttpProblem as wrong:
            if wrong.reason is not Reason.TOO_LARGE:
                raise
            if asked <= query.limit:
                raise HttpProblem(wrong.reason, f"{wrong.message}: take a lower limit") from wrong
        return self._found(query, query.limit, deadline)

    def _spans(self, trace_id: str, deadline: float) -> list[_Span]:
        """The spans of one trace; none where Zipkin says in words that it is not there."""
        answer = self._get(f"/api/v2/trace/{trace_id}", {}, deadline)
        if answer.status == 404 and _NOT_FOUND.match(answer.body):
            return []
        return self._read(answer, _decode_trace)

    def _read(self, answer: Answer, decode: Callable[[bytes], D]) -> D:
        if not 200 <= answer.status < 300:
            problem = status_problem(answer)
            assert problem is not None
            raise foreign(answer, problem, "Zipkin", self._address)
        try:
            return decode(answer.body)
        except msgspec.ValidationError as wrong:
            what = f"answered JSON that is not Zipkin's: {one_line(str(wrong))}"
            raise HttpProblem(Reason.MALFORMED, what) from wrong
        except _NOT_JSON as wrong:
            raise foreign(answer, wrong, "Zipkin", self._address) from wrong

    def _list(
        self,
        path: str,
        params: Mapping[str, str],
        timeout_seconds: float,
        decode: Callable[[bytes], tuple[D, ...]],
    ) -> Reading[tuple[D, ...]]:
        begun = time.monotonic()
        try:
            found = self._ask(path, params, begun + timeout_seconds, decode)
        except HttpProblem as wrong:
            return self._failed(wrong, begun)
        took = time.monotonic() - begun
        return Measured(found, self.name, took) if found else Absent(self.name, took)

    def _failed(self, wrong: HttpProblem, begun: float) -> Failed[Any]:
        return Failed(wrong.reason, wrong.message, self.name, took_seconds=time.monotonic() - begun)


def _search(query: TraceQuery, limit: int) -> dict[str, str]:
    params = {
        "serviceName": query.service.lower(),
        "endTs": str(-(-query.end_us // 1000)),
        "lookback": str(max(1, _ms(query.end - query.start + BEFORE))),
        "limit": str(limit),
    }
    if query.operation.isprintable() and query.operation:
        params["spanName"] = query.operation.lower()
    if wanted := _annotation_query(query):
        params["annotationQuery"] = wanted
    least = 0 if query.min_duration is None else query.min_duration // timedelta(microseconds=1)
    if query.max_duration is not None:
        params["maxDuration"] = str(query.max_duration // timedelta(microseconds=1))
        least = max(1, least)  # Zipkin takes no upper bound alone
    if least:
        params["minDuration"] = str(least)
    return params


def _annotation_query(query: TraceQuery) -> str:
    """The tags that its query language can say; the others are looked for here."""
    parts = ["error"] if query.errors_only else []
    for name, value in (query.attributes or {}).items():
        text = f"{name}={value}"
        if (
            name not in OF_THE_SPAN
            and value
            and text.isprintable()
            and "=" not in name
            and " and " not in text
            and text == text.strip()
        ):
            parts.append(text)
    return " and ".join(parts)


def _checked(trace_id: str) -> str:
    name = trace_id_of(trace_id)
    if not is_trace_id(name):
        raise HttpProblem(Reason.REJECTED, f"trace id {trace_id!r}: expected up to 32 hexadecimal digits")
    return name


def _trace(wire: Sequence[_Span]) -> Trace:
    """Spans of one trace; a server's half of a shared span goes below the client's, which has the same id."""
    known = [span.timestamp for span in wire if span.timestamp]
    first = min(known, default=0)
    whole = {span.id: span for span in wire if not span.shared}
    return trace_of(trace_id_of(wire[0].traceId), [_span(span, whole, first) for span in wire])


def _span(wire: _Span, whole: Mapping[str, _Span], first_us: int) -> Span:
    warnings = []
    other = whole.get(wire.id) if wire.shared else None
    start, duration = wire.timestamp, wire.duration
    if start is None or start <= 0:
        start = (other.timestamp if other else None) or first_us
        warnings.append("no start was reported: taken from the rest of the trace")
    if duration is None:
        warnings.append("no duration was reported: taken as 0")
    tags: dict[str, Value] = dict(wire.tags or {})
    if wire.remoteEndpoint is not None and wire.remoteEndpoint.serviceName:
        tags.setdefault("peer.service", wire.remoteEndpoint.serviceName)
    kind = (wire.kind or "").lower()
    parent = wire.id if other is not None else wire.parentId
    return Span(
        trace_id=trace_id_of(wire.traceId),
        span_id=span_id_of(wire.id),
        parent_id=span_id_of(parent) if parent else None,
        name=wire.name or "",
        service=(wire.localEndpoint.serviceName if wire.localEndpoint else None) or "(no service)",
        kind=cast(SpanKind, kind) if kind in _KINDS else "",
        start_us=start,
        duration_us=max(duration or 0, 0),
        status=_status(tags),
        attributes=tags,
        events=tuple(SpanEvent(one.timestamp, one.value) for one in wire.annotations or ()),
        warnings=tuple(warnings),
    )


def _status(tags: Mapping[str, Value]) -> Status:
    code = str(tags.get("otel.status_code", "")).upper()
    if code == "ERROR" or str(tags.get("error", "false")).lower() != "false":
        return "error"
    return "ok" if code == "OK" else "unset"


def _edges(body: bytes) -> tuple[Edge, ...]:
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for one in _decode_dependencies(body):
        calls, errors = counts.get((one.parent, one.child), (0, 0))
        counts[one.parent, one.child] = (calls + one.callCount, errors + one.errorCount)
    return tuple(Edge(parent, child, *count) for (parent, child), count in sorted(counts.items()))


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _skew(answer: Answer, ours: float) -> float | None:
    """Theirs minus ours by the header `Date`, which has whole seconds."""
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    return round(theirs.replace(tzinfo=theirs.tzinfo or UTC).timestamp() + 0.5 - ours, 3)
