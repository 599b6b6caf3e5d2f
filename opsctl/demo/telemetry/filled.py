"""The embedded platform's traces and logs: made when somebody asks for their time, and kept by a source in memory.

Minutes of the last half hour are made, the one that is under way among them; a trace that is asked for by its id is
made whenever it was, for its id tells the minute. Nothing is made for a story that asks for metrics only. Must never
show what has not happened yet: a line is there from its time on, a trace from the end of its last span.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from opsctl.core.logs import LogCounts, LogField, LogPage, LogQuery, LogRecord
from opsctl.core.signals import Reading
from opsctl.core.traces import Edge, Operation, Trace, TracePage, trace_id_of
from opsctl.demo.telemetry.draw import minute_of
from opsctl.demo.telemetry.minutes import Telemetry
from opsctl.ports import Probe
from opsctl.ports.logs import LogSource
from opsctl.ports.traces import TraceQuery, TraceSource

WINDOW = timedelta(minutes=30)
MAX_RECORDS = 400_000  # half an hour of a surge
MAX_SPANS = 700_000
_RECENT = timedelta(minutes=2)  # what is looked at to name services and fields
_REACH = timedelta(minutes=2)  # a trace's spans, and its lines, come so long after it began at most


class KeepsTraces(TraceSource, Protocol):
    """A trace source that can be filled."""

    def add(self, traces: Iterable[Trace]) -> None:
        """Keep them."""


class KeepsRecords(LogSource, Protocol):
    """A log source that can be filled."""

    def add(self, records: Iterable[LogRecord]) -> None:
        """Keep them."""


T = TypeVar("T", Trace, LogRecord)


@dataclass(slots=True)
class _Minutes(Generic[T]):
    """Which minutes were made, and what of them is still to come; `keep` takes what has happened."""

    make: Callable[[int], Iterable[T]]
    seconds: Callable[[T], float]  # since the epoch: when it is over
    keep: Callable[[Iterable[T]], None]
    now: Callable[[], datetime]
    first: int  # the platform's
    made: set[int] = field(default_factory=set)
    coming: list[T] = field(default_factory=list)  # by `seconds`
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fill(self, start: datetime, end: datetime) -> None:
        """Make what is missing of that time and of the last half hour."""
        now = self.now()
        over = int(now.timestamp() // 60)
        earliest = max(self.first, over - int(WINDOW.total_seconds() // 60) + 1, _minute(start - _REACH))
        self._make(range(earliest, _minute(min(now, end)) + 1))

    def fill_one(self, minute: int) -> None:
        """Make one minute, if it has begun and the platform was there."""
        self._make([minute] if self.first <= minute <= _minute(self.now()) else ())

    def recent(self) -> None:
        """Make the newest."""
        self.fill(self.now() - _RECENT, self.now())

    def _make(self, minutes: Iterable[int]) -> None:
        with self.lock:
            fresh = [minute for minute in minutes if minute not in self.made]
            self.made.update(fresh)
            for minute in fresh:
                self.coming += self.make(minute)
            if fresh:
                self.coming.sort(key=self.seconds)
            over = bisect_right(self.coming, self.now().timestamp(), key=self.seconds)
            if over:
                self.keep(self.coming[:over])
                del self.coming[:over]


def _minute(at: datetime) -> int:
    """The epoch minute that `at` lies in, by its end."""
    return int(-(-at.timestamp() // 60))


def _ended(trace: Trace) -> float:
    return max(span.end_us for span in trace.spans) / 1e6


def _said(record: LogRecord) -> float:
    return record.at.timestamp()


class PlatformTraces:
    """A trace source of the platform's last half hour; `kept` answers."""

    def __init__(self, kept: KeepsTraces, telemetry: Telemetry, now: Callable[[], datetime], start: datetime) -> None:
        self._kept = kept
        self.name, self.concurrency = kept.name, kept.concurrency
        self._minutes = _Minutes[Trace](telemetry.traces, _ended, kept.add, now, _minute(start))

    def services(self, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every service that it has spans of, sorted."""
        self._minutes.recent()
        return self._kept.services(timeout_seconds)

    def operations(self, service: str, timeout_seconds: float) -> Reading[tuple[Operation, ...]]:
        """The span names of a service, sorted."""
        self._minutes.recent()
        return self._kept.operations(service, timeout_seconds)

    def search(self, query: TraceQuery, timeout_seconds: float) -> Reading[TracePage]:
        """Whole traces, newest first."""
        self._minutes.fill(query.start, query.end)
        return self._kept.search(query, timeout_seconds)

    def trace(self, trace_id: str, timeout_seconds: float) -> Reading[Trace]:
        """One trace, however old."""
        minute = minute_of(trace_id_of(trace_id))
        if minute is not None:
            self._minutes.fill_one(minute)
        return self._kept.trace(trace_id, timeout_seconds)

    def dependencies(self, end: datetime, lookback: timedelta, timeout_seconds: float) -> Reading[tuple[Edge, ...]]:
        """Who calls whom, counted from spans."""
        self._minutes.fill(end - lookback, end)
        return self._kept.dependencies(end, lookback, timeout_seconds)

    def probe(self, timeout_seconds: float) -> Probe:
        """It is here."""
        return self._kept.probe(timeout_seconds)

    def close(self) -> None:
        """Answer no more."""
        self._kept.close()


class PlatformLogs:
    """A log source of the platform's last half hour; `kept` answers."""

    def __init__(self, kept: KeepsRecords, telemetry: Telemetry, now: Callable[[], datetime], start: datetime) -> None:
        self._kept = kept
        self.name, self.concurrency = kept.name, kept.concurrency
        self._minutes = _Minutes[LogRecord](telemetry.records, _said, kept.add, now, _minute(start))

    def search(
        self,
        query: LogQuery,
        timeout_seconds: float,
        *,
        limit: int = 100,
        cursor: str = "",
        oldest_first: bool = False,
    ) -> Reading[LogPage]:
        """Records, newest first."""
        self._minutes.fill(query.start, query.end)
        return self._kept.search(query, timeout_seconds, limit=limit, cursor=cursor, oldest_first=oldest_first)

    def count(self, query: LogQuery, step: timedelta, by: Sequence[str], timeout_seconds: float) -> Reading[LogCounts]:
        """How many records fit, by steps and fields."""
        self._minutes.fill(query.start, query.end)
        return self._kept.count(query, step, by, timeout_seconds)

    def fields(self, timeout_seconds: float) -> Reading[tuple[LogField, ...]]:
        """Every field, by its ECS name, sorted."""
        self._minutes.recent()
        return self._kept.fields(timeout_seconds)

    def probe(self, timeout_seconds: float) -> Probe:
        """It is here."""
        return self._kept.probe(timeout_seconds)

    def close(self) -> None:
        """Answer no more."""
        self._kept.close()
