"""A server on a raw socket that reads one request of each connection and lets a test answer as it likes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable


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
