"""Who answers for traces."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Reading
from opsctl.core.traces import Edge, Operation, Trace, TracePage
from opsctl.ports.metrics import Probe


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
