"""A local Opsgenie: a process of its own that enforces the documented rules of the Alert API, with a file behind it.

    python -m opsctl.demo.servers.opsgenie --state FILE [--port N] [--keys FILE] [--faults FILE] [--lag SECONDS]
                                           [--per-minute N] [--per-second N]

It prints one JSON line with its address, serves loopback only, and ends when its stdin is closed. API keys come as JSON
(`{"integration": "a UUID"}`, or `{"integration": {"key": "a UUID", "read": false, "write": true}}`) from `--keys` or as
the first line of stdin: never from the command line. Must never answer 202 before the request is on disk.

Opsgenie's: `POST /v2/alerts`, `GET /v2/alerts`, `GET /v2/alerts/requests/ID`, `GET /v2/alerts/IDENTIFIER`,
`POST /v2/alerts/IDENTIFIER/acknowledge|close|notes`. As there, what is answered with 202 is carried out a little later
(`--lag`), and its request says how it went. Below `/jsm/ops/integration` is what Jira Service Management keeps of it:
the same without the two that read alerts.

Ours, for tests and the demo, without a key: `PUT /_faults` and `GET /_faults` (`faults_script`), `POST /_person`
{"do": "acknowledge" or "close", "alias", "user"}, `POST /_clock` {"advance": seconds},
`GET /_alerts[?alias=…&status=…]`, `GET /_log[?after=ID]`, `GET /`.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from opsctl.demo.servers import own_process
from opsctl.demo.servers.faults_script import Fault, FaultScript, reply
from opsctl.demo.servers.opsgenie_api import Answer, Api, Keys, Rates, decoded, said
from opsctl.demo.servers.opsgenie_file import AlertsFile, shown
from opsctl.demo.servers.opsgenie_rules import BODY_BYTES
from opsctl.demo.servers.pagerduty_clock import Clock

LAG_SECONDS = 0.05


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """A look."""
        self._serve(b"")

    def do_POST(self) -> None:
        """An action."""
        self._with_body()

    do_PUT = do_POST
    do_PATCH = do_POST
    do_DELETE = do_POST

    def _with_body(self) -> None:
        length = self.headers.get("Content-Length", "0" if self.command == "DELETE" else "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.close_connection = True
            self._answer(said(411, "Content-Length is missing"))
        elif int(length) > BODY_BYTES:
            if int(length) <= 4 * BODY_BYTES:  # read, or the client would see a cut instead of the answer
                self.rfile.read(int(length))
            self.close_connection = True
            self._answer(said(413, f"the body is larger than {BODY_BYTES} bytes"))
        else:
            self._serve(self.rfile.read(int(length)))

    def _serve(self, raw: bytes) -> None:
        path = self.path.partition("?")[0]
        if path == "/" or path.startswith("/_"):
            self._answer(self.server.ours.answer(self.command, self.path, raw))
            return
        answer, fault = self.server.api.answer(self.command, self.path, dict(self.headers.items()), raw)
        self._answer(answer, fault)

    def _answer(self, answer: Answer, fault: Fault | None = None) -> None:
        reply(self, fault, answer.status, answer.headers, json.dumps(answer.body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: stdout is the address, and the log is in the file."""


class Ours:
    """What is not Opsgenie's: faults, a person, and looks into the file."""

    def __init__(self, file: AlertsFile, faults: FaultScript, clock: Clock) -> None:
        self._file = file
        self._faults = faults
        self._clock = clock

    def answer(self, method: str, target: str, raw: bytes) -> Answer:
        """To one request; wrong ones get one line that says what was expected."""
        path, _, query = target.partition("?")
        options = {name: values[-1] for name, values in parse_qs(query).items()}
        try:
            match method, path:
                case "GET", "/":
                    return Answer(200, {"service": "local Opsgenie, Alert API v2", "alerts": self._counts()})
                case "GET", "/_faults":
                    return Answer(200, {"rules": self._faults.shown()})
                case "PUT", "/_faults":
                    self._faults.load(decoded(raw))
                    return Answer(200, {"rules": self._faults.shown()})
                case "POST", "/_person":
                    return self._person(decoded(raw))
                case "POST", "/_clock":
                    return self._move_clock(decoded(raw))
                case "GET", "/_alerts":
                    return Answer(200, {"alerts": self._alerts(options)})
                case "GET", "/_log":
                    return Answer(200, {"log": self._file.lines(int(options.get("after", "0")))})
        except (ValueError, OverflowError) as wrong:  # BadScript is one
            return Answer(400, {"message": str(wrong)[:300]})
        return Answer(404, {"message": f"no such path: {method} {path[:200]}"})

    def _counts(self) -> dict[str, int]:
        rows = self._file.alerts()
        return {status: sum(row["status"] == status for row in rows) for status in ("open", "closed")}

    def _alerts(self, options: Mapping[str, str]) -> list[dict[str, Any]]:
        wanted = {name: options[name] for name in ("alias", "status") if name in options}
        rows = [row for row in self._file.alerts() if all(row[name] == value for name, value in wanted.items())]
        return [shown(row, full=True) | {"notes": json.loads(row["notes"])} for row in rows]

    def _person(self, body: Any) -> Answer:
        wanted = "expected {do: acknowledge or close, alias, user}"
        if not isinstance(body, dict) or body.get("do") not in {"acknowledge", "close"}:
            return Answer(400, {"message": wanted})
        alias, user = body.get("alias"), body.get("user", "someone@example.com")
        if not isinstance(alias, str) or not isinstance(user, str) or not user:
            return Answer(400, {"message": wanted})
        if not self._file.person(body["do"], alias, user):
            return Answer(404, {"message": f"no open alert with the alias {alias[:80]}"})
        return Answer(200, {"done": body["do"], "alias": alias, "user": user})

    def _move_clock(self, body: Any) -> Answer:
        seconds = body.get("advance") if isinstance(body, dict) else None
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not -1e9 <= seconds <= 1e9:
            return Answer(400, {"message": "expected {advance: seconds}"})
        self._clock.advance(timedelta(seconds=seconds))
        return Answer(200, {"now": self._clock.now().isoformat()})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, api: Api, ours: Ours) -> None:
        self.api = api
        self.ours = ours
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not news; anything else is a mistake of ours, and is said."""
        wrong = sys.exc_info()[1]
        if not isinstance(wrong, (ConnectionError, TimeoutError)):
            sys.stderr.write(f"local Opsgenie: {type(wrong).__name__}: {wrong}\n")


class LocalOpsgenie(NamedTuple):
    """A running one; `stop()` ends it, and so does the end of its parent."""

    address: str  # http://127.0.0.1:PORT: what `opsgenie.url` takes
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Close its stdin and wait for it to end."""
        own_process.stop(self.process)


def start_local_opsgenie(
    state_path: Path, keys: Mapping[str, Any], port: int = 0, options: Sequence[str] = ()
) -> LocalOpsgenie:
    """Start the process and wait until it serves; `keys` as above, `options` such as `--lag 0`.

    RuntimeError: it did not start within 15 s.
    """
    arguments = ["--state", str(state_path), "--port", str(port), *options]
    process, ready = own_process.start("opsctl.demo.servers.opsgenie", arguments, dict(keys))
    return LocalOpsgenie(str(ready["address"]), process)


def main(argv: list[str] | None = None) -> int:
    """Serve until stdin is closed."""
    parser = argparse.ArgumentParser(prog="python -m opsctl.demo.servers.opsgenie", description="A local Opsgenie.")
    parser.add_argument("--state", type=Path, required=True, help="the file of alerts; kept between runs")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--keys", type=Path, help='JSON {"integration": "API key"}; default: a line of stdin')
    parser.add_argument("--faults", type=Path, help="a script of faults, JSON")
    parser.add_argument(
        "--lag", type=float, default=LAG_SECONDS, help="seconds from 202 to done (default: %(default)s)"
    )
    parser.add_argument("--per-minute", type=int, default=Rates().per_minute, help="requests (default: %(default)s)")
    parser.add_argument("--per-second", type=int, default=Rates().per_second, help="requests (default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        keys = Keys.read(json.loads(options.keys.read_text() if options.keys else own_process.first_line()))
        faults = FaultScript(json.loads(options.faults.read_text()) if options.faults else [])
        clock = Clock()
        file = AlertsFile(options.state, lambda: int(clock.now().timestamp() * 1000))
        rates = Rates(options.per_minute, options.per_second)
        api = Api(file, keys, faults, rates, round(options.lag * 1000))
        server = _Server(options.port, api, Ours(file, faults, clock))
    except (OSError, ValueError, OverflowError, RecursionError, sqlite3.Error) as wrong:
        sys.stderr.write(f"{parser.prog}: {wrong}\n")
        return 2
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    own_process.serve_until_stdin_closes(f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    file.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
