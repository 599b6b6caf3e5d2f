"""Every sink as the contract suite sees it: how to open it, what its far side calls accepted, and far sides to look at."""

from __future__ import annotations

import base64
import json
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from opsctl.adapters.sinks.alertmanager import Alertmanager, FarSide
from opsctl.adapters.sinks.opsgenie import Account, Opsgenie, alias_of
from opsctl.adapters.sinks.pagerduty import PagerDuty
from opsctl.adapters.sinks.posting import Server
from opsctl.adapters.sinks.webhook import Webhook
from opsctl.core.events import encode
from opsctl.http import Endpoint
from opsctl.ports import Sink, SinkEvent
from tests.contract.opsgenie_world import Opsgenie as LocalAlerts
from tests.servers.alertmanager import Alertmanager as RealAlertmanager
from tests.servers.misbehaving import Behaviour, Exchange

SECRET = "c4naryc4naryc4naryc4naryc4nary00"
SIGNING = "whsec_" + base64.b64encode(b"signing-canary-of-24-byt").decode()
SECRETS = (SECRET, SIGNING, SIGNING.removeprefix("whsec_"), "/a-long-and-secret-path")
ADDRESS_PATH = "/a-long-and-secret-path"

Credential = Callable[[], str]


def now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Kind:
    """A sink over HTTP: `open(url, credential)`, the status that it takes for accepted, and what it never sends."""

    name: str
    open: Callable[[str, Credential], Sink]
    accepted: str
    silent: frozenset[str] = frozenset()


def _alertmanager(url: str, credential: Credential) -> Sink:
    endpoint = Endpoint(url, authorization=lambda: f"Bearer {credential()}")
    return Alertmanager(Server(endpoint), "prod", FarSide(now))


def _webhook(url: str, credential: Credential) -> Sink:
    endpoint = Endpoint(url + ADDRESS_PATH, authorization=lambda: f"Bearer {credential()}")
    return Webhook("chat", endpoint, now, lambda: SIGNING)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("pagerduty", lambda url, credential: PagerDuty({"default": credential}, url), "202 Accepted"),
        Kind("opsgenie", lambda url, credential: Opsgenie(Account({"default": credential}, url)), "202 Accepted"),
        Kind("alertmanager", _alertmanager, "200 OK", frozenset({"acknowledge"})),
        Kind("webhook", _webhook, "204 No Content"),
    )
}


def event(action: str = "trigger", key: str = "opsctl/1", number: int = 0, **payload: Any) -> SinkEvent:
    """An event of an incident, as the sender hands it over; what ends it carries the payload of its trigger."""
    details = {
        "rule": "PaymentsBurn",
        "rule_uid": f"slo:{key}",
        "namespace": "prod",
        "service": "payments",
        "team": "money",
        "incident": "#7",
        "evidence": ["10 % bad", "the line is 1.4 %"],
        "identity": {"region": "eu"},
    }
    body = {"event_action": action, "dedup_key": key}
    given = {
        "summary": "payments burn 9× their budget",
        "source": "payments",
        "severity": "critical",
        "timestamp": "2026-03-01T12:00:00+00:00",
        "custom_details": details,
    }
    if action == "note":
        return SinkEvent("money", encode(body | {"note": "somebody looks at it"}), f"{key}/7/note/{number}")
    return SinkEvent("money", encode(body | {"payload": given | payload}), f"{key}/7/{action}/{number}")


# -- what a far side can do to us


def answer(status: str, body: bytes = b"{}", *headers: str, kind: str = "application/json") -> Behaviour:
    """A well-formed answer; 204 has no body."""
    whole = b"" if status.startswith("204") else body
    return lambda exchange: exchange.answer(whole, status, kind, *headers)


def reset(exchange: Exchange) -> None:
    """Cut the connection."""
    exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    exchange.sock.close()


def hang(exchange: Exchange) -> None:
    """Say nothing."""
    exchange.hold(5)


def drip(exchange: Exchange) -> None:
    """A header that never ends, one byte at a time: no single read ever times out."""
    exchange.drip(b"HTTP/1.1 202 Accepted\r\nX-Long: " + b"x" * 400, 0.02)


def flood(exchange: Exchange) -> None:
    """More than anybody wants to hold in memory."""
    exchange.send(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n")
    exchange.flood(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def garbage(exchange: Exchange) -> None:
    """Not HTTP."""
    exchange.send(b"\0\1\2\r\n\r\n")
    exchange.sock.shutdown(socket.SHUT_RDWR)


def cut_off(exchange: Exchange) -> None:
    """A head that promises more than comes."""
    exchange.send(b"HTTP/1.1 500 Internal\r\nContent-Length: 900\r\n\r\n{")
    exchange.sock.shutdown(socket.SHUT_RDWR)


# -- far sides that keep what they are told


class Far(Protocol):
    """Where events arrive: what is open there, and everything that it keeps."""

    sink: Sink
    tells_acknowledged: bool

    def open(self) -> set[str]:
        """The keys of what is open."""
        ...

    def kept(self) -> Any:
        """Everything that a repeat of an event must not change."""
        ...


def get(url: str) -> Any:
    """The JSON of a GET."""
    with urllib.request.urlopen(url, timeout=5) as found:
        return json.loads(found.read())


@dataclass
class FarPagerDuty:
    """The local PagerDuty."""

    url: str
    sink: Sink
    tells_acknowledged: bool = True

    def _incidents(self) -> list[dict[str, Any]]:
        return get(f"{self.url}/_incidents")["incidents"]  # type: ignore[no-any-return]

    def open(self) -> set[str]:
        return {one["dedup_key"] for one in self._incidents() if one["status"] != "resolved"}

    def kept(self) -> Any:
        return sorted((one["dedup_key"], one["id"], one["status"]) for one in self._incidents())


@dataclass
class FarOpsgenie:
    """The local Opsgenie."""

    local: LocalAlerts
    sink: Sink
    tells_acknowledged: bool = True

    def _alerts(self) -> list[dict[str, Any]]:
        return self.local.call("GET", "/_alerts").body["alerts"]  # type: ignore[no-any-return]

    def open(self) -> set[str]:
        keys = {alias_of(key): key for key in ("opsctl/1", "opsctl/2", "opsctl/3", "opsctl/none")}
        return {keys[one["alias"]] for one in self._alerts() if one["status"] == "open"}

    def kept(self) -> Any:
        return sorted((one["alias"], one["id"], one["status"]) for one in self._alerts())


@dataclass
class FarAlertmanager:
    """A real one; the namespace keeps a test's alerts apart."""

    server: RealAlertmanager
    sink: Sink
    namespace: str
    tells_acknowledged: bool = False

    def alerts(self) -> list[dict[str, Any]]:
        """Ours, as its API shows them."""
        query = urllib.parse.urlencode({"filter": f'namespace="{self.namespace}"'})
        return get(f"{self.server.url}/api/v2/alerts?{query}")  # type: ignore[no-any-return]

    def open(self) -> set[str]:
        return {one["labels"]["opsctl_key"] for one in self.alerts()}

    def kept(self) -> Any:
        return sorted(
            (one["fingerprint"], sorted(one["labels"].items()), one["startsAt"], sorted(one["annotations"].items()))
            for one in self.alerts()
        )


@dataclass
class Receiver:
    """A receiver of webhooks as one would write it: each `Idempotency-Key` counts once."""

    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    by_id: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                outer.by_id.setdefault(str(self.headers["Idempotency-Key"]), json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()


@dataclass
class FarWebhook:
    """The receiver, and what it makes of the events."""

    receiver: Receiver
    sink: Sink
    tells_acknowledged: bool = True

    def open(self) -> set[str]:
        keys: set[str] = set()
        for one in self.receiver.by_id.values():
            if one["action"] == "trigger":
                keys.add(one["key"])
            elif one["action"] == "resolve":
                keys.discard(one["key"])
        return keys

    def kept(self) -> Any:
        return dict(self.receiver.by_id)
