"""A Jaeger trace of 10,000 spans to our trace and its critical path, against the same with the standard `json`."""

from __future__ import annotations

import json
import random
from typing import Any

from benchmarks.pairs import Figure, ratio
from collectors.jaeger.answers import read
from collectors.jaeger.source import decode_traces
from collectors.jaeger.wire import traces_of
from opsctl.http import Answer
from opsctl.insight.critical_path import critical_path

PAIRS = 15
SPANS = 10_000
SEED = 7
SERVICES = ("gateway", "promo", "wallet", "fraud", "inventory", "payments", "vault", "auth")
NAMES = ("POST /v1/redeem", "wallet.Debit", "SELECT ledger", "fraud.Score", "HGETALL", "inventory.Grant")

Segments = list[tuple[str, int, int]]


def trace_decode() -> Figure:
    """From the bytes of the answer to the segments of the path."""
    body = answer_body()
    segments = [(part.span_id, part.from_us, part.to_us) for part in ours(body)]
    if segments != plainly(body):
        raise RuntimeError("the two critical paths are not the same")
    value = ratio(lambda: ours(body), lambda: plainly(body), PAIRS)
    return Figure("trace_decode", value, 0.125, "lower", "10,000 Jaeger spans to a critical path / with json and dicts")


def ours(body: bytes) -> Any:
    """What `opsctl trace show` does first."""
    answer = Answer(200, {"content-type": "application/json"}, body)
    (trace,) = read(answer, decode_traces, traces_of, "http://127.0.0.1").data
    return critical_path(trace.shape)


def answer_body() -> bytes:
    """An answer of Jaeger's with what OpenTelemetry says an HTTP span has: fourteen tags a span, events in some."""
    chance = random.Random(SEED)
    trace_id = f"{chance.getrandbits(128):032x}"
    ids = [f"{chance.getrandbits(64):016x}" for _ in range(SPANS)]
    times = [(1_790_000_000_000_000, 60_000_000)]
    parents = [-1]
    for number in range(1, SPANS):
        parent = chance.randrange(max(0, number - 40), number)
        start, duration = times[parent]
        times.append(
            (start + int(duration * chance.uniform(0.05, 0.5)), max(1, int(duration * chance.uniform(0.1, 0.5))))
        )
        parents.append(parent)
    spans = [_span(chance, trace_id, ids, number, parents[number], *times[number]) for number in range(SPANS)]
    spans.sort(key=lambda span: span["startTime"] + span["duration"])  # as they are exported
    processes = {f"p{n}": {"serviceName": name, "tags": _tags(_resource(name))} for n, name in enumerate(SERVICES)}
    trace = {"traceID": trace_id, "spans": spans, "processes": processes, "warnings": None}
    answer = {"data": [trace], "total": 0, "limit": 0, "offset": 0, "errors": None}
    return json.dumps(answer, separators=(",", ":")).encode()


def _span(
    chance: random.Random, trace_id: str, ids: list[str], number: int, parent: int, start: int, duration: int
) -> dict[str, Any]:
    reference = {"refType": "CHILD_OF", "traceID": trace_id, "spanID": ids[parent]}
    event = {"timestamp": start, "fields": _tags({"event": "message", "message.id": number})}
    return {
        "traceID": trace_id,
        "spanID": ids[number],
        "operationName": chance.choice(NAMES),
        "references": [] if parent < 0 else [reference],
        "startTime": start,
        "duration": duration,
        "tags": _tags(_attributes(chance)),
        "logs": [event] if chance.random() < 0.2 else [],
        "processID": f"p{chance.randrange(len(SERVICES))}",
        "warnings": None,
    }


def _attributes(chance: random.Random) -> dict[str, Any]:
    return {
        "otel.scope.name": "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
        "otel.scope.version": "0.61.0",
        "span.kind": chance.choice(("server", "client", "internal")),
        "http.request.method": "POST",
        "http.route": "/v1/redeem/{code}",
        "http.response.status_code": chance.choice((200, 200, 200, 500)),
        "server.address": "wallet.games.svc.cluster.local",
        "server.port": 8443,
        "network.peer.address": f"10.1.{chance.randrange(256)}.{chance.randrange(256)}",
        "network.peer.port": chance.randrange(1024, 65536),
        "network.protocol.version": "1.1",
        "user_agent.original": "Go-http-client/1.1",
        "url.path": "/v1/redeem/SPRING",
        "url.scheme": "https",
    }


def _resource(service: str) -> dict[str, Any]:
    return {"service.version": "2026.11.3", "host.name": f"{service}-7d9f4", "telemetry.sdk.language": "go"}


def _tags(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "type": "int64" if isinstance(value, int) else "string", "value": value}
        for key, value in values.items()
    ]


def plainly(body: bytes) -> Segments:
    """The same algorithm, written as one writes it over dicts; for traces with one root, without loops and skew."""
    trace = json.loads(body)["data"][0]
    spans = sorted(trace["spans"], key=lambda span: span["startTime"])
    by_id: dict[str, Any] = {}
    for span in spans:
        by_id.setdefault(span["spanID"], span)
    children: dict[str, list[Any]] = {}
    for span in spans:
        parent = None
        for reference in span["references"]:
            if reference["refType"] == "CHILD_OF" and reference["traceID"] == trace["traceID"]:
                parent = reference["spanID"]
                break
        if parent in by_id:
            children.setdefault(parent, []).append(span)
    root = next(span for span in spans if not span["references"])
    reaches = _reaches(root, children)
    begun = {span["spanID"]: span["startTime"] for span in spans}
    return list(reversed(_walk(root, reaches[root["spanID"]], root["spanID"], children, begun, reaches)))


def _reaches(root: Any, children: dict[str, list[Any]]) -> dict[str, int]:
    """When the last of each subtree ended."""
    order, waiting = [], [root]
    while waiting:
        span = waiting.pop()
        order.append(span)
        waiting += children.get(span["spanID"], [])
    out: dict[str, int] = {}
    for span in reversed(order):
        below = [out[child["spanID"]] for child in children.get(span["spanID"], [])]
        out[span["spanID"]] = max([span["startTime"] + span["duration"], *below])
    return out


def _walk(
    span: Any, until: int, then: str, children: dict[str, list[Any]], begun: dict[str, int], reaches: dict[str, int]
) -> Segments:
    """Segments of a span's subtree before `until`, latest first."""
    name, start, end = span["spanID"], span["startTime"], span["startTime"] + span["duration"]
    out: Segments = []

    def gap(down: int) -> None:
        if until > max(down, end):
            out.append((then, max(down, end), until))
        if min(until, end) > max(down, start):
            out.append((name, max(down, start), min(until, end)))

    for child in sorted(children.get(name, []), key=lambda child: reaches[child["spanID"]], reverse=True):
        below = child["spanID"]
        runs = start < until <= end
        if begun[below] < until and begun[below] < reaches[below] and not (runs and reaches[below] > until):
            returned = min(reaches[below], until)
            gap(returned)
            out += _walk(child, returned, then, children, begun, reaches)
            until, then = begun[below], below
    gap(start)
    return out
