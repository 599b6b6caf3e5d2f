"""What one trace adds to each series of spans: events with labels, a time and a weight.

Labels and buckets are those of the Collector's spanmetrics and servicegraph connectors (contrib 0.155). A span counts
when it began. Pure. Must never look outside of the one trace.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from opsctl.core.logs import label_name
from opsctl.core.traces import Span, Trace, Value
from opsctl.ports.traces import value_text
from opsctl.series.names import (
    CALLS,
    DURATION_BUCKET,
    DURATION_COUNT,
    DURATION_SUM,
    PAIR_FAILED,
    PAIR_REQUESTS,
    SPAN_WITHOUT,
)

BOUNDS_MS = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000)
"""The upper bounds of the connector's histogram, as it comes."""

LE = (*(f"{float(bound)}" for bound in BOUNDS_MS), "+Inf")
"""The same as Prometheus 3 writes them."""

SPAN_LABELS = ("service_name", "span_name", "span_kind", "status_code")
PAIR_LABELS = ("client", "server", "connection_type")
SAMPLED: Mapping[str, Value] = {"gaming.sampled": "always", "sampling.always": True}
"""What a span, its resource or the trace's root says when every trace of its kind is kept."""

KINDS = {
    "server": "SPAN_KIND_SERVER",
    "client": "SPAN_KIND_CLIENT",
    "producer": "SPAN_KIND_PRODUCER",
    "consumer": "SPAN_KIND_CONSUMER",
    "internal": "SPAN_KIND_INTERNAL",
    "": "SPAN_KIND_UNSPECIFIED",
}
STATUSES = {"unset": "STATUS_CODE_UNSET", "ok": "STATUS_CODE_OK", "error": "STATUS_CODE_ERROR"}
_MESSAGING = {"producer", "consumer"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a series counts; a weight of nothing says that the series is there."""

    at_us: int
    labels: Mapping[str, str]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What of a trace's spans is wanted beside the fixed labels: attributes by label, and who must precede."""

    attributes: frozenset[str] = frozenset()
    without: str = ""


Reader = Callable[[Trace, Wish], Iterator[Event]]


def events_of(metric: str, trace: Trace, wish: Wish) -> Iterator[Event]:
    """Every event that a trace adds to a metric's series."""
    return _READERS[metric](trace, wish)


def fixed_labels(metric: str) -> tuple[str, ...]:
    """The labels that a metric's series have whatever is asked."""
    return _LABELS[metric]


label_of = lru_cache(maxsize=4096)(label_name)
"""The label of an attribute: its name with `_` for every other character."""


def attribute_labels(span: Span, wanted: frozenset[str]) -> dict[str, str]:
    """The wanted labels that a span's attributes give, else its resource's."""
    found: dict[str, str] = {}
    for attributes in (span.resource, span.attributes):
        found.update(
            (label_of(name), value_text(value)) for name, value in attributes.items() if label_of(name) in wanted
        )
    return found


def _labels(span: Span, wish: Wish) -> dict[str, str]:
    extra = attribute_labels(span, wish.attributes) if wish.attributes else {}
    return {
        **extra,
        "service_name": span.service,
        "span_name": span.name,
        "span_kind": KINDS[span.kind],
        "status_code": STATUSES[span.status],
    }


def _milliseconds(span: Span) -> float:
    return max(0, span.duration_us) / 1000


def _calls(trace: Trace, wish: Wish) -> Iterator[Event]:
    for span in trace.spans:
        yield Event(span.start_us, _labels(span, wish))


def _sums(trace: Trace, wish: Wish) -> Iterator[Event]:
    for span in trace.spans:
        yield Event(span.start_us, _labels(span, wish), _milliseconds(span))


def bound_of(milliseconds: float) -> int:
    """The number of the first bound of `LE` that a duration is not over."""
    return bisect_left(BOUNDS_MS, milliseconds)


def _pairs(trace: Trace) -> Iterator[tuple[Span, Span]]:
    """Caller and callee: a server's or consumer's span right below a span of another service, or below a client's."""
    for span in trace.spans:
        caller = trace.by_id.get(span.parent_id or "")
        if caller is None or caller is span or span.kind not in {"server", "consumer"}:
            continue
        if caller.service != span.service or caller.kind in {"client", "producer"}:
            yield caller, span


def _pair_requests(trace: Trace, wish: Wish) -> Iterator[Event]:
    for caller, span in _pairs(trace):
        yield Event(span.start_us, _pair_labels(caller, span))


def _pair_failures(trace: Trace, wish: Wish) -> Iterator[Event]:
    for caller, span in _pairs(trace):
        failed = span.failed or (caller.failed and caller.kind in {"client", "producer"})
        yield Event(span.start_us, _pair_labels(caller, span), 1.0 if failed else 0.0)


def _pair_labels(caller: Span, span: Span) -> dict[str, str]:
    kind = "messaging_system" if _MESSAGING & {caller.kind, span.kind} else ""
    return {"client": caller.service, "server": span.service, "connection_type": kind}


def _span_without(trace: Trace, wish: Wish) -> Iterator[Event]:
    """Spans of traces that are always kept; the weight says that no span of the other name began before one."""
    earliest = min((span.start_us for span in trace.spans if span.name == wish.without), default=None)
    for span in trace.spans:
        if not always_sampled(trace, span):
            continue
        alone = earliest is None or earliest > span.start_us
        labels = {**attribute_labels(span, wish.attributes), "service_name": span.service, "span_name": span.name}
        yield Event(span.start_us, {**labels, "without": wish.without}, 1.0 if alone else 0.0)


def always_sampled(trace: Trace, span: Span) -> bool:
    """Whether the span, its resource or the trace's root says that no trace of its kind is left out."""
    said = (span.attributes, span.resource, trace.root.attributes, trace.root.resource)
    return any(
        value_text(where[name]) == value_text(value)
        for where in said
        for name, value in SAMPLED.items()
        if name in where
    )


_READERS: Mapping[str, Reader] = {
    CALLS: _calls,
    DURATION_COUNT: _calls,
    DURATION_SUM: _sums,
    DURATION_BUCKET: _sums,  # whoever counts them finds the bounds
    PAIR_REQUESTS: _pair_requests,
    PAIR_FAILED: _pair_failures,
    SPAN_WITHOUT: _span_without,
}
_LABELS: Mapping[str, tuple[str, ...]] = {
    CALLS: SPAN_LABELS,
    DURATION_COUNT: SPAN_LABELS,
    DURATION_SUM: SPAN_LABELS,
    DURATION_BUCKET: (*SPAN_LABELS, "le"),
    PAIR_REQUESTS: PAIR_LABELS,
    PAIR_FAILED: PAIR_LABELS,
    SPAN_WITHOUT: ("service_name", "span_name", "without"),
}
