"""What only a real Elasticsearch shows: lost shards, forgotten points in time, credentials, more groups than a page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from collectors.elasticsearch import ElasticsearchSource, counting
from opsctl.app import Composition
from opsctl.core.logs import FieldMatcher, LogQuery
from opsctl.core.signals import Absent, Failed, Measured, Reason
from opsctl.http import Endpoint
from tests.contract.log_world import BEGAN, END, LINES, TRACE, Line, call, fill
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.fixtures import StartElasticsearch

SECONDS = 10.0
ALL = LogQuery(start=BEGAN, end=END)
PREFIX = f"opsctl-real-{uuid4().hex[:8]}"


@pytest.fixture(scope="module", params=["8.19.21", "9.2.0"])
def server(request: pytest.FixtureRequest, start_elasticsearch: StartElasticsearch) -> Elasticsearch:
    """Each version, with the contract's lines in indices of this module."""
    one = start_elasticsearch(request.param)
    fill(one.url, PREFIX)
    return one


@pytest.fixture
def source(server: Elasticsearch) -> Iterator[ElasticsearchSource]:
    """A source of those indices."""
    one = ElasticsearchSource(Endpoint(server.url), index=[f"{PREFIX}-*"])
    yield one
    one.close()


def put(server: Elasticsearch, index: str, *documents: dict[str, object], mappings: object = None) -> None:
    """Documents in a plain index of their own."""
    if mappings is not None:
        call(server.url, "PUT", f"/{index}", json.dumps({"mappings": {"properties": mappings}}).encode())
    lines = [line for document in documents for line in ({"index": {"_index": index}}, document)]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    done = call(server.url, "POST", "/_bulk?refresh=true", body)
    assert not done["errors"], done


def test_a_forgotten_point_in_time_loses_and_doubles_nothing(
    server: Elasticsearch, source: ElasticsearchSource
) -> None:
    """After every page the server forgets; seven lines of one millisecond are cut in the middle."""
    for oldest_first in (False, True):
        seen: list[str] = []
        cursor = ""
        for _ in range(len(LINES)):
            reading = source.search(ALL, SECONDS, limit=3, cursor=cursor, oldest_first=oldest_first)
            assert isinstance(reading, Measured), reading
            seen += [record.id for record in reading.data.records]
            cursor = reading.data.cursor
            if not cursor:
                break
            pit = json.loads(base64.urlsafe_b64decode(cursor))["pit"]
            call(server.url, "DELETE", "/_pit", json.dumps({"id": pit}).encode())
        assert len(seen) == len(set(seen)) == len(LINES)


def test_nothing_stays_open(server: Elasticsearch) -> None:
    """A point in time of a page that nobody went on from is closed with the source."""
    one = ElasticsearchSource(Endpoint(server.url), index=[f"{PREFIX}-*"])
    reading = one.search(ALL, SECONDS, limit=2)
    assert isinstance(reading, Measured)
    assert open_contexts(server) >= 1
    one.close()
    assert open_contexts(server) == 0


def open_contexts(server: Elasticsearch) -> int:
    """Searches that this module's indices keep open."""
    found = call(server.url, "GET", f"/{PREFIX}-*/_stats/search")
    return int(found["_all"]["total"]["search"]["open_contexts"])


def test_lost_shards_are_partial_with_what_came(server: Elasticsearch) -> None:
    """An index that takes fewer terms than we ask for fails: the lines of the others come, the reason is named."""
    bad = f"{PREFIX}x-bad"
    made = {"settings": {"index.max_terms_count": 1}, "mappings": {"properties": _TRACED}}
    call(server.url, "PUT", f"/{bad}", json.dumps(made).encode())
    put(server, bad, {"@timestamp": (BEGAN + timedelta(seconds=1)).isoformat(), "trace": {"id": "1"}})
    one = ElasticsearchSource(Endpoint(server.url), index=[f"{PREFIX}-*", bad])
    query = msgspec.structs.replace(ALL, trace_id=TRACE)
    reading = one.search(query, SECONDS)
    counted = one.count(query, timedelta(minutes=1), (), SECONDS)
    one.close()
    for failed in (reading, counted):
        assert isinstance(failed, Failed), failed
        assert failed.reason is Reason.PARTIAL
        assert bad in failed.message
        assert failed.partial is not None
    assert isinstance(reading, Failed)
    assert reading.partial is not None
    assert len(reading.partial.records) == sum(line.trace == TRACE for line in LINES)


_TRACED = {"@timestamp": {"type": "date"}, "trace": {"properties": {"id": {"type": "keyword"}}}}


def test_times_that_are_none_make_an_answer_partial(server: Elasticsearch) -> None:
    """An index whose `@timestamp` is text cannot be searched by time: its lines are missed, and that is said."""
    bad = f"{PREFIX}x-text"
    put(server, bad, {"@timestamp": "yesterday", "message": "x"}, mappings={"@timestamp": {"type": "text"}})
    one = ElasticsearchSource(Endpoint(server.url), index=[f"{PREFIX}-*", bad])
    reading = one.search(ALL, SECONDS)
    counted = one.count(ALL, timedelta(minutes=1), (), SECONDS)
    one.close()
    for failed in (reading, counted):
        assert isinstance(failed, Failed)
        assert failed.reason is Reason.PARTIAL
        assert f"@timestamp is of the type text in {bad}: their lines are left out" in failed.warnings
    assert isinstance(reading, Failed)
    assert reading.partial is not None
    assert len(reading.partial.records) == len(LINES)


def test_counts_of_many_pages_are_whole(source: ElasticsearchSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three groups a page: the sum is still every line."""
    whole = source.count(ALL, timedelta(seconds=1), ("service.name", "event.action"), SECONDS)
    monkeypatch.setattr(counting, "PAGE", 3)
    paged = source.count(ALL, timedelta(seconds=1), ("service.name", "event.action"), SECONDS)
    assert isinstance(whole, Measured)
    assert isinstance(paged, Measured)
    assert paged.data == whole.data
    assert sum(count for bucket in paged.data.buckets for _, count in bucket.points) == len(LINES)


def test_a_missing_index_is_noted_and_none_at_all_is_absent(server: Elasticsearch) -> None:
    """One that was named with others, and patterns that fit nothing."""
    one = ElasticsearchSource(Endpoint(server.url), index=[f"{PREFIX}-*", "opsctl-not-there"])
    reading = one.search(ALL, SECONDS)
    one.close()
    assert isinstance(reading, Measured)
    assert reading.notes == ("no such index: opsctl-not-there",)
    two = ElasticsearchSource(Endpoint(server.url), index=["opsctl-nothing-*"])
    assert isinstance(two.search(ALL, SECONDS), Absent)
    assert isinstance(two.count(ALL, timedelta(minutes=1), (), SECONDS), Absent)
    probe = two.probe(SECONDS)
    two.close()
    assert probe.authorised
    assert probe.message.startswith("no index fits opsctl-nothing-*")
    assert not probe.usable


def test_a_closed_index_is_noted(server: Elasticsearch) -> None:
    """The others are asked without it."""
    closed = f"{PREFIX}x-closed"
    put(server, closed, {"@timestamp": BEGAN.isoformat(), "message": "x"})
    call(server.url, "POST", f"/{closed}/_close")
    one = ElasticsearchSource(Endpoint(server.url), index=[f"{PREFIX}-*", closed])
    reading = one.search(ALL, SECONDS)
    one.close()
    assert isinstance(reading, Measured), reading
    assert reading.notes == (f"index is closed: {closed}",)
    assert len(reading.data.records) == len(LINES)


def test_a_probe_knows_the_version(server: Elasticsearch, source: ElasticsearchSource) -> None:
    """Without `GET /`."""
    probe = source.probe(SECONDS)
    assert probe.version == server.version
    assert "indices fit" in probe.message


def test_lucene_is_passed_on_and_its_mistakes_are_named(source: ElasticsearchSource) -> None:
    """`query_string` finds by its own syntax; a wrong one is `rejected` in one line."""
    good = source.search(msgspec.structs.replace(ALL, query_string='"lock timeout" OR (decl* AND NOT policy)'), SECONDS)
    assert isinstance(good, Measured)
    assert {record.message for record in good.data.records} == {
        "wallet lock timeout after 250 ms",
        "payment declined: insufficient funds",
    }
    bad = source.search(msgspec.structs.replace(ALL, query_string="a AND ("), SECONDS)
    assert isinstance(bad, Failed)
    assert bad.reason is Reason.REJECTED
    assert "\n" not in bad.message


def test_configured_names_come_first(server: Elasticsearch) -> None:
    """`fields` of the configuration name what this platform calls things."""
    index = f"{PREFIX}x-own"
    at = (BEGAN + timedelta(seconds=1)).isoformat()
    own = {"@timestamp": at, "txt": "own words", "sev": "WARNING", "svc": "own", "tid": "ab" * 16, "message": "other"}
    put(server, index, own)
    fields = {"message": ["txt"], "severity": ["sev"], "service": ["svc"], "trace_id": ["tid"]}
    one = ElasticsearchSource(Endpoint(server.url), index=[index], fields=fields)
    query = msgspec.structs.replace(ALL, words="own", severity="WARN", services=("own",), trace_id="ab" * 16)
    reading = one.search(query, SECONDS)
    counted = one.count(query, timedelta(minutes=1), ("service.name",), SECONDS)
    one.close()
    assert isinstance(reading, Measured)
    (record,) = reading.data.records
    assert (record.message, record.severity, record.service) == ("own words", "WARN", "own")
    assert dict(record.fields) == {"message": "other"}
    assert isinstance(counted, Measured)
    assert [bucket.labels for bucket in counted.data.buckets] == [(("service_name", "own"),)]


def test_values_too_long_for_the_index_are_not_lost(server: Elasticsearch) -> None:
    """A keyword with `ignore_above` does not find them, and the record has them."""
    index = f"{PREFIX}x-long"
    at = (BEGAN + timedelta(seconds=1)).isoformat()
    keyword = {"type": "keyword", "ignore_above": 20}
    put(
        server,
        index,
        {"@timestamp": at, "message": "m" * 3000, "detail": "d" * 3000},
        mappings={"@timestamp": {"type": "date"}, "message": keyword, "detail": keyword},
    )
    one = ElasticsearchSource(Endpoint(server.url), index=[index])
    reading = one.search(ALL, SECONDS)
    one.close()
    assert isinstance(reading, Measured)
    assert reading.data.records[0].message == "m" * 3000
    assert reading.data.records[0].fields["detail"] == "d" * 3000


def test_half_a_character_hides_nothing(server: Elasticsearch) -> None:
    """A line with a lone surrogate, as somebody may log to blind a reader, comes with its neighbours."""
    index = f"{PREFIX}x-half"
    at = (BEGAN + timedelta(seconds=1)).isoformat()
    put(server, index, {"@timestamp": at, "message": "a\ud800b"}, {"@timestamp": at, "message": "neighbour"})
    one = ElasticsearchSource(Endpoint(server.url), index=[index])
    reading = one.search(ALL, SECONDS)
    one.close()
    assert isinstance(reading, Measured)
    assert {record.message for record in reading.data.records} == {"a\ufffdb", "neighbour"}


def test_credentials(
    start_elasticsearch: StartElasticsearch, fixed_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right ones let us in; wrong, missing and unknown API keys are `auth`, through the configuration as people write it."""
    from opsctl.adapters.clock import SystemClock
    from opsctl.files.settings import load_settings

    server = start_elasticsearch("9.2.0", security=True)
    fill(server.url, PREFIX, headers=login(server))
    monkeypatch.setenv("ES_SECRET", server.password)
    monkeypatch.setenv("ES_WRONG", "not-the-password")
    monkeypatch.setenv("ES_KEY", "id:key")
    cases = {
        f'basic = {{ user = "{server.user}", password_env = "ES_SECRET" }}': None,
        f'basic = {{ user = "{server.user}", password_env = "ES_WRONG" }}': Reason.AUTH,
        'token_env = "ES_KEY"': Reason.AUTH,
        "": Reason.AUTH,
    }
    for credentials, reason in cases.items():
        section = f'[contexts.t.elasticsearch]\nurl = "{server.url}"\nindex = ["{PREFIX}-*"]\n{credentials}\n'
        (fixed_home / "opsctl.toml").write_text(f"[contexts.t]\n{section}")
        opened = Composition(load_settings(None, None, env={}, cwd=fixed_home), SystemClock())
        reading = opened.logs.search(ALL, SECONDS)
        probe = opened.logs.probe(SECONDS)
        opened.close()
        if reason is None:
            assert isinstance(reading, Measured), reading
            assert probe.authorised
        else:
            assert isinstance(reading, Failed), credentials
            assert reading.reason is reason, reading
            assert "401" in reading.message
            assert probe.reachable
            assert not probe.authorised


VALUES = (
    "", "a", "A", "ab", "abc", "a.c", "a b", "a-b", "aa", "aaa", "b", "10", "10.0.0.1", "/api/v1/items", "x\"y", "{a}", "[b]",
    "größe", "tab\there", "line\nend", "a&b", "a~b", "<1-5>", "#", "@", "a@b.c", "\\", "€", "😀", "wallet-debit",
)  # fmt: skip
PATTERNS = (
    ".*", ".+", "a", "a|b", "a.c", "a\\.c", "[ab]+", "[^ab]+", "a{2}", "a{1,2}", "a{2,}", "(a|b)c?", "(?i)A", "(?i:a)b", "\\d+", "\\D+",
    "\\w+", "\\W", "\\s", ".*\\s.*", "[[:alpha:]]+", "[[:digit:].]+", "\\Qa.c\\E", "/api/.*", ".*\".*", "\\{a\\}", "\\[b\\]", "gr.ße", "gr..?e",
    "a&b", "a~b", "<1-5>", "#", "@", ".*@.*", "\\\\", "€", ".", "..?", "wallet-(debit|credit)", "(wallet|pay)-.*", "^a$", "|a", "a*", "(a*)b", "",
)  # fmt: skip


def test_patterns_mean_the_same_as_everywhere(server: Elasticsearch) -> None:
    """Each pattern fits the same values in Lucene as in PromQL, `.` and classes on odd characters included."""
    from opsctl.promql.regex import compile_anchored

    index = f"{PREFIX}x-patterns"
    at = (BEGAN + timedelta(seconds=1)).isoformat()
    mappings = {"@timestamp": {"type": "date"}, "value": {"type": "keyword"}}
    put(server, index, *({"@timestamp": at, "message": "m", "value": value} for value in VALUES), mappings=mappings)
    one = ElasticsearchSource(Endpoint(server.url), index=[index])
    for pattern in PATTERNS:
        query = msgspec.structs.replace(ALL, matchers=(FieldMatcher("value", "=~", pattern),))
        reading = one.search(query, SECONDS)
        assert isinstance(reading, (Measured, Absent)), (pattern, reading)
        got = {record.fields["value"] for record in reading.data.records} if isinstance(reading, Measured) else set()
        assert got == {value for value in VALUES if compile_anchored(pattern).match(value)}, pattern
    one.close()


def login(server: Elasticsearch) -> dict[str, str]:
    """The header of the first user."""
    return {"Authorization": "Basic " + base64.b64encode(f"{server.user}:{server.password}".encode()).decode()}


def test_a_field_that_is_text_here_and_a_number_there(server: Elasticsearch) -> None:
    """Each index is asked in its own type; nothing fails."""
    for name, kind, value in (("a", "keyword", "7"), ("b", "long", 7), ("c", "keyword", "seven")):
        at = (BEGAN + timedelta(seconds=1)).isoformat()
        mappings = {"@timestamp": {"type": "date"}, "level_id": {"type": kind}}
        put(
            server, f"{PREFIX}x-mixed-{name}", {"@timestamp": at, "level_id": value, "message": name}, mappings=mappings
        )
    one = ElasticsearchSource(Endpoint(server.url), index=[f"{PREFIX}x-mixed-*"])
    for op, value, want in (("=", "7", {"a", "b"}), ("!=", "7", {"c"}), ("=", "seven", {"c"})):
        query = msgspec.structs.replace(ALL, matchers=(FieldMatcher("level_id", op, value),))  # type: ignore[arg-type]
        reading = one.search(query, SECONDS)
        assert isinstance(reading, Measured), reading
        assert {record.message for record in reading.data.records} == want
    counted = one.count(ALL, timedelta(minutes=10), ("level_id",), SECONDS)
    one.close()
    assert isinstance(counted, Measured), counted
    by = {dict(bucket.labels)["level_id"]: bucket.points[0][1] for bucket in counted.data.buckets}
    assert by == {"7": 2, "seven": 1}


def test_late_lines_are_tailed_once(
    server: Elasticsearch, fixed_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`log tail` on a real server: what was there, what comes meanwhile, and what comes late, each once."""
    import threading
    import time
    from datetime import UTC, datetime

    from opsctl.cli.main import main

    began = datetime.now(UTC)
    offset = (began - BEGAN).total_seconds()

    def lines(*told: tuple[float, str]) -> list[Line]:
        return [Line(offset + second, "ecs", text, "INFO", "tailed") for second, text in told]

    fill(server.url, PREFIX, lines((-5, "before")))
    config = f'[contexts.t]\n[contexts.t.elasticsearch]\nurl = "{server.url}"\nindex = ["{PREFIX}-*"]\n'
    (fixed_home / "opsctl.toml").write_text(config)

    def write() -> None:
        time.sleep(1.5)
        fill(server.url, PREFIX, lines((1, "meanwhile"), (-4, "late")))

    writer = threading.Thread(target=write)
    writer.start()
    code = main(["log", "tail", "-s", "tailed", "--for", "6s", "-o", "ndjson"])
    writer.join()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [row["message"] for row in rows] == ["before", "late", "meanwhile"]
