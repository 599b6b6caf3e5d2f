"""Log records as series: the count of a window is the number of its records, whatever the labels and times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.memory_logs import MemoryLogs
from opsctl.core.logs import Bucket, LogCounts, LogQuery
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.series.logs import LogSeries
from tests.unit.series.events import AT, LONG, ago, counted, logs_of, ms, points, record, value, values

MINUTE = timedelta(minutes=1)
FAILED = 'log_record_count_total{service_name="auth",event_action="user-login",event_outcome="failure"}'
lines = st.lists(
    st.builds(
        lambda at, service, action, outcome: record(at / 1000, service, event_action=action, event_outcome=outcome),
        st.integers(0, 20 * 60_000),
        st.sampled_from(["auth", "wallet"]),
        st.sampled_from(["user-login", "wallet-credit"]),
        st.sampled_from(["success", "failure"]),
    ),
    max_size=60,
)
durations = st.sampled_from([1_000, 7_000, 60_000, 90_000, 300_000, 600_000])


def text_of(milliseconds: int) -> str:
    return f"{milliseconds}ms"


@settings(deadline=None, max_examples=40)
@given(lines, durations, st.integers(0, 600_000))
def test_a_window_is_the_number_of_its_records(records: Any, range_ms: int, offset_ms: int) -> None:
    """increase() by a label equals a plain count of (t − range, t], at any offset, to the last record."""
    offset = f" offset {text_of(offset_ms)}" if offset_ms else ""
    query = f"sum by (service_name) (increase(log_record_count_total[{text_of(range_ms)}]{offset}))"
    got = values(logs_of(records).instant(query, AT, LONG))
    end = ms(AT) - offset_ms
    expected = {
        (("service_name", service),): float(
            counted((ms(one.at) for one in records if one.service == service), end, range_ms)
        )
        for service in {one.service for one in records}
        if counted((ms(one.at) for one in records if one.service == service), end, range_ms + 300_000)
    }
    assert got == expected


@settings(deadline=None, max_examples=40)
@given(lines, durations)
def test_a_rate_is_the_count_over_the_seconds(records: Any, range_ms: int) -> None:
    """rate() is increase() over the range, to within rounding."""
    source = logs_of(records)
    window = f"log_record_count_total[{text_of(range_ms)}]"
    rates = values(source.instant(f"sum(rate({window}))", AT, LONG))
    counts = values(source.instant(f"sum(increase({window}))", AT, LONG))
    assert rates.keys() == counts.keys()
    for key, rate in rates.items():
        assert rate == pytest.approx(counts[key] / (range_ms / 1000), rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(lines, durations, st.sampled_from([15_000, 60_000, 70_000]))
def test_an_instant_is_the_middle_of_a_range(records: Any, range_ms: int, step_ms: int) -> None:
    """The state of an alert is judged from ranges and instants alike: they must not differ."""
    source = logs_of(records)
    for query in (
        f"sum by (event_action) (increase(log_record_count_total[{text_of(range_ms)}]))",
        "count(log_record_count_total)",
        f'increase(log_record_count_total{{event_outcome=~"f.*"}}[{text_of(range_ms)}]) > 1',
        "absent(log_record_count_total{event_action='user-login'})",
    ):
        start, step = AT - 8 * timedelta(milliseconds=step_ms), timedelta(milliseconds=step_ms)
        ranged = points(source.range(query, start, AT, step, LONG))
        for i in range(9):
            at = start + i * step
            alone = {
                tuple(p for p in labels if p[0] != "__name__"): of[at.timestamp()]
                for labels, of in ranged.items()
                if at.timestamp() in of
            }
            assert values(source.instant(query, at, LONG)) == alone, (query, i)


def test_the_first_record_counts() -> None:
    """A Prometheus misses the first event of a counter that is born at 1; this does not."""
    one = logs_of([record(30, event_action="user-login")])
    assert value(one.instant('sum(increase(log_record_count_total{event_action="user-login"}[5m]))', AT, LONG)) == 1.0


def test_a_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    """A record at t counts, one at t − range does not: as Prometheus 3 takes samples."""
    query = "sum(increase(log_record_count_total[5m]))"
    assert value(logs_of([record(0)]).instant(query, AT, LONG)) == 1.0
    assert value(logs_of([record(300)]).instant(query, AT, LONG)) == 0.0
    assert value(logs_of([record(299.999)]).instant(query, AT, LONG)) == 1.0


def test_a_series_is_there_for_five_minutes_after_its_last_record() -> None:
    """Then there is none, as behind a Collector: zero for a while, then absent."""
    source = logs_of([record(0)])
    query = "sum(increase(log_record_count_total[1m]))"
    seen = [value(source.instant(query, AT + minutes * MINUTE, LONG)) for minutes in range(8)]
    assert seen == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, None, None]
    bare = [value(source.instant("count(log_record_count_total)", AT + minutes * MINUTE, LONG)) for minutes in range(7)]
    assert bare == [1.0, 1.0, 1.0, 1.0, 1.0, None, None]


def test_no_record_and_no_index_are_absent() -> None:
    """An empty log store is not zero errors."""
    for source in (logs_of([]), logs_of([record(7_200, event_action="a", event_outcome="b")])):
        for query in (
            "count(log_record_count_total)",
            f"sum(increase({FAILED}[5m]))",
            "group(log_record_count_total{})",
        ):
            assert isinstance(source.instant(query, AT, LONG), Absent), query


def test_labels_are_those_that_the_expression_names() -> None:
    """Matchers that fix a value label the series with it; nothing else is asked for."""
    source = logs_of(
        [record(10, event_action="user-login", event_outcome="failure", user_id=f"u{i}") for i in range(5)]
    )
    got = values(source.instant(f"increase({FAILED}[5m])", AT, LONG))
    labels = (("event_action", "user-login"), ("event_outcome", "failure"), ("service_name", "auth"))
    assert got == {labels: 5.0}
    by_user = values(source.instant(f"sum by (user_id) (increase({FAILED}[5m]))", AT, LONG))
    assert by_user == {(("user_id", f"u{i}"),): 1.0 for i in range(5)}


def test_without_leaves_what_the_expression_names_elsewhere() -> None:
    """`without` removes a label from those that are named; a label that nobody names does not exist."""
    source = logs_of([record(10, host_name=f"h{i}", event_action="user-login") for i in range(3)])
    query = 'sum without (host_name) (increase(log_record_count_total{service_name="auth"}[5m]))'
    assert values(source.instant(query, AT, LONG)) == {(("service_name", "auth"),): 3.0}
    hosts = 'count without (host_name) (log_record_count_total{service_name="auth"})'
    assert values(source.instant(hosts, AT, LONG)) == {(("service_name", "auth"),): 3.0}


def test_a_level_is_compared_in_opentelemetrys_words() -> None:
    """severity_text is the level, however the line spells it."""
    source = logs_of([record(5, level="ERROR"), record(6, level="INFO"), record(7, level="ERROR")])
    assert value(source.instant('sum(increase(log_record_count_total{severity_text="ERROR"}[5m]))', AT, LONG)) == 2.0
    both = values(source.instant("sum by (severity_text) (increase(log_record_count_total[5m]))", AT, LONG))
    assert both == {(("severity_text", "ERROR"),): 2.0, (("severity_text", "INFO"),): 1.0}


@pytest.mark.parametrize(
    ("label", "near"),
    [("event_outcom", "event_outcome (event.outcome)"), ("action", "event_action (event.action)")],
)
def test_a_label_that_is_no_field_is_refused_with_near_ones(label: str, near: str) -> None:
    """A typo is an error, not a rule that never fires."""
    source = logs_of([record(10, event_action="user-login", event_outcome="failure")])
    reading = source.instant(f'sum(increase(log_record_count_total{{{label}="x"}}[5m]))', AT, LONG)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED
    assert f"the label {label} is no field of the logs; near: " in reading.message
    assert near in reading.message


def test_a_label_that_the_expression_makes_is_no_field() -> None:
    """label_replace and count_values name labels of their own."""
    source = logs_of([record(10, event_action="user-login"), record(11, event_action="wallet-credit")])
    query = (
        'sum by (kind) (label_replace(increase(log_record_count_total[5m]), "kind", "$1", "event_action", "(.*)-.*"))'
    )
    assert values(source.instant(query, AT, LONG)) == {(("kind", "user"),): 1.0, (("kind", "wallet"),): 1.0}


def test_windows_of_one_series_are_one_question() -> None:
    """The five minutes and the hour of one selector come from one count by its own labels."""
    asked: list[tuple[timedelta, tuple[str, ...]]] = []

    class Watched(MemoryLogs):
        def count(self, query: LogQuery, step: timedelta, by: Sequence[str], timeout_seconds: float) -> Any:
            asked.append((step, tuple(by)))
            return super().count(query, step, by, timeout_seconds)

    logs = Watched()
    logs.add([record(i * 10.0, event_action="user-login") for i in range(400)])
    query = (
        "sum by (service_name) (increase(log_record_count_total[5m])) "
        "/ sum by (service_name) (increase(log_record_count_total[5m] offset 1h))"
    )
    assert value(LogSeries(logs).instant(query, AT, LONG)) == 1.0
    assert len(asked) == 2  # one before the hour, one now; nothing between is counted
    assert {by for _, by in asked} == {("service.name",)}


def test_thirty_days_are_three_numbers() -> None:
    """A long window is not counted minute by minute."""
    asked: list[int] = []

    class Watched(MemoryLogs):
        def count(self, query: LogQuery, step: timedelta, by: Sequence[str], timeout_seconds: float) -> Any:
            asked.append(round((query.end - query.start) / step))
            return super().count(query, step, by, timeout_seconds)

    logs = Watched()
    logs.add([record(86_400.0 * i + 1) for i in range(40)])
    assert value(LogSeries(logs).instant("sum(increase(log_record_count_total[30d]))", AT, LONG)) == 30.0
    assert sum(asked) == 2


class Broken(MemoryLogs):
    """Answers the count with something else."""

    def __init__(self, reading: Reading[LogCounts]) -> None:
        super().__init__()
        self.reading = reading
        self.add([record(1)])

    def count(self, query: LogQuery, step: timedelta, by: Sequence[str], timeout_seconds: float) -> Any:
        return self.reading


def test_a_partial_count_is_no_number() -> None:
    """Shards that did not answer: what came is not shown as if it were all."""
    part = LogCounts(MINUTE, (Bucket((), ((ago(60).timestamp(), 5),)),))
    reading = LogSeries(Broken(Failed(Reason.PARTIAL, "2 of 5 shards failed", "es", part))).instant(
        "sum(increase(log_record_count_total[5m]))", AT, LONG
    )
    assert isinstance(reading, Failed)
    assert (reading.reason, reading.message, reading.partial) == (Reason.PARTIAL, "2 of 5 shards failed", None)


def test_a_count_for_another_time_is_malformed() -> None:
    """A bucket that was not asked for is not added to one that was."""
    wrong = LogCounts(MINUTE, (Bucket((), ((ago(30.5).timestamp(), 5),)),))
    reading = LogSeries(Broken(Measured(wrong, "es"))).instant("sum(increase(log_record_count_total[5m]))", AT, LONG)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.MALFORMED


def test_a_question_that_is_too_fine_is_refused() -> None:
    """More times than can be counted: one line that says what to do."""
    source = logs_of([record(1)])
    reading = source.instant("sum_over_time(sum(increase(log_record_count_total[1s]))[30d:1s])", AT, LONG)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED
    assert "the cap for counted series" in reading.message


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("max_over_time(sum(increase(log_record_count_total[1m]))[10m:1m])", 6.0),
        ("changes(log_record_count_total[1m])", 3.0),  # four samples, one every 15 seconds
        ("sum(increase(log_record_count_total[5m] @ end()))", 30.0),
        ("sum(increase(log_record_count_total[5m])) unless sum(log_record_count_total offset 1h)", 30.0),
        ("present_over_time(log_record_count_total[1h])", 1.0),
        ("absent(log_record_count_total{service_name='kyc'})", 1.0),
    ],
)
def test_the_rest_of_promql_works_on_it(query: str, expected: float) -> None:
    """Subqueries, modifiers, sets and functions of samples."""
    source = logs_of([record(i * 10.0) for i in range(100)])
    assert value(source.instant(query, AT, LONG)) == expected


def test_asking_for_a_metric_is_refused() -> None:
    """One signal per expression."""
    reading = logs_of([]).instant("up == 0", AT, LONG)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED
    assert "up is not a series of logs: one signal per expression" in reading.message
