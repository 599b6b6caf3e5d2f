"""The platform's admin server: what runbook steps call to mitigate a fault. Loopback only; it decides nothing itself.

| fault               | method, path                        | JSON body (every member is required)                |
|---------------------|-------------------------------------|-----------------------------------------------------|
| promo-surge         | PUT    /v1/promo/shed               | {"percent": 60, "reason": "…"}, percent 1–95        |
|                     | DELETE /v1/promo/shed               | none                                                |
| wallet-db-slow      | PUT    /v1/wallet/failover          | {"to": "standby", "reason": "…"}                    |
|                     | DELETE /v1/wallet/failover          | none                                                |
| matchmaking-backlog | PUT    /v1/matchmaking/replicas     | {"replicas": 24, "reason": "…"}, replicas 1–96      |
|                     | DELETE /v1/matchmaking/replicas     | none                                                |
| region-lost         | PUT    /v1/gateway/drain            | {"region": "eu-1", "reason": "…"}, eu-1 or us-1     |
|                     | DELETE /v1/gateway/drain            | none                                                |
| service-silent      | PUT    /v1/chat/restart             | {"reason": "…"}; it has no undo                     |
| login-attack        | PUT    /v1/auth/block               | {"networks": ["AS64506", "AS64507"], "reason": "…"} |
|                     | DELETE /v1/auth/block               | none                                                |
| (any)               | GET    /v1/state                    | none                                                |

`faults.ACTIONS` names the action behind each path (promo.shed, undone by promo.unshed, and so on).

`PUT` wants `Content-Type: application/json`; `reason` is 1 to 200 characters. `Idempotency-Key` is optional: the same
key with the same request gets the same answer and is applied once; with another request it is a 422. Answers are JSON:
200 {"action", "message", "params"}; 400, 404, 405, 411, 413, 415, 421 and 422 {"error"}. Undoing what is not in force
is a 200 that says so. `GET /v1/state` answers {"active": {action: params}, "applied": number of changes so far}.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar

from opsctl.core.frozen import dataclass
from opsctl.core.hosts import is_loopback
from opsctl.demo.faults import ACTIONS, Action, Param
from opsctl.errors import OpsctlError

MAX_BODY_BYTES = 16 * 1024
MAX_KEYS = 10_000  # remembered answers; the oldest goes first
_NETWORK = re.compile(r"AS[0-9]{1,10}")

Mitigate = Callable[[str, Mapping[str, str]], str]


class Rejected(Exception):
    """A request that is answered with a status other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to a request, kept for its `Idempotency-Key`."""

    request: tuple[str, str, str]
    status: int
    body: Mapping[str, Any]


def _check_int(param: Param, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not param.low <= value <= param.high:
        raise Rejected(400, f"{param.name}: expected an integer from {param.low} to {param.high}")
    return str(value)


def _check_text(param: Param, value: object) -> str:
    if not isinstance(value, str) or not param.low <= len(value) <= param.high or not value.isprintable():
        raise Rejected(400, f"{param.name}: expected {param.low} to {param.high} printable characters")
    return value


def _check_choice(param: Param, value: object) -> str:
    if not isinstance(value, str) or value not in param.choices:
        raise Rejected(400, f"{param.name}: expected one of {', '.join(param.choices)}")
    return value


def _check_networks(param: Param, value: object) -> str:
    fine = isinstance(value, list) and param.low <= len(value) <= param.high
    if not isinstance(value, list) or not fine or not all(isinstance(n, str) and _NETWORK.fullmatch(n) for n in value):
        raise Rejected(400, f"{param.name}: expected a list of {param.low} to {param.high} networks such as AS64506")
    return ",".join(value)


_CHECKS: Mapping[str, Callable[[Param, object], str]] = {
    "int": _check_int,
    "text": _check_text,
    "choice": _check_choice,
    "networks": _check_networks,
}


def check_body(action: Action, raw: bytes) -> dict[str, str]:
    """The action's params as text; every member must be there, known and in bounds, or `Rejected`."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Rejected(400, "the body is not JSON") from error
    if not isinstance(body, dict):
        raise Rejected(400, "expected a JSON object")
    known = {param.name for param in action.params}
    if unknown := sorted(set(body) - known):
        raise Rejected(400, f"unknown member {unknown[0][:64]!r}; known: {', '.join(sorted(known))}")
    if missing := sorted(known - set(body)):
        raise Rejected(400, f"missing member {missing[0]!r}")
    return {param.name: _CHECKS[param.kind](param, body[param.name]) for param in action.params}


class Desk:
    """Applies each checked request once; threads take turns."""

    def __init__(self, mitigate: Mitigate) -> None:
        self._mitigate = mitigate
        self._lock = threading.Lock()
        self._active: dict[str, Mapping[str, str]] = {}
        self._applied = 0
        self._answers: dict[str, Answer] = {}

    def state(self) -> dict[str, Any]:
        """What is in force now."""
        with self._lock:
            return {"active": {name: dict(params) for name, params in self._active.items()}, "applied": self._applied}

    def handle(self, method: str, action: Action, raw: bytes, key: str | None) -> tuple[int, Mapping[str, Any]]:
        """The answer to one change; the same key gives the same answer and changes nothing."""
        request = (method, action.path, raw.decode("utf-8", "replace"))
        with self._lock:
            if key is not None and (before := self._answers.get(key)) is not None:
                if before.request != request:
                    raise Rejected(422, "this Idempotency-Key was used for another request")
                return before.status, before.body
            body = self._do(action, check_body(action, raw)) if method == "PUT" else self._undo(action, raw)
            if key is not None:
                self._answers[key] = Answer(request, 200, body)
                if len(self._answers) > MAX_KEYS:
                    del self._answers[next(iter(self._answers))]
            return 200, body

    def _do(self, action: Action, params: Mapping[str, str]) -> Mapping[str, Any]:
        message = self._call(action.name, params)
        if action.undo is not None:
            self._active[action.name] = params
        return {"action": action.name, "message": message, "params": dict(params)}

    def _undo(self, action: Action, raw: bytes) -> Mapping[str, Any]:
        if raw:
            raise Rejected(400, "DELETE takes no body")
        if action.undo is None:
            raise Rejected(405, f"{action.name} cannot be undone")
        params = self._active.get(action.name)
        if params is None:
            return {"action": action.undo, "message": f"{action.name} was not in force", "params": {}}
        message = self._call(action.undo, params)
        del self._active[action.name]
        return {"action": action.undo, "message": message, "params": dict(params)}

    def _call(self, name: str, params: Mapping[str, str]) -> str:
        try:
            message = self._mitigate(name, params)
        except (ValueError, OpsctlError) as error:
            raise Rejected(422, str(error)) from error
        self._applied += 1
        return message


class _Handler(BaseHTTPRequestHandler):
    """One request: routing, sizes and headers; the desk does the rest."""

    desk: ClassVar[Desk]
    protocol_version = "HTTP/1.1"
    server_version = "opsctl-demo-admin"
    sys_version = ""
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:
        """Stays silent: the terminal belongs to the demo."""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_PUT(self) -> None:
        self._answer(lambda: self._change("PUT"))

    def do_DELETE(self) -> None:
        self._answer(lambda: self._change("DELETE"))

    def do_POST(self) -> None:
        self._answer(self._refuse_method)

    do_PATCH = do_POST
    do_HEAD = do_POST

    def _answer(self, handle: Callable[[], tuple[int, Mapping[str, Any]]]) -> None:
        try:
            self._check_host()
            status, body = handle()
        except Rejected as refused:
            status, body = refused.status, {"error": refused.message}
            self.close_connection = True  # an unread body must not be taken for the next request
        data = json.dumps(body, sort_keys=True).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 405:
            self.send_header("Allow", "GET" if self.path == "/v1/state" else "PUT, DELETE")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _check_host(self) -> None:
        # A page in a browser could resolve its own name to loopback; it cannot forge this header.
        host = self.headers.get("Host", "").rsplit(":", 1)[0].strip("[]")
        if not is_loopback(host):
            raise Rejected(421, "this server answers on loopback only")

    def _get(self) -> tuple[int, Mapping[str, Any]]:
        if self.path != "/v1/state":
            return self._refuse_method() if self._action() is not None else (404, {})
        return 200, self.desk.state()

    def _refuse_method(self) -> tuple[int, Mapping[str, Any]]:
        self._must_exist()
        raise Rejected(405, f"{self.command} is not allowed here")

    def _action(self) -> Action | None:
        return next((action for action in ACTIONS.values() if action.path == self.path), None)

    def _must_exist(self) -> Action | None:
        action = self._action()
        if action is None and self.path != "/v1/state":
            known = ", ".join(sorted(a.path for a in ACTIONS.values()))
            raise Rejected(404, f"no such path; known: {known}, /v1/state")
        return action

    def _change(self, method: str) -> tuple[int, Mapping[str, Any]]:
        action = self._must_exist()
        if action is None:
            raise Rejected(405, f"{method} is not allowed here")
        raw = self._body()
        if method == "PUT" and self.headers.get_content_type() != "application/json":
            raise Rejected(415, "expected Content-Type: application/json")
        key = self.headers.get("Idempotency-Key")
        if key is not None and not (1 <= len(key) <= 255 and key.isprintable()):
            raise Rejected(400, "Idempotency-Key: expected 1 to 255 printable characters")
        return self.desk.handle(method, action, raw, key)

    def _body(self) -> bytes:
        text = self.headers.get("Content-Length", "0" if self.command == "DELETE" else "")
        if "Transfer-Encoding" in self.headers or not text.isascii() or not text.isdigit():
            raise Rejected(411, "expected a Content-Length")
        if int(text) > MAX_BODY_BYTES:
            raise Rejected(413, f"expected at most {MAX_BODY_BYTES} bytes")
        return self.rfile.read(int(text))


class AdminServer:
    """The admin server on a loopback address; `with AdminServer(mitigate) as server:` serves until the block ends."""

    def __init__(self, mitigate: Mitigate, host: str = "127.0.0.1", port: int = 0) -> None:
        if not is_loopback(host):
            raise OpsctlError(f"the demo's admin server binds to loopback only, not to {host}")
        handler = type("Handler", (_Handler,), {"desk": Desk(mitigate)})
        self._server = ThreadingHTTPServer(("127.0.0.1" if host == "localhost" else host, port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:40123`."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Serves in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stops serving and frees the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(5)
        self._server.server_close()

    def __enter__(self) -> AdminServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
