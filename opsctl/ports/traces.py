"""Who answers for traces, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.core.traces import Edge, Operation, Span, Trace, TracePage, Value
from opsctl.ports.metrics import Probe

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


OF_THE_SPAN: Mapping[str, Callable[[Span], str]] = {
    "service.name": lambda span: span.service,
    "span.kind": lambda span: span.kind,
}
"""Attributes that are a span's own: backends keep them elsewhere, so they are only checked here."""


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """Which traces: those with a span of `service` that began in [start, end] and fits everything that is said."""

    service: str
    start: datetime
    end: datetime
    operation: str = ""
    min_duration: timedelta | None = None  # of the span that fits
    max_duration: timedelta | None = None
    attributes: Mapping[str, str] | None = None  # a span, resource or event attribute has this value
    errors_only: bool = False
    limit: int = 20  # traces

    @property
    def start_us(self) -> int:
        """The first microsecond."""
        return (self.start - _EPOCH) // _MICROSECOND

    @property
    def end_us(self) -> int:
        """The last microsecond."""
        return (self.end - _EPOCH) // _MICROSECOND

    def fits(self, span: Span) -> bool:
        """Whether one span has everything that is asked."""
        least, most = self.min_duration, self.max_duration
        return (
            span.service == self.service
            and self.start_us <= span.start_us <= self.end_us
            and (not self.operation or span.name == self.operation)
            and (least is None or span.duration_us >= least // _MICROSECOND)
            and (most is None or span.duration_us <= most // _MICROSECOND)
            and (not self.errors_only or span.failed)
            and all(_has(span, name, value) for name, value in (self.attributes or {}).items())
        )

    def matches(self, trace: Trace) -> bool:
        """Whether a span of the trace fits."""
        return any(self.fits(span) for span in trace.spans)


def value_text(value: Value) -> str:
    """An attribute's value as one types it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def page_reading(
    query: TraceQuery, traces: Iterable[Trace], *, truncated: bool, backend: str, took_seconds: float
) -> Reading[TracePage]:
    """What a search found, once it is checked here too.

    Nothing is `Absent` only when all that the backend has was looked at; else it is `Failed(partial)`.
    """
    looked_at = list(traces)
    found = sorted(filter(query.matches, looked_at), key=lambda trace: trace.start_us, reverse=True)
    if found:
        page = TracePage(tuple(found[: query.limit]), truncated or len(found) > query.limit)
        return Measured(page, backend, took_seconds)
    if not truncated:
        return Absent(backend, took_seconds)
    message = (
        f"none of the {len(looked_at)} traces that were looked at fits, and there are more; take a shorter time "
        "or an operation"
    )
    return Failed(Reason.PARTIAL, message, backend, TracePage((), truncated=True), took_seconds=took_seconds)


def _has(span: Span, name: str, value: str) -> bool:
    if name in OF_THE_SPAN:
        return OF_THE_SPAN[name](span) == value
    owners = (span.attributes, span.resource, *(event.attributes for event in span.events))
    return any(name in owner and value_text(owner[name]) == value for owner in owners)


class TraceSource(Protocol):
    """A backend that keeps traces. Methods never raise for what the backend does: they answer `Failed`.

    What a server filters is checked here again: a filter that a server ignores, or answers wrongly, changes nothing.
    """

    name: str  # "jaeger https://…", "zipkin https://…" or "memory": for people
    concurrency: int  # how many questions it takes at once; 1 means: ask in the calling thread

    def services(self, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every service that it has spans of, sorted."""
        ...

    def operations(self, service: str, timeout_seconds: float) -> Reading[tuple[Operation, ...]]:
        """The span names of a service, sorted."""
        ...

    def search(self, query: TraceQuery, timeout_seconds: float) -> Reading[TracePage]:
        """Whole traces, newest first; nothing found on a server that cannot filter so is `Failed`, not `Absent`."""
        ...

    def trace(self, trace_id: str, timeout_seconds: float) -> Reading[Trace]:
        """One trace; `Absent` where it is not there."""
        ...

    def dependencies(self, end: datetime, lookback: timedelta, timeout_seconds: float) -> Reading[tuple[Edge, ...]]:
        """Who calls whom in (end − lookback, end], sorted by parent and child."""
        ...

    def probe(self, timeout_seconds: float) -> Probe:
        """Ask whether it is there and lets us in."""
        ...

    def close(self) -> None:
        """Drop connections, also ones in use: their readings become `Failed(deadline)`."""
        ...
