"""Connections that keep one deadline and one byte cap from connect to the last byte, and can be cut from outside.

Must never retry, log or decide what an answer means.
"""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from opsctl.core.frozen import dataclass
from opsctl.core.hosts import is_address, is_loopback

CHUNK_BYTES = 1 << 16


class Late(Exception):
    """The deadline passed, or the client was closed."""


class TooLarge(Exception):
    """More bytes came than the cap allows."""


@dataclass(slots=True)
class Request:
    """What one request may spend and what it has seen; shared by the connection and its reader."""

    deadline: float
    connect_seconds: float
    wire_bytes: int
    stopped: Callable[[], bool]
    received: int = 0

    def left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0 or self.stopped():
            raise Late
        return left


class Tap(io.RawIOBase):
    """The read side of a socket: each read gets the time that is left, and all of them together the byte cap."""

    def __init__(self, sock: socket.socket, request: Request) -> None:
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)
        self._request = request

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What `http.client` asks of a socket."""
        return io.BufferedReader(self, CHUNK_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        request = self._request
        self._sock.settimeout(request.left())
        try:
            count = int(self._raw.readinto(buffer) or 0)
        except TimeoutError as late:
            raise Late from late
        request.received += count
        if request.received > request.wire_bytes:
            raise TooLarge
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class Plain(http.client.HTTPConnection):
    """To loopback, or where the configuration allows it: our own connect and reader, and a handle to cut it."""

    request_now: Request
    guard: socket.socket | None = None

    def connect(self) -> None:
        self.sock = self._new_socket()

    def _new_socket(self) -> socket.socket:
        request = self.request_now
        wrong: OSError | None = None
        addresses = _resolve(self.host, self.port, request.left())
        until = time.monotonic() + request.connect_seconds
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = socket.socket(family, kind, protocol)
            self.cut()
            self.guard = sock.dup()
            try:
                # A share for each address that is left: one that swallows packets must not starve the next.
                share = (until - time.monotonic()) / (len(addresses) - number)
                sock.settimeout(min(request.left(), max(share, 0.001)))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
                sock.settimeout(min(request.left(), max(until - time.monotonic(), 0.001)))  # for the TLS handshake
                return sock
            except OSError as failed:
                wrong = failed
                sock.close()
            except Late:
                sock.close()
                raise
        raise wrong or OSError("no address")

    def response_class(  # type: ignore[override]  # what `http.client` calls with its socket
        self, sock: socket.socket, **options: Any
    ) -> http.client.HTTPResponse:
        return http.client.HTTPResponse(Tap(sock, self.request_now), **options)  # type: ignore[arg-type]

    def is_connected(self) -> bool:
        """Whether nothing came since the last answer: what is readable now is an end, or not an answer of ours."""
        if self.sock is None:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def interrupt(self) -> None:
        """End whatever waits on the socket, in any thread and in any phase."""
        guard = self.guard
        if guard is not None:
            with suppress(OSError):
                guard.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """`interrupt`, and let go of the handle."""
        self.interrupt()
        guard, self.guard = self.guard, None
        if guard is not None:
            guard.close()


class Tls(Plain):
    """Verified."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port)
        self._context = context

    def connect(self) -> None:
        raw = self._new_socket()
        try:
            self.sock = self._context.wrap_socket(raw, server_hostname=self.host.rstrip("."))
        except BaseException:
            raw.close()
            raise


def _resolve(host: str, port: int, seconds: float) -> list[Any]:
    """getaddrinfo, which has no timeout, within `seconds`."""
    if is_loopback(host) or is_address(host):
        # ASCII already: as bytes, nothing loads the IDNA codec for it.
        return socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as wrong:
            found.append(wrong)

    thread = threading.Thread(target=ask, name="opsctl-resolve", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise Late
    if isinstance(found[0], Exception):
        raise found[0]
    return list(found[0])
