"""The pager port: one request a call, whatever comes back."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from opsctl.adapters.sinks.pagerduty import PagerDuty, open_pagerduty
from opsctl.core.events import encode
from opsctl.errors import AuthError, ConfigError
from opsctl.files.context import PagerDuty as Settings
from opsctl.files.context import Secret
from opsctl.ports import Delivery, SinkEvent

KEY = "c4naryc4naryc4naryc4naryc4nary00"
TRIGGER = SinkEvent(
    "money",
    encode(
        {
            "event_action": "trigger",
            "dedup_key": "opsctl/1",
            "payload": {"summary": "s", "source": "x", "severity": "critical"},
        }
    ),
)


class RawServer:
    """Accepts connections, reads one request each, lets `answer` do as it likes; counts requests."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.open.append(connection)
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(
                next(line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            )
            while len(body) < length:
                body += connection.recv(65536)
            self.requests.append(body)
            self.answer(connection)

    def close(self) -> None:
        for one in (self.listener, *self.open):
            with contextlib.suppress(OSError):
                one.close()


def http(status: str, body: bytes = b"{}", headers: str = "") -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
        connection.sendall(head.encode() + body)
        connection.close()

    return answer


def hang(connection: socket.socket) -> None:
    time.sleep(3)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def drip(connection: socket.socket) -> None:
    """One header byte at a time: no single read ever times out."""
    connection.sendall(b"HTTP/1.1 202 Accepted\r\nX-Long: ")
    with contextlib.suppress(OSError):
        for _ in range(60):
            connection.sendall(b"x")
            time.sleep(0.05)


def flood(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        for _ in range(2000):
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")


@contextlib.contextmanager
def against(answer: Callable[[socket.socket], None]) -> Iterator[tuple[PagerDuty, RawServer]]:
    server = RawServer(answer)
    pager = PagerDuty({"default": lambda: KEY}, server.url)
    try:
        yield pager, server
    finally:
        pager.close()
        server.close()


CASES: list[tuple[str, Callable[[socket.socket], None], str, int | None]] = [
    ("202", http("202 Accepted", b'{"status":"success"}'), "accepted", 202),
    ("200 of something else", http("200 OK", b"<html>"), "retry", 200),
    ("302", http("302 Found", headers="Location: http://127.0.0.1:1/\r\n"), "retry", 302),
    ("400", http("400 Bad Request", b'{"message":"Event object is invalid","errors":["x"]}'), "permanent", 400),
    ("401", http("401 Unauthorized"), "permanent", 401),
    ("403", http("403 Forbidden"), "permanent", 403),
    ("404", http("404 Not Found", b"no such page"), "permanent", 404),
    ("408", http("408 Request Timeout"), "retry", 408),
    ("413", http("413 Too Large"), "permanent", 413),
    ("429", http("429 Too Many", headers="Retry-After: 7\r\n"), "retry", 429),
    ("500", http("500 Internal"), "retry", 500),
    ("502", http("502 Bad Gateway", b"\xff\xfe\x00"), "retry", 502),
    ("503", http("503 Unavailable"), "retry", 503),
    ("504", http("504 Gateway Timeout"), "retry", 504),
    ("599", http("599 Odd"), "retry", 599),
    ("reset", reset, "retry", None),
    ("hang", hang, "retry", None),
    ("drip", drip, "retry", None),
    ("flood", flood, "retry", None),
    ("garbage", lambda connection: connection.sendall(b"\0\1\2\r\n\r\n"), "retry", None),
]


@pytest.mark.parametrize(("name", "answer", "outcome", "status"), CASES, ids=[case[0] for case in CASES])
def test_exactly_one_request_a_call(
    name: str, answer: Callable[[socket.socket], None], outcome: str, status: int | None
) -> None:
    """The package repeats 429 for ever, 5xx and network errors several times: none of that may happen."""
    with against(answer) as (pager, server):
        began = time.monotonic()
        delivery = pager.send(TRIGGER, timeout_seconds=0.6)
        assert (delivery.outcome, delivery.status) == (outcome, status), delivery.message
        assert time.monotonic() - began < 2.5
        time.sleep(0.05)
        assert len(server.requests) == 1
        assert KEY not in delivery.message
        assert "\n" not in delivery.message
        sent = json.loads(server.requests[0])
        assert sent["routing_key"] == KEY
        if outcome != "accepted":
            assert delivery.message


def test_the_next_call_after_a_hang_works() -> None:
    answers = iter([hang, http("202 Accepted")])
    with against(lambda connection: next(answers)(connection)) as (pager, server):
        assert pager.send(TRIGGER, 0.3).outcome == "retry"
        assert pager.send(TRIGGER, 2.0).outcome == "accepted"
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("99999999", 600.0), ("soon", None), ("nan", None)],
)
def test_retry_after_is_read_and_capped(header: str, seconds: float | None) -> None:
    with against(http("429 Too Many", headers=f"Retry-After: {header}\r\n")) as (pager, _):
        assert pager.send(TRIGGER, 2.0).retry_after_seconds == seconds


def test_nobody_there_is_a_retry() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    delivery = PagerDuty({"default": lambda: KEY}, f"http://127.0.0.1:{port}").send(TRIGGER, 1.0)
    assert (delivery.outcome, delivery.status) == ("retry", None)


def test_the_packages_warnings_stay_off_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with against(http("503 Unavailable")) as (pager, _):
        pager.send(TRIGGER, 2.0)
    with against(reset) as (pager, _):
        pager.send(TRIGGER, 2.0)
    assert capfd.readouterr() == ("", "")


def test_an_answer_that_repeats_the_routing_key_does_not_show_it() -> None:
    with against(http("400 Bad", f'{{"message":"bad key {KEY}"}}'.encode())) as (pager, _):
        assert pager.send(TRIGGER, 2.0).message == "HTTP 400: bad key ***"


def test_plain_http_is_for_loopback_only() -> None:
    for url in ("http://events.pagerduty.com", "http://127.0.0.1.example.net", "ftp://127.0.0.1", "events", ""):
        with pytest.raises(ConfigError, match="neither https nor http to loopback"):
            PagerDuty({"default": lambda: KEY}, url)
    assert PagerDuty({"default": lambda: KEY}, "http://[::1]:99/v2/enqueue").name == "pagerduty"


def test_a_missing_or_unreadable_key_makes_no_request_and_is_tried_again() -> None:
    def unreadable() -> str:
        raise AuthError("secret file /run/x: no such file")

    with against(http("202 Accepted")) as (_, server):
        for keys in ({}, {"default": unreadable}):
            delivery: Delivery = PagerDuty(keys, server.url).send(TRIGGER, 1.0)
            assert delivery.outcome == "retry"
            assert "no request was made" in delivery.message
        assert server.requests == []


def test_routes_take_their_teams_key_and_share_a_channel_when_they_share_a_key() -> None:
    secrets = {name: Secret("env", name) for name in ("default", "money", "social", "fallback")}
    values = {"default": "d" * 32, "money": "m" * 32, "social": "d" * 32, "fallback": "f" * 32}
    with against(http("202 Accepted")) as (_, server):
        primary = open_pagerduty(Settings(secrets, server.url), lambda secret: values[secret.reference])
        for key in ("money", "nobody", "fallback"):
            primary.send(SinkEvent(key, TRIGGER.body), 2.0)
        assert [json.loads(body)["routing_key"][0] for body in server.requests] == ["m", "d", "f"]
        assert primary.channel("social") == primary.channel("nobody") != primary.channel("money")
        assert "m" * 8 not in primary.channel("money")


def test_a_refused_key_is_read_again_before_the_next_event() -> None:
    """A routing key that was renewed in its file works without a restart; one that works is not read again."""
    keys = iter([KEY, KEY[::-1], "never"])
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        seen.append(b"")
        first = len(seen) == 1
        body = b'{"message":"Invalid routing key"}' if first else b"{}"
        http("400 Bad Request" if first else "202 Accepted", body)(connection)

    server = RawServer(answer)
    pager = PagerDuty({"default": lambda: next(keys)}, server.url)
    try:
        assert [pager.send(TRIGGER).outcome for _ in range(3)] == ["permanent", "accepted", "accepted"]
    finally:
        pager.close()
        server.close()
    assert [json.loads(raw)["routing_key"] for raw in server.requests] == [KEY, KEY[::-1], KEY[::-1]]
