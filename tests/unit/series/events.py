"""Log records and traces for the tests of counted series, and what a plain count of them says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from collectors.memory_logs import MemoryLogs
from collectors.memory_traces import MemoryTraceSource
from opsctl.core.logs import LogRecord
from opsctl.core.signals import Absent, Labels, Matrix, Measured, Reading, Vector
from opsctl.core.traces import Span, SpanKind, Status, Trace, Value, trace_of
from opsctl.series.logs import LogSeries
from opsctl.series.spans import SpanSeries

AT = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
LONG = 10.0


def ago(seconds: float) -> datetime:
    """So many seconds before AT."""
    return AT - timedelta(seconds=seconds)


def record(seconds_ago: float, service: str = "auth", level: str = "INFO", **fields: str) -> LogRecord:
    """A line; fields are written with `_` for their dots."""
    named = {name.replace("__", "-").replace("_", "."): value for name, value in fields.items()}
    return LogRecord(ago(seconds_ago), "a line", level, service, fields=named)


def logs_of(records: Iterable[LogRecord]) -> LogSeries:
    """Series over some records."""
    source = MemoryLogs()
    source.add(records)
    return LogSeries(source)


def span(
    seconds_ago: float,
    number: int,
    trace: int = 1,
    *,
    parent: int | None = None,
    service: str = "wallet",
    name: str = "wallet.credit",
    kind: SpanKind = "server",
    status: Status = "unset",
    milliseconds: float = 5.0,
    attributes: Mapping[str, Value] | None = None,
    resource: Mapping[str, Value] | None = None,
) -> Span:
    """A span that began so long before AT."""
    return Span(
        f"{trace:032x}",
        f"{number:016x}",
        None if parent is None else f"{parent:016x}",
        name,
        service,
        kind,
        round(ago(seconds_ago).timestamp() * 1_000_000),
        round(milliseconds * 1000),
        status,
        attributes or {},
        resource or {},
    )


def traces_of(spans: Iterable[Span]) -> list[Trace]:
    """The spans by their traces."""
    found: dict[str, list[Span]] = {}
    for one in spans:
        found.setdefault(one.trace_id, []).append(one)
    return [trace_of(trace_id, those) for trace_id, those in found.items()]


def spans_of(spans: Iterable[Span]) -> SpanSeries:
    """Series over some spans."""
    source = MemoryTraceSource()
    source.add(traces_of(spans))
    return SpanSeries(source)


def values(reading: Reading[Vector]) -> dict[Labels, float]:
    """The samples of a whole answer, without the metric's name."""
    if isinstance(reading, Absent):
        return {}
    assert isinstance(reading, Measured), reading
    return {tuple(pair for pair in one.labels if pair[0] != "__name__"): one.value for one in reading.data.samples}


def value(reading: Reading[Vector]) -> float | None:
    """The only sample's value; None where there is none."""
    found = values(reading)
    assert len(found) <= 1, found
    return next(iter(found.values()), None)


def points(reading: Reading[Matrix]) -> dict[Labels, dict[float, float]]:
    """The points of a whole answer."""
    if isinstance(reading, Absent):
        return {}
    assert isinstance(reading, Measured), reading
    return {one.labels: dict(one.points) for one in reading.data.series}


def counted(times_ms: Iterable[int], end_ms: int, range_ms: int) -> int:
    """How many of the times lie in (end − range, end]."""
    return sum(end_ms - range_ms < at <= end_ms for at in times_ms)


def ms(at: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(at.timestamp() * 1000)
