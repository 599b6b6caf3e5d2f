"""What two traces of the same kind of request differ in: operations aligned by their path from the root.

Pure. Must never align by position or by id: only by service and operation, from the root down.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from opsctl.core.trace_shape import NO_PARENT
from opsctl.core.traces import Trace


class Side(msgspec.Struct, frozen=True):
    """All spans of one path in one trace; `own_us` is time in which nothing below them ran."""

    count: int
    duration_us: int
    own_us: int
    errors: int


class Difference(msgspec.Struct, frozen=True):
    """One operation below one path; None on the side of the trace that has no such span."""

    service: str
    operation: str
    depth: int
    above: Difference | None
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

    def callers(self, limit: int) -> list[tuple[str, str]]:
        """(service, operation) of what is above, the nearest last, at most so many: a tree may be very deep."""
        out: list[tuple[str, str]] = []
        at = self.above
        while at is not None and len(out) < limit:
            out.append((at.service, at.operation))
            at = at.above
        return out[::-1]


def differences(a: Trace, b: Trace) -> tuple[Difference, ...]:
    """Every path of either, the greatest difference of own time first."""
    paths: dict[_Key, int] = {}
    sides = [_sides(a, paths), _sides(b, paths)]
    found: list[Difference] = []
    for (above, service, operation), number in paths.items():  # what is above was numbered before
        parent = None if above == NO_PARENT else found[above]
        depth = 0 if parent is None else parent.depth + 1
        found.append(Difference(service, operation, depth, parent, *(side.get(number) for side in sides)))
    return tuple(sorted(found, key=lambda one: (-abs(one.own_us), -abs(one.duration_us))))


_Key = tuple[int, str, str]  # (number of the path above, service, operation)


def _sides(trace: Trace, paths: dict[_Key, int]) -> dict[int, Side]:
    """Sums by the number of a path; new paths get the next number."""
    shape = trace.shape
    path_of: dict[int, int] = {NO_PARENT: NO_PARENT}
    out: dict[int, Side] = {}
    for index in shape.order:
        span = trace.spans[index]
        path = paths.setdefault((path_of[shape.parents[index]], span.service, span.name), len(paths))
        path_of[index] = path
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
