"""Sources in memory find by service, trace and minute what a look at everything finds, also after they forgot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from collectors.memory_logs import MemoryLogs
from collectors.memory_traces import MemoryTraceSource
from opsctl.core.logs import FieldMatcher, LogQuery, LogRecord
from opsctl.core.signals import Absent, Measured
from opsctl.core.traces import Trace
from opsctl.ports.traces import TraceQuery
from tests.unit.demo.minutes import FIRST, records, traces

NOW = datetime.fromtimestamp((FIRST + 13) * 60, UTC)
BEGIN = NOW - timedelta(minutes=4)


@pytest.fixture(scope="module")
def lines() -> tuple[LogRecord, ...]:
    """Three minutes of lines, of every service."""
    return records(count=3)


@pytest.fixture(scope="module")
def found() -> tuple[Trace, ...]:
    """Three minutes of traces."""
    return traces(count=3)


@pytest.mark.parametrize("capacity", [100_000, 4_000, 1])
def test_lines_of_services_and_of_a_trace(lines: tuple[LogRecord, ...], capacity: int) -> None:
    """In two batches, the later one first: those that are kept are the newest, and each is found by what it is of."""
    logs = MemoryLogs(capacity)
    half = len(lines) // 2
    logs.add(lines[half:])
    logs.add(lines[:half])
    kept = sorted(lines, key=lambda one: one.at)[-capacity:]
    auth = FieldMatcher("service.name", "=", "auth")
    for query, fits in (
        (LogQuery(start=BEGIN, end=NOW + timedelta(hours=1), services=("auth", "promo")), {"auth", "promo"}),
        (LogQuery(start=BEGIN, end=NOW + timedelta(hours=1), matchers=(auth,)), {"auth"}),
        (LogQuery(start=BEGIN, end=NOW + timedelta(hours=1), matchers=(auth,), services=("promo",)), set()),
    ):
        page = logs.search(query, 5.0, limit=10_000)
        ids = [one.id for one in page.data.records] if isinstance(page, Measured) else []
        assert sorted(ids) == sorted(one.id for one in kept if one.service in fits)
    trace_id = kept[-1].trace_id
    page = logs.search(LogQuery(start=BEGIN, end=NOW + timedelta(hours=1), trace_id=trace_id.upper()), 5.0)
    assert isinstance(page, Measured)
    assert {one.id for one in page.data.records} == {one.id for one in kept if one.trace_id == trace_id}


@pytest.mark.parametrize("most", [100_000, 5_000])
def test_traces_of_a_service_and_a_time(found: tuple[Trace, ...], most: int) -> None:
    """A replaced trace is found as it is now, one that was forgotten is not found, and no minute's edge loses one."""
    source = MemoryTraceSource(max_spans=most)
    source.add(found[:500])
    source.add(found)
    kept = [one for one in found if isinstance(source.trace(one.trace_id, 5.0), Measured)]
    assert (len(kept) == len(found)) is (most == 100_000)
    for minutes in (0.5, 1, 10, 10_000_000):
        query = TraceQuery("wallet", NOW - timedelta(minutes=minutes), NOW, limit=100_000)
        page = source.search(query, 5.0)
        wanted = {one.trace_id for one in kept if query.matches(one)}
        assert isinstance(page, Measured if wanted else Absent)
        assert ({one.trace_id for one in page.data.traces} if isinstance(page, Measured) else set()) == wanted
