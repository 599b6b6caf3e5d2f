"""Ways in which a server that should be a backend with a JSON API is wrong: shared by the tables of the backends.

`transport(good)` are those that have nothing to do with an API: what is said of them is the same for all.
"""

from __future__ import annotations

import gzip
import socket
from dataclasses import dataclass

from opsctl.core.signals import Failed, Reading, Reason
from opsctl.http import MIB
from opsctl.render.text import clean
from tests.servers.misbehaving import Behaviour, Exchange

DEADLINE_SECONDS = 0.5
SLACK_SECONDS = 5.0  # for a busy machine; the servers here would keep us for a minute
SECRET = "s3cr3t-token-never-shown"
HTML = b"<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>"
BOMB = gzip.compress(b" " * (300 * MIB), 9)
OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@dataclass(frozen=True)
class Case:
    """One way to be wrong, and what we say of it; `words` must be in the line."""

    name: str
    behave: Behaviour
    reason: Reason
    words: str


def says(body: bytes, status: str = "200 OK", kind: str = "application/json", *headers: str) -> Behaviour:
    """A server that always answers this."""
    return lambda exchange: exchange.answer(body, status, kind, *headers)


def sends(raw: bytes) -> Behaviour:
    """A server that writes raw bytes and closes."""

    def behave(exchange: Exchange) -> None:
        exchange.send(raw)
        exchange.sock.shutdown(socket.SHUT_RDWR)

    return behave


def floods(head: bytes, piece: bytes) -> Behaviour:
    """Start well, then the same bytes for ever."""

    def behave(exchange: Exchange) -> None:
        exchange.send(head)
        exchange.flood(piece)

    return behave


def drips(head: bytes, rest: bytes, each_seconds: float = 0.05) -> Behaviour:
    """Start at once, then a byte at a time."""

    def behave(exchange: Exchange) -> None:
        exchange.send(head)
        exchange.drip(rest, each_seconds)

    return behave


def resets(exchange: Exchange) -> None:
    """Break the connection instead of answering."""
    exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    exchange.sock.close()


def transport(good: bytes, api: str) -> list[Case]:
    """What goes wrong below and around an API of that name; `good` is a whole answer of it."""
    long = OK_HEAD + b"Content-Length: %d\r\n\r\n" % (len(good) + 200)
    return [
        Case("hangs", lambda exchange: exchange.hold(), Reason.DEADLINE, "within 0.5 s"),
        Case("drips its body", drips(long, good + b" " * 200), Reason.DEADLINE, "within 0.5 s"),
        Case("drips its head", drips(b"HTTP/1.1 200 OK\r\n", b"X-Slow: y\r\n" * 9), Reason.DEADLINE, "within 0.5 s"),
        Case("drips chunks", drips(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 99),
             Reason.DEADLINE, "within 0.5 s"),
        Case("resets", resets, Reason.UNREACHABLE, "closed before an answer"),
        Case("closes without a byte", sends(b""), Reason.UNREACHABLE, "closed before an answer"),
        Case("speaks no HTTP", sends(b"220 mail.example ESMTP\r\n"), Reason.MALFORMED, "HTTP"),
        Case("an endless header line", floods(OK_HEAD + b"X-A: ", b"a" * 65536), Reason.MALFORMED, "HTTP"),
        Case("HTML with 200", says(HTML, kind="text/html; charset=utf-8"), Reason.MALFORMED, "HTML (text/html)"),
        Case("HTML that says it is JSON", says(HTML), Reason.MALFORMED, "HTML"),
        Case("plain text with 200", says(b"OK", kind="text/plain"), Reason.MALFORMED, f"not {api} JSON"),
        Case("nothing with 200", says(b""), Reason.MALFORMED, "0 bytes"),
        Case("truncated JSON", says(good[:-20]), Reason.MALFORMED, f"not {api} JSON"),
        Case("a body that breaks off", sends(long + good), Reason.MALFORMED, "broke off"),
        Case("chunks that break off", sends(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n{"),
             Reason.MALFORMED, "broke"),
        Case("a huge body announced", sends(OK_HEAD + b"Content-Length: 99999999999\r\n\r\n{"),
             Reason.TOO_LARGE, "limits.body"),
        Case("a huge body", floods(OK_HEAD + b"\r\n", b" " * 65536), Reason.TOO_LARGE, "limits.body"),
        Case("a gzip bomb", says(BOMB, "200 OK", "application/json", "Content-Encoding: gzip"),
             Reason.TOO_LARGE, "1 MiB"),
        Case("cut gzip", says(gzip.compress(good)[:-9], "200 OK", "text/x", "Content-Encoding: gzip"),
             Reason.MALFORMED, "cut"),
        Case("NUL bytes", says(b"\x00" * 500), Reason.MALFORMED, f"not {api} JSON"),
        Case("a deep nest", says(good[:1] + b"[" * 200_000), Reason.MALFORMED, f"not {api}"),
        Case("JSON of another kind", says(b'{"took": 3, "hits": {}}'), Reason.MALFORMED, f"not {api}"),
        Case("401", says(HTML, "401 Unauthorized", "text/html"), Reason.AUTH, "401"),
        Case("403", says(b"no\nway", "403 Forbidden", "text/plain"), Reason.AUTH, "403"),
        Case("404 of a wrong prefix", says(b"404 page not found\n", "404 Not Found", "text/plain"),
             Reason.MALFORMED, "prefix"),
        Case("429", says(b"slow down", "429 Too Many Requests", "text/plain"), Reason.OVERLOADED, "429"),
        Case("503", says(HTML, "503 Service Unavailable", "text/html"), Reason.OVERLOADED, "503"),
        Case("500 HTML", says(HTML, "500 Internal Server Error", "text/html"), Reason.MALFORMED, "500"),
        Case("502 HTML", says(HTML, "502 Bad Gateway", "text/html"), Reason.UNREACHABLE, "502"),
        Case("504", says(b"", "504 Gateway Timeout"), Reason.DEADLINE, "504"),
    ]  # fmt: skip


SILENT = {"hangs", "drips its body", "drips its head", "drips chunks", "resets", "closes without a byte", "502 HTML"}
"""What `doctor` calls not reachable: nothing that could be read as an answer came."""


def checked(reading: Reading[object], backend: str) -> Failed[object]:
    """What holds for every failure: one short line without a secret, and the backend's name."""
    assert isinstance(reading, Failed), reading
    assert reading.message
    assert "\n" not in reading.message
    assert len(reading.message) < 420
    assert clean(reading.message).isprintable()
    assert SECRET not in repr(reading)
    assert "Traceback" not in reading.message
    assert reading.backend.startswith(backend)
    return reading
