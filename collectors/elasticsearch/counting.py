"""Counts by time and by fields: what is asked of a composite aggregation, and its pages as whole counts.

Pure. Must never leave a group out in silence: pages are read until the server has no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from collectors.elasticsearch.answers import Clusters, Shards, shown
from collectors.elasticsearch.fields import NUMBER, TEXT, FieldMap, Leaf
from collectors.elasticsearch.question import whole_ms
from opsctl.core.frozen import dataclass
from opsctl.core.logs import Bucket, LogCounts, label_name, severity_of, severity_of_number
from opsctl.core.signals import Labels, Reason
from opsctl.core.traces import span_id_of, trace_id_of
from opsctl.http import HttpProblem

PAGE = 5_000  # buckets; the server's own limit is 65,536

Key = dict[str, str | int | float | bool | None]


class _Bucket(msgspec.Struct):
    key: Key
    doc_count: int


class _Groups(msgspec.Struct):
    buckets: list[_Bucket]
    after_key: Key | None = None


class _Aggregations(msgspec.Struct):
    groups: _Groups


class CountAnswer(msgspec.Struct):
    """The body of one page of counts."""

    shards: Shards = msgspec.field(name="_shards")
    timed_out: bool = False
    clusters: Clusters | None = msgspec.field(name="_clusters", default=None)
    aggregations: _Aggregations | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Indices that are asked at once, and the fields that each of `by` is read from there; no indices: all."""

    indices: tuple[str, ...]
    leaves: tuple[tuple[Leaf, ...], ...]


def parts(fields: FieldMap, by: Sequence[str]) -> Iterator[Part]:
    """One part where indices agree on types, else one for each kind of disagreement; HttpProblem for full text."""
    leaves = [_countable(fields, field) for field in by]
    disputed = [leaf for of_field in leaves for leaf in of_field if leaf.indices is not None]
    if not disputed:
        yield Part((), tuple(leaves))
        return
    groups: dict[tuple[bool, ...], list[str]] = defaultdict(list)
    for index in fields.indices:
        groups[tuple(index in (leaf.indices or ()) for leaf in disputed)].append(index)
    for indices in groups.values():
        here = set(indices)
        yield Part(
            tuple(indices),
            tuple(tuple(leaf for leaf in of if leaf.indices is None or here <= leaf.indices) for of in leaves),
        )


def _countable(fields: FieldMap, field: str) -> tuple[Leaf, ...]:
    exact = fields.exact(field)
    names = {leaf.name for leaf in exact}
    for leaf in fields.leaves(field):
        # Where only some indices keep it as text, an alias of another exact name may stand for it there.
        if leaf.type in TEXT and f"{leaf.name}.keyword" not in names and (leaf.indices is None or len(names) < 2):
            raise HttpProblem(
                Reason.REJECTED,
                f"{leaf.name} is full text, which cannot be counted by: map it as keyword, or count by another field",
            )
    if not exact and fields.leaves(field):
        kinds = ", ".join(dict.fromkeys(leaf.type for leaf in fields.leaves(field)))
        raise HttpProblem(Reason.REJECTED, f"{field} is of the type {kinds}, which cannot be counted by")
    numbered = (Leaf(NUMBER, "byte", None),) if field == "log.level" else ()
    return (*exact, *numbered)


def aggregation(part: Part, start: datetime, step: timedelta, after: Key | None) -> dict[str, Any]:
    """The composite aggregation of one page."""
    step_ms = _ms(step)
    histogram = {
        "field": "@timestamp",
        "fixed_interval": f"{step_ms}ms",
        "offset": f"{_start_ms(start) % step_ms}ms",
    }
    sources: list[dict[str, Any]] = [{"t": {"date_histogram": histogram}}]
    for number, of_field in enumerate(part.leaves):
        for place, leaf in enumerate(of_field):
            sources.append({f"{number}.{place}": {"terms": {"field": leaf.name, "missing_bucket": True}}})
    page: dict[str, Any] = {"size": PAGE, "sources": sources}
    return {"groups": {"composite": {**page, "after": after} if after else page}}


class Counts:
    """Adds up pages."""

    def __init__(self, by: Sequence[str], step: timedelta, most: int) -> None:
        self._by = tuple(by)
        self._names = tuple(label_name(field) for field in by)
        self._step = step
        self._most = most
        self._found: dict[Labels, dict[float, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, part: Part, groups: _Groups) -> None:
        """One page of one part."""
        for bucket in groups.buckets:
            at = bucket.key.get("t")
            if not isinstance(at, (int, float)):
                raise HttpProblem(Reason.MALFORMED, "answered a group without its time")
            pairs = {
                name: _said(field, [bucket.key.get(f"{number}.{place}") for place in range(len(part.leaves[number]))])
                for number, (name, field) in enumerate(zip(self._names, self._by, strict=True))
            }
            self._found[tuple(sorted(pairs.items()))][at / 1000] += bucket.doc_count
        if len(self._found) > self._most:
            raise HttpProblem(
                Reason.TOO_LARGE, f"counts of more than {self._most} combinations (limits.series): count by less"
            )

    def whole(self) -> LogCounts:
        """What there is so far, sorted."""
        buckets = [Bucket(labels, tuple(sorted(points.items()))) for labels, points in sorted(self._found.items())]
        return LogCounts(self._step, tuple(buckets))


def check_span(start: datetime, end: datetime, step: timedelta) -> None:
    """HttpProblem for a span or a step that has no buckets."""
    if step < timedelta(milliseconds=1):
        raise HttpProblem(Reason.REJECTED, "the step of a count must be at least 1 ms")
    if end < start:
        raise HttpProblem(Reason.REJECTED, "the end must not be before the start")


def groups_of(answer: CountAnswer) -> _Groups:
    """The groups of a page; none where no shard had anything to ask."""
    return _Groups([]) if answer.aggregations is None else answer.aggregations.groups


def _said(field: str, values: Sequence[str | int | float | bool | None]) -> str:
    """The label of a group: the first field that has a value, as a record would say it."""
    *worded, last = values if field == "log.level" else (*values, None)
    text = next((_plain(value) for value in worded if value not in (None, "")), "")
    match field:
        case "log.level":
            return (
                severity_of(text) if text else severity_of_number(int(last)) if isinstance(last, (int, float)) else ""
            )
        case "trace.id":
            return trace_id_of(text) if text else ""
        case "span.id":
            return span_id_of(text) if text else ""
    return text


def _plain(value: str | int | float | bool | None) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else shown(value)


def _ms(step: timedelta) -> int:
    return step // timedelta(milliseconds=1)


def _start_ms(start: datetime) -> int:
    return round(whole_ms(start).timestamp() * 1000)
