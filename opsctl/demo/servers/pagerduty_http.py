"""HTTP and TLS for the local PagerDuty, on loopback only.

Must never answer a request that it could not read whole, and never write about a request anywhere but in the file.
"""

from __future__ import annotations

import json
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opsctl.demo.servers.events_v2 import BODY_BYTES
from opsctl.demo.servers.faults_script import Fault, reply
from opsctl.demo.servers.pagerduty_answers import Answer, Request
from opsctl.demo.servers.pagerduty_service import Service


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "local-pagerduty"
    timeout = 30
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        """A look at what is there."""
        self._serve(b"")

    def do_POST(self) -> None:
        """An event, a note, a window."""
        self._with_body()

    def do_PUT(self) -> None:
        """A change."""
        self._with_body()

    def do_DELETE(self) -> None:
        """The end of a window."""
        self._with_body(required=False)

    def _with_body(self, *, required: bool = True) -> None:
        length = self.headers.get("Content-Length", "" if required else "0")
        if not (length.isascii() and length.isdigit()):
            self.close_connection = True
            self._send(Answer(411, {"status": "length required", "message": "Content-Length is missing"}))
        elif int(length) > 4 * BODY_BYTES:
            self.close_connection = True
            self._send(Answer(413, {"status": "payload too large", "message": "Event exceeds the maximum size"}))
        else:
            raw = self.rfile.read(int(length))
            if len(raw) == int(length):
                self._serve(raw)
            else:
                self.close_connection = True

    def _serve(self, raw: bytes) -> None:
        headers = {name.casefold(): value for name, value in self.headers.items()}
        done = self.server.service.reply(Request(self.command, self.path, headers, raw))
        self._send(done.answer, done.fault)

    def _send(self, answer: Answer, fault: Fault | None = None) -> None:
        raw = b"" if answer.body is None else json.dumps(answer.body).encode()
        reply(self, fault, answer.status, answer.headers, raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: stdout is the address, and the log is in the file."""


class Server(ThreadingHTTPServer):
    """A thread for each connection; the handshake of TLS is done there, so that a silent client blocks only itself."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, service: Service, tls: ssl.SSLContext | None = None) -> None:
        self.service = service
        super().__init__(("127.0.0.1", port), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not news."""
