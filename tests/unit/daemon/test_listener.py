"""The HTTP server of the daemon: few methods, small requests, and clients that behave badly."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping

import pytest

from opsctl.adapters.listener import AT_ONCE, REQUEST_BYTES, Listener, Reply


def hello(headers: Mapping[str, str]) -> Reply:
    return Reply(200, f"hello {headers.get('accept', '-')}".encode())


def broken(headers: Mapping[str, str]) -> Reply:
    raise ValueError("secret")


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener("127.0.0.1", 0, {"/hello": hello, "/broken": broken}, client_seconds=0.5)
    yield made
    made.close()


def ask(listener: Listener, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    host, _, port = listener.address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def raw(listener: Listener, *pieces: bytes, pause: float = 0.0) -> bytes:
    host, _, port = listener.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        for piece in pieces:
            client.sendall(piece)
            time.sleep(pause)
        out = b""
        while chunk := client.recv(65536):
            out += chunk
        return out


def test_a_page_is_made_from_the_request(listener: Listener) -> None:
    status, headers, body = ask(listener, "GET", "/hello?x=1", Accept="text/plain")
    assert (status, body) == (200, b"hello text/plain")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Connection"] == "close"


def test_head_has_no_body(listener: Listener) -> None:
    status, headers, body = ask(listener, "HEAD", "/hello")
    assert (status, headers["Content-Length"], body) == (200, "7", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_refused(listener: Listener, method: str) -> None:
    status, headers, _ = ask(listener, method, "/hello")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nowhere HTTP/1.1\r\n\r\n", 404),
        (b"GET http://other/hello HTTP/1.1\r\n\r\n", 400),
        (b"GET /hello\r\n\r\n", 400),
        (b"GET /hello HTTP/2.0\r\n\r\n", 400),
        (b"\xff\xfe\x00\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /" + b"x" * REQUEST_BYTES + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /hello HTTP/1.1\r\nX: " + b"x" * 3 * REQUEST_BYTES, 431),
        (b"GET /hel", 408),
    ],
)
def test_bad_requests_get_a_plain_answer(listener: Listener, request_: bytes, status: int) -> None:
    assert raw(listener, request_).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_page_that_breaks_is_500_without_what_broke_it(listener: Listener) -> None:
    status, _, body = ask(listener, "GET", "/broken")
    assert (status, body) == (500, b"a bug in opsctl: ValueError\n")


def test_a_client_that_drips_is_cut_off_in_time(listener: Listener) -> None:
    """A byte now and then never reaches any timeout of a single read."""
    begun = time.monotonic()
    host, _, port = listener.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        try:
            for byte in b"GET /hello HTTP/1.1\r\n" * 10:
                client.sendall(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            pass
    assert time.monotonic() - begun < 4


def test_silent_clients_hold_up_nobody_for_long(listener: Listener) -> None:
    """More of them than there are threads: the next request is answered when the first of them is given up."""
    host, _, port = listener.address.rpartition(":")
    silent = [socket.create_connection((host, int(port)), timeout=5) for _ in range(AT_ONCE + 4)]
    try:
        begun = time.monotonic()
        assert ask(listener, "GET", "/hello")[0] == 200
        assert time.monotonic() - begun < 4
    finally:
        for one in silent:
            one.close()
    assert sum(thread.name == "page" for thread in threading.enumerate()) <= AT_ONCE


def test_a_client_that_takes_no_answer_holds_up_nobody() -> None:
    listener = Listener("127.0.0.1", 0, {"/big": lambda headers: Reply(200, b"x" * 50_000_000)}, client_seconds=0.3)
    try:
        host, _, port = listener.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as client:
            client.sendall(b"GET /big HTTP/1.1\r\n\r\n")
            time.sleep(1.0)
            assert not [thread for thread in threading.enumerate() if thread.name == "page"]
    finally:
        listener.close()


def test_an_address_that_is_taken_is_an_error(listener: Listener) -> None:
    host, _, port = listener.address.rpartition(":")
    with pytest.raises(OSError, match="in use"):
        Listener(host, int(port), {})


def test_after_close_nobody_is_answered(listener: Listener) -> None:
    listener.close()
    with pytest.raises(OSError):
        ask(listener, "GET", "/hello")


def test_it_listens_on_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    listener = Listener("::1", 0, {"/hello": hello})
    try:
        assert listener.address.startswith("[::1]:")
        port = int(listener.address.rpartition(":")[2])
        with socket.create_connection(("::1", port), timeout=5) as client:
            client.sendall(b"GET /hello HTTP/1.0\n\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
    finally:
        listener.close()
