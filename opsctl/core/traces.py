"""Spans and traces as every trace backend's answers become them.

Pure. Must never import a backend's format. Times are integer microseconds since the epoch, as Jaeger and Zipkin have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal, Union, overload

import msgspec

from opsctl.core.trace_shape import NO_PARENT, Shape, shape_of

_HEX = frozenset("0123456789abcdef")

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


class SpansOnUse(Sequence[Span]):
    """Spans that are made when somebody looks at them: a trace of thousands is decoded for a few."""

    def __init__(self, shape: Shape, make: Callable[[int], Span]) -> None:
        self.shape = shape
        self._make = make
        self._made: list[Span | None] = [None] * len(shape.span_ids)

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, index: int) -> Span: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Span]: ...
    def __getitem__(self, index: int | slice) -> Span | Sequence[Span]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        span = self._made[index]
        if span is None:
            span = self._made[index] = self._make(range(len(self))[index])
        return span

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, (tuple, SpansOnUse)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as long as it is compared by what is in it

    def __repr__(self) -> str:
        return repr(tuple(self))


class Trace(msgspec.Struct, frozen=True, dict=True):
    """Every span of one request that arrived, by start; never empty."""

    trace_id: str
    spans: Sequence[Span]
    warnings: tuple[str, ...] = ()

    @cached_property
    def shape(self) -> Shape:
        """The tree and the times as columns, in the order of `spans`."""
        spans = self.spans
        if isinstance(spans, SpansOnUse):
            return spans.shape
        return shape_of(
            [span.span_id for span in spans],
            [span.parent_id for span in spans],
            [span.start_us for span in spans],
            [span.end_us for span in spans],
        )

    @cached_property
    def root(self) -> Span:
        """The span without a parent in the trace that starts first."""
        return self.spans[self.shape.below[NO_PARENT][0]]

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
        return self.shape.start_us

    @property
    def duration_us(self) -> int:
        """From the first start to the last end."""
        return self.shape.end_us - self.shape.start_us

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


def trace_of(trace_id: str, spans: Sequence[Span], warnings: tuple[str, ...] = ()) -> Trace:
    """A trace of spans in any order; there must be one at least."""
    return Trace(trace_id, tuple(sorted(spans, key=lambda span: span.start_us)), warnings)


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


def is_trace_id(name: str) -> bool:
    """Whether a text in that form is a trace id: hexadecimal, and not only zeros."""
    return len(name) == 32 and not set(name) - _HEX and name != "0" * 32


def span_id_of(text: str) -> str:
    """A span id in its one form: lower case, 16 digits."""
    return text.strip().lower().removeprefix("0x").rjust(16, "0")
