"""The embedded platform's traces and logs are there when they are asked for, and cost nothing before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from collectors.memory_logs import MemoryLogs
from collectors.memory_traces import MemoryTraceSource
from opsctl.core.logs import LogQuery
from opsctl.core.signals import Absent, Measured
from opsctl.demo.clock import StoryClock
from opsctl.demo.telemetry.filled import PlatformLogs, PlatformTraces
from opsctl.demo.telemetry.minutes import Telemetry
from opsctl.ports.traces import TraceQuery
from tests.unit.demo.minutes import FIRST, telemetry

START = datetime.fromtimestamp((FIRST - 600) * 60, UTC)
NOW = datetime.fromtimestamp(FIRST * 60, UTC)
MINUTE = timedelta(minutes=1)


class Counting:
    """Counts the minutes that are made."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self._telemetry: Telemetry = telemetry()

    def traces(self, minute: int) -> Any:
        self.made.append(minute)
        return self._telemetry.traces(minute)

    def records(self, minute: int) -> Any:
        self.made.append(minute)
        return self._telemetry.records(minute)


def _traces(clock: StoryClock) -> tuple[PlatformTraces, Counting]:
    made = Counting()
    return PlatformTraces(MemoryTraceSource(), made, clock.now, START), made  # type: ignore[arg-type]


def _logs(clock: StoryClock) -> tuple[PlatformLogs, Counting]:
    made = Counting()
    return PlatformLogs(MemoryLogs(), made, clock.now, START), made  # type: ignore[arg-type]


def test_a_search_makes_the_minutes_it_asks_for_once() -> None:
    """Nothing before the question, the minutes that its time touches for it, and only what is new for the next."""
    clock = StoryClock(NOW)
    source, made = _traces(clock)
    assert made.made == []
    answer = source.search(TraceQuery("promo", NOW - 3 * MINUTE, NOW, limit=5), 5.0)
    assert isinstance(answer, Measured)
    assert len(answer.data.traces) == 5
    assert FIRST in made.made
    assert min(made.made) >= FIRST - 6
    before = list(made.made)
    source.search(TraceQuery("wallet", NOW - 3 * MINUTE, NOW), 5.0)
    assert made.made == before
    clock.step(MINUTE)
    source.search(TraceQuery("wallet", NOW - MINUTE, NOW + MINUTE), 5.0)
    assert made.made == [*before, FIRST + 1]


def test_an_old_search_makes_the_last_half_hour_at_most_and_nothing_of_the_future() -> None:
    """A week is asked for; thirty minutes are made, and the one that is under way where one is."""
    for seconds, last in ((0, FIRST), (30, FIRST + 1)):
        source, made = _traces(StoryClock(NOW + timedelta(seconds=seconds)))
        source.search(TraceQuery("promo", NOW - timedelta(days=7), NOW + timedelta(days=7)), 5.0)
        assert (min(made.made), max(made.made), len(made.made)) == (FIRST - 29, last, last - FIRST + 30)


def test_lines_of_the_minute_under_way_come_as_their_time_comes() -> None:
    """Each second has its lines, none is shown before its time, and in the end the minute is as it is made."""
    clock = StoryClock(NOW)
    source, made = _logs(clock)
    query = LogQuery(start=NOW, end=NOW + timedelta(hours=1))
    seen: set[str] = set()
    for second in range(1, 61):
        clock.step(timedelta(seconds=1))
        page = source.search(query, 5.0, limit=10_000)
        assert isinstance(page, Measured)
        fresh = {record.id for record in page.data.records} - seen
        assert fresh, f"no line in second {second}"
        assert all(NOW <= record.at <= clock.now() for record in page.data.records)
        assert all(record.at > clock.now() - timedelta(seconds=1) for record in page.data.records if record.id in fresh)
        seen |= fresh
    whole = [r for at in (FIRST - 1, FIRST, FIRST + 1) for r in telemetry().records(at)]
    assert seen == {record.id for record in whole if NOW <= record.at <= clock.now()}
    assert made.made.count(FIRST + 1) == 1


def test_a_trace_is_there_when_its_last_span_has_ended() -> None:
    """Neither a search nor its id shows a trace that is under way; what was asked for before its end changes nothing."""
    longest = max(telemetry().traces(FIRST + 1), key=lambda trace: trace.duration_us)
    end = datetime.fromtimestamp(longest.shape.end_us / 1e6, UTC)
    clock = StoryClock(end - timedelta(milliseconds=20))
    source, _ = _traces(clock)
    query = TraceQuery(longest.spans[0].service, NOW, end + MINUTE, limit=5000)
    for there in (False, True):
        page, found = source.search(query, 5.0), source.trace(longest.trace_id, 5.0)
        assert isinstance(page, Measured)
        assert (longest in page.data.traces) is there
        assert isinstance(found, Measured if there else Absent)
        assert all(trace.shape.end_us / 1e6 <= clock.now().timestamp() for trace in page.data.traces)
        clock.step(timedelta(milliseconds=30))


def test_a_trace_is_found_by_its_id_whenever_it_was() -> None:
    """Five hours ago is fine; before the platform's start, in its future, and nonsense are absent or refused."""
    source, _ = _traces(StoryClock(NOW))
    old = telemetry().traces(FIRST - 300)[7]
    found = source.trace(old.trace_id, 5.0)
    assert isinstance(found, Measured)
    assert found.data == old
    for minute in (FIRST + 2, FIRST - 700):
        assert isinstance(source.trace(telemetry().traces(minute)[0].trace_id, 5.0), Absent)
    assert not isinstance(source.trace("nonsense", 5.0), Measured)


def test_lines_are_found_and_counted_as_they_were_made() -> None:
    """A trace's lines by its id, and the log-ins of ten minutes by network, as the platform's own minutes have them."""
    source, _ = _logs(StoryClock(NOW))
    trace = telemetry().traces(FIRST - 3)[0]
    page = source.search(LogQuery(start=NOW - 10 * MINUTE, end=NOW, trace_id=trace.trace_id), 5.0)
    assert isinstance(page, Measured)
    assert {record.trace_id for record in page.data.records} == {trace.trace_id}
    counts = source.count(LogQuery(start=NOW - 5 * MINUTE, end=NOW), 5 * MINUTE, ["service.name"], 5.0)
    assert isinstance(counts, Measured)
    total = sum(n for bucket in counts.data.buckets for _, n in bucket.points)
    begin = NOW - 5 * MINUTE
    assert total == sum(begin <= r.at < NOW for at in range(-7, 1) for r in telemetry().records(FIRST + at))


def test_services_and_fields_need_the_newest_minutes_only() -> None:
    """Names come from the last minutes."""
    traces, made = _traces(StoryClock(NOW))
    answer = traces.services(5.0)
    assert isinstance(answer, Measured)
    assert len(answer.data) == 17
    assert len(made.made) <= 5
    logs, made = _logs(StoryClock(NOW))
    fields = logs.fields(5.0)
    assert isinstance(fields, Measured)
    assert {"event.action", "source.as.number"} <= {one.name for one in fields.data}
    assert len(made.made) <= 5
