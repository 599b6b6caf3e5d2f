"""What two traces of the same kind of request differ in: operations aligned by their path from the root.

Pure. Must never align by position or by id: only by service and operation, from the root down.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from opsctl.core.trace_shape import NO_PARENT
from opsctl.core.traces import Trace

Path = tuple[tuple[str, str], ...]
"""(service, operation) from the root down."""


class Side(msgspec.Struct, frozen=True):
    """All spans of one path in one trace; `own_us` is time in which nothing below them ran."""

    count: int
    duration_us: int
    own_us: int
    errors: int


class Difference(msgspec.Struct, frozen=True):
    """One path; None on the side of the trace that has no such span."""

    path: Path
    a: Side | None
    b: Side | None

    @property
    def duration_us(self) -> int:
        """B minus A."""
        return (self.b.duration_us if self.b else 0) - (self.a.duration_us if self.a else 0)

    @property
    def own_us(self) -> int:
        """B minus A, without what is below."""
        return (self.b.own_us if self.b else 0) - (self.a.own_us if self.a else 0)


def differences(a: Trace, b: Trace) -> tuple[Difference, ...]:
    """Every path of either, the greatest difference of own time first."""
    sides_a, sides_b = _sides(a), _sides(b)
    found = [Difference(path, sides_a.get(path), sides_b.get(path)) for path in dict.fromkeys([*sides_a, *sides_b])]
    return tuple(sorted(found, key=lambda one: (-abs(one.own_us), -abs(one.duration_us))))


def _sides(trace: Trace) -> dict[Path, Side]:
    """By path, in the order in which the trace is drawn."""
    shape = trace.shape
    paths: dict[int, Path] = {NO_PARENT: ()}
    out: dict[Path, Side] = {}
    for index in shape.order:
        span = trace.spans[index]
        path = paths[index] = (*paths[shape.parents[index]], (span.service, span.name))
        before = out.get(path, Side(0, 0, 0, 0))
        out[path] = Side(
            before.count + 1,
            before.duration_us + span.duration_us,
            before.own_us + own_time_us(trace, index),
            before.errors + span.failed,
        )
    return out


def own_time_us(trace: Trace, index: int) -> int:
    """How long a span ran while none of its children did."""
    shape = trace.shape
    start, end = shape.starts_us[index], shape.ends_us[index]
    return (
        end
        - start
        - _covered(start, end, [(shape.starts_us[child], shape.ends_us[child]) for child in shape.below[index]])
    )


def _covered(start: int, end: int, stretches: Sequence[tuple[int, int]]) -> int:
    """How much of (start, end) is in at least one stretch."""
    total, at = 0, start
    for begin, until in sorted(stretches):
        begin, until = max(begin, at), min(until, end)
        if until > begin:
            total += until - begin
            at = until
    return total
