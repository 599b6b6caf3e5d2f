"""A local PagerDuty: a process of its own that enforces the documented rules of Events v2, with a file behind it.

    python -m opsctl.demo.servers.pagerduty --state FILE [--port N] [--keys FILE]

It prints one JSON line with its address, serves loopback only, and ends when its stdin is closed, so that nothing is
left behind by a parent that was killed. Routing keys come as JSON (`{"integration": "32 characters"}`) from `--keys` or
as the first line of stdin: never from the command line. Must never answer 202 before the event is on disk.

`POST /v2/enqueue` is PagerDuty's; `GET /incidents[?dedup_key=…&status=…]`, `GET /log[?after=ID]` and `GET /` are ours,
for tests and the demo.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from opsctl.demo.servers.events_v2 import BODY_BYTES, EVENTS_PER_MINUTE, accepted, errors_of, refusal, throttled
from opsctl.demo.servers.incidents_file import IncidentsFile

_READY_SECONDS = 15.0


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = {}


Fault = Callable[[Mapping[str, Any]], Answer | None]
"""Asked before a valid event is carried out; its answer, if any, is sent instead."""


class Service:
    """The API without HTTP: bytes in, an answer out."""

    def __init__(self, file: IncidentsFile, keys: Mapping[str, str], fault: Fault | None = None) -> None:
        self.file = file
        self._integrations = {key: name for name, key in keys.items()}
        self._fault = fault
        self._recent: dict[str, deque[float]] = {name: deque() for name in keys}
        self._guard = threading.Lock()

    def enqueue(self, raw: bytes) -> Answer:
        """One event."""
        if len(raw) > BODY_BYTES:
            self.file.refused(413, "", None, ["body too large"])
            return Answer(413, {"status": "payload too large", "message": "Event exceeds the maximum size of 512 KB"})
        try:
            event = json.loads(raw)
        except ValueError:
            event = None
        errors = errors_of(event)
        integration = self._integrations.get(str(event.get("routing_key"))) if isinstance(event, dict) else None
        if not errors and integration is None:
            errors = ["Invalid routing key"]
        if errors or integration is None:
            self.file.refused(400, integration or "", event, errors)
            return Answer(400, refusal(errors))
        return self._valid(integration, event)

    def _valid(self, integration: str, event: Mapping[str, Any]) -> Answer:
        wait = self._throttle(integration)
        if wait:
            self.file.refused(429, integration, event, [])
            return Answer(429, throttled(), {"Retry-After": str(wait)})
        instead = self._fault(event) if self._fault else None
        if instead is not None:
            self.file.refused(instead.status, integration, event, [])
            return instead
        return Answer(202, accepted(self.file.apply(integration, event).dedup_key))

    def _throttle(self, integration: str) -> int:
        """Seconds to wait, 0 if the event may pass: at most 120 in any minute for each integration."""
        now = time.monotonic()
        with self._guard:
            recent = self._recent[integration]
            while recent and now - recent[0] >= 60:
                recent.popleft()
            if len(recent) >= EVENTS_PER_MINUTE:
                return int(60 - (now - recent[0])) + 1
            recent.append(now)
        return 0

    def look(self, path: str, query: Mapping[str, str]) -> Answer:
        """Our own reading side."""
        if path == "/incidents":
            return Answer(200, {"incidents": self.file.incidents(query.get("dedup_key"), query.get("status"))})
        if path == "/log":
            return Answer(200, {"log": self.file.log(int(query.get("after", "0")))})
        if path == "/":
            found = self.file.incidents()
            counts = {
                state: sum(one["status"] == state for one in found)
                for state in ("triggered", "acknowledged", "resolved")
            }
            return Answer(200, {"service": "local PagerDuty, Events v2", "incidents": counts})
        return Answer(404, {"status": "not found", "message": f"no such path: {path}"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        """An event."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            self._answer(Answer(411, {"status": "length required", "message": "Content-Length is missing"}))
            return
        if int(length) > 4 * BODY_BYTES:
            self.close_connection = True
            self._answer(Answer(413, {"status": "payload too large", "message": "Event exceeds the maximum size"}))
            return
        raw = self.rfile.read(int(length))
        if urlsplit(self.path).path != "/v2/enqueue":
            self._answer(Answer(404, {"status": "not found", "message": f"no such path: {self.path}"}))
            return
        self._answer(self.server.service.enqueue(raw))

    def do_GET(self) -> None:
        """A look at what is there."""
        parts = urlsplit(self.path)
        if parts.path.startswith("/v2/"):
            self._answer(Answer(405, {"status": "method not allowed", "message": "POST only"}, {"Allow": "POST"}))
            return
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            self._answer(self.server.service.look(parts.path, query))
        except ValueError:
            self._answer(Answer(400, {"status": "bad request", "message": f"bad query: {parts.query}"}))

    def _answer(self, answer: Answer) -> None:
        raw = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: stdout is the address, and the log is in the file."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, service: Service) -> None:
        self.service = service
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not news."""


class LocalPagerDuty(NamedTuple):
    """A running one; `stop()` ends it, and so does the end of its parent."""

    address: str  # http://127.0.0.1:PORT: what `pagerduty.events_url` takes
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Close its stdin and wait for it to end."""
        stop(self.process)


def start_local_pagerduty(state_path: Path, routing_keys: Mapping[str, str], port: int = 0) -> LocalPagerDuty:
    """Start the process and wait until it serves; `routing_keys` are integration name → 32 characters.

    RuntimeError: it did not start within 15 s.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "opsctl.demo.servers.pagerduty", "--state", str(state_path), "--port", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the parent; the closed pipe then ends this one
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(dict(routing_keys)).encode() + b"\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], _READY_SECONDS)
        line = process.stdout.readline() if ready else b""
        return LocalPagerDuty(str(json.loads(line)["address"]), process)
    except (OSError, ValueError, KeyError) as wrong:
        stop(process)
        raise RuntimeError(f"the local PagerDuty did not start: {wrong}") from wrong


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server process: by its stdin, and by force if it does not end within 5 s."""
    if process.stdin is not None and not process.stdin.closed:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _first_line() -> str:
    """One line of stdin and not a byte more."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line.decode()


def _end_with_parent() -> None:
    """Block until stdin is closed."""
    while os.read(0, 4096):
        pass


def main(argv: list[str] | None = None) -> int:
    """Serve until stdin is closed."""
    parser = argparse.ArgumentParser(prog="python -m opsctl.demo.servers.pagerduty", description="A local PagerDuty.")
    parser.add_argument("--state", type=Path, required=True, help="the file of incidents; kept between runs")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--keys", type=Path, help='JSON {"integration": "routing key"}; default: a line of stdin')
    options = parser.parse_args(argv)
    text = options.keys.read_text() if options.keys else _first_line()
    keys = json.loads(text)
    file = IncidentsFile(options.state)
    server = _Server(options.port, Service(file, keys))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    sys.stdout.write(json.dumps({"address": f"http://127.0.0.1:{server.server_address[1]}", "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        _end_with_parent()
    server.shutdown()
    file.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
