"""A trace's tree and times as columns: what a waterfall and a critical path are computed from, without a span object.

Pure. Must never look at a name, a service or an attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from operator import eq

import msgspec

NO_PARENT = -1
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999: what a collector may take for a time."""
FEW = 64
"""So many spans that stand before their parents are looked at one by one; with more, whole columns are."""
_NOTHING: list[int] = []  # below every leaf; nobody writes to it


class Shape(msgspec.Struct, frozen=True, dict=True):
    """Columns of equal length, by start; `parents` is a forest of indices, `NO_PARENT` above each root.

    A span whose parent did not arrive is a root, and so is the earliest span of a loop of parents.
    """

    span_ids: Sequence[str]
    parents: Sequence[int]
    starts_us: Sequence[int]
    ends_us: Sequence[int]

    @property
    def start_us(self) -> int:
        """When the first span began."""
        return self.starts_us[0]

    @cached_property
    def end_us(self) -> int:
        """When the last span ended."""
        return max(self.ends_us)

    @property
    def dated(self) -> bool:
        """Whether all of its times are in a calendar."""
        return self.start_us >= FIRST_US and self.end_us <= LAST_US

    @cached_property
    def early(self) -> Sequence[int]:
        """Spans that stand before their parents: they began at the same time, or clocks disagree."""
        return _early(self.parents)

    @cached_property
    def below(self) -> Sequence[Sequence[int]]:
        """The children of each span, by start; the last element, `below[NO_PARENT]`, are the roots."""
        out: list[list[int]] = [_NOTHING] * (len(self.parents) + 1)
        for index, parent in enumerate(self.parents):
            if siblings := out[parent]:
                siblings.append(index)
            else:
                out[parent] = [index]
        return out

    @cached_property
    def order(self) -> Sequence[int]:
        """Every index, depth first, children by start."""
        out: list[int] = []
        waiting = list(reversed(self.below[NO_PARENT]))
        while waiting:
            index = waiting.pop()
            out.append(index)
            waiting += reversed(self.below[index])
        return out


def shape_of(
    span_ids: Sequence[str], parent_ids: Sequence[str | None], starts_us: Sequence[int], ends_us: Sequence[int]
) -> Shape:
    """The shape of spans that are sorted by start.

    Of several spans with one id the first is the parent of what names it; a span that names its own id as its parent
    is the other half of a shared span (Zipkin: the server's of a client's) and goes between.
    """
    where: dict[str | None, int] = dict(zip(reversed(span_ids), range(len(span_ids) - 1, -1, -1), strict=True))
    parents = [where.get(name, NO_PARENT) for name in parent_ids]
    if any(map(eq, span_ids, parent_ids)):
        _put_between(span_ids, parent_ids, parents)
    early = _early(parents)
    if len(early) > FEW:
        _cut_loops(parents, range(len(parents)))
    elif early:
        _cut_loops(parents, early)
    return Shape(span_ids, parents, starts_us, ends_us)


def _put_between(span_ids: Sequence[str], parent_ids: Sequence[str | None], parents: list[int]) -> None:
    """Halves below the span that shares their id, and what names that id below the half."""
    halves = [index for index, name in enumerate(parent_ids) if name == span_ids[index]]
    own = set(halves)
    others = {span_ids[i]: i for i in range(len(span_ids) - 1, -1, -1) if i not in own}
    half_of = {span_ids[index]: index for index in reversed(halves)}
    for index, name in enumerate(parent_ids):
        if index in own:
            parents[index] = others.get(span_ids[index], NO_PARENT)
        elif name in half_of:
            parents[index] = half_of[name]


def _early(parents: Sequence[int]) -> list[int]:
    return [index for index, parent in enumerate(parents) if parent >= index]


def _cut_loops(parents: list[int], candidates: Sequence[int]) -> None:
    """Make the earliest span of every loop a root; each loop has a candidate in it."""
    good = bytearray(len(parents))
    for index in candidates:
        walked = []
        at = index
        while at != NO_PARENT and not good[at]:
            good[at] = 1
            walked.append(at)
            at = parents[at]
        if at != NO_PARENT and at in set(walked):
            parents[min(walked[walked.index(at) :])] = NO_PARENT
