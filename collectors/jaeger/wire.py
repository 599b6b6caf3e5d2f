"""Jaeger's JSON of traces, and what it becomes: columns at once, spans when somebody looks at them.

Must never raise for what is inside a span: attributes that cannot be read are a warning of that span.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import add, attrgetter
from typing import Annotated, Any, cast

import msgspec

from opsctl.core.signals import Reason
from opsctl.core.trace_shape import FIRST_US, LAST_US, Shape, shape_of
from opsctl.core.traces import (
    Span,
    SpanEvent,
    SpanKind,
    SpansOnUse,
    Status,
    Trace,
    Value,
    span_id_of,
    trace_id_of,
)
from opsctl.http import HttpProblem, one_line

_KINDS = frozenset({"server", "client", "producer", "consumer", "internal"})
_NOT_JSON = (msgspec.MsgspecError, ValueError, RecursionError)


class _Reference(msgspec.Struct, gc=False):
    spanID: str
    refType: str = "CHILD_OF"
    traceID: str = ""


class _Pair(msgspec.Struct, gc=False):
    key: str
    value: Any = ""


class _Log(msgspec.Struct, gc=False):
    timestamp: Annotated[int, msgspec.Meta(ge=FIRST_US, le=LAST_US)]
    fields: list[_Pair] | None = None


class WireSpan(msgspec.Struct, gc=False):
    """A span as it came; what can wait is not decoded yet."""

    spanID: str
    startTime: int
    operationName: str = ""
    duration: int = 0
    processID: str = ""
    references: list[_Reference] | None = None
    tags: msgspec.Raw = msgspec.Raw()
    logs: msgspec.Raw = msgspec.Raw()
    warnings: list[str] | None = None


class _Process(msgspec.Struct):
    serviceName: str = ""
    tags: list[_Pair] | None = None


class WireTrace(msgspec.Struct):
    """A trace as it came."""

    traceID: str
    spans: list[WireSpan]
    processes: dict[str, _Process] | None = None
    warnings: list[str] | None = None


_decode_pairs = msgspec.json.Decoder(list[_Pair] | None).decode
_decode_logs = msgspec.json.Decoder(list[_Log] | None).decode


def traces_of(wire: Sequence[WireTrace] | None) -> list[Trace]:
    """Traces whose spans are made on use; one without a span is left out, one out of time is an `HttpProblem`."""
    found = [_trace(one) for one in wire or ()]
    return [trace for trace in found if trace is not None]


def _trace(wire: WireTrace) -> Trace | None:
    spans = wire.spans
    if not spans:
        return None
    spans.sort(key=attrgetter("startTime"))
    made = _Spans(wire)
    if not made.shape.dated:
        raise HttpProblem(Reason.MALFORMED, f"answered a span outside of all calendars, in trace {made.trace_id}")
    warnings = tuple(one_line(text) for text in wire.warnings or ())
    return Trace(made.trace_id, SpansOnUse(made.shape, made.span), warnings)


class _Spans:
    """The spans of one trace, made one by one."""

    def __init__(self, wire: WireTrace) -> None:
        self.trace_id = trace_id_of(wire.traceID)
        self._wire = wire.spans
        self._processes = wire.processes or {}
        self._parents = [
            refs[0].spanID
            if refs and len(refs) == 1 and refs[0].refType == "CHILD_OF" and refs[0].traceID == wire.traceID
            else _parent(refs, self.trace_id)
            for refs in [span.references for span in self._wire]
        ]

    @cached_property
    def shape(self) -> Shape:
        """Columns of ids and times."""
        spans = self._wire
        starts = [span.startTime for span in spans]
        durations = [span.duration for span in spans]
        if min(durations) < 0:
            durations = [max(duration, 0) for duration in durations]
        ends = list(map(add, starts, durations))
        self._parents = cast("list[str | None]", _whole(self._parents))
        return shape_of(cast("list[str]", _whole([span.spanID for span in spans])), self._parents, starts, ends)

    @cached_property
    def _resources(self) -> Mapping[str, tuple[str, Mapping[str, Value]]]:
        return {
            name: (one_line(process.serviceName, 200), _values(process.tags or ()))
            for name, process in self._processes.items()
        }

    def span(self, index: int) -> Span:
        """One span, whole."""
        wire = self._wire[index]
        warnings = [one_line(text) for text in wire.warnings or ()]
        attributes = _attributes(wire.tags, warnings)
        service, resource = self._resources.get(wire.processID, ("", {}))
        if wire.duration < 0:
            warnings.append("its duration is negative and was taken as 0")
        kind = attributes.get("span.kind", "")
        return Span(
            trace_id=self.trace_id,
            span_id=self.shape.span_ids[index],
            parent_id=self._parents[index],
            name=wire.operationName,
            service=service or "(no service)",
            kind=cast(SpanKind, kind) if kind in _KINDS else "",
            start_us=wire.startTime,
            duration_us=max(wire.duration, 0),
            status=_status(attributes),
            attributes=attributes,
            resource=resource,
            events=_events(wire.logs, warnings),
            links=self._links(wire.references or (), self._parents[index]),
            warnings=tuple(warnings),
        )

    def _links(self, references: Sequence[_Reference], parent: str | None) -> tuple[tuple[str, str], ...]:
        out = [(trace_id_of(ref.traceID), span_id_of(ref.spanID)) for ref in references]
        return tuple(link for link in out if link != (self.trace_id, parent))


def _parent(references: list[_Reference] | None, trace_id: str) -> str | None:
    """The span that this one is below: CHILD_OF in this trace, else FOLLOWS_FROM in it."""
    ours = [ref for ref in references or () if not ref.traceID or trace_id_of(ref.traceID) == trace_id]
    for kind in ("CHILD_OF", "FOLLOWS_FROM"):
        for ref in ours:
            if ref.refType == kind:
                return ref.spanID
    return None


def _whole(names: Sequence[str | None]) -> Sequence[str | None]:
    """Span ids of 16 lower-case digits; they are so already, unless a backend dropped zeros."""
    joined = "".join([name for name in names if name is not None])
    if joined == joined.lower() and {len(name) for name in names if name is not None} <= {16}:
        return names
    return [None if name is None else span_id_of(name) for name in names]


def _attributes(raw: msgspec.Raw, warnings: list[str]) -> Mapping[str, Value]:
    try:
        return _values(_decode_pairs(raw) or ()) if bytes(raw) else {}
    except _NOT_JSON:
        warnings.append("its tags cannot be read: they are not Jaeger's")
        return {}


def _events(raw: msgspec.Raw, warnings: list[str]) -> tuple[SpanEvent, ...]:
    try:
        logs = _decode_logs(raw) or () if bytes(raw) else ()
    except _NOT_JSON:
        warnings.append("its logs cannot be read: they are not Jaeger's")
        return ()
    events = []
    for log in logs:
        attributes = dict(_values(log.fields or ()))
        name = attributes.pop("event", "") or attributes.pop("message", "")
        events.append(SpanEvent(log.timestamp, str(name), attributes))
    return tuple(events)


def _values(pairs: Sequence[_Pair]) -> Mapping[str, Value]:
    return {pair.key: pair.value if isinstance(pair.value, (str, int, float)) else _text(pair.value) for pair in pairs}


def _text(value: object) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()


def _status(attributes: Mapping[str, Value]) -> Status:
    """As OpenTelemetry's exporters write it, and OpenTracing's before."""
    error = attributes.get("error", False)
    if str(attributes.get("otel.status_code", "")).upper() == "ERROR" or (error and str(error).lower() != "false"):
        return "error"
    return "ok" if str(attributes.get("otel.status_code", "")).upper() == "OK" else "unset"
