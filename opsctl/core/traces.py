"""Spans and traces as every trace backend's answers become them.

Pure. Must never import a backend's format. Times are integer microseconds since the epoch, as Jaeger and Zipkin have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Literal, Union

import msgspec

Value = Union[str, bool, int, float]
SpanKind = Literal["server", "client", "producer", "consumer", "internal", ""]
Status = Literal["unset", "ok", "error"]


class SpanEvent(msgspec.Struct, frozen=True):
    """Something that happened at one time within a span; an exception is an event named `exception`."""

    at_us: int
    name: str
    attributes: Mapping[str, Value] = {}


class Span(msgspec.Struct, frozen=True, dict=True):
    """One operation of one service; `parent_id` is None for a root, and may name a span that did not arrive."""

    trace_id: str  # 32 hex digits, lower case, padded on the left
    span_id: str  # 16 hex digits
    parent_id: str | None
    name: str
    service: str
    kind: SpanKind
    start_us: int
    duration_us: int
    status: Status = "unset"
    attributes: Mapping[str, Value] = {}
    resource: Mapping[str, Value] = {}
    events: tuple[SpanEvent, ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # (trace id, span id)
    warnings: tuple[str, ...] = ()

    @property
    def end_us(self) -> int:
        """When it ended."""
        return self.start_us + self.duration_us

    @property
    def failed(self) -> bool:
        """Whether it ended in an error."""
        return self.status == "error"


class Trace(msgspec.Struct, frozen=True, dict=True):
    """Every span of one request that arrived, by start; never empty."""

    trace_id: str
    spans: tuple[Span, ...]
    warnings: tuple[str, ...] = ()

    @cached_property
    def root(self) -> Span:
        """The span without a parent in the trace that starts first."""
        known = self.by_id
        return next(
            (span for span in self.spans if span.parent_id is None or span.parent_id not in known), self.spans[0]
        )

    @cached_property
    def by_id(self) -> Mapping[str, Span]:
        """Spans by id; of several with one id the first."""
        out: dict[str, Span] = {}
        for span in self.spans:
            out.setdefault(span.span_id, span)
        return out

    @cached_property
    def children(self) -> Mapping[str, tuple[Span, ...]]:
        """The spans directly below each span id, by start."""
        out: dict[str, list[Span]] = {}
        for span in self.spans:
            if span.parent_id is not None:
                out.setdefault(span.parent_id, []).append(span)
        return {parent: tuple(below) for parent, below in out.items()}

    @property
    def start_us(self) -> int:
        """When its first span began."""
        return self.spans[0].start_us

    @property
    def duration_us(self) -> int:
        """From the first start to the last end."""
        return max(span.end_us for span in self.spans) - self.start_us

    @property
    def services(self) -> tuple[str, ...]:
        """Every service in it, in the order in which they appear."""
        return tuple(dict.fromkeys(span.service for span in self.spans))

    @property
    def errors(self) -> int:
        """How many spans failed."""
        return sum(span.failed for span in self.spans)

    def subtree(self, span_id: str) -> Iterator[Span]:
        """A span and everything below it, however deep; a loop of parents is walked once."""
        seen: set[str] = set()
        waiting = [span_id]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.by_id:
                yield self.by_id[name]
            waiting += [child.span_id for child in self.children.get(name, ())]


class TracePage(msgspec.Struct, frozen=True):
    """What a search found, newest first; `truncated` says that there may be more that match."""

    traces: tuple[Trace, ...]
    truncated: bool = False


class Operation(msgspec.Struct, frozen=True):
    """What a service does, by span name."""

    name: str
    kind: SpanKind = ""


class Edge(msgspec.Struct, frozen=True):
    """One service calls another; `errors` is None where the backend does not count them."""

    parent: str
    child: str
    calls: int
    errors: int | None = None


def trace_id_of(text: str) -> str:
    """A trace id in its one form: lower case, 32 digits, whatever zeros a backend dropped."""
    return text.strip().lower().removeprefix("0x").rjust(32, "0")


def span_id_of(text: str) -> str:
    """A span id in its one form: lower case, 16 digits."""
    return text.strip().lower().removeprefix("0x").rjust(16, "0")
