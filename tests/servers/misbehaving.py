"""A loopback server that does to each request what a test tells it to, on raw sockets without an HTTP library."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

Behaviour = Callable[["Exchange"], None]
HOLD_SECONDS = 60.0


@dataclass
class Exchange:
    """One request as it came, and the way to answer it."""

    sock: socket.socket
    head: bytes
    body: bytes
    ended: threading.Event

    def send(self, data: bytes) -> None:
        """Write raw bytes."""
        self.sock.sendall(data)

    def answer(self, body: bytes, status: str = "200 OK", kind: str = "application/json", *headers: str) -> None:
        """A well-formed HTTP answer of any body."""
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def hold(self, seconds: float = HOLD_SECONDS) -> None:
        """Say nothing, until the server ends."""
        self.ended.wait(seconds)

    def drip(self, data: bytes, each_seconds: float) -> None:
        """One byte at a time."""
        for byte in data:
            if self.ended.wait(each_seconds):
                return
            self.send(bytes([byte]))

    def flood(self, piece: bytes) -> None:
        """The same bytes for ever."""
        until = time.monotonic() + HOLD_SECONDS
        while time.monotonic() < until and not self.ended.is_set():
            self.send(piece)


@dataclass
class Misbehaving:
    """The server; `requests` is what came, `connections` how often somebody connected."""

    behave: Behaviour
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, name="misbehaving", daemon=True).start()

    def stop(self) -> None:
        """Close every socket."""
        self._ended.set()
        for sock in (self._listener, *self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock,), name="misbehaving", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError), sock:
            while not self._ended.is_set():
                request = _read_request(sock)
                if request is None:
                    return
                head, body = request
                self.requests.append(head + body)
                self.behave(Exchange(sock, head, body, self._ended))
                if b"connection: close" in head.lower():
                    return


def _read_request(sock: socket.socket) -> tuple[bytes, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += sock.recv(65536)
    return head, body
