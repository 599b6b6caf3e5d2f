"""Spans to a collector or a Jaeger, by OpenTelemetry's OTLP exporter over HTTP, with their own ids and times."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from opsctl.core.traces import Span, Trace, Value
from opsctl.demo.emit.delivery import Delivery

if TYPE_CHECKING:
    from opsctl.core.traces import SpanEvent

BATCH = 2000
_SCOPE = InstrumentationScope("opsctl.demo")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS: Mapping[str, SpanKind] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}
_STATUSES = {"unset": Status(StatusCode.UNSET), "ok": Status(StatusCode.OK), "error": Status(StatusCode.ERROR)}


class SpanSender:
    """Sends whole traces; `url` is the base of OTLP over HTTP, to which `/v1/traces` is added."""

    def __init__(self, url: str, say: Callable[[str], None], timeout_seconds: float = 5.0) -> None:
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        logging.getLogger("opentelemetry").propagate = False  # we say it ourselves, once
        self._exporter = OTLPSpanExporter(
            endpoint=f"{url.rstrip('/')}/v1/traces", timeout=timeout_seconds, compression=Compression.Gzip
        )
        self._url = url
        self._resources: dict[int, tuple[Mapping[str, Value], Resource]] = {}
        self.delivery: Delivery[Span] = Delivery(f"OTLP {url}", self._export, say, BATCH)

    def deliver(self, traces: Sequence[Trace]) -> None:
        """Send every span of them now."""
        self.delivery.deliver([span for trace in traces for span in trace.spans])

    def close(self) -> None:
        """Drop the connection."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _export(self, spans: Sequence[Span]) -> tuple[int, str]:
        result = self._exporter.export([self._readable(span) for span in spans])
        return (len(spans), "") if result is SpanExportResult.SUCCESS else (0, "the export failed")

    def _readable(self, span: Span) -> ReadableSpan:
        parent = None if span.parent_id is None else _context(span.trace_id, span.parent_id)
        return ReadableSpan(
            name=span.name,
            context=_context(span.trace_id, span.span_id),
            parent=parent,
            resource=self._resource(span.resource),
            attributes=dict(span.attributes),
            events=tuple(map(_event, span.events)),
            links=tuple(Link(_context(trace_id, span_id)) for trace_id, span_id in span.links),
            kind=_KINDS[span.kind],
            status=_STATUSES[span.status],
            start_time=span.start_us * 1000,
            end_time=span.end_us * 1000,
            instrumentation_scope=_SCOPE,
        )

    def _resource(self, attributes: Mapping[str, Value]) -> Resource:
        """One object for each of the platform's resources, which are few and the same objects each time."""
        known = self._resources.get(id(attributes))
        if known is None:
            known = self._resources[id(attributes)] = (attributes, Resource(dict(attributes)))
        return known[1]


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)


def _event(event: SpanEvent) -> Event:
    return Event(event.name, dict(event.attributes), event.at_us * 1000)
