"""Whatever a server that should be Jaeger does: one clean line, the right reason, in time, and never `Measured`."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from collectors.jaeger import JaegerSource
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.core.traces import Trace, TracePage
from opsctl.http import MIB, Endpoint
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
from tests.servers.misbehaving import Behaviour, Exchange, Misbehaving

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
US = int(AT.timestamp()) * 1_000_000
QUERY = TraceQuery("shop", AT - timedelta(minutes=5), AT + timedelta(minutes=5))
TRACE_ID = "abc"


def span(**more: Any) -> dict[str, Any]:
    """A span as Jaeger sends it."""
    return {
        "traceID": TRACE_ID,
        "spanID": "1",
        "operationName": "buy",
        "references": [],
        "startTime": US,
        "duration": 1000,
        "tags": [],
        "logs": [],
        "processID": "p1",
        "warnings": None,
        **more,
    }


def trace(*spans: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A trace as Jaeger sends it."""
    body = {"traceID": TRACE_ID, "spans": list(spans), "warnings": None}
    return body | {"processes": {"p1": {"serviceName": "shop", "tags": []}}} | more


def answer(*traces: Any, errors: Any = None, **more: Any) -> bytes:
    """An envelope."""
    return json.dumps({"data": list(traces), "total": 0, "limit": 0, "offset": 0, "errors": errors, **more}).encode()


def refusal(code: int, text: str) -> bytes:
    """What Jaeger says when it refuses; it is sent as text/plain."""
    return answer(errors=[{"code": code, "msg": text}], data=None)


GOOD = answer(trace(span()))

CASES = [
    *transport(GOOD, "Jaeger"),
    Case("a JSON array", says(b"[]"), Reason.MALFORMED, "not Jaeger's"),
    Case("data of the wrong kind", says(answer(data="traces")), Reason.MALFORMED, "not Jaeger's"),
    Case("a span without an id", says(answer(trace({"startTime": US}))), Reason.MALFORMED, "spanID"),
    Case("a span without a start", says(answer(trace({"spanID": "1"}))), Reason.MALFORMED, "startTime"),
    Case("a start that is a text", says(answer(trace(span(startTime="now")))), Reason.MALFORMED, "startTime"),
    Case("a start that is a fraction", says(answer(trace(span(startTime=1.5)))), Reason.MALFORMED, "startTime"),
    Case("a duration that is a text", says(answer(trace(span(duration="1ms")))), Reason.MALFORMED, "duration"),
    Case("a start that no calendar has", says(answer(trace(span(startTime=10**400)))), Reason.MALFORMED, "calendars"),
    Case("a start before all time", says(answer(trace(span(startTime=-(10**30))))), Reason.MALFORMED, "calendars"),
    Case("an endless duration", says(answer(trace(span(duration=10**30)))), Reason.MALFORMED, "calendars"),
    Case("references of the wrong kind", says(answer(trace(span(references="no")))), Reason.MALFORMED, "references"),
    Case("processes of the wrong kind", says(answer(trace(span(), processes=[]))), Reason.MALFORMED, "processes"),
    Case("400", says(refusal(400, "parameter 'service' is required"), "400 x", "text/plain"),
         Reason.REJECTED, "'service' is required"),
    Case("500 of its own", says(refusal(500, "storage is gone"), "500 x", "text/plain"), Reason.MALFORMED, "is gone"),
    Case("503 of its own", says(refusal(503, "try later"), "503 x", "text/plain"), Reason.OVERLOADED, "try later"),
    Case("errors beside data", says(answer(trace(span()), errors=[{"code": 500, "msg": "shard\ndown"}])),
         Reason.PARTIAL, "shard down"),
    Case("several errors without data", says(answer(data=None, errors=[{"msg": "a"}, {"msg": "b"}])),
         Reason.PARTIAL, "a (and 1 more)"),
    Case("an error text with control characters", says(refusal(400, "\x1b[2J\r\nevil\x00" * 99), "400 x"),
         Reason.REJECTED, "evil"),
]  # fmt: skip


def source_of(url: str) -> JaegerSource:
    """A source with a small body cap, so that floods are short, and a secret that no line may show."""
    endpoint = Endpoint(url, {"X-Scope-OrgID": SECRET}, authorization=lambda: f"Bearer {SECRET}", allow_http=True)
    return JaegerSource(endpoint, max_body=MIB, connect_seconds=0.4)


Ask = Callable[[JaegerSource], Reading[Any]]
SEARCH: Ask = lambda source: source.search(QUERY, DEADLINE_SECONDS)  # noqa: E731
SHOW: Ask = lambda source: source.trace(TRACE_ID, DEADLINE_SECONDS)  # noqa: E731
OTHERS: dict[str, Ask] = {
    "services": lambda source: source.services(DEADLINE_SECONDS),
    "operations": lambda source: source.operations("shop", DEADLINE_SECONDS),
    "dependencies": lambda source: source.dependencies(AT, timedelta(hours=1), DEADLINE_SECONDS),
    "span metrics": lambda source: source.span_metrics(
        "calls", ["shop"], AT, timedelta(hours=1), timedelta(minutes=1), DEADLINE_SECONDS
    ),
}


def ask(url: str, how: Ask = SEARCH) -> tuple[Reading[Any], float]:
    """One question and how long it took."""
    source = source_of(url)
    begun = time.monotonic()
    reading = how(source)
    took = time.monotonic() - begun
    source.close()
    return reading, took


@pytest.mark.parametrize("how", [SEARCH, SHOW], ids=["search", "trace"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_way_to_be_wrong_is_one_line_in_time(
    case: Case, how: Ask, serve: Callable[[Behaviour], Misbehaving]
) -> None:
    """The reason fits, the line says what came, and nobody waits longer than the deadline."""
    reading, took = ask(serve(case.behave).url, how)
    failed = checked(reading, "jaeger http://127.0.0.1:")
    assert (failed.reason, case.words in failed.message) == (case.reason, True), failed.message
    assert took < DEADLINE_SECONDS + SLACK_SECONDS


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_questions_fail_the_same_way(name: str, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """HTML, 401, 503, a cut and JSON of another kind, each with its reason."""
    for case in CASES:
        if case.name in {
            "HTML with 200",
            "401",
            "503",
            "truncated JSON",
            "JSON of another kind",
            "404 of a wrong prefix",
        }:
            reading, took = ask(serve(case.behave).url, OTHERS[name])
            assert checked(reading, "jaeger ").reason is case.reason, case.name
            assert took < DEADLINE_SECONDS + SLACK_SECONDS


def test_a_refused_port() -> None:
    """Nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    reading, _ = ask(f"http://127.0.0.1:{port}")
    assert checked(reading, "jaeger ").message == "connection refused"


def test_a_redirect_is_not_followed_and_takes_no_credential_along(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The other host is never even connected to, and the line names it without its query."""
    thief = serve(says(GOOD))
    location = f"Location: http://user:pw@127.0.0.1:{thief.port}/login?token={SECRET}"
    reading, _ = ask(serve(says(b"", "302 Found", "text/html", location)).url)
    failed = checked(reading, "jaeger ")
    assert failed.reason is Reason.MALFORMED
    assert f"to http://127.0.0.1:{thief.port}/login)" in failed.message
    assert thief.connections == 0


@pytest.mark.parametrize("body", [answer(), answer(data=None)], ids=["[]", "null"])
def test_nothing_is_absent(body: bytes, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """An empty list and null, which the real server sends: neither failed nor measured."""
    url = serve(says(body)).url
    for how in (SEARCH, SHOW, *(ask_it for name, ask_it in OTHERS.items() if name != "span metrics")):
        assert isinstance(ask(url, how)[0], Absent)


def test_a_trace_that_is_not_found_is_absent_in_both_of_its_forms(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """404 with JSON as text/plain, and 200 with an error beside no data."""
    assert isinstance(ask(serve(says(refusal(404, "trace not found"), "404 x", "text/plain")).url, SHOW)[0], Absent)
    assert isinstance(ask(serve(says(refusal(404, "trace not found"))).url, SHOW)[0], Absent)


def test_another_trace_is_no_answer(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """What was not asked for is not shown."""
    reading, _ = ask(serve(says(answer(trace(span(), traceID="def")))).url, SHOW)
    assert checked(reading, "jaeger ").reason is Reason.MALFORMED


def test_partial_answers_keep_what_came(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The page, or the trace, with all errors as warnings."""
    url = serve(says(answer(trace(span()), errors=[{"msg": "one"}, {"msg": "two"}]))).url
    found, shown = ask(url)[0], ask(url, SHOW)[0]
    assert isinstance(found, Failed)
    assert isinstance(found.partial, TracePage)
    assert len(found.partial.traces) == 1
    assert found.warnings == ("one", "two")
    assert isinstance(shown, Failed)
    assert isinstance(shown.partial, Trace)


BAD_INSIDE: dict[str, dict[str, Any]] = {
    "tags of the wrong kind": {"tags": "none"},
    "a tag without a key": {"tags": [{"value": 1}]},
    "logs of the wrong kind": {"logs": {"a": 1}},
    "a log without a time": {"logs": [{"fields": []}]},
    "a log that no calendar has": {"logs": [{"timestamp": 10**400}]},
}


@pytest.mark.parametrize("name", BAD_INSIDE)
def test_what_cannot_be_read_inside_a_span_is_said(name: str, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A search, which counts errors, fails; one trace is shown with a warning at the span. Neither raises."""
    url = serve(says(answer(trace(span(**BAD_INSIDE[name]))))).url
    assert checked(ask(url)[0], "jaeger ").reason is Reason.MALFORMED
    shown = ask(url, SHOW)[0]
    assert isinstance(shown, Measured)
    assert "cannot be read" in shown.data.spans[0].warnings[0]


def test_odd_values_are_kept_as_they_are(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Null, lists and huge numbers as values; unknown processes; a negative duration; a parent elsewhere."""
    odd = span(
        tags=[{"key": "n", "value": None}, {"key": "l", "value": [1, {}]}, {"key": "big", "value": 2**80}],
        duration=-5,
        processID="p9",
        references=[{"refType": "CHILD_OF", "traceID": "fff", "spanID": "7"}],
        logs=None,
    )
    reading = ask(serve(says(answer(trace(odd, processes=None)))).url, SHOW)[0]
    assert isinstance(reading, Measured)
    one = reading.data.root
    assert dict(one.attributes) == {"n": "", "l": "[1,{}]", "big": float(2**80)}
    assert (one.service, one.duration_us, one.parent_id) == ("(no service)", 0, None)
    assert one.links == ((f"{0xFFF:032x}", f"{7:016x}"),)
    assert one.warnings == ("its duration is negative and was taken as 0",)


def test_a_trace_without_spans_is_not_there(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A trace is never empty."""
    url = serve(says(answer(trace()))).url
    assert isinstance(ask(url, SHOW)[0], Absent)
    assert isinstance(ask(url)[0], Absent)


def asked(server: Misbehaving) -> list[dict[str, list[str]]]:
    """The queries that came, as parameters."""
    return [parse_qs(urlsplit(request.split(b" ")[1].decode()).query) for request in server.requests]


def test_errors_are_never_asked_for_but_filtered_here(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """`error=true` finds nothing on a real Jaeger; neither do the kinds and codes that it keeps elsewhere."""
    bad = trace(span(tags=[{"key": "error", "value": True}, {"key": "span.kind", "value": "server"}]))
    server = serve(says(answer(trace(span(), traceID="d0d0"), bad)))
    source = source_of(server.url)
    query = TraceQuery(
        "shop", QUERY.start, QUERY.end, errors_only=True, attributes={"span.kind": "server", "error": "true"}
    )
    reading = source.search(query, 5)
    source.close()
    assert isinstance(reading, Measured)
    assert [one.trace_id for one in reading.data.traces] == [f"{0xABC:032x}"]
    (params,) = asked(server)
    assert "tags" not in params
    assert int(params["limit"][0]) >= 200


def test_filtered_to_nothing_is_absent_only_when_all_was_looked_at(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A full page without an error says that there may be more, and is not "no errors"."""
    many = [trace(span(), traceID=f"{number:x}") for number in range(1, 201)]
    query = TraceQuery("shop", QUERY.start, QUERY.end, errors_only=True)
    for count, kind in ((199, Absent), (200, Failed)):
        source = source_of(serve(says(answer(*many[:count]))).url)
        reading = source.search(query, 5)
        source.close()
        assert isinstance(reading, kind), count
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.PARTIAL
    assert "none of the 200 traces" in reading.message
    assert isinstance(reading.partial, TracePage)
    assert reading.partial.truncated


class Store:
    """Answers searches from many traces, at most so many and the newest of the time, as Jaeger does."""

    def __init__(self, count: int, failed: set[int], breaks_after: int = 99) -> None:
        self.traces = [
            (US - number * 1_000_000, trace(
                span(startTime=US - number * 1_000_000, tags=[{"key": "error", "value": number in failed}]),
                traceID=f"{number + 1:x}",
            ))
            for number in range(count)
        ]  # fmt: skip
        self.left = breaks_after

    def __call__(self, exchange: Exchange) -> None:
        self.left -= 1
        if self.left < 0:
            exchange.answer(refusal(503, "too busy"), "503 x", "text/plain")
            return
        params = parse_qs(urlsplit(exchange.head.split(b" ")[1].decode()).query)
        start, end, limit = (int(params[name][0]) for name in ("start", "end", "limit"))
        exchange.answer(answer(*[one for at, one in self.traces if start <= at <= end][:limit]))


def errors_of(store: Store, serve: Callable[[Behaviour], Misbehaving], limit: int = 20) -> Reading[TracePage]:
    """The errors of the last ten minutes."""
    source = source_of(serve(store).url)
    reading = source.search(TraceQuery("shop", AT - timedelta(minutes=10), AT, errors_only=True, limit=limit), 20)
    source.close()
    return reading


def test_more_than_a_page_is_looked_through_by_halves(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Errors behind the first 200 traces are found, all of 600 are looked at, and nothing is left out."""
    reading = errors_of(Store(600, {3, 250, 599}), serve)
    assert isinstance(reading, Measured)
    assert [int(one.trace_id, 16) - 1 for one in reading.data.traces] == [3, 250, 599]
    assert not reading.data.truncated
    assert isinstance(errors_of(Store(600, set()), serve), Absent)


def test_looking_stops_when_enough_fit(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The newest ones, and it is said that there may be more."""
    reading = errors_of(Store(600, set(range(0, 600, 2))), serve, limit=20)
    assert isinstance(reading, Measured)
    assert [int(one.trace_id, 16) - 1 for one in reading.data.traces] == list(range(0, 40, 2))
    assert reading.data.truncated


def test_a_server_that_breaks_while_it_is_looked_through(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """What came is kept and not called everything; nothing that fits is not called nothing."""
    reading = errors_of(Store(600, {3, 599}, breaks_after=2), serve)
    assert isinstance(reading, Measured)
    assert reading.data.truncated
    failed = errors_of(Store(600, {599}, breaks_after=2), serve)
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.PARTIAL


def test_a_server_that_ignores_every_filter_changes_nothing(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Operation, duration, attributes, service and time are all checked here."""
    others = [
        trace(span(operationName="other"), traceID="1"),
        trace(span(duration=10**9), traceID="2"),
        trace(span(tags=[{"key": "code", "value": 200}]), traceID="3"),
        trace(span(), traceID="4", processes={"p1": {"serviceName": "else"}}),
        trace(span(startTime=US - 10**9), traceID="5"),
    ]
    fits = trace(span(tags=[{"key": "code", "value": 500}]))
    source = source_of(serve(says(answer(*others, fits))).url)
    query = TraceQuery("shop", QUERY.start, QUERY.end, "buy", None, timedelta(seconds=1), attributes={"code": "500"})
    reading = source.search(query, 5)
    source.close()
    assert isinstance(reading, Measured)
    assert [one.trace_id for one in reading.data.traces] == [f"{0xABC:032x}"]


def test_a_small_store_is_asked_for_less(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Where 200 are more than it keeps, the limit itself is asked for; where that is too much, it is said."""

    def small(exchange: Exchange) -> None:
        limit = int(parse_qs(urlsplit(exchange.head.split(b" ")[1].decode()).query)["limit"][0])
        text = "search depth must be greater than 0 and less than max traces"
        if limit > 50:
            exchange.answer(refusal(500, text), "500 x", "text/plain")
        else:
            exchange.answer(GOOD)

    server = serve(small)
    source = source_of(server.url)
    query = TraceQuery("shop", QUERY.start, QUERY.end, attributes={"error": "false"})
    assert isinstance(source.search(query, 5), Absent)
    assert [params["limit"] for params in asked(server)] == [["200"], ["20"]]
    reading = source.search(TraceQuery("shop", QUERY.start, QUERY.end, limit=60), 5)
    source.close()
    failed = checked(reading, "jaeger ")
    assert failed.reason is Reason.REJECTED
    assert "limit of 60" in failed.message


def test_what_is_too_large_is_asked_for_again_in_less(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """200 traces to look through are over the cap, 20 are not; where they are as well, it is said."""

    def large(exchange: Exchange) -> None:
        limit = int(parse_qs(urlsplit(exchange.head.split(b" ")[1].decode()).query)["limit"][0])
        exchange.answer(GOOD if limit <= 20 else b" " * (2 * MIB))

    server = serve(large)
    source = source_of(server.url)
    query = TraceQuery("shop", QUERY.start, QUERY.end, errors_only=True)
    assert isinstance(source.search(query, 5), Absent)
    assert [params["limit"] for params in asked(server)] == [["200"], ["20"]]
    failed = checked(source.search(TraceQuery("shop", QUERY.start, QUERY.end, limit=30), 5), "jaeger ")
    source.close()
    assert failed.reason is Reason.TOO_LARGE
    assert failed.message == "the answer is larger than 1 MiB (limits.body): take a lower limit"


def test_span_metrics_that_are_not_configured_are_unsupported(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """501 says so in words."""
    server = serve(says(refusal(501, "metrics querying is currently disabled"), "501 x", "text/plain"))
    failed = checked(ask(server.url, OTHERS["span metrics"])[0], "jaeger ")
    assert failed.reason is Reason.UNSUPPORTED
    assert failed.message.startswith("SPM is not configured")


def test_span_metrics_become_series(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Labels with the name among them, times in unix seconds, NaN as NaN, a point without a value left out."""
    points = [
        {"timestamp": "2026-03-01T12:00:00Z", "gaugeValue": {"doubleValue": 0.5}},
        {"timestamp": "2026-03-01T11:59:00.5Z", "gaugeValue": {"doubleValue": "NaN"}},
        {"timestamp": "2026-03-01T12:01:00Z"},
    ]
    family = {
        "name": "service_call_rate",
        "type": "GAUGE",
        "metrics": [{"labels": [{"name": "service_name", "value": "shop"}], "metricPoints": points}, {"labels": []}],
    }
    server = serve(says(json.dumps(family).encode()))
    reading = ask(server.url, OTHERS["span metrics"])[0]
    assert isinstance(reading, Measured)
    (series,) = reading.data.series
    assert series.labels == (("__name__", "service_call_rate"), ("service_name", "shop"))
    (first, nan), (second, half) = series.points
    assert (first, second, half) == (AT.timestamp() - 59.5, AT.timestamp(), 0.5)
    assert nan != nan
    (params,) = asked(server)
    assert params["service"] == ["shop"]
    assert (params["step"], params["lookback"], params["endTs"]) == (["60000"], ["3600000"], [f"{US // 1000}"])


def test_latencies_need_a_quantile() -> None:
    """Nothing is asked without one."""
    source = source_of("http://127.0.0.1:9")
    reading = source.span_metrics("latencies", ["shop"], AT, timedelta(hours=1), timedelta(minutes=1), 5)
    assert isinstance(reading, Failed)
    assert (reading.reason, reading.message) == (Reason.REJECTED, "latencies need a quantile")


def test_a_probe_of_each_of_them_is_one_line_and_never_authorised(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """`doctor` learns of trouble in time and in one line."""
    for case in transport(GOOD, "Jaeger"):
        source = source_of(serve(case.behave).url)
        begun = time.monotonic()
        probe = source.probe(0.2)
        source.close()
        assert not probe.authorised, case.name
        assert "\n" not in probe.message
        assert SECRET not in repr(probe)
        assert time.monotonic() - begun < SLACK_SECONDS
        assert probe.reachable == (case.name not in SILENT), case.name
