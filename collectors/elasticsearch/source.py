"""Asks an Elasticsearch, 8.19 or later, for log records: pages, counts by time and field, the mapping.

Every question ends as a reading: whatever the server does, nothing is raised and an answer that is not whole is never
`Measured`. Must never need `GET /`, or write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from collectors.elasticsearch.answers import MissingIndex, decoded, missing_parts
from collectors.elasticsearch.counting import (
    CountAnswer,
    Counts,
    aggregation,
    check_span,
    groups_of,
    parts,
)
from collectors.elasticsearch.fields import FieldMap, Mapped, asked_names, by_ecs_name, unknown
from collectors.elasticsearch.hits import Reader
from collectors.elasticsearch.paging import Pages, read_cursor
from collectors.elasticsearch.question import Clause, Question
from collectors.elasticsearch.wire import Wire, server_limit
from opsctl.core.frozen import dataclass
from opsctl.core.logs import LogCounts, LogField, LogPage, LogQuery
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.http import MIB, Endpoint, HttpProblem, one_line
from opsctl.ports.metrics import Probe

DEFAULT_INDEX = ("logs-*-*", "filebeat-*")
PAGE_MAX = 10_000  # the server's own limit (index.max_result_window)
_NO_NODES = frozenset({400, 403, 404, 405, 410})  # 410: a serverless project
_CAPS_SECONDS = 30.0  # so long the mapping is taken as it was
_NAMES_IN_URL = 3_000  # characters; the server's own limit on a request line is 4,096

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Mapping:
    fields: FieldMap
    reader: Reader
    notes: tuple[str, ...]
    until: float


class ElasticsearchSource:
    """One server; used by many threads at once. `fields` are more names for what a record says, by its attributes."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        index: Sequence[str] = DEFAULT_INDEX,
        fields: Mapping[str, Sequence[str]] | None = None,
        connect_seconds: float = 2.0,
        request_seconds: float = 10.0,
        max_body: int = 64 * MIB,
        series: int = 200_000,
        concurrency: int = 8,
    ) -> None:
        self.name = f"elasticsearch {endpoint.address}"
        self.concurrency = concurrency
        self._address = endpoint.address
        self._index = tuple(index) or DEFAULT_INDEX
        self._more = by_ecs_name(fields or {})
        self._series_cap = series
        self._wire = Wire(
            endpoint,
            connect_seconds=connect_seconds,
            request_seconds=request_seconds,
            max_body=max_body,
            pool_size=concurrency,
        )
        self._lock = threading.Lock()
        self._mappings: dict[frozenset[str], _Mapping] = {}
        self._pages = Pages(self._wire, self._index)

    # -- questions

    def search(
        self,
        query: LogQuery,
        timeout_seconds: float,
        *,
        limit: int = 100,
        cursor: str = "",
        oldest_first: bool = False,
    ) -> Reading[LogPage]:
        """At most `limit` records, newest first, from a point in time that stays open while a cursor needs it."""
        begun = time.monotonic()
        deadline = begun + timeout_seconds
        try:
            if not 1 <= limit <= PAGE_MAX:
                raise HttpProblem(Reason.REJECTED, f"a page has 1 to {PAGE_MAX:,} records, not {limit:,}")
            at = read_cursor(cursor, oldest_first) if cursor else None
            mapping = self._mapping((matcher.field for matcher in query.matchers), deadline)
            if not mapping.fields.indices:
                return self._no_index(mapping, begun)
            question = Question(query, mapping.fields)
            answer, pit = self._pages.page(question.clause, mapping.fields, at, limit, oldest_first, deadline)
            records = mapping.reader.records(answer.hits.hits)
            more = self._pages.next(answer, records, pit, at, limit, oldest_first, deadline)
        except HttpProblem as wrong:
            return self._failed(wrong, begun)
        warnings = (
            *missing_parts(answer.shards, answer.timed_out, answer.clusters),
            *(one_line(words) for words in mapping.fields.untimed),
        )
        notes = (*mapping.notes, *question.notes)
        return self._reading(LogPage(records, more), not records, warnings, notes, begun)

    def count(self, query: LogQuery, step: timedelta, by: Sequence[str], timeout_seconds: float) -> Reading[LogCounts]:
        """Counts of composite groups, every page of them."""
        begun = time.monotonic()
        deadline = begun + timeout_seconds
        warnings: dict[str, None] = {}
        try:
            check_span(query.start, query.end, step)
            mapping = self._mapping((*by, *(matcher.field for matcher in query.matchers)), deadline)
            if not mapping.fields.indices:
                return self._no_index(mapping, begun)
            question = Question(query, mapping.fields)
            counts = Counts(by, step, self._series_cap)
            warnings |= dict.fromkeys(one_line(words) for words in mapping.fields.untimed)
            for part in parts(mapping.fields, by):
                for index in _in_urls(part.indices) or [list(self._index)]:
                    after: Any = None
                    while True:
                        aggs = aggregation(part, query.start, step, after)
                        answer = self._count(question.clause, aggs, index, deadline)
                        warnings |= dict.fromkeys(missing_parts(answer.shards, answer.timed_out, answer.clusters))
                        groups = groups_of(answer)
                        counts.add(part, groups)
                        after = groups.after_key
                        if after is None or not groups.buckets:
                            break
        except HttpProblem as wrong:
            return self._failed(wrong, begun)
        notes = (*mapping.notes, *question.notes)
        return self._reading(counts.whole(), False, tuple(warnings), notes, begun)

    def fields(self, timeout_seconds: float) -> Reading[tuple[LogField, ...]]:
        """The whole mapping by ECS names."""
        begun = time.monotonic()
        try:
            mapped, notes = self._caps(("*",), begun + timeout_seconds)
            found = FieldMap(mapped, self._more)
        except HttpProblem as wrong:
            return self._failed(wrong, begun)
        return self._reading(found.listed(), not found.indices, (), notes, begun)

    def probe(self, timeout_seconds: float) -> Probe:
        """Ask what the logs need: the mapping of the indices; the version where we may see it."""
        begun = time.monotonic()
        deadline = begun + timeout_seconds
        version = ""
        try:
            version = self._version(deadline)
            mapped, notes = self._caps(("@timestamp",), deadline)
        except HttpProblem as wrong:
            silent = wrong.reason is Reason.UNREACHABLE or (wrong.reason is Reason.DEADLINE and wrong.status is None)
            took = time.monotonic() - begun
            return Probe(self.name, self._address, not silent, False, wrong.message, version=version, took_seconds=took)
        count = len(FieldMap(mapped, {}).indices)
        said = "; ".join((f"{count or 'no'} {'index fits' if count < 2 else 'indices fit'} {self._patterns()}", *notes))
        took = time.monotonic() - begun
        return Probe(self.name, self._address, True, True, said, version, took_seconds=took, usable=count > 0)

    @property
    def closed(self) -> bool:
        """Whether nothing more can be asked of it."""
        return self._wire.closed

    def close(self) -> None:
        """Drop connections, also ones in use: their readings become `Failed(deadline)`."""
        self._pages.close()
        self._wire.close()

    # -- the mapping

    def _mapping(self, fields: Iterable[str], deadline: float) -> _Mapping:
        """What the mapping has of those fields; HttpProblem for one that is not there, with near names."""
        wanted = frozenset(fields)
        with self._lock:
            found = self._mappings.get(wanted)
        if found is None or found.until < time.monotonic():
            mapped, notes = self._caps(asked_names(wanted, self._more), deadline)
            of = FieldMap(mapped, self._more)
            found = _Mapping(of, Reader(of, self._more), notes, time.monotonic() + _CAPS_SECONDS)
            if found.fields.indices:
                self._check_known(found.fields, wanted, deadline)
                with self._lock:
                    self._mappings[wanted] = found
        return found

    def _check_known(self, found: FieldMap, wanted: Iterable[str], deadline: float) -> None:
        for field in sorted(wanted):
            if not found.known(field):
                mapped, _ = self._caps(("*",), deadline)
                names = [one.name for one in FieldMap(mapped, self._more).listed()]
                raise unknown(one_line(field, 80), names)

    def _caps(self, names: Sequence[str], deadline: float) -> tuple[Mapped, tuple[str, ...]]:
        """The mapping of some names, and notes of indices that were named and are not there."""

        def ask(lenient: bool) -> Mapped:
            body = self._wire.ask(
                deadline,
                lambda client: client.field_caps(
                    index=list(self._index), fields=list(names), filters="-metadata,-parent", ignore_unavailable=lenient
                ),
            )
            return decoded(body, Mapped)

        try:
            return ask(lenient=False), ()
        except MissingIndex as missing:
            return ask(lenient=True), (missing.message,)

    # -- the rest

    def _count(self, clause: Clause, aggs: Mapping[str, Any], index: Sequence[str], deadline: float) -> CountAnswer:
        body = self._wire.ask(
            deadline,
            lambda client: client.search(
                index=list(index),
                query=clause,
                aggs=aggs,
                size=0,
                track_total_hits=False,
                ignore_unavailable=True,
                preference="opsctl",  # the same copies for every page
                timeout=server_limit(deadline),
            ),
        )
        return decoded(body, CountAnswer)

    def _version(self, deadline: float) -> str:
        """The version, or nothing where this credential may not see the nodes, or there are none to see."""
        try:
            body = self._wire.ask(deadline, lambda client: client.nodes.info(node_id="_local", metric="http"))
        except HttpProblem as wrong:
            if wrong.status in _NO_NODES:
                return ""
            raise
        nodes = decoded(body, _Nodes).nodes.values()
        return one_line(next((node.version for node in nodes), ""), 60)

    def _patterns(self) -> str:
        return one_line(", ".join(self._index), 120)

    def _no_index(self, mapping: _Mapping, begun: float) -> Absent:
        notes = (f"no index fits {self._patterns()}", *mapping.notes)
        return Absent(self.name, time.monotonic() - begun, notes)

    def _failed(self, wrong: HttpProblem, begun: float) -> Failed[Any]:
        return Failed(wrong.reason, wrong.message, self.name, took_seconds=time.monotonic() - begun)

    def _reading(
        self, data: T, empty: bool, warnings: tuple[str, ...], notes: tuple[str, ...], begun: float
    ) -> Reading[T]:
        took = time.monotonic() - begun
        if warnings:
            more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
            return Failed(Reason.PARTIAL, f"{warnings[0]}{more}", self.name, data, warnings, took)
        if empty:
            return Absent(self.name, took, notes)
        return Measured(data, self.name, took, notes)


class _Node(msgspec.Struct):
    version: str = ""


class _Nodes(msgspec.Struct):
    nodes: dict[str, _Node]


def _in_urls(indices: Sequence[str]) -> list[list[str]]:
    """Index names in lists that each fit into a request line."""
    out: list[list[str]] = []
    room = 0
    for name in indices:
        if room < len(name) + 3:
            out.append([])
            room = _NAMES_IN_URL
        out[-1].append(name)
        room -= len(name) + 3
    return out
