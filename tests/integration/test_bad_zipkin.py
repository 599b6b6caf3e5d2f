"""Whatever a server that should be Zipkin does: one clean line, the right reason, in time, and never `Measured`."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from collectors.zipkin import ZipkinSource
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.core.traces import Trace, TracePage
from opsctl.http import MIB, Endpoint
from opsctl.insight.critical_path import critical_path
from opsctl.ports.traces import TraceQuery
from tests.integration.bad_answers import (
    DEADLINE_SECONDS,
    SECRET,
    SILENT,
    SLACK_SECONDS,
    Case,
    checked,
    says,
    transport,
)
from tests.servers.misbehaving import Behaviour, Misbehaving

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
US = int(AT.timestamp()) * 1_000_000
QUERY = TraceQuery("Shop", AT - timedelta(minutes=5), AT + timedelta(minutes=5))
TRACE_ID = f"{0xABC:032x}"


def span(**more: Any) -> dict[str, Any]:
    """A span as Zipkin sends it."""
    return {
        "traceId": "0000000000000abc",
        "id": "0000000000000001",
        "name": "buy",
        "timestamp": US,
        "duration": 1000,
        "localEndpoint": {"serviceName": "shop"},
        **more,
    }


def traces(*spans: dict[str, Any]) -> bytes:
    """The answer of a search with one trace."""
    return json.dumps([list(spans)]).encode()


def trace(*spans: dict[str, Any]) -> bytes:
    """The answer for one trace."""
    return json.dumps(list(spans)).encode()


WRONG = {
    "a JSON object": (b'{"traces": []}', "not Zipkin's"),
    "a span without an id": (b'{"traceId": "1"}', "id"),
    "a start that is a text": (json.dumps(span(timestamp="now")).encode(), "timestamp"),
    "a start that no calendar has": (json.dumps(span(timestamp=10**400)).encode(), "timestamp"),
    "an endless duration": (json.dumps(span(duration=10**400)).encode(), "duration"),
    "an event that no calendar has": (json.dumps(span(annotations=[{"timestamp": 10**400}])).encode(), "timestamp"),
    "a duration that is a list": (json.dumps(span(duration=[])).encode(), "duration"),
    "a tag that is a number": (json.dumps(span(tags={"a": 1})).encode(), "tags"),
    "an annotation without a time": (json.dumps(span(annotations=[{"value": "x"}])).encode(), "timestamp"),
}


def cases(search: bool) -> list[Case]:
    """The table, for a search or for one trace."""
    inside = (lambda body: b"[[" + body + b"]]") if search else (lambda body: b"[" + body + b"]")
    good = traces(span()) if search else trace(span())
    return [
        *transport(good, "Zipkin"),
        *(Case(name, says(inside(body)), Reason.MALFORMED, words) for name, (body, words) in WRONG.items()),
        Case(
            "400", says(b"Unexpected characters\nin x", "400 Bad Request", "text/plain"), Reason.REJECTED, "Unexpected"
        ),
        Case("500", says(b'{"message":"storage"}', "500 x"), Reason.MALFORMED, "storage"),
    ]


def source_of(url: str) -> ZipkinSource:
    """A source with a small body cap, so that floods are short, and a secret that no line may show."""
    endpoint = Endpoint(url, {"X-Tenant": SECRET}, authorization=lambda: f"Bearer {SECRET}", allow_http=True)
    return ZipkinSource(endpoint, max_body=MIB, connect_seconds=0.4)


Ask = Callable[[ZipkinSource], Reading[Any]]
SEARCH: Ask = lambda source: source.search(QUERY, DEADLINE_SECONDS)  # noqa: E731
SHOW: Ask = lambda source: source.trace(TRACE_ID, DEADLINE_SECONDS)  # noqa: E731
OTHERS: dict[str, Ask] = {
    "services": lambda source: source.services(DEADLINE_SECONDS),
    "operations": lambda source: source.operations("shop", DEADLINE_SECONDS),
    "dependencies": lambda source: source.dependencies(AT, timedelta(hours=1), DEADLINE_SECONDS),
}


def ask(url: str, how: Ask = SEARCH) -> tuple[Reading[Any], float]:
    """One question and how long it took."""
    source = source_of(url)
    begun = time.monotonic()
    reading = how(source)
    took = time.monotonic() - begun
    source.close()
    return reading, took


ALL = [(SEARCH, case) for case in cases(search=True)] + [(SHOW, case) for case in cases(search=False)]


@pytest.mark.parametrize(
    ("how", "case"), ALL, ids=[f"{'search' if how is SEARCH else 'trace'} {case.name}" for how, case in ALL]
)
def test_each_way_to_be_wrong_is_one_line_in_time(
    how: Ask, case: Case, serve: Callable[[Behaviour], Misbehaving]
) -> None:
    """The reason fits, the line says what came, and nobody waits longer than the deadline."""
    reading, took = ask(serve(case.behave).url, how)
    failed = checked(reading, "zipkin http://127.0.0.1:")
    assert (failed.reason, case.words in failed.message) == (case.reason, True), failed.message
    assert took < DEADLINE_SECONDS + SLACK_SECONDS


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_questions_fail_the_same_way(name: str, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """HTML, 401, 503, a cut and JSON of another kind, each with its reason."""
    for case in transport(b'["a", "b", "c", "d", "e", "f"]', "Zipkin"):
        if case.name in {"HTML with 200", "401", "503", "truncated JSON", "JSON of another kind"}:
            reading, took = ask(serve(case.behave).url, OTHERS[name])
            assert checked(reading, "zipkin ").reason is case.reason, case.name
            assert took < DEADLINE_SECONDS + SLACK_SECONDS


def test_a_refused_port() -> None:
    """Nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    reading, _ = ask(f"http://127.0.0.1:{port}")
    assert checked(reading, "zipkin ").message == "connection refused"


def test_a_redirect_is_not_followed_and_takes_no_credential_along(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The other host is never even connected to."""
    thief = serve(says(traces(span())))
    location = f"Location: http://user:pw@127.0.0.1:{thief.port}/login?token={SECRET}"
    reading, _ = ask(serve(says(b"", "302 Found", "text/html", location)).url)
    assert checked(reading, "zipkin ").reason is Reason.MALFORMED
    assert thief.connections == 0


def test_nothing_is_absent(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """An empty list: neither failed nor measured."""
    url = serve(says(b"[]")).url
    for how in (SEARCH, SHOW, *OTHERS.values()):
        assert isinstance(ask(url, how)[0], Absent)


def test_a_trace_that_is_not_found_is_absent(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """404 with its words; any other 404 is a wrong address."""
    server = serve(says(f"{TRACE_ID} not found".encode(), "404 Not Found", "text/plain"))
    assert isinstance(ask(server.url, SHOW)[0], Absent)


def test_another_trace_is_no_answer(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """What was not asked for is not shown."""
    reading, _ = ask(serve(says(trace(span(traceId="def")))).url, SHOW)
    assert checked(reading, "zipkin ").reason is Reason.MALFORMED


def shown(serve: Callable[[Behaviour], Misbehaving], *spans: dict[str, Any]) -> Trace:
    """One trace as it is read."""
    reading = ask(serve(says(trace(*spans))).url, SHOW)[0]
    assert isinstance(reading, Measured)
    return reading.data


def test_a_shared_span_is_two_with_the_server_below(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """B3: client and server report the same id; what names it as parent is below the server's half."""
    client = span(id="02", parentId="01", kind="CLIENT", timestamp=US + 100, duration=700)
    server = span(id="02", parentId="01", kind="SERVER", timestamp=US + 200, duration=500, shared=True)
    below = span(id="03", parentId="02", timestamp=US + 300, duration=100)
    got = shown(serve, below, server, client, span(id="01"))
    assert [one.kind for one in got.spans] == ["", "client", "server", ""]
    assert list(got.shape.parents) == [-1, 0, 1, 2]
    path = [(part.index, part.duration_us) for part in critical_path(got.shape)]
    assert path == [(0, 100), (1, 100), (2, 100), (3, 100), (2, 300), (1, 100), (0, 200)]


def test_a_servers_half_alone_is_below_the_callers_parent(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The client does not report: the parent that is named counts."""
    got = shown(serve, span(id="01"), span(id="02", parentId="01", shared=True, timestamp=US + 5))
    assert list(got.shape.parents) == [-1, 0]


def test_times_that_are_missing_are_said(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A span that was never finished, and one of a server that did not write its start."""
    first = span()
    half = {"traceId": "abc", "id": "2", "parentId": "0000000000000001"}
    got = shown(serve, first, half)
    assert got.spans[1].start_us == US
    assert len(got.spans[1].warnings) == 2
    assert got.spans[1].service == "(no service)"


def test_an_error_is_the_tag_whatever_its_value(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Empty, a text; `false` is none; OpenTelemetry's code counts too."""
    tags = [
        {"error": ""},
        {"error": "boom"},
        {"error": "false"},
        {"otel.status_code": "ERROR"},
        {"otel.status_code": "OK"},
    ]
    got = shown(serve, *(span(id=f"{n}", timestamp=US + n, tags=one) for n, one in enumerate(tags)))
    assert [one.status for one in got.spans] == ["error", "error", "unset", "error", "ok"]


def asked(server: Misbehaving) -> dict[str, str]:
    """The parameters of the one question that came."""
    (request,) = server.requests
    return {name: value for name, (value,) in parse_qs(urlsplit(request.split(b" ")[1].decode()).query).items()}


def test_what_a_search_asks(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Names in lower case, µs and ms, a wider window, and only tags that its language can say."""
    server = serve(says(b"[]"))
    source = source_of(server.url)
    query = replace(
        QUERY,
        operation="BUY",
        max_duration=timedelta(milliseconds=5),
        attributes={"code": "500", "note": "this and that", "a=b": "c"},
        errors_only=True,
    )
    source.search(query, 5)
    source.close()
    params = asked(server)
    assert (params["serviceName"], params["spanName"]) == ("shop", "buy")
    assert (params["minDuration"], params["maxDuration"]) == ("1", "5000")
    assert (params["endTs"], params["lookback"]) == (str(US // 1000 + 300_000), "660000")
    assert params["annotationQuery"] == "error and code=500"


def test_filtered_to_nothing_is_absent_only_when_all_was_looked_at(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A full page in which nothing fits says that there may be more."""
    pages = {
        count: json.dumps([[span(traceId=f"{n:x}")] for n in range(1, count + 1)]).encode() for count in (199, 200)
    }
    query = replace(QUERY, errors_only=True)
    readings = {}
    for count, body in pages.items():
        source = source_of(serve(says(body)).url)
        readings[count] = source.search(query, 5)
        source.close()
    assert isinstance(readings[199], Absent)
    full = readings[200]
    assert isinstance(full, Failed)
    assert full.reason is Reason.PARTIAL
    assert isinstance(full.partial, TracePage)


def test_a_probe_of_each_of_them_is_one_line_and_never_authorised(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """`doctor` learns of trouble in time and in one line."""
    for case in transport(b'["a", "b", "c", "d", "e", "f"]', "Zipkin"):
        source = source_of(serve(case.behave).url)
        begun = time.monotonic()
        probe = source.probe(0.2)
        source.close()
        assert not probe.authorised, case.name
        assert "\n" not in probe.message
        assert SECRET not in repr(probe)
        assert time.monotonic() - begun < SLACK_SECONDS
        assert probe.reachable == (case.name not in SILENT), case.name
