"""One contract for every log source: in memory, a real Elasticsearch 8.19 and 9.2, given the same lines.

Elasticsearch keeps them as ECS and as OpenTelemetry shapes them, in data streams, and as nobody planned, in an index:
every answer is the same as if they were kept in one way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta, timezone
from uuid import uuid4

import msgspec
import pytest

from collectors.elasticsearch import ElasticsearchSource
from collectors.memory_logs import MemoryLogs
from opsctl.core.logs import Bucket, FieldMatcher, LogCounts, LogPage, LogQuery, LogRecord
from opsctl.core.signals import Absent, Failed, Labels, Measured, Reading, Reason
from opsctl.http import Endpoint
from opsctl.ports.logs import LogSource
from tests.contract.log_world import BEGAN, END, HOSTILE, LINES, SHORT_TRACE, SPAN, STACK, TRACE, Line, fill, records
from tests.servers.fixtures import StartElasticsearch

SECONDS = 10.0
KINDS = ("memory", "elasticsearch 8.19.21", "elasticsearch 9.2.0")
ALL = LogQuery(start=BEGAN, end=END)
PREFIX = f"opsctl-contract-{uuid4().hex[:8]}"

MakeSource = Callable[[str], LogSource]


@pytest.fixture(scope="module")
def make(start_elasticsearch: StartElasticsearch) -> MakeSource:
    """A fresh source of a kind; the servers behind them are shared, and filled once."""
    filled: set[str] = set()

    def make_source(kind: str) -> LogSource:
        if kind == "memory":
            logs = MemoryLogs()
            logs.add(records())
            return logs
        server = start_elasticsearch(kind.split()[1])
        if server.url not in filled:
            fill(server.url, PREFIX)
            filled.add(server.url)
        return ElasticsearchSource(Endpoint(server.url), index=[f"{PREFIX}-*"])

    return make_source


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, make: MakeSource) -> Iterator[LogSource]:
    """Each kind of source."""
    one = make(request.param)
    yield one
    one.close()


def page_of(reading: Reading[LogPage]) -> LogPage:
    """The page; an absent answer is an empty one; fails unless the answer is whole."""
    if isinstance(reading, Absent):
        return LogPage(())
    assert isinstance(reading, Measured), reading
    return reading.data


def found(source: LogSource, query: LogQuery, **options: object) -> list[LogRecord]:
    """What a search finds in one page."""
    return list(page_of(source.search(query, SECONDS, limit=1000, **options)).records)  # type: ignore[arg-type]


def said(source: LogSource, **conditions: object) -> set[str]:
    """The messages that fit."""
    return {record.message for record in found(source, msgspec.structs.replace(ALL, **conditions))}


def expected(fits: Callable[[Line], object]) -> set[str]:
    """The messages of the lines that should fit."""
    return {line.message for line in LINES if fits(line)}


def counts_of(reading: Reading[LogCounts]) -> dict[Labels, dict[float, int]]:
    """Counts by labels and time; fails unless the answer is whole."""
    assert isinstance(reading, Measured), reading
    return {bucket.labels: {at: n for at, n in bucket.points if n} for bucket in reading.data.buckets}


def where(field: str, op: str, value: str) -> dict[str, object]:
    """One condition."""
    return {"matchers": (FieldMatcher(field, op, value),)}  # type: ignore[arg-type]


# -- pages


def test_it_names_itself_and_its_bound(source: LogSource) -> None:
    """`name` is for people and `concurrency` at least one."""
    assert source.name
    assert source.concurrency >= 1


def test_every_shape_becomes_the_same_record(source: LogSource) -> None:
    """Time, text, severity, service, trace and span of each line, newest first, whatever they are called there."""
    got = [(r.at, r.message, r.severity, r.service, r.trace_id, r.span_id) for r in found(source, ALL)]
    want = [(r.at, r.message, r.severity, r.service, r.trace_id, r.span_id) for r in records()]
    assert sorted(got) == sorted(want)
    assert [row[0] for row in got] == sorted((row[0] for row in want), reverse=True)


def test_other_fields_have_their_ecs_names(source: LogSource) -> None:
    """An attribute of OpenTelemetry is found by its ECS name; types stay; a list stays a list."""
    by_message = {record.message: record for record in found(source, ALL)}
    declined = by_message["payment declined: insufficient funds"].fields
    assert dict(declined) == {"event.action": "pay", "http.response.status_code": 402, "tags": ["money", "declined"]}
    debit = by_message["Wallet debit accepted"].fields
    assert debit["event.action"] == "debit"
    assert by_message["queue depth 12"].fields["http.response.status_code"] == 200


def test_ids_are_unique(source: LogSource) -> None:
    """No two records share an id."""
    ids = [record.id for record in found(source, ALL)]
    assert len(set(ids)) == len(LINES)
    assert all(ids)


def test_text_from_outside_comes_as_it_is(source: LogSource) -> None:
    """Control characters, line ends and a stack trace arrive whole: what is shown of them is the renderer's business."""
    assert {HOSTILE, STACK} <= said(source)


def test_the_start_is_included_and_the_end_is_not(source: LogSource) -> None:
    """To the millisecond, and to the microsecond where nobody writes one."""
    at = LINES[2].at
    one = timedelta(microseconds=1)
    assert len(found(source, LogQuery(start=at, end=at + one))) == 1
    assert found(source, LogQuery(start=at - one, end=at)) == []
    assert found(source, LogQuery(start=at + one, end=at + timedelta(milliseconds=1))) == []


def test_the_time_may_be_in_any_zone(source: LogSource) -> None:
    """An aware time in another zone is the same instant."""
    zone = timezone(timedelta(hours=-7))
    query = LogQuery(start=BEGAN.astimezone(zone), end=END.astimezone(zone))
    assert len(found(source, query)) == len(LINES)


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 4, 7, 20])
def test_pages_joined_are_the_whole(source: LogSource, limit: int, oldest_first: bool) -> None:
    """Seven lines of one millisecond are cut by page ends, and nothing is lost, doubled or out of order."""
    records: list[LogRecord] = []
    cursor = ""
    for _ in range(len(LINES) + 2):
        reading = source.search(ALL, SECONDS, limit=limit, cursor=cursor, oldest_first=oldest_first)
        page = page_of(reading)
        assert len(page.records) <= limit
        records += page.records
        cursor = page.cursor
        if not cursor:
            break
    assert not cursor
    assert len({record.id for record in records}) == len(records) == len(LINES)
    times = [record.at for record in records]
    assert times == sorted(times, reverse=not oldest_first)


def test_a_cursor_that_is_none_is_refused(source: LogSource) -> None:
    """Neither foreign text nor a cursor of the other direction is followed."""
    page = page_of(source.search(ALL, SECONDS, limit=2))
    for wrong, oldest_first in (("x", False), ("bm9uc2Vuc2U=", False), (page.cursor, True)):
        reading = source.search(ALL, SECONDS, cursor=wrong, oldest_first=oldest_first)
        assert isinstance(reading, Failed)
        assert reading.reason is Reason.REJECTED


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_page_has_a_size(source: LogSource, limit: int) -> None:
    """1 to 10,000 records."""
    reading = source.search(ALL, SECONDS, limit=limit)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED
    assert isinstance(source.search(ALL, SECONDS, limit=10_000), Measured)


def test_nothing_found_is_absent(source: LogSource) -> None:
    """Not failed, and not an empty success."""
    later = LogQuery(start=END, end=END + timedelta(hours=1))
    assert isinstance(source.search(later, SECONDS), Absent)
    assert isinstance(source.search(msgspec.structs.replace(ALL, services=("nobody",)), SECONDS), Absent)


# -- conditions


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        ("payment", lambda line: "payment" in line.message),
        ("PAYMENT Declined", lambda line: line.message.startswith("payment declined")),
        ("declined payment", lambda line: line.message.startswith("payment declined")),
        ('"declined payment"', lambda line: False),
        ('"payment declined" funds', lambda line: line.message.startswith("payment declined")),
        ("declined", lambda line: "declined" in line.message),
        ("wallet", lambda line: "wallet" in line.message.lower()),
        ("10.0.0.7", lambda line: "10.0.0.7" in line.message),
        ("pay", lambda line: False),  # a part of a word is no word
        ("-- declined !", lambda line: "declined" in line.message),  # no words, so no condition
    ],
)
def test_words(source: LogSource, words: str, fits: Callable[[Line], bool]) -> None:
    """Every word and quoted phrase must be there, in any case and order."""
    assert said(source, words=words) == expected(fits)


def test_services_are_any_of(source: LogSource) -> None:
    """Whole names, whichever field they are kept in."""
    assert said(source, services=("wallet", "lobby")) == expected(lambda line: line.service in {"wallet", "lobby"})
    assert said(source, services=("wall",)) == set()


@pytest.mark.parametrize(
    ("severity", "levels"),
    [
        ("TRACE", {"DEBUG", "INFO", "WARN", "ERROR", "FATAL"}),
        ("INFO", {"INFO", "WARN", "ERROR", "FATAL"}),
        ("WARN", {"WARN", "ERROR", "FATAL"}),
        ("FATAL", {"FATAL"}),
    ],
)
def test_severity_is_this_or_worse(source: LogSource, severity: str, levels: set[str]) -> None:
    """In any spelling, by number where no word says it; a word that is no level is none of them."""
    assert said(source, severity=severity) == expected(lambda line: line.severity in levels)


def test_a_trace_in_any_case_and_field(source: LogSource) -> None:
    """Its lines from every shape; an id without its zeros is the same id."""
    assert said(source, trace_id=TRACE) == expected(lambda line: line.trace == TRACE)
    assert said(source, trace_id=TRACE.upper()) == expected(lambda line: line.trace == TRACE)
    for form in (SHORT_TRACE, SHORT_TRACE.lstrip("0")):
        assert said(source, trace_id=form) == expected(lambda line: line.trace == SHORT_TRACE)


def test_spans_are_any_of(source: LogSource) -> None:
    """Also together with the trace."""
    spans = (SPAN, "00f067aa0ba902b7")
    assert said(source, span_ids=spans[:1]) == expected(lambda line: line.span == SPAN)
    assert said(source, trace_id=TRACE, span_ids=spans) == expected(lambda line: line.span in spans)


def action(line: Line) -> str:
    """What `event.action` is of a line, absent as empty."""
    return str(line.more.get("event.action", ""))


@pytest.mark.parametrize(
    ("field", "op", "value", "fits"),
    [
        ("event.action", "=", "pay", lambda line: action(line) == "pay"),
        ("event.action", "!=", "pay", lambda line: action(line) != "pay"),
        ("event.action", "=", "", lambda line: action(line) == ""),
        ("event.action", "!=", "", lambda line: action(line) != ""),
        ("event.action", "=~", "pa.|debit", lambda line: action(line) in {"pay", "debit"}),
        ("event.action", "=~", "pa", lambda line: False),
        ("event.action", "!~", "pay|tick", lambda line: action(line) not in {"pay", "tick"}),
        ("event.action", "=~", ".*", lambda line: True),
        ("event.action", "=~", "|pay", lambda line: action(line) in {"", "pay"}),
        ("event.action", "!~", ".+", lambda line: action(line) == ""),
        ("event.action", "=~", "(?i:PAY)", lambda line: action(line) == "pay"),
        ("event.action", "=~", r"^[^t]\w{2,3}$", lambda line: action(line) == "pay"),
        ("event.action", "=~", "p[a-c]y|st.?t|s#~@<x>", lambda line: action(line) in {"pay"}),
        ("http.response.status_code", "=", "402", lambda line: line.more.get("http.response.status_code") == 402),
        ("http.response.status_code", "=", "nonsense", lambda line: False),
        ("http.response.status_code", "!=", "402", lambda line: line.more.get("http.response.status_code") != 402),
        ("tags", "=", "money", lambda line: "money" in line.more.get("tags", ())),
        ("tags", "!=", "money", lambda line: "money" not in line.more.get("tags", ())),
        ("tags", "=~", "dec.*", lambda line: "declined" in line.more.get("tags", ())),
        ("service.name", "=", "lobby", lambda line: line.service == "lobby"),
        ("service.name", "=~", "wallet|lob.*", lambda line: line.service in {"wallet", "lobby"}),
        ("service.name", "=", "", lambda line: line.service == ""),
        ("log.level", "=", "error", lambda line: line.severity == "ERROR"),
        ("log.level", "!=", "INFO", lambda line: line.severity != "INFO"),
        ("log.level", "=~", "ERROR|FATAL", lambda line: line.severity in {"ERROR", "FATAL"}),
        ("log.level", "!~", "ERROR|FATAL", lambda line: line.severity not in {"ERROR", "FATAL"}),
        ("log.level", "=~", "AU.*", lambda line: line.severity == "AUDIT"),
        ("log.level", "=", "", lambda line: line.severity == ""),
        ("log.level", "!=", "", lambda line: line.severity != ""),
        ("trace.id", "=", TRACE.upper(), lambda line: line.trace == TRACE),
        ("trace.id", "!=", "", lambda line: line.trace != ""),
        ("span.id", "!=", SPAN, lambda line: line.span != SPAN),
    ],
)  # fmt: skip
def test_conditions(source: LogSource, field: str, op: str, value: str, fits: Callable[[Line], bool]) -> None:
    """Each operator on keywords, numbers, lists, levels and ids, where indices disagree on types too; absent is ""."""
    assert said(source, **where(field, op, value)) == expected(fits)


def test_conditions_are_joined_by_and(source: LogSource) -> None:
    """Everything that is said must hold."""
    matchers = (FieldMatcher("event.action", "=", "pay"), FieldMatcher("http.response.status_code", "!=", "402"))
    got = said(source, matchers=matchers, severity="INFO", words="payment", trace_id=TRACE, services=("payments",))
    assert got == expected(lambda line: action(line) == "pay" and line.more.get("http.response.status_code") != 402)


def test_an_unknown_field_is_refused_with_near_names(source: LogSource) -> None:
    """A typing error must not look like silence."""
    for reading in (
        source.search(msgspec.structs.replace(ALL, **where("event.acton", "=", "pay")), SECONDS),
        source.count(ALL, timedelta(minutes=1), ("event.acton",), SECONDS),
    ):
        assert isinstance(reading, Failed)
        assert reading.reason is Reason.REJECTED
        assert "event.acton" in reading.message
        assert "event.action" in reading.message


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", "*", "(?=a)b"])
def test_a_pattern_that_is_none_is_refused(source: LogSource, pattern: str) -> None:
    """RE2's syntax, as everywhere."""
    reading = source.search(msgspec.structs.replace(ALL, **where("event.action", "=~", pattern)), SECONDS)
    assert isinstance(reading, Failed)
    assert reading.reason in {Reason.REJECTED, Reason.UNSUPPORTED}
    assert "\n" not in reading.message


# -- counts


def test_counts_add_up_to_what_a_search_finds(source: LogSource) -> None:
    """By time only: steps begin at the start, the end is not in it."""
    start = BEGAN + timedelta(seconds=5)
    step = timedelta(seconds=60)
    query = LogQuery(start=start, end=END)
    got = counts_of(source.count(query, step, (), SECONDS))
    want: dict[float, int] = {}
    for line in LINES:
        if line.at >= start:
            at = start.timestamp() + (line.at - start) // step * 60
            want[at] = want.get(at, 0) + 1
    assert got == {(): want}


def test_counts_by_fields_merge_spellings_and_shapes(source: LogSource) -> None:
    """`err`, `ERROR` and number 17 are one level; a line without a field counts under the empty text."""
    got = counts_of(source.count(ALL, END - BEGAN, ("service.name", "log.level"), SECONDS))
    want: dict[Labels, dict[float, int]] = {}
    for line in LINES:
        labels = (("log_level", line.severity), ("service_name", line.service))
        of = want.setdefault(labels, {BEGAN.timestamp(): 0})
        of[BEGAN.timestamp()] += 1
    assert got == want


def test_counts_where_indices_disagree_on_a_type(source: LogSource) -> None:
    """`event.action` is a keyword here and full text there: every line is counted, once."""
    got = counts_of(source.count(ALL, END - BEGAN, ("event.action",), SECONDS))
    want: dict[str, int] = {}
    for line in LINES:
        want[action(line)] = want.get(action(line), 0) + 1
    assert {dict(labels)["event_action"]: sum(points.values()) for labels, points in got.items()} == want


def test_counts_by_a_number(source: LogSource) -> None:
    """As text, as labels are."""
    got = counts_of(source.count(ALL, END - BEGAN, ("http.response.status_code",), SECONDS))
    by = {dict(labels)["http_response_status_code"]: sum(points.values()) for labels, points in got.items()}
    assert by == {"": len(LINES) - 3, "200": 1, "402": 1, "500": 1}


def test_counts_keep_the_conditions(source: LogSource) -> None:
    """Only what fits is counted; nothing that fits is a measured nothing."""
    query = msgspec.structs.replace(ALL, severity="ERROR")
    got = counts_of(source.count(query, END - BEGAN, (), SECONDS))
    assert got == {(): {BEGAN.timestamp(): sum(line.severity in {"ERROR", "FATAL"} for line in LINES)}}
    none = source.count(msgspec.structs.replace(ALL, services=("nobody",)), END - BEGAN, (), SECONDS)
    assert isinstance(none, Measured)
    assert none.data.buckets == ()


@pytest.mark.parametrize("step", [timedelta(0), timedelta(seconds=-1), timedelta(microseconds=1)])
def test_a_step_has_a_length(source: LogSource, step: timedelta) -> None:
    """At least a millisecond."""
    reading = source.count(ALL, step, (), SECONDS)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED


# -- the rest


def test_fields_are_listed_by_their_ecs_names(source: LogSource) -> None:
    """Sorted, each once, and what can be counted by says so."""
    reading = source.fields(SECONDS)
    assert isinstance(reading, Measured)
    names = [field.name for field in reading.data]
    assert names == sorted(set(names))
    by = {field.name: field for field in reading.data}
    assert {"@timestamp", "message", "log.level", "service.name", "trace.id", "span.id", "event.action"} <= set(by)
    assert by["event.action"].aggregatable
    assert by["service.name"].aggregatable


def test_a_probe_says_that_it_is_there(source: LogSource) -> None:
    """Reachable and authorised, in one line."""
    probe = source.probe(SECONDS)
    assert probe.reachable
    assert probe.authorised
    assert "\n" not in probe.message


def test_no_time_is_a_missed_deadline(source: LogSource) -> None:
    """Asked without time, it does not ask."""
    for reading in (source.search(ALL, 0.0), source.count(ALL, timedelta(minutes=1), (), -1.0), source.fields(0.0)):
        assert isinstance(reading, Failed)
        assert reading.reason is Reason.DEADLINE
    assert not source.probe(0.0).authorised


def test_closed_it_answers_no_more(make: MakeSource) -> None:
    """What is asked after `close` is a missed deadline."""
    for kind in KINDS:
        one = make(kind)
        one.close()
        reading = one.search(ALL, SECONDS)
        assert isinstance(reading, Failed), kind
        assert reading.reason is Reason.DEADLINE


def test_many_threads_at_once(source: LogSource) -> None:
    """Each gets its own answer."""
    wanted = [("payments", 3), ("wallet", 3), ("lobby", 4), ("ticker", 20), ("burst", 7)] * 3
    got: list[tuple[str, int]] = []

    def ask(service: str) -> None:
        got.append((service, len(found(source, msgspec.structs.replace(ALL, services=(service,))))))

    threads = [threading.Thread(target=ask, args=(service,)) for service, _ in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(got) == sorted(wanted)


def test_records_that_arrive_meanwhile_do_not_move_a_cursor(make: MakeSource) -> None:
    """A second page goes on where the first ended, though newer lines came; what it skips was never on a page."""
    for kind in KINDS:
        one = make(kind)
        window = LogQuery(start=END + timedelta(hours=1), end=END + timedelta(hours=2))
        base = (window.start - BEGAN).total_seconds()
        mine = [Line(base + i, "ecs", f"{kind} {i}", "INFO", "meanwhile") for i in range(6)]
        _put(one, mine)
        page = page_of(one.search(window, SECONDS, limit=3))
        _put(one, [replace(mine[0], second=base + 100, message="newer")])
        second = page_of(one.search(window, SECONDS, limit=3, cursor=page.cursor))
        assert [record.message for record in (*page.records, *second.records)] == [
            f"{kind} {i}" for i in range(5, -1, -1)
        ]
        one.close()


def _put(source: LogSource, lines: list[Line]) -> None:
    if isinstance(source, MemoryLogs):
        source.add(records(lines))
    else:
        assert isinstance(source, ElasticsearchSource)
        fill(source.probe(SECONDS).address, PREFIX, lines)


def test_memory_keeps_the_newest() -> None:
    """Beyond its capacity the lines of the earliest times go."""
    logs = MemoryLogs(capacity=5)
    logs.add(records())
    kept = found(logs, ALL)
    assert [record.message for record in kept] == [f"burst {i}" for i in (6, 5, 4, 3, 2)]


def test_memory_has_no_query_language() -> None:
    """It says so instead of finding nothing."""
    logs = MemoryLogs()
    logs.add(records())
    reading = logs.search(msgspec.structs.replace(ALL, query_string="a AND b"), SECONDS)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.UNSUPPORTED


def test_memory_without_a_record_is_absent() -> None:
    """Nobody wrote yet: not a measured nothing."""
    logs = MemoryLogs()
    assert isinstance(logs.count(ALL, timedelta(minutes=1), (), SECONDS), Absent)
    assert isinstance(logs.fields(SECONDS), Absent)


def test_buckets_are_sorted(source: LogSource) -> None:
    """By labels, and points by time."""
    reading = source.count(ALL, timedelta(seconds=30), ("service.name",), SECONDS)
    assert isinstance(reading, Measured)
    buckets: list[Bucket] = list(reading.data.buckets)
    assert [bucket.labels for bucket in buckets] == sorted(bucket.labels for bucket in buckets)
    assert all(list(bucket.points) == sorted(bucket.points) for bucket in buckets)
