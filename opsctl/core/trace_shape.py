"""A trace's tree and times as columns: what a waterfall and a critical path are computed from, without a span object.

Pure. Must never look at a name, a service or an attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from operator import le

import msgspec

NO_PARENT = -1


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

    @cached_property
    def parents_first(self) -> bool:
        """Whether every parent stands before its children, as it does unless clocks disagree."""
        return all(map(int.__lt__, self.parents, range(len(self.parents))))

    @cached_property
    def below(self) -> Sequence[Sequence[int]]:
        """The children of each span, by start; the last element, `below[NO_PARENT]`, are the roots."""
        out: list[list[int]] = [[] for _ in range(len(self.parents) + 1)]
        for index, parent in enumerate(self.parents):
            out[parent].append(index)
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
    where = _places(span_ids)
    parents = [where.get(name, NO_PARENT) for name in parent_ids]  # type: ignore[arg-type]  # None is no key
    halves = [index for index, name in enumerate(parent_ids) if name == span_ids[index]]
    if halves:
        _put_between(halves, span_ids, parent_ids, parents)
    if not all(map(int.__lt__, parents, range(len(parents)))):
        _cut_loops(parents)
    return Shape(span_ids, parents, starts_us, ends_us)


def _places(span_ids: Sequence[str]) -> dict[str, int]:
    """Where each id stands first."""
    return dict(zip(reversed(span_ids), range(len(span_ids) - 1, -1, -1), strict=True))


def _put_between(
    halves: Sequence[int], span_ids: Sequence[str], parent_ids: Sequence[str | None], parents: list[int]
) -> None:
    """Halves below the span that shares their id, and what names that id below the half."""
    own = set(halves)
    others = {span_ids[i]: i for i in range(len(span_ids) - 1, -1, -1) if i not in own}
    half_of = {span_ids[index]: index for index in reversed(halves)}
    for index, name in enumerate(parent_ids):
        if index in own:
            parents[index] = others.get(span_ids[index], NO_PARENT)
        elif name in half_of:
            parents[index] = half_of[name]


def sorted_by_start(starts_us: Sequence[int]) -> bool:
    """Whether times ascend."""
    return all(map(le, starts_us, starts_us[1:]))


def _cut_loops(parents: list[int]) -> None:
    """Make the earliest span of every loop a root."""
    good = bytearray(len(parents))
    for index in range(len(parents)):
        walked = []
        at = index
        while at != NO_PARENT and not good[at]:
            good[at] = 1
            walked.append(at)
            at = parents[at]
        if at != NO_PARENT and at in set(walked):
            loop = walked[walked.index(at) :]
            parents[min(loop)] = NO_PARENT
