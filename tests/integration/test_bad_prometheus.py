"""Whatever a server that should be Prometheus does: one clean line, the right reason, in time, and never `Measured`."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from collectors.prometheus import PrometheusSource
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason, Vector
from opsctl.http import MIB, Endpoint
from tests.integration.bad_answers import (
    DEADLINE_SECONDS,
    OK_HEAD,
    SECRET,
    SILENT,
    SLACK_SECONDS,
    Case,
    checked,
    floods,
    says,
    sends,
    transport,
)
from tests.servers.misbehaving import Behaviour, Misbehaving

PATIENT_SECONDS = 4.0  # for what does answer: reading a flood on a busy machine takes its time
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def ok(result: object, kind: str = "vector", **more: object) -> bytes:
    """A success envelope."""
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more}).encode()


GOOD = ok([{"metric": {"service": "wallet"}, "value": [1772366400, "1"]}])


CASES = [
    *transport(GOOD, "Prometheus"),
    Case("answers bytes only", sends(b"\x00\x01\x02" * 100), Reason.MALFORMED, "HTTP"),
    Case("endless headers", floods(OK_HEAD, b"X-A: b\r\n" * 1000), Reason.MALFORMED, "HTTP"),
    Case("100 Continue for ever", floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99), Reason.TOO_LARGE, "1 MiB"),
    Case(
        "a chunk size that is none",
        sends(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Reason.MALFORMED,
        "broke",
    ),
    Case("a body longer than said", sends(OK_HEAD + b"Content-Length: 9\r\n\r\n" + GOOD), Reason.MALFORMED, "not Prom"),
    Case(
        "two content-lengths",
        sends(OK_HEAD + b"Content-Length: 9\r\nContent-Length: 99\r\n\r\n"),
        Reason.MALFORMED,
        "bro",
    ),
    Case("broken gzip", says(b"nope", "200 OK", "text/x", "Content-Encoding: gzip"), Reason.MALFORMED, "garbled"),
    Case("an unknown encoding", says(GOOD, "200 OK", "text/x", "Content-Encoding: br"), Reason.MALFORMED, "encoding"),
    Case("no UTF-8", says(GOOD.replace(b"wallet", b"w\xff\xfe")), Reason.MALFORMED, "not Prometheus"),
    Case("a JSON array", says(b"[]"), Reason.MALFORMED, "not Prometheus"),
    Case("success without data", says(b'{"status":"success"}'), Reason.MALFORMED, "not Prometheus"),
    Case("null data", says(b'{"status":"success","data":null}'), Reason.MALFORMED, "not Prometheus"),
    Case("an unknown result type", says(ok([], "tensor")), Reason.MALFORMED, "tensor"),
    Case(
        "a number instead of a string", says(ok([{"metric": {}, "value": [1, 1]}])), Reason.MALFORMED, "not Prometheus"
    ),
    Case(
        "a value that is no number", says(ok([{"metric": {}, "value": [1, "x"]}])), Reason.MALFORMED, "not Prometheus"
    ),
    Case(
        "a label that is no string", says(ok([{"metric": {"a": 1}, "value": [1, "1"]}])), Reason.MALFORMED, "not Prom"
    ),
    Case("a series without a value", says(ok([{"metric": {}}])), Reason.MALFORMED, "without a value"),
    Case("the same series twice", says(ok([{"metric": {}, "value": [1, "1"]}] * 2)), Reason.MALFORMED, "twice"),
    Case(
        "a native histogram",
        says(ok([{"metric": {}, "histogram": [1, {"count": "3"}]}])),
        Reason.UNSUPPORTED,
        "histogram",
    ),
    Case(
        "too many series",
        says(ok([{"metric": {"a": str(i)}, "value": [1, "1"]} for i in range(9)])),
        Reason.TOO_LARGE,
        "9",
    ),
    Case(
        "400", says(b'{"status":"error","errorType":"bad_data","error":"1:1: oops"}', "400 x"), Reason.REJECTED, "oops"
    ),
    Case("422", says(b'{"status":"error","errorType":"execution","error":"m:n"}', "422 x"), Reason.REJECTED, "m:n"),
    Case("an error with 200", says(b'{"status":"error","errorType":"bad_data","error":"no"}'), Reason.REJECTED, "no"),
    Case("a success with 500", says(GOOD, "500 x"), Reason.MALFORMED, "500"),
    Case(
        "its own timeout",
        says(b'{"status":"error","errorType":"timeout","error":"timed out"}', "503 x"),
        Reason.DEADLINE,
        "ti",
    ),
    Case("407", says(b"", "407 Proxy Authentication Required"), Reason.AUTH, "407"),
    Case(
        "partial", says(ok([{"metric": {}, "value": [1, "1"]}], warnings=["store down"])), Reason.PARTIAL, "store down"
    ),
    Case("partial and empty", says(ok([], warnings=["a\nb", "c"])), Reason.PARTIAL, "a b (and 1 more)"),
    Case(
        "an error text with control characters",
        says(json.dumps({"status": "error", "errorType": "bad_data", "error": "\x1b[2J\r\nevil\x00" * 99}).encode()),
        Reason.REJECTED,
        "evil",
    ),
]


def source_of(url: str) -> PrometheusSource:
    """A source with a small body cap, so that floods are short, and a secret that no line may show."""
    endpoint = Endpoint(url, {"X-Scope-OrgID": SECRET}, authorization=lambda: f"Bearer {SECRET}", allow_http=True)
    return PrometheusSource(endpoint, max_body=MIB, series=8, connect_seconds=0.4)


def seconds_for(case: Case) -> float:
    """The deadline of a question: short only where it is what ends it."""
    return DEADLINE_SECONDS if case.reason is Reason.DEADLINE else PATIENT_SECONDS


def ask(url: str, how: str = "instant", seconds: float = DEADLINE_SECONDS) -> tuple[Reading[object], float]:
    """One question and how long it took."""
    source = source_of(url)
    begun = time.monotonic()
    reading: Reading[object]
    if how == "instant":
        reading = source.instant("up", AT, seconds)
    else:
        reading = source.range("up", AT - timedelta(hours=1), AT, timedelta(minutes=1), seconds)
    took = time.monotonic() - begun
    source.close()
    return reading, took


def check_line(reading: Reading[object]) -> Failed[object]:
    """What holds for every failure of a Prometheus."""
    return checked(reading, "prometheus http://127.0.0.1:")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_way_to_be_wrong_is_one_line_in_time(case: Case, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The reason fits, the line says what came, and nobody waits longer than the deadline."""
    reading, took = ask(serve(case.behave).url, seconds=seconds_for(case))
    failed = check_line(reading)
    assert (failed.reason, case.words in failed.message) == (case.reason, True), failed.message
    assert took < DEADLINE_SECONDS + SLACK_SECONDS


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.reason in {Reason.DEADLINE, Reason.AUTH}], ids=lambda case: case.name
)
def test_ranges_fail_the_same_way(case: Case, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A range question maps the same trouble to the same reason."""
    reading, took = ask(serve(case.behave).url, "range", seconds_for(case))
    assert check_line(reading).reason is case.reason
    assert took < DEADLINE_SECONDS + SLACK_SECONDS


def test_a_probe_of_a_server_whose_time_is_nothing(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """`time()` without a value is not a Prometheus that answers."""
    source = source_of(serve(says(ok([]))).url)
    probe = source.probe(DEADLINE_SECONDS)
    source.close()
    assert (probe.authorised, "instead of one" in probe.message) == (False, True)


def test_a_refused_port() -> None:
    """Nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    reading, _ = ask(f"http://127.0.0.1:{port}")
    assert (check_line(reading).reason, check_line(reading).message) == (Reason.UNREACHABLE, "connection refused")


def test_a_host_that_does_not_exist() -> None:
    """The name cannot be resolved."""
    source = source_of("http://prometheus.invalid")
    reading = source.instant("up", AT, DEADLINE_SECONDS)
    assert isinstance(reading, Failed)
    assert (reading.reason, reading.message) == (Reason.UNREACHABLE, "no such host: prometheus.invalid")


def test_a_full_backlog_ends_at_the_connect_limit() -> None:
    """A host that takes no connection costs the connect limit, not the whole deadline."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        reading, took = ask(f"http://127.0.0.1:{listener.getsockname()[1]}")
        for filler in fillers:
            filler.close()
    failed = check_line(reading)
    assert failed.reason in {Reason.UNREACHABLE, Reason.DEADLINE}
    assert took < DEADLINE_SECONDS + SLACK_SECONDS


def test_a_redirect_is_not_followed_and_takes_no_credential_along(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The other host is never even connected to, and the line names it without its query."""
    thief = serve(says(GOOD))
    location = f"Location: http://user:pw@127.0.0.1:{thief.port}/login?token={SECRET}"
    reading, _ = ask(serve(says(b"", "302 Found", "text/html", location)).url)
    failed = check_line(reading)
    assert failed.reason is Reason.MALFORMED
    assert f"(302 Found to http://127.0.0.1:{thief.port}/login)" in failed.message
    assert "pw" not in failed.message
    assert thief.connections == 0


def test_an_empty_result_is_absent_not_failed_and_not_zero(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Nothing in a whole answer is `Absent`."""
    for how, kind in (("instant", "vector"), ("range", "matrix")):
        reading, _ = ask(serve(says(ok([], kind))).url, how)
        assert isinstance(reading, Absent)


def test_a_partial_answer_keeps_what_came(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Warnings make it `Failed(partial)` with the data and all warnings; infos are notes of a whole answer."""
    body = ok([{"metric": {"a": "1"}, "value": [1, "7"]}], warnings=["one", "two"])
    reading, _ = ask(serve(says(body)).url)
    assert isinstance(reading, Failed)
    assert isinstance(reading.partial, Vector)
    assert reading.partial.samples[0].value == 7
    assert reading.warnings == ("one", "two")
    told, _ = ask(serve(says(ok([{"metric": {}, "value": [1, "7"]}], infos=["PromQL info: x"]))).url)
    assert isinstance(told, Measured)
    assert told.notes == ("PromQL info: x",)
    old, _ = ask(serve(says(ok([{"metric": {}, "value": [1, "7"]}], warnings=["PromQL info: x"]))).url)
    assert isinstance(old, Measured)


def test_a_probe_of_each_of_them_is_one_line_and_never_authorised(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """`doctor` learns of trouble in time and in one line."""
    for case in (case for case in CASES if case.reason is not Reason.PARTIAL):
        source = source_of(serve(case.behave).url)
        begun = time.monotonic()
        probe = source.probe(0.2 if case.name in SILENT else PATIENT_SECONDS)
        source.close()
        assert not probe.authorised, case.name
        assert "\n" not in probe.message
        assert SECRET not in repr(probe)
        assert time.monotonic() - begun < SLACK_SECONDS
        assert probe.reachable == (case.name not in SILENT), case.name


def test_close_ends_a_question_that_waits(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """`close()` from another thread: the reading is `Failed(deadline)` long before its own deadline."""
    server = serve(lambda exchange: exchange.hold())
    source = source_of(server.url)
    readings: list[Reading[Vector]] = []
    thread = threading.Thread(target=lambda: readings.append(source.instant("up", AT, 60.0)))
    thread.start()
    while not server.requests:
        time.sleep(0.005)
    source.close()
    thread.join(SLACK_SECONDS)
    assert not thread.is_alive()
    assert isinstance(readings[0], Failed)
    assert readings[0].reason is Reason.DEADLINE
