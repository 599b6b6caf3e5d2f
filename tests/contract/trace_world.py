"""The traces that every trace source of the contract has, and how real servers are given them."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

from opsctl.core.traces import Span, SpanEvent, SpanKind, Status, Trace, Value, trace_of

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5, "": 0}
CODES = {"unset": 0, "ok": 1, "error": 2}
HOSTILE = "\x1b[2J<b>'\"\\ \u202e ☃ \n;"
MS = 1000


def span(
    trace: int,
    number: int,
    parent: int | None,
    service: str,
    name: str,
    kind: SpanKind,
    start_us: int,
    duration_us: int,
    status: Status = "unset",
    events: tuple[SpanEvent, ...] = (),
    links: tuple[tuple[str, str], ...] = (),
    **attributes: Value,
) -> Span:
    """One span; ids are numbers with many leading zeros, which backends drop."""
    return Span(
        trace_id=f"{trace:032x}",
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        service=service,
        kind=kind,
        start_us=start_us,
        duration_us=duration_us,
        status=status,
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
        resource={"service.version": "2026.3.1"},
        events=events,
        links=links,
    )


def world(base_us: int, first_id: int) -> tuple[Trace, ...]:
    """Five traces, ten seconds apart, oldest first; ids from `first_id`, services `shop`, `purse` and `watch`."""
    t = [base_us + number * 10_000_000 for number in range(5)]
    i = first_id
    failed = SpanEvent(t[1] + 30 * MS, "exception", {"exception.type": "Timeout", "exception.message": HOSTILE})
    spans = [
        # a healthy purchase
        span(i, 1, None, "shop", "POST /buy", "server", t[0], 100 * MS, "ok", http__response__status_code=200),
        span(i, 2, 1, "shop", "purse.Debit", "client", t[0] + 10 * MS, 60 * MS, peer="purse"),
        span(i, 3, 2, "purse", "purse.Debit", "server", t[0] + 12 * MS, 50 * MS, cached=False, share=0.5),
        span(i, 4, 1, "watch", "audit", "consumer", t[0] + 50 * MS, 200 * MS),
        # a purchase that failed in the purse
        span(i + 1, 11, None, "shop", "POST /buy", "server", t[1], 80 * MS, "error", http__response__status_code=500),
        span(i + 1, 12, 11, "purse", "purse.Debit", "server", t[1] + 10 * MS, 20 * MS, "error", (failed,)),
        # only a part arrived: the parent of both spans is missing
        span(i + 2, 22, 21, "purse", "purse.Debit", "server", t[2], 30 * MS),
        span(i + 2, 23, 21, "purse", "purse.Credit", "server", t[2] + 40 * MS, 30 * MS),
        # hostile text
        span(i + 3, 31, None, "shop", HOSTILE, "internal", t[3], 5 * MS, note=HOSTILE),
        # a trace that is linked to the first
        span(i + 4, 41, None, "watch", "audit", "consumer", t[4], 7 * MS, links=((f"{i:032x}", f"{1:016x}"),)),
    ]
    by_trace: dict[str, list[Span]] = {}
    for one in spans:
        by_trace.setdefault(one.trace_id, []).append(one)
    return tuple(trace_of(name, found) for name, found in by_trace.items())


def otlp(traces: Sequence[Trace]) -> bytes:
    """OTLP/JSON for `/v1/traces`."""
    return json.dumps({"resourceSpans": [_resource_spans(one) for trace in traces for one in trace.spans]}).encode()


def _resource_spans(one: Span) -> dict[str, Any]:
    body: dict[str, Any] = {
        "traceId": one.trace_id,
        "spanId": one.span_id,
        "name": one.name,
        "kind": KINDS[one.kind],
        "startTimeUnixNano": str(one.start_us * 1000),
        "endTimeUnixNano": str(one.end_us * 1000),
        "status": {"code": CODES[one.status]},
        "attributes": _attributes(one.attributes),
        "events": [
            {"timeUnixNano": str(event.at_us * 1000), "name": event.name, "attributes": _attributes(event.attributes)}
            for event in one.events
        ],
        "links": [{"traceId": trace_id, "spanId": span_id} for trace_id, span_id in one.links],
    }
    if one.parent_id is not None:
        body["parentSpanId"] = one.parent_id
    resource = {"service.name": one.service, **one.resource}
    return {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [{"spans": [body]}]}


def _attributes(values: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any_value(value)} for key, value in values.items()]


def _any_value(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def zipkin(traces: Sequence[Trace]) -> bytes:
    """Zipkin's JSON v2, as OpenTelemetry's exporters map to it: tags are texts, an error is the tag `error`."""
    return json.dumps([_zipkin_span(one) for trace in traces for one in trace.spans]).encode()


def _zipkin_span(one: Span) -> dict[str, Any]:
    tags = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in one.attributes.items()}
    tags |= {key: str(value) for key, value in one.resource.items()}
    if one.status != "unset":
        tags["otel.status_code"] = one.status.upper()
    if one.failed:
        tags["error"] = ""
    body: dict[str, Any] = {
        "traceId": one.trace_id,
        "id": one.span_id,
        "name": one.name,
        "timestamp": one.start_us,
        "duration": one.duration_us,
        "localEndpoint": {"serviceName": one.service},
        "tags": tags,
        "annotations": [{"timestamp": event.at_us, "value": event.name} for event in one.events],
    }
    if one.parent_id is not None:
        body["parentId"] = one.parent_id
    if one.kind not in {"internal", ""}:
        body["kind"] = one.kind.upper()
    return body


def post(url: str, body: bytes) -> None:
    """POST JSON to a loopback server; anything but 2xx is an error of the test."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


def wait_until(there: Callable[[], bool], seconds: float = 15) -> None:
    """Until a server shows what it was given."""
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, "the server does not show the traces that it was given"
        time.sleep(0.05)
