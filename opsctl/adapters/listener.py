"""A small HTTP server for a few pages that are made on request: GET and HEAD, one request a connection.

Must never hold up who made it: its threads are few and daemons, a client has five seconds for its request and five for
taking the answer, and a request is at most 8 KiB. It keeps no state and changes nothing.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

REQUEST_BYTES = 8 * 1024
CLIENT_SECONDS = 5.0
AT_ONCE = 32
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Reply:
    """One answer; `body` is left out for HEAD."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


Page = Callable[[Mapping[str, str]], Reply]
"""Makes an answer from the request's headers, their names in lower case."""


class Refusal(Exception):
    """A request that gets no page."""

    def __init__(self, status: HTTPStatus, words: str, **headers: str) -> None:
        super().__init__(words)
        self.reply = Reply(int(status), f"{words}\n".encode(), headers=headers)


class Listener:
    """Listens from construction until `close`; `OSError` where the address is not to be had."""

    def __init__(
        self, host: str, port: int, pages: Mapping[str, Page], *, client_seconds: float = CLIENT_SECONDS
    ) -> None:
        self._pages = pages
        self._seconds = client_seconds
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._socket = _bound(host, port)
        self._closed = False
        threading.Thread(target=self._accept, name="listener", daemon=True).start()

    @property
    def address(self) -> str:
        """Host and port that it listens on."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """Take no more requests; those that are being answered get their answer."""
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closed:
            self._free.acquire()  # more than that wait in the kernel's queue
            try:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), name="page", daemon=True).start()
            except (OSError, RuntimeError):  # closed, or no file or thread is left for now
                self._free.release()
                if not self._closed:
                    time.sleep(_PAUSE_SECONDS)

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, suppress(OSError):
                reply, head_only = self._reply(client)
                client.settimeout(self._seconds)
                client.sendall(_bytes(reply, head_only))
                _let_go(client)
        finally:
            self._free.release()

    def _reply(self, client: socket.socket) -> tuple[Reply, bool]:
        method = ""
        try:
            method, path, headers = _parsed(_head(client, self._seconds))
            page = self._pages.get(path)
            if method not in {"GET", "HEAD"}:
                raise Refusal(
                    HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD: nothing can be changed here", Allow="GET, HEAD"
                )
            if page is None:
                raise Refusal(HTTPStatus.NOT_FOUND, f"there is {', '.join(self._pages)}")
            return page(headers), method == "HEAD"
        except Refusal as refused:
            return refused.reply, method == "HEAD"
        except OSError:
            raise
        except Exception as bug:  # noqa: BLE001  a page that cannot be made is no reason for a thread to end in a traceback
            return Reply(500, f"a bug in opsctl: {type(bug).__name__}\n".encode()), method == "HEAD"


def _bound(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(AT_ONCE)
    except BaseException:
        server.close()
        raise
    return server


def _head(client: socket.socket, seconds: float) -> bytes:
    """The request up to its empty line."""
    until = time.monotonic() + seconds
    raw = b""
    while b"\r\n\r\n" not in raw and b"\n\n" not in raw:
        left = until - time.monotonic()
        client.settimeout(max(left, 0.001))
        try:
            piece = client.recv(REQUEST_BYTES) if left > 0 else None
        except TimeoutError:
            piece = None
        if piece is None:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, f"no whole request within {seconds:g} s")
        if not piece:
            raise ConnectionResetError
        raw += piece
        if len(raw) > REQUEST_BYTES:
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a request is at most {REQUEST_BYTES} bytes")
    return raw


def _parsed(raw: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, path without its query, and headers."""
    first, *rest = raw.decode("latin-1").splitlines()
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
        raise Refusal(HTTPStatus.BAD_REQUEST, "not a request of HTTP/1.1")
    headers: dict[str, str] = {}
    for line in rest:
        if not line:
            break
        name, colon, value = line.partition(":")
        if not colon:
            raise Refusal(HTTPStatus.BAD_REQUEST, "a header without a colon")
        name = name.strip().lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return words[0], words[1].partition("?")[0], headers


def _bytes(reply: Reply, head_only: bool) -> bytes:
    lines = {
        "Date": formatdate(usegmt=True),
        "Content-Type": reply.content_type,
        "Content-Length": str(len(reply.body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **reply.headers,
    }
    head = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode("latin-1") + b"\r\n" + (b"" if head_only else reply.body)


def _let_go(client: socket.socket) -> None:
    """Close so that the answer arrives: what the client still sends would make the kernel throw it away."""
    client.shutdown(socket.SHUT_WR)
    client.settimeout(0.5)
    client.recv(REQUEST_BYTES)
