"""Whatever a server that should be Elasticsearch does: one clean line, the right reason, in time, never `Measured`."""

from __future__ import annotations

import gzip
import json
import logging
import re
import socket
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors.elasticsearch import ElasticsearchSource
from opsctl.core.logs import FieldMatcher, LogPage, LogQuery
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.http import MIB, Endpoint
from opsctl.render.text import clean
from tests.servers.misbehaving import Behaviour, Exchange, Misbehaving

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
QUERY = LogQuery(start=START, end=START + timedelta(minutes=10))
DEADLINE_SECONDS = 0.5
SLACK_SECONDS = 5.0  # for a busy machine; the servers here would keep us for a minute
SECRET = "s3cr3t-key-never-shown"
PRODUCT = "X-Elastic-Product: Elasticsearch"
JSON = "application/vnd.elasticsearch+json;compatible-with=8"
HTML = b"<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>"


def says(body: bytes | object, status: str = "200 OK", kind: str = JSON, *headers: str) -> Behaviour:
    """A server that always answers this, with Elasticsearch's mark."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda exchange: exchange.answer(raw, status, kind, PRODUCT, *headers)


def unmarked(body: bytes, status: str = "200 OK", kind: str = "application/json") -> Behaviour:
    """The same without the mark."""
    return lambda exchange: exchange.answer(body, status, kind)


def sends(raw: bytes) -> Behaviour:
    """A server that writes raw bytes and closes."""

    def behave(exchange: Exchange) -> None:
        exchange.send(raw)
        exchange.sock.shutdown(socket.SHUT_RDWR)

    return behave


def field(kind: str) -> dict[str, object]:
    """One type of a field in the mapping."""
    return {kind: {"type": kind, "searchable": True, "aggregatable": kind != "text"}}


CAPS = {
    "indices": ["logs-app-prod"],
    "fields": {"@timestamp": field("date"), "message": field("text"), "service.name": field("keyword")},
}
SHARDS = {"total": 5, "successful": 5, "skipped": 0, "failed": 0}
HIT = {
    "_index": "logs-app-prod",
    "_id": "1",
    "_score": None,
    "fields": {"message": ["hello"], "service.name": ["wallet"]},
    "sort": ["2026-03-01T12:00:01.000Z", 4294967296],
}


def page(hits: list[Any], **more: object) -> dict[str, object]:
    """The answer of a search."""
    return {"took": 1, "timed_out": False, "_shards": SHARDS, "hits": {"hits": hits}, "pit_id": "p", **more}


def then(behave: Behaviour) -> Behaviour:
    """Well until the search, which does this."""

    def one(exchange: Exchange) -> None:
        path = exchange.head.split(b" ", 2)[1]
        if b"_field_caps" in path:
            says(CAPS)(exchange)
        elif b"_pit" in path:
            says({"id": "p"})(exchange)
        else:
            behave(exchange)

    return one


def drips(exchange: Exchange) -> None:
    """Each byte in less time than a socket's timeout."""
    raw = json.dumps(page([HIT])).encode()
    exchange.send(
        f"HTTP/1.1 200 OK\r\n{PRODUCT}\r\nContent-Type: {JSON}\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
    )
    exchange.drip(raw, 0.1)


def drips_its_head(exchange: Exchange) -> None:
    exchange.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", 0.1)


def floods(exchange: Exchange) -> None:
    exchange.send(f"HTTP/1.1 200 OK\r\n{PRODUCT}\r\nContent-Type: {JSON}\r\n\r\n".encode())
    exchange.flood(b" " * 65536)


def resets(exchange: Exchange) -> None:
    exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    exchange.sock.close()


def error(kind: str, reason: str, status: int, **more: object) -> dict[str, object]:
    """An error as the server writes it."""
    cause = {"type": kind, "reason": reason, **more}
    return {"error": {"root_cause": [cause], **cause}, "status": status}


@dataclass(frozen=True)
class Case:
    """One way to be wrong, and what we say of it; `words` must be in the line."""

    name: str
    behave: Behaviour
    reason: Reason
    words: str


BOMB = gzip.compress(b" " * (200 * MIB), 9)

CASES = [
    Case("hangs", lambda exchange: exchange.hold(), Reason.DEADLINE, "within 0.5 s"),
    Case("hangs at the search", then(lambda exchange: exchange.hold()), Reason.DEADLINE, "no whole answer within"),
    Case("drips", then(drips), Reason.DEADLINE, "no whole answer within"),
    Case("drips its head", drips_its_head, Reason.DEADLINE, "within 0.5 s"),
    Case("resets", resets, Reason.UNREACHABLE, "closed before an answer"),
    Case("closes without a byte", sends(b""), Reason.UNREACHABLE, "closed before an answer"),
    Case("speaks no HTTP", sends(b"220 mail.example ESMTP\r\n"), Reason.MALFORMED, "HTTP"),
    Case("HTML with 200", unmarked(HTML, kind="text/html; charset=utf-8"), Reason.MALFORMED, "HTML (text/html)"),
    Case("HTML that says it is JSON", unmarked(HTML), Reason.MALFORMED, "HTML"),
    Case("HTML with the mark", says(HTML), Reason.MALFORMED, "not Elasticsearch's JSON"),
    Case("not Elasticsearch", unmarked(b'{"indices": [], "fields": {}}'), Reason.MALFORMED, "X-Elastic-Product"),
    Case("a media type that nobody knows", unmarked(b"\x89PNG", kind="image/png"), Reason.MALFORMED, "X-Elastic-Product"),
    Case("nothing with 200", unmarked(b""), Reason.MALFORMED, "0 bytes"),
    Case("nothing with 200 and the mark", says(b""), Reason.MALFORMED, "0 bytes"),
    Case("truncated JSON", then(says(json.dumps(page([HIT])).encode()[:-20])), Reason.MALFORMED, "not Elasticsearch's"),
    Case("a JSON array", says(b"[]"), Reason.MALFORMED, "not Elasticsearch's JSON"),
    Case("a deep nest", then(says(b'{"hits":' + b"[" * 200_000)), Reason.MALFORMED, "not Elasticsearch's JSON"),
    Case("no UTF-8", then(says(json.dumps(page([HIT])).encode().replace(b"hello", b"\xff\xfe"))), Reason.MALFORMED, "no"),
    Case("a mapping that is none", says({"indices": 7, "fields": []}), Reason.MALFORMED, "not Elasticsearch's JSON"),
    Case("hits of a wrong type", then(says({**page([]), "hits": {"hits": 3}})), Reason.MALFORMED, "not Elasticsearch's"),
    Case("a hit that is text", then(says(page(["x"]))), Reason.MALFORMED, "a hit that is none"),
    Case("a hit without its time", then(says(page([{**HIT, "sort": [None, 1]}]))), Reason.MALFORMED, "a hit that is none"),
    Case("a time that is none", then(says(page([{**HIT, "sort": ["soon", 1]}]))), Reason.MALFORMED, "a hit that is none"),
    Case("fields that are no lists", then(says(page([{**HIT, "fields": {"message": 3}}]))), Reason.MALFORMED, "a hit"),
    Case("no shards", then(says({"hits": {"hits": []}})), Reason.MALFORMED, "not Elasticsearch's JSON"),
    Case("a huge body", then(floods), Reason.TOO_LARGE, "limits.body"),
    Case("a gzip bomb", then(says(BOMB, "200 OK", JSON, "Content-Encoding: gzip")), Reason.TOO_LARGE, "1 MiB"),
    Case("401", says(error("security_exception", "unable to authenticate", 401), "401 x"), Reason.AUTH, "401"),
    Case("403", says(error("security_exception", "not allowed", 403), "403 x"), Reason.AUTH, "403"),
    Case("401 at the search", then(says(HTML, "401 x", "text/html")), Reason.AUTH, "401"),
    Case("429", says(error("es_rejected_execution_exception", "queue full", 429), "429 x"), Reason.OVERLOADED, "queue full"),
    Case("429 of a proxy", unmarked(b"slow down", "429 x", "text/plain"), Reason.OVERLOADED, "slow down"),
    Case("503", says(error("cluster_block_exception", "no master", 503), "503 x"), Reason.OVERLOADED, "no master"),
    Case("503 HTML", unmarked(HTML, "503 x", "text/html"), Reason.OVERLOADED, "503"),
    Case("502 HTML", unmarked(HTML, "502 Bad Gateway", "text/html"), Reason.UNREACHABLE, "502"),
    Case("504", unmarked(b"", "504 Gateway Timeout"), Reason.DEADLINE, "504"),
    Case("500", says(error("null_pointer_exception", "oops", 500), "500 x"), Reason.MALFORMED, "oops"),
    Case("404 of something else", unmarked(b"404 page not found\n", "404 x", "text/plain"), Reason.MALFORMED, "prefix"),
    Case("405 of something else", unmarked(b"", "405 x", "text/plain"), Reason.MALFORMED, "prefix"),
    Case("an error that is text", says({"error": "Incorrect HTTP method", "status": 405}, "405 x"), Reason.REJECTED, "HTTP m"),
    Case("an error of a wrong type", then(says({"error": [1]}, "400 x")), Reason.REJECTED, "400"),
    Case("a client that it does not speak to", says(error("media_type_header_exception", "v8", 400), "400 x"), Reason.REJECTED, "v8"),
    Case(
        "a query that it cannot read",
        then(says(error("query_shard_exception", "Failed to parse", 400, caused_by={"type": "x", "reason": "col 7"}), "400 x")),
        Reason.REJECTED,
        "Failed to parse: col 7",
    ),
    Case(
        "an error text with control characters",
        then(says(error("x", "\x1b[2J\r\nevil\x00" * 99, 400), "400 x")),
        Reason.REJECTED,
        "evil",
    ),
    Case(
        "shards that failed",
        then(says(page([HIT], _shards={**SHARDS, "failed": 2, "failures": [{"index": "a", "reason": {"type": "t", "reason": "r"}}]}))),
        Reason.PARTIAL,
        "2 of 5 shards did not answer: a: r",
    ),
    Case("its time limit", then(says(page([HIT], timed_out=True))), Reason.PARTIAL, "time limit"),
    Case(
        "a cluster that was skipped",
        then(says(page([HIT], _clusters={"total": 2, "successful": 1, "skipped": 1}))),
        Reason.PARTIAL,
        "1 of 2 clusters",
    ),
    Case("partial and empty", then(says(page([], timed_out=True))), Reason.PARTIAL, "time limit"),
]  # fmt: skip


def source_of(url: str, index: tuple[str, ...] = ("logs-*-*",)) -> ElasticsearchSource:
    """A source with a small body cap, so that floods are short, and a secret that no line may show."""
    endpoint = Endpoint(url, {"X-Team": SECRET}, authorization=lambda: f"ApiKey {SECRET}", allow_http=True)
    return ElasticsearchSource(endpoint, index=index, max_body=MIB, series=8, connect_seconds=0.4)


def ask(url: str, how: str = "search", query: LogQuery = QUERY) -> tuple[Reading[Any], float]:
    """One question and how long it took."""
    source = source_of(url)
    begun = time.monotonic()
    reading: Reading[Any]
    match how:
        case "search":
            reading = source.search(query, DEADLINE_SECONDS, limit=10)
        case "count":
            reading = source.count(query, timedelta(minutes=1), ("service.name",), DEADLINE_SECONDS)
        case _:
            reading = source.fields(DEADLINE_SECONDS)
    took = time.monotonic() - begun
    source.close()
    return reading, took


def check_line(reading: Reading[Any]) -> Failed[Any]:
    """What holds for every failure: one short line without a secret, and the backend's name."""
    assert isinstance(reading, Failed), reading
    assert reading.message
    assert "\n" not in reading.message
    assert len(reading.message) < 420
    assert clean(reading.message).isprintable()
    assert SECRET not in repr(reading)
    assert "Traceback" not in reading.message
    assert reading.backend.startswith("elasticsearch http://127.0.0.1:")
    return reading


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_way_to_be_wrong_is_one_line_in_time(
    case: Case, serve: Callable[[Behaviour], Misbehaving], capfd: pytest.CaptureFixture[str]
) -> None:
    """The reason fits, the line says what came, nobody waits longer than the deadline, and nothing else is printed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reading, took = ask(serve(case.behave).url)
    failed = check_line(reading)
    assert (failed.reason, case.words in failed.message) == (case.reason, True), failed.message
    assert took < DEADLINE_SECONDS + SLACK_SECONDS
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.reason in {Reason.DEADLINE, Reason.AUTH, Reason.TOO_LARGE, Reason.OVERLOADED}],
    ids=lambda case: case.name,
)  # fmt: skip
def test_counts_fail_the_same_way(case: Case, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A question for counts maps the same trouble to the same reason."""
    reading, took = ask(serve(case.behave).url, "count")
    assert check_line(reading).reason is case.reason
    assert took < DEADLINE_SECONDS + SLACK_SECONDS


def test_a_probe_of_each_of_them_is_one_line(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """`doctor` learns of trouble in time and in one line; what is only wrong in a search, it does not see."""
    for case in CASES:
        server = serve(case.behave)
        source = source_of(server.url)
        begun = time.monotonic()
        probe = source.probe(0.2)
        source.close()
        server.stop()
        assert "\n" not in probe.message, case.name
        assert SECRET not in repr(probe)
        assert time.monotonic() - begun < SLACK_SECONDS


def test_a_refused_port() -> None:
    """Nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    reading, _ = ask(f"http://127.0.0.1:{port}")
    assert (check_line(reading).reason, check_line(reading).message) == (Reason.UNREACHABLE, "connection refused")


def test_a_redirect_is_not_followed_and_takes_no_credential_along(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The other host is never even connected to, and the line names it without its query."""
    thief = serve(says(CAPS))
    location = f"Location: http://user:pw@127.0.0.1:{thief.port}/login?token={SECRET}"
    reading, _ = ask(serve(says(b"", "302 Found", "text/html", location)).url)
    failed = check_line(reading)
    assert failed.reason is Reason.MALFORMED
    assert f"(302 Found to http://127.0.0.1:{thief.port}/login)" in failed.message
    assert thief.connections == 0


def test_every_request_carries_the_credential_and_no_other_secret(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """An API key goes as `ApiKey`; nothing of this machine is told but the client's name."""
    server = serve(then(says(page([HIT]))))
    reading, _ = ask(server.url)
    assert isinstance(reading, Measured)
    assert len(server.requests) >= 3
    for request in server.requests:
        head = request.partition(b"\r\n\r\n")[0].decode().lower()
        assert f"authorization: apikey {SECRET.lower()}" in head
        assert "x-elastic-client-meta" not in head
        assert re.search(r"accept: application/vnd.elasticsearch\+json; ?compatible-with=8", head)


def test_a_trouble_is_asked_about_once(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The client's own three retries are off: 429 and 503 are told, not hammered."""
    for status in ("429 x", "502 x", "503 x"):
        server = serve(says({}, status))
        ask(server.url)
        assert len(server.requests) == 1, status


def test_a_partial_answer_keeps_what_came(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Two of five shards failed: the hits of the others are there, and every reason."""
    failures = [{"index": name, "reason": {"type": "t", "reason": f"{name} is lost"}} for name in ("a", "b", "b")]
    reading, _ = ask(serve(then(says(page([HIT], _shards={**SHARDS, "failed": 3, "failures": failures})))).url)
    failed = check_line(reading)
    assert isinstance(failed.partial, LogPage)
    assert [record.message for record in failed.partial.records] == ["hello"]
    assert failed.warnings == ("3 of 5 shards did not answer: a: a is lost", "b: b is lost")


def test_a_partial_count_is_never_a_smaller_number(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Counts without some shards are `Failed(partial)`, also when the trouble was on an earlier page."""
    asked: list[int] = []

    def counts(exchange: Exchange) -> None:
        asked.append(1)
        first = len(asked) == 1
        buckets = [{"key": {"t": 1772366400000, "0.0": f"service {len(asked)}"}, "doc_count": 7}]
        groups: dict[str, object] = {"buckets": buckets if len(asked) < 3 else []}
        if len(asked) < 3:
            groups["after_key"] = {"t": 1, "0.0": "x"}
        shards = {**SHARDS, "failed": 1, "failures": []} if first else SHARDS
        says({"_shards": shards, "timed_out": False, "aggregations": {"groups": groups}})(exchange)

    reading, _ = ask(serve(then(counts)).url, "count")
    failed = check_line(reading)
    assert failed.reason is Reason.PARTIAL
    assert failed.partial is not None
    assert len(failed.partial.buckets) == 2
    assert len(asked) == 3


@pytest.mark.parametrize("status", ["403 x", "405 x", "410 x"])
def test_a_probe_needs_no_nodes(status: str, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A credential for logs only, or a project without nodes: the version is unknown, and that is all."""

    def behave(exchange: Exchange) -> None:
        if b"/_nodes/" in exchange.head:
            says(error("security_exception", "not for you", int(status[:3])), status)(exchange)
        else:
            says(CAPS)(exchange)

    source = source_of(serve(behave).url)
    probe = source.probe(DEADLINE_SECONDS)
    source.close()
    assert (probe.reachable, probe.authorised, probe.version) == (True, True, "")
    assert probe.message == "1 index fits logs-*-*"


def test_too_many_groups_are_refused(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """More combinations than `limits.series` is `too_large`, not memory."""
    buckets = [{"key": {"t": 0, "0.0": str(number)}, "doc_count": 1} for number in range(9)]
    body = {"_shards": SHARDS, "timed_out": False, "aggregations": {"groups": {"buckets": buckets}}}
    reading, _ = ask(serve(then(says(body))).url, "count")
    assert check_line(reading).reason is Reason.TOO_LARGE


def test_no_index_is_absent_and_says_so(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A pattern that fits no index is nobody's mistake, and not a measured nothing."""
    for how in ("search", "count", "fields"):
        reading, _ = ask(serve(says({"indices": [], "fields": {}})).url, how)
        assert isinstance(reading, Absent)
    reading, _ = ask(serve(says({"indices": [], "fields": {}})).url)
    assert isinstance(reading, Absent)
    assert reading.notes == ("no index fits logs-*-*",)


def test_a_named_index_that_is_missing_is_noted(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The rest is still asked."""
    missing = error(
        "index_not_found_exception", "no such index [audit]", 404, **{"resource.id": "audit", "index": "audit"}
    )

    def behave(exchange: Exchange) -> None:
        if b"ignore_unavailable=true" in exchange.head or b"_field_caps" not in exchange.head:
            then(says(page([HIT])))(exchange)
        else:
            says(missing, "404 Not Found")(exchange)

    source = source_of(serve(behave).url, ("logs-*-*", "audit"))
    reading = source.search(QUERY, DEADLINE_SECONDS)
    source.close()
    assert isinstance(reading, Measured)
    assert reading.notes == ("no such index: audit",)


def test_half_a_character_does_not_hide_a_page(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A real server passes lone surrogates on as they were logged: they are replaced, and whole pairs are not."""
    fields = rb'{"message":["a\ud800b \udc00 \ud83d\ude00 \\ud800"],"k\uDFFF":["v\uD800"]}'
    raw = json.dumps(page([{**HIT, "fields": "F"}])).encode().replace(b'"F"', fields)
    reading, _ = ask(serve(then(says(raw))).url)
    assert isinstance(reading, Measured)
    record = reading.data.records[0]
    assert record.message == "a\ufffdb \ufffd \U0001f600 \\ud800"
    assert dict(record.fields) == {"k\ufffd": "v\ufffd"}


FORGOTTEN = {
    "error": {
        "root_cause": [{"type": "search_context_missing_exception", "reason": "No search context found for id [4]"}],
        "type": "search_phase_execution_exception",
        "reason": "all shards failed",
    },
    "status": 404,
}


def test_a_forgotten_point_in_time_is_opened_again_where_it_was(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The second page is asked by time and without what was seen, and the first page is not shown again."""
    bodies: list[dict[str, Any]] = []

    def search(exchange: Exchange) -> None:
        bodies.append(json.loads(exchange.body))
        if len(bodies) == 2:
            says(FORGOTTEN, "404 Not Found")(exchange)
        else:
            says(page([HIT]))(exchange)

    server = serve(then(search))
    source = source_of(server.url)
    first = source.search(QUERY, DEADLINE_SECONDS, limit=1)
    assert isinstance(first, Measured)
    second = source.search(QUERY, DEADLINE_SECONDS, limit=1, cursor=first.data.cursor)
    source.close()
    assert isinstance(second, Measured)
    assert bodies[1]["search_after"] == HIT["sort"]
    assert "search_after" not in bodies[2]
    again = json.dumps(bodies[2]["query"])
    assert '"lte": "2026-03-01T12:00:01.000Z"' in again
    assert '{"ids": {"values": ["1"]}}' in again


def test_a_point_in_time_that_some_shards_forgot_is_opened_again(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A node that went away takes its shards' contexts along: the next page asks anew instead of missing them for good."""
    lost = {"index": "a", "reason": {"type": "search_context_missing_exception", "reason": "No search context found"}}
    bodies: list[dict[str, Any]] = []

    def search(exchange: Exchange) -> None:
        bodies.append(json.loads(exchange.body))
        half = {**SHARDS, "failed": 1, "failures": [lost]}
        says(page([HIT], _shards=half) if len(bodies) == 2 else page([HIT]))(exchange)

    source = source_of(serve(then(search)).url)
    first = source.search(QUERY, DEADLINE_SECONDS, limit=1)
    assert isinstance(first, Measured)
    assert isinstance(source.search(QUERY, DEADLINE_SECONDS, limit=1, cursor=first.data.cursor), Measured)
    source.close()
    assert ["search_after" in body for body in bodies] == [False, True, False]


def test_a_type_that_cannot_be_compared_is_said(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Not an empty answer."""
    caps = {"indices": ["i"], "fields": {**CAPS["fields"], "where": field("geo_point")}}  # type: ignore[dict-item]
    server = serve(lambda exchange: says(caps if b"_field_caps" in exchange.head else {"id": "p"})(exchange))
    source = source_of(server.url)
    query = LogQuery(start=QUERY.start, end=QUERY.end, matchers=(FieldMatcher("where", "=", "x"),))
    reading = source.search(query, DEADLINE_SECONDS)
    counted = source.count(QUERY, timedelta(minutes=1), ("where",), DEADLINE_SECONDS)
    source.close()
    for failed in (reading, counted):
        assert isinstance(failed, Failed)
        assert failed.reason in {Reason.UNSUPPORTED, Reason.REJECTED}
        assert "geo_point" in failed.message


def test_a_point_in_time_is_closed(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """At the last page, after an error, and at `close` where somebody read no further."""
    for behave, limit in ((says(page([HIT])), 10), (says({}, "400 x"), 10), (says(page([HIT])), 1)):
        server = serve(then(behave))
        source = source_of(server.url)
        source.search(QUERY, DEADLINE_SECONDS, limit=limit)
        source.close()
        lines = [request.split(b"\r\n")[0] for request in server.requests]
        assert sum(line.startswith(b"POST") and b"_pit" in line for line in lines) == 1
        assert sum(line.startswith(b"DELETE /_pit") for line in lines) == 1


def test_patterns_on_full_text_are_refused_and_equality_is_noted(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A field that has only words cannot be compared whole: one is said aloud, the other is `unsupported`."""
    server = serve(then(says(page([HIT]))))
    source = source_of(server.url)
    pattern = LogQuery(start=QUERY.start, end=QUERY.end, matchers=(FieldMatcher("message", "=~", "a.*"),))
    refused = source.search(pattern, DEADLINE_SECONDS)
    assert isinstance(refused, Failed)
    assert refused.reason is Reason.UNSUPPORTED
    equal = LogQuery(start=QUERY.start, end=QUERY.end, matchers=(FieldMatcher("message", "=", "a b"),))
    noted = source.search(equal, DEADLINE_SECONDS)
    source.close()
    assert isinstance(noted, Measured)
    assert noted.notes == ("message is full text: it is compared by words, not whole",)


def test_the_client_says_nothing_of_its_own(
    serve: Callable[[Behaviour], Misbehaving], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No Python warning for a Warning header, nothing on a logger's last resort, no span."""

    class Tracer:
        def start_as_current_span(self, name: str) -> None:
            raise AssertionError(f"a span of the client: {name}")

    monkeypatch.setattr("elasticsearch._otel._tracer", Tracer())
    header = 'Warning: 299 Elasticsearch-8.19.21-abc "deprecated, and security is off"'
    server = serve(says({**CAPS, "indices": []}, "200 OK", JSON, header))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        reading, _ = ask(server.url)
    assert isinstance(reading, Absent)
    assert not heard
    assert logging.getLogger("elastic_transport").handlers
    assert logging.getLogger("elasticsearch").handlers


def test_close_ends_a_question_that_waits(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """`close()` from another thread: the reading is `Failed(deadline)` long before its own deadline."""
    server = serve(lambda exchange: exchange.hold())
    source = source_of(server.url)
    readings: list[Reading[LogPage]] = []
    thread = threading.Thread(target=lambda: readings.append(source.search(QUERY, 60.0)))
    thread.start()
    while not server.requests:
        time.sleep(0.005)
    source.close()
    thread.join(SLACK_SECONDS)
    assert not thread.is_alive()
    assert isinstance(readings[0], Failed)
    assert readings[0].reason is Reason.DEADLINE


CONFIG = """[contexts.prod]
[contexts.prod.elasticsearch]
url = "{url}"
"""
EVIL = "\x1b[2J\x1b]0;owned\x07\r\nfake line\u202egnp.exe\x00\x9b31m"


@pytest.mark.parametrize("form", ["table", "wide", "plain", "json", "ndjson"])
def test_hostile_text_reaches_the_terminal_only_escaped(
    form: str,
    serve: Callable[[Behaviour], Misbehaving],
    fixed_home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In every field and every form: no control character, no line that the log made up."""
    from opsctl.cli.main import main

    hit = {**HIT, "_id": EVIL, "fields": {"message": [EVIL], "service.name": [EVIL], EVIL: [EVIL]}}
    (fixed_home / "opsctl.toml").write_text(CONFIG.format(url=serve(then(says(page([hit])))).url))
    main(["log", "search", "--since", "2026-03-01T12:00:00Z", "--to", "2026-03-01T12:10:00Z", "-o", form])
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert all(character.isprintable() or character in "\n\t" for character in text), text
    assert not any(line.startswith("fake line") for line in said.out.splitlines())


def test_another_signal_is_not_affected(
    serve: Callable[[Behaviour], Misbehaving], fixed_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Metrics are asked as ever while Elasticsearch hangs; logs end in their time with one line and exit 3."""
    from opsctl.cli.main import main

    prometheus = serve(
        says({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "7"]}]}})
    )
    hanging = serve(lambda exchange: exchange.hold())
    config = CONFIG.format(url=hanging.url) + f'[contexts.prod.prometheus]\nurl = "{prometheus.url}"\n'
    (fixed_home / "opsctl.toml").write_text(config)
    assert main(["metric", "query", "up"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("7")
    begun = time.monotonic()
    assert main(["log", "search", "--timeout", "500ms"]) == 3
    assert time.monotonic() - begun < SLACK_SECONDS
    said = capsys.readouterr()
    assert said.err == f"opsctl: elasticsearch {hanging.url}: no whole answer within 0.5 s\n"
