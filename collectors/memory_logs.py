"""Log records in this process behind the contract of a server: the demo's and the tests'.

Keeps the newest records and forgets the oldest. Must never open a socket or a file.
"""

from __future__ import annotations

import difflib
import threading
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import product
from typing import Any, TypeVar

import msgspec

from opsctl.core.logs import (
    ECS_NAMES,
    Bucket,
    LogCounts,
    LogField,
    LogPage,
    LogQuery,
    LogRecord,
    label_name,
    texts_of,
    value_of,
)
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.core.traces import trace_id_of
from opsctl.ports.metrics import Probe
from opsctl.promql.errors import PromqlError, UnsupportedError
from opsctl.series.log_matching import Test, tests_of

CAPACITY = 100_000
PAGE_MAX = 10_000

T = TypeVar("T")
_Key = tuple[float, int]  # time, and the order of arrival among equal times


class _Refused(Exception):
    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MemoryLogs:
    """Records in memory; asked in the calling thread, filled by any."""

    concurrency = 1

    def __init__(self, capacity: int = CAPACITY, name: str = "memory") -> None:
        self.name = name
        self._capacity = capacity
        self._lock = threading.Lock()
        self._keys: list[_Key] = []  # by time; so are those of each service and each trace
        self._by_service: dict[str, list[_Key]] = defaultdict(list)
        self._by_trace: dict[str, list[_Key]] = defaultdict(list)
        self._records: dict[_Key, LogRecord] = {}
        self._arrived = 0
        self._names: dict[str, None] = {}
        self._closed = False

    def add(self, records: Iterable[LogRecord]) -> None:
        """Keep them; beyond the capacity those of the earliest times go."""
        with self._lock:
            fresh = sorted(self._numbered(records), key=lambda pair: pair[0])
            self._records.update(fresh)
            _merge(self._keys, [key for key, _ in fresh])
            for places, names in ((self._by_service, "service"), (self._by_trace, "trace_id")):
                grouped: dict[str, list[_Key]] = defaultdict(list)
                for key, record in fresh:
                    grouped[getattr(record, names)].append(key)
                for name, keys in grouped.items():
                    _merge(places[name], keys)
            self._forget(len(self._keys) - self._capacity)

    def _numbered(self, records: Iterable[LogRecord]) -> Iterator[tuple[_Key, LogRecord]]:
        for record in records:
            self._arrived += 1
            named = record if record.id else msgspec.structs.replace(record, id=str(self._arrived))
            self._names |= dict.fromkeys(record.fields)
            yield (record.at.timestamp(), self._arrived), named

    def _forget(self, count: int) -> None:
        """The earliest go."""
        if count <= 0:
            return
        gone = [self._records.pop(key) for key in self._keys[:count]]
        last = self._keys[count - 1]
        del self._keys[:count]
        for places, names in (
            (self._by_service, {record.service for record in gone}),
            (self._by_trace, {record.trace_id for record in gone}),
        ):
            for name in names:
                del places[name][: bisect_right(places[name], last)]
                if not places[name]:
                    del places[name]

    def search(
        self,
        query: LogQuery,
        timeout_seconds: float,
        *,
        limit: int = 100,
        cursor: str = "",
        oldest_first: bool = False,
    ) -> Reading[LogPage]:
        """At most `limit` records, newest first; a cursor is the place of the last one."""

        def ask() -> LogPage:
            if not 1 <= limit <= PAGE_MAX:
                raise _Refused(Reason.REJECTED, f"a page has 1 to {PAGE_MAX:,} records, not {limit:,}")
            after = _place(cursor, oldest_first) if cursor else None
            found: list[tuple[_Key, LogRecord]] = []
            for key, record in self._fitting(query, oldest_first):
                if after is None or (key > after if oldest_first else key < after):
                    found.append((key, record))
                    if len(found) == limit:
                        break
            more = f"{'+' if oldest_first else '-'}{found[-1][0][0]!r}/{found[-1][0][1]}" if len(found) == limit else ""
            return LogPage(tuple(record for _, record in found), more)

        return self._reading(ask, timeout_seconds, lambda page: not page.records)

    def count(self, query: LogQuery, step: timedelta, by: Sequence[str], timeout_seconds: float) -> Reading[LogCounts]:
        """Counts by steps and fields; a field with several values counts under each."""

        def ask() -> LogCounts:
            if step < timedelta(milliseconds=1):
                raise _Refused(Reason.REJECTED, "the step of a count must be at least 1 ms")
            if query.end < query.start:
                raise _Refused(Reason.REJECTED, "the end must not be before the start")
            self._check_known(by)
            found: dict[tuple[str, ...], dict[int, int]] = defaultdict(lambda: defaultdict(int))
            for _, record in self._fitting(query, oldest_first=True):
                place = (record.at - query.start) // step
                for values in product(*[texts_of(value_of(record, field)) or ("",) for field in by]):
                    found[values][place] += 1
            return LogCounts(step, tuple(sorted(_buckets(query, step, by, found), key=lambda bucket: bucket.labels)))

        return self._reading(ask, timeout_seconds, lambda _: not self._keys)

    def fields(self, timeout_seconds: float) -> Reading[tuple[LogField, ...]]:
        """Every field that a record had."""

        def ask() -> tuple[LogField, ...]:
            known = {"@timestamp": "date", **dict.fromkeys((*ECS_NAMES.values(), *self._names), "keyword")}
            return tuple(LogField(name, known[name]) for name in sorted(known))

        return self._reading(ask, timeout_seconds, lambda _: not self._keys)

    def probe(self, timeout_seconds: float) -> Probe:
        """It is here."""
        if self._closed or timeout_seconds <= 0:
            return Probe(self.name, self.name, False, False, self._late().message)
        return Probe(self.name, self.name, True, True, f"{len(self._keys):,} records", clock_skew_seconds=0.0)

    def close(self) -> None:
        """Answer no more."""
        self._closed = True

    # -- inside

    def _reading(self, ask: Callable[[], T], timeout_seconds: float, empty: Callable[[T], bool]) -> Reading[T]:
        begun = time.monotonic()
        if self._closed or timeout_seconds <= 0:
            return self._late()
        try:
            data = ask()
        except _Refused as wrong:
            return Failed(wrong.reason, str(wrong), self.name, took_seconds=time.monotonic() - begun)
        took = time.monotonic() - begun
        return Absent(self.name, took) if empty(data) else Measured(data, self.name, took)

    def _late(self) -> Failed[Any]:
        message = "given up: the time for all questions is over" if self._closed else "no time was left to ask"
        return Failed(Reason.DEADLINE, message, self.name)

    def _fitting(self, query: LogQuery, oldest_first: bool) -> Iterator[tuple[_Key, LogRecord]]:
        tests = self._tests(query)
        with self._lock:
            keys = self._candidates(query)
        for key in keys if oldest_first else reversed(keys):
            record = self._records.get(key)  # None: it was forgotten meanwhile
            if record is not None and all(test(record) for test in tests):
                yield key, record

    def _candidates(self, query: LogQuery) -> list[_Key]:
        """The places, by time, of all records of that time that may fit: of one trace, of some services, or all."""
        if query.trace_id:
            lists = [self._by_trace.get(trace_id_of(query.trace_id), [])]
        elif services := _services(query):
            lists = [self._by_service.get(name, []) for name in services]
        else:
            lists = [self._keys]
        low, high = (query.start.timestamp(), 0), (query.end.timestamp(), 0)
        found = [key for keys in lists for key in keys[bisect_left(keys, low) : bisect_left(keys, high)]]
        return sorted(found) if len(lists) > 1 else found

    def _tests(self, query: LogQuery) -> list[Test]:
        if query.query_string:
            raise _Refused(Reason.UNSUPPORTED, "records in memory have no query language of their own")
        self._check_known(matcher.field for matcher in query.matchers)
        try:
            return tests_of(query)
        except UnsupportedError as wrong:
            raise _Refused(Reason.UNSUPPORTED, str(wrong)) from wrong
        except PromqlError as wrong:
            raise _Refused(Reason.REJECTED, str(wrong)) from wrong

    def _check_known(self, fields: Iterable[str]) -> None:
        known = {*self._names, *ECS_NAMES.values()}
        for field in fields:
            if field not in known and self._keys:
                near = difflib.get_close_matches(field, known, n=3, cutoff=0.5)
                hint = f"; near it: {', '.join(near)}" if near else ""
                raise _Refused(Reason.REJECTED, f"no field {field} in the mapping{hint}")


def _merge(keys: list[_Key], fresh: list[_Key]) -> None:
    """Both are sorted, and so is what comes out."""
    late = bool(keys) and bool(fresh) and fresh[0] < keys[-1]
    keys += fresh
    if late:
        keys.sort()


def _services(query: LogQuery) -> frozenset[str]:
    """The only services that fit; none where all may."""
    exact = [one.value for one in query.matchers if (one.field, one.op) == ("service.name", "=") and one.value]
    return frozenset(exact[:1] or query.services)


def _place(cursor: str, oldest_first: bool) -> _Key:
    at, _, arrived = cursor[1:].partition("/")
    try:
        key = (float(at), int(arrived))
    except ValueError:
        raise _Refused(Reason.REJECTED, "the cursor is not one of this backend") from None
    if cursor[0] != ("+" if oldest_first else "-"):
        raise _Refused(Reason.REJECTED, "the cursor goes the other way in time")
    return key


def _buckets(
    query: LogQuery, step: timedelta, by: Sequence[str], found: Mapping[tuple[str, ...], Mapping[int, int]]
) -> Iterator[Bucket]:
    first, seconds = query.start.timestamp(), step.total_seconds()
    names = [label_name(field) for field in by]
    for values, places in found.items():
        points = tuple((first + place * seconds, count) for place, count in sorted(places.items()))
        yield Bucket(tuple(sorted(zip(names, values, strict=True))), points)
