"""Whatever a server that should be Prometheus does: one clean line, the right reason, in time, and never `Measured`."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from collectors.prometheus import PrometheusSource
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason, Vector
from opsctl.http import MIB, Endpoint
from opsctl.render.text import clean
from tests.servers.misbehaving import Behaviour, Exchange, Misbehaving

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DEADLINE_SECONDS = 0.5
SLACK_SECONDS = 5.0  # for a busy machine; the servers here would keep us for a minute
SECRET = "s3cr3t-token-never-shown"
HTML = b"<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>"


def ok(result: object, kind: str = "vector", **more: object) -> bytes:
    """A success envelope."""
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more}).encode()


GOOD = ok([{"metric": {"service": "wallet"}, "value": [1772366400, "1"]}])


def says(body: bytes, status: str = "200 OK", kind: str = "application/json", *headers: str) -> Behaviour:
    """A server that always answers this."""
    return lambda exchange: exchange.answer(body, status, kind, *headers)


def sends(raw: bytes, then_close: bool = True) -> Behaviour:
    """A server that writes raw bytes and closes, or holds the connection."""

    def behave(exchange: Exchange) -> None:
        exchange.send(raw)
        if then_close:
            exchange.sock.shutdown(socket.SHUT_RDWR)
        else:
            exchange.hold()

    return behave


def drips_its_body(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(GOOD))
    exchange.drip(GOOD, 0.1)


def drips_its_head(exchange: Exchange) -> None:
    exchange.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", 0.1)


def drips_chunks(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    exchange.drip(b"1\r\n \r\n" * 200, 0.05)


def flood_after(head: bytes, piece: bytes) -> Behaviour:
    """Start well, then the same bytes for ever."""

    def behave(exchange: Exchange) -> None:
        exchange.send(head)
        exchange.flood(piece)

    return behave


def resets(exchange: Exchange) -> None:
    exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    exchange.sock.close()


BOMB = gzip.compress(b" " * (300 * MIB), 9)
OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@dataclass(frozen=True)
class Case:
    """One way to be wrong, and what we say of it; `words` must be in the line."""

    name: str
    behave: Behaviour
    reason: Reason
    words: str


CASES = [
    Case("hangs", lambda exchange: exchange.hold(), Reason.DEADLINE, "within 0.5 s"),
    Case("drips its body", drips_its_body, Reason.DEADLINE, "within 0.5 s"),
    Case("drips its head", drips_its_head, Reason.DEADLINE, "within 0.5 s"),
    Case("drips chunks", drips_chunks, Reason.DEADLINE, "within 0.5 s"),
    Case("resets", resets, Reason.UNREACHABLE, "closed before an answer"),
    Case("closes without a byte", sends(b""), Reason.UNREACHABLE, "closed before an answer"),
    Case("speaks no HTTP", sends(b"220 mail.example ESMTP\r\n"), Reason.MALFORMED, "HTTP"),
    Case("answers bytes only", sends(b"\x00\x01\x02" * 100), Reason.MALFORMED, "HTTP"),
    Case("an endless header line", flood_after(OK_HEAD + b"X-A: ", b"a" * 65536), Reason.MALFORMED, "HTTP"),
    Case("endless headers", flood_after(OK_HEAD, b"X-A: b\r\n" * 1000), Reason.MALFORMED, "HTTP"),
    Case("100 Continue for ever", flood_after(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99), Reason.TOO_LARGE, "1 MiB"),
    Case("HTML with 200", says(HTML, kind="text/html; charset=utf-8"), Reason.MALFORMED, "HTML (text/html)"),
    Case("HTML that says it is JSON", says(HTML), Reason.MALFORMED, "HTML"),
    Case("plain text with 200", says(b"Prometheus is Healthy.", kind="text/plain"), Reason.MALFORMED, "not Prometheus"),
    Case("nothing with 200", says(b""), Reason.MALFORMED, "0 bytes"),
    Case("truncated JSON", says(GOOD[:-20]), Reason.MALFORMED, "not Prometheus JSON"),
    Case(
        "a body that breaks off", sends(OK_HEAD + b"Content-Length: 5000\r\n\r\n" + GOOD), Reason.MALFORMED, "broke off"
    ),
    Case(
        "chunks that break off",
        sends(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n{"),
        Reason.MALFORMED,
        "broke",
    ),
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
    Case(
        "a huge body announced",
        sends(OK_HEAD + b"Content-Length: 99999999999\r\n\r\n{"),
        Reason.TOO_LARGE,
        "limits.body",
    ),
    Case("a huge body", flood_after(OK_HEAD + b"\r\n", b" " * 65536), Reason.TOO_LARGE, "limits.body"),
    Case("a gzip bomb", says(BOMB, "200 OK", "application/json", "Content-Encoding: gzip"), Reason.TOO_LARGE, "1 MiB"),
    Case("broken gzip", says(b"nope", "200 OK", "text/x", "Content-Encoding: gzip"), Reason.MALFORMED, "garbled"),
    Case(
        "cut gzip",
        says(gzip.compress(GOOD)[:-9], "200 OK", "text/x", "Content-Encoding: gzip"),
        Reason.MALFORMED,
        "cut",
    ),
    Case("an unknown encoding", says(GOOD, "200 OK", "text/x", "Content-Encoding: br"), Reason.MALFORMED, "encoding"),
    Case("NUL bytes", says(b"\x00" * 500), Reason.MALFORMED, "not Prometheus JSON"),
    Case("no UTF-8", says(GOOD.replace(b"wallet", b"w\xff\xfe")), Reason.MALFORMED, "not Prometheus"),
    Case("a deep nest", says(b'{"status":"success","data":' + b"[" * 200_000), Reason.MALFORMED, "not Prometheus"),
    Case("JSON of another kind", says(b'{"took": 3, "hits": {}}'), Reason.MALFORMED, "not Prometheus"),
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
    Case("401", says(HTML, "401 Unauthorized", "text/html"), Reason.AUTH, "401"),
    Case("403", says(b"no\nway", "403 Forbidden", "text/plain"), Reason.AUTH, "403"),
    Case("407", says(b"", "407 Proxy Authentication Required"), Reason.AUTH, "407"),
    Case("404 of Prometheus", says(b"404 page not found\n", "404 Not Found", "text/plain"), Reason.MALFORMED, "prefix"),
    Case("429", says(b"slow down", "429 Too Many Requests", "text/plain"), Reason.OVERLOADED, "429"),
    Case("503", says(HTML, "503 Service Unavailable", "text/html"), Reason.OVERLOADED, "503"),
    Case("500 HTML", says(HTML, "500 Internal Server Error", "text/html"), Reason.MALFORMED, "500"),
    Case("502 HTML", says(HTML, "502 Bad Gateway", "text/html"), Reason.UNREACHABLE, "502"),
    Case("504", says(b"", "504 Gateway Timeout"), Reason.DEADLINE, "504"),
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


# What `doctor` calls not reachable: nothing that could be read as an answer came.
SILENT = {
    "hangs",
    "drips its body",
    "drips its head",
    "drips chunks",
    "resets",
    "closes without a byte",
    "502 HTML",
}


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], Misbehaving]]:
    """Start servers that end with the test."""
    started: list[Misbehaving] = []

    def start(behave: Behaviour) -> Misbehaving:
        started.append(Misbehaving(behave))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def source_of(url: str) -> PrometheusSource:
    """A source with a small body cap, so that floods are short, and a secret that no line may show."""
    endpoint = Endpoint(url, {"X-Scope-OrgID": SECRET}, authorization=lambda: f"Bearer {SECRET}", allow_http=True)
    return PrometheusSource(endpoint, max_body=MIB, series=8, connect_seconds=0.4)


def ask(url: str, how: str = "instant") -> tuple[Reading[object], float]:
    """One question and how long it took."""
    source = source_of(url)
    begun = time.monotonic()
    reading: Reading[object]
    if how == "instant":
        reading = source.instant("up", AT, DEADLINE_SECONDS)
    else:
        reading = source.range("up", AT - timedelta(hours=1), AT, timedelta(minutes=1), DEADLINE_SECONDS)
    took = time.monotonic() - begun
    source.close()
    return reading, took


def check_line(reading: Reading[object]) -> Failed[object]:
    """What holds for every failure: one short line without a secret, and the backend's name."""
    assert isinstance(reading, Failed)
    assert reading.message
    assert "\n" not in reading.message
    assert len(reading.message) < 420
    assert clean(reading.message).isprintable()
    assert SECRET not in repr(reading)
    assert "Traceback" not in reading.message
    assert reading.backend.startswith("prometheus http://127.0.0.1:")
    return reading


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_way_to_be_wrong_is_one_line_in_time(case: Case, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The reason fits, the line says what came, and nobody waits longer than the deadline."""
    reading, took = ask(serve(case.behave).url)
    failed = check_line(reading)
    assert (failed.reason, case.words in failed.message) == (case.reason, True), failed.message
    assert took < DEADLINE_SECONDS + SLACK_SECONDS


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.reason in {Reason.DEADLINE, Reason.AUTH}], ids=lambda case: case.name
)
def test_ranges_fail_the_same_way(case: Case, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A range question maps the same trouble to the same reason."""
    reading, took = ask(serve(case.behave).url, "range")
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
        probe = source.probe(0.2)
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
