"""Which span a trace was waiting for, at each microsecond of it.

The algorithm is CRISP's (Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures",
USENIX ATC 2022, section 4): walk back from the end; the child that returned last is on the path, and before it began
the child that had returned last by then. Three things that it leaves open are decided here so that the segments
always add up to the trace's duration:

- What a span started and did not wait for may end after it. Once a span has ended, whatever of its subtree still runs
  is on the path, though it overlaps with what came later.
- Time in which nothing of a subtree runs (a message in a queue, clocks that disagree, several roots) is `idle`, and
  belongs to the span that it ended with.
- Spans without a parent stand side by side, as if a span that never ran had started them.

Pure. Must never look at a name or an attribute: only at the shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from opsctl.core.trace_shape import FEW, NO_PARENT, Shape

NEVER = -(1 << 80)  # the virtual parent of the roots has ended before everything


class Segment(msgspec.Struct, frozen=True):
    """One stretch of the path; `index` is the span's place in the trace. `idle`: nothing ran until it began."""

    span_id: str
    from_us: int
    to_us: int
    index: int
    idle: bool = False

    @property
    def duration_us(self) -> int:
        """How long."""
        return self.to_us - self.from_us


class _Visit:
    """One span on the path while its time before `at` is given out."""

    __slots__ = ("at", "below", "next", "reset", "span", "then")

    def __init__(self, span: int, at: int, then: int, below: Sequence[int]) -> None:
        self.span = span
        self.at = at  # everything after this is given out
        self.then = then  # the span of the path that begins at `at`
        self.below = below  # children, last to end first
        self.next = 0
        self.reset = False


def critical_path(shape: Shape) -> tuple[Segment, ...]:
    """Segments by time without gap or overlap, from the first start to the last end; none where nothing took time."""
    return tuple(reversed(list(_Walk(shape).segments())))


class _Walk:
    """One walk back through one trace."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._begins, self._reaches = _hulls(shape)
        self._starts = [*shape.starts_us, NEVER]
        self._ends = [*shape.ends_us, NEVER]

    def segments(self) -> Iterator[Segment]:
        """Latest first."""
        visits = [self._visit(NO_PARENT, self._shape.end_us, NO_PARENT)]
        begins, reaches = self._begins, self._reaches
        while visits:
            visit = visits[-1]
            child = self._child(visit)
            if child is None:
                yield from self._own(visit)
                if visit.at <= begins[visit.span]:
                    visits.pop()
                continue
            until = min(reaches[child], visit.at)
            if until < visit.at:
                yield from self._gap(visit, until)
            visits.append(self._visit(child, until, visit.then))
            visit.at, visit.then = begins[child], child

    def _visit(self, span: int, at: int, then: int) -> _Visit:
        below = self._shape.below[span]
        if len(below) > 1:
            below = sorted(below, key=self._reaches.__getitem__, reverse=True)
        return _Visit(span, at, then, below)

    def _child(self, visit: _Visit) -> int | None:
        """The child that the time before `visit.at` was spent in, if any."""
        at, below = visit.at, visit.below
        runs = self._starts[visit.span] < at <= self._ends[visit.span]
        while visit.next < len(below):
            child = below[visit.next]
            visit.next += 1
            begin, reach = self._begins[child], self._reaches[child]
            if begin < at and begin < reach and not (runs and reach > at):
                return child
        return None

    def _own(self, visit: _Visit) -> Iterator[Segment]:
        """What is left without a child: down to the span's start, or to the begin of the whole."""
        begin = self._begins[visit.span]
        start = self._starts[visit.span]
        until = start if begin < start < visit.at and not visit.reset else begin
        visit.reset, visit.next = True, 0  # before its start it does not run: what was passed over may be on the path
        yield from self._gap(visit, until)
        visit.at = until

    def _gap(self, visit: _Visit, until: int) -> Iterator[Segment]:
        """(until, visit.at) without a child: the span's own while it runs, else idle."""
        at = visit.at
        start, end = self._starts[visit.span], self._ends[visit.span]
        after, before = max(until, min(end, at)), min(at, max(start, until))
        if at > after:
            yield self._segment(visit.then, after, at, idle=True)
        if before < after and end > NEVER:
            yield self._segment(visit.span, before, after)
        if until < before and end > NEVER:
            yield self._segment(visit.span, until, before, idle=True)

    def _segment(self, span: int, from_us: int, to_us: int, *, idle: bool = False) -> Segment:
        return Segment(self._shape.span_ids[span], from_us, to_us, span, idle)


def _hulls(shape: Shape) -> tuple[list[int], list[int]]:
    """When the first of each subtree began and the last ended; the last element is the whole trace."""
    begins = [*shape.starts_us, shape.start_us]
    reaches = [*shape.ends_us, shape.end_us]
    parents = shape.parents
    if len(shape.early) > FEW:
        for index in reversed(shape.order):
            _widen(index, parents[index], begins, reaches)
        return begins, reaches
    for index in range(len(parents) - 1, -1, -1):  # by start: what stands after its parent begins no earlier
        parent = parents[index]
        if reaches[index] > reaches[parent]:
            reaches[parent] = reaches[index]
    for index in shape.early:
        above = parents[index]
        _widen(index, above, begins, reaches)
        while above != NO_PARENT and _widen(above, parents[above], begins, reaches):
            above = parents[above]
    return begins, reaches


def _widen(index: int, parent: int, begins: list[int], reaches: list[int]) -> bool:
    """Make a parent's hull hold its child's; whether what is above may have to grow too."""
    grows = begins[index] < begins[parent] or reaches[index] > reaches[parent]
    begins[parent] = min(begins[parent], begins[index])
    reaches[parent] = max(reaches[parent], reaches[index])
    return grows
