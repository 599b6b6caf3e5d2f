"""The contract of a metrics source holds for series that are counted from logs and from spans."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from collectors.memory_logs import MemoryLogs
from collectors.memory_traces import MemoryTraceSource
from opsctl.core.logs import LogQuery
from opsctl.core.signals import Absent, Failed, Measured, Reason
from opsctl.ports import MetricsSource
from opsctl.ports.traces import TraceQuery
from opsctl.promql.answers import wrong_span
from opsctl.series.logs import LogSeries
from opsctl.series.spans import SpanSeries
from tests.unit.series.events import AT, ago, record, span, traces_of, value

STEP = timedelta(minutes=1)
SECONDS = 10.0
LOGS, SPANS = "log_record_count_total", "traces_span_metrics_calls_total"
HOSTILE = 'quote" back\\slash \x1b[2J ünï'


def logs() -> MemoryLogs:
    source = MemoryLogs()
    source.add([record(i * 10.0, event_action=HOSTILE if i == 3 else "login") for i in range(60)])
    return source


def spans() -> MemoryTraceSource:
    source = MemoryTraceSource()
    source.add(
        traces_of(
            [
                span(i * 10.0, i + 1, i + 1, attributes={"event.action": HOSTILE if i == 3 else "login"})
                for i in range(60)
            ]
        )
    )
    return source


@pytest.fixture(params=[LOGS, SPANS])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind by its series."""
    return str(request.param)


@pytest.fixture
def source(kind: str) -> Iterator[MetricsSource]:
    """A source of that kind."""
    one: MetricsSource = LogSeries(logs()) if kind == LOGS else SpanSeries(spans())
    yield one
    one.close()


def test_it_answers_like_a_metrics_source(source: MetricsSource, kind: str) -> None:
    """Names, sorted labels, a range with both ends, scalars, absence."""
    assert source.name
    assert source.concurrency >= 1
    reading = source.instant(f"{kind}{{event_action='login'}}", AT, SECONDS)
    assert isinstance(reading, Measured)
    assert reading.backend == source.name
    (sample,) = reading.data.samples
    assert ("__name__", kind) in sample.labels
    assert sample.labels == tuple(sorted(sample.labels))
    ranged = source.range(f"sum(increase({kind}[1m]))", ago(180), AT, STEP, SECONDS)
    assert isinstance(ranged, Measured)
    assert ranged.data.series[0].points == tuple((ago(60 * back).timestamp(), 6.0) for back in (3, 2, 1, 0))
    assert value(source.instant("time()", AT, SECONDS)) == AT.timestamp()
    assert isinstance(source.instant(f"sum(increase({kind}{{event_action='none'}}[5m]))", AT, SECONDS), Absent)


def test_hostile_values_are_data(source: MetricsSource, kind: str) -> None:
    """They come back as they are, and can be asked for."""
    by = source.instant(f"sum by (event_action) (increase({kind}[5m]))", AT, SECONDS)
    assert isinstance(by, Measured)
    assert {dict(one.labels)["event_action"] for one in by.data.samples} == {"login", HOSTILE}
    escaped = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    assert value(source.instant(f'sum(increase({kind}{{event_action="{escaped}"}}[5m]))', AT, SECONDS)) == 1.0


@pytest.mark.parametrize(
    "query",
    [
        "sum(",
        "",
        "X[5m]",
        "'text'",
        "X + on (nothing) X{event_action=~'.+'}",
        "no_such(X)",
        "rate(X)",
        "up",
        '{__name__=~"X.*"}',
    ],
)
def test_a_wrong_query_fails_in_one_line(source: MetricsSource, kind: str, query: str) -> None:
    """Neither an empty answer nor an exception."""
    text = query.replace("X", kind)
    for reading in (source.instant(text, AT, SECONDS), source.range(text, ago(60), AT, STEP, SECONDS)):
        assert isinstance(reading, Failed), reading
        assert reading.reason is Reason.REJECTED
        assert reading.message
        assert "\n" not in reading.message


@pytest.mark.parametrize(
    ("end", "step"),
    [(ago(1), STEP), (AT, timedelta(0)), (AT, -STEP), (AT + timedelta(days=9000), timedelta(seconds=1))],
    ids=["ends before it starts", "no step", "a negative step", "too many steps"],
)
def test_a_wrong_span_is_refused_in_the_engines_words(source: MetricsSource, end: datetime, step: timedelta) -> None:
    """As every other source."""
    reading = source.range("vector(1)", AT, end, step, SECONDS)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED
    spans_ms = (round(AT.timestamp() * 1000), round(end.timestamp() * 1000), round(step.total_seconds() * 1000))
    assert reading.message == wrong_span(*spans_ms)


def test_more_steps_than_the_engine_takes_at_once(source: MetricsSource, kind: str) -> None:
    """25,001 steps are whole, in order and without a step twice."""
    start = ago(25_000)
    reading = source.range(f"sum(increase({kind}[1m])) or vector(-1)", start, AT, timedelta(seconds=1), 60)
    assert isinstance(reading, Measured)
    (series,) = reading.data.series
    assert [at for at, _ in series.points] == [start.timestamp() + i for i in range(25_001)]
    assert series.points[-1][1] == 6.0
    assert series.points[0][1] == -1.0


def test_no_time_left_is_a_deadline(source: MetricsSource) -> None:
    """A question with no time is not asked."""
    for reading in (source.instant("vector(1)", AT, 0.0), source.range("vector(1)", ago(60), AT, STEP, -1.0)):
        assert isinstance(reading, Failed)
        assert reading.reason is Reason.DEADLINE


def test_after_close_every_answer_is_a_deadline(source: MetricsSource, kind: str) -> None:
    """`close()` twice is once."""
    source.close()
    source.close()
    for reading in (source.instant(kind, AT, SECONDS), source.range(kind, ago(60), AT, STEP, SECONDS)):
        assert isinstance(reading, Failed)
        assert reading.reason is Reason.DEADLINE
    assert not source.probe(SECONDS).reachable


class SlowLogs(MemoryLogs):
    """Takes a while for each count."""

    def count(self, query: LogQuery, step: timedelta, by: Sequence[str], timeout_seconds: float) -> Any:
        time.sleep(0.2)
        return super().count(query, step, by, timeout_seconds)


class SlowTraces(MemoryTraceSource):
    """Takes a while for each search."""

    def search(self, query: TraceQuery, timeout_seconds: float) -> Any:
        time.sleep(0.2)
        return super().search(query, timeout_seconds)


@pytest.mark.parametrize("end", ["the deadline", "close"])
def test_a_count_of_many_questions_ends_with(kind: str, end: str) -> None:
    """Each question has what is left of the time, and the next is not asked after it."""
    slow: MetricsSource
    if kind == LOGS:
        records = SlowLogs()
        records.add([record(i * 10.0, event_action="login") for i in range(60)])
        slow = LogSeries(records)
        query = " + ".join(f"sum(increase({LOGS}[{n}m]))" for n in (3, 7, 11, 13, 17, 19, 23, 29))
    else:
        traces = SlowTraces()
        traces.add(traces_of([span(10.0, i + 1, i + 1, service=f"s{i}") for i in range(30)]))
        slow = SpanSeries(traces)
        query = f"sum(increase({SPANS}[5m]))"
    begun = time.monotonic()
    if end == "close":
        threading.Timer(0.3, slow.close).start()
    reading = slow.instant(query, AT, 0.5 if end == "the deadline" else SECONDS)
    assert isinstance(reading, Failed), reading
    assert reading.reason is Reason.DEADLINE
    assert time.monotonic() - begun < 3


def test_a_backend_that_fails_passes_its_reason_on(kind: str) -> None:
    """Authorisation, overload, nonsense: the rule says which."""
    failed: Failed[Any] = Failed(Reason.AUTH, "401", "backend")

    class BadLogs(MemoryLogs):
        def fields(self, timeout_seconds: float) -> Any:
            return failed

    class BadTraces(MemoryTraceSource):
        def search(self, query: TraceQuery, timeout_seconds: float) -> Any:
            return failed

    source: MetricsSource = LogSeries(BadLogs()) if kind == LOGS else SpanSeries(BadTraces())
    reading = source.instant(f"sum(increase({kind}{{service_name='a'}}[5m]))", AT, SECONDS)
    assert isinstance(reading, Failed)
    assert (reading.reason, reading.message, reading.backend) == (Reason.AUTH, "401", "backend")


def test_many_threads_get_their_own_answers(source: MetricsSource, kind: str) -> None:
    """No answer is another's."""
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(5):
            reading = source.instant(f"sum(increase({kind}[{number}m]))", AT, SECONDS)
            if value(reading) != 6.0 * number:
                wrong.append(reading)

    threads = [threading.Thread(target=ask, args=(n,)) for n in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
