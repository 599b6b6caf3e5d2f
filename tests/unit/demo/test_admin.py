"""The admin server does what a runbook step asks, once, and says plainly why it will not."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from opsctl.demo.faults import ACTIONS, FAULTS
from opsctl.demo.servers import admin
from opsctl.demo.servers.admin import AdminServer
from opsctl.errors import OpsctlError

BODIES: Mapping[str, dict[str, Any]] = {
    "promo.shed": {"percent": 60, "reason": "test"},
    "wallet.failover": {"to": "standby", "reason": "test"},
    "matchmaking.scale": {"replicas": 24, "reason": "test"},
    "region.drain": {"region": "eu-1", "reason": "test"},
    "chat.restart": {"reason": "test"},
    "auth.block": {"networks": ["AS64506", "AS64507"], "reason": "test"},
}
SHED = ACTIONS["promo.shed"].path


class Platform:
    """Remembers what it was told; refuses what it was told to refuse."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.refusal = ""

    def mitigate(self, action: str, params: Mapping[str, str]) -> str:
        if self.refusal:
            raise ValueError(self.refusal)
        self.calls.append((action, dict(params)))
        return f"did {action}"


class Client:
    """Asks the server over a real socket."""

    def __init__(self, server: AdminServer) -> None:
        self.address = server.url.removeprefix("http://")

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(self.address, timeout=5)
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if body is not None else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, raw or None, sent)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def client(platform: Platform) -> Iterator[Client]:
    with AdminServer(platform.mitigate) as server:
        yield Client(server)


def test_every_fault_can_be_mitigated_and_undone(client: Client, platform: Platform) -> None:
    """Each action of each fault works as its documentation says; state shows it until it is undone."""
    named = [action for fault in FAULTS.values() for action in fault.actions]
    assert sorted(named) == sorted(ACTIONS) == sorted(BODIES)
    for name in named:
        action = ACTIONS[name]
        assert action.path in (admin.__doc__ or "")
        status, answer = client.ask("PUT", action.path, BODIES[name])
        assert (status, answer["action"], answer["message"]) == (200, name, f"did {name}")
        active = client.ask("GET", "/v1/state")[1]["active"]
        if action.undo is None:
            assert active == {}
            continue
        assert active == {name: answer["params"]}
        assert client.ask("DELETE", action.path)[1]["action"] == action.undo
        assert client.ask("GET", "/v1/state")[1]["active"] == {}
    assert ("auth.block", {"networks": "AS64506,AS64507", "reason": "test"}) in platform.calls
    assert ("promo.shed", {"percent": "60", "reason": "test"}) in platform.calls


def test_a_key_is_applied_once(client: Client, platform: Platform) -> None:
    """The same key and request get the same answer and change nothing; another request under it is refused."""
    first = client.ask("PUT", SHED, BODIES["promo.shed"], Idempotency_Key="run/shed")
    platform.refusal = "must not be asked again"
    assert client.ask("PUT", SHED, BODIES["promo.shed"], Idempotency_Key="run/shed") == first
    assert len(platform.calls) == 1
    other = client.ask("PUT", SHED, {"percent": 10, "reason": "test"}, Idempotency_Key="run/shed")
    assert other == (422, {"error": "this Idempotency-Key was used for another request"})


def test_simultaneous_requests_of_one_key_are_applied_once(client: Client, platform: Platform) -> None:
    """Ten threads with one key: one change, ten equal answers."""
    answers: list[Any] = []

    def ask() -> None:
        answers.append(client.ask("PUT", SHED, BODIES["promo.shed"], Idempotency_Key="same"))

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(platform.calls) == 1
    assert len(answers) == 10
    assert all(answer == answers[0] for answer in answers)


def test_a_refused_change_is_not_remembered(client: Client, platform: Platform) -> None:
    """What the platform refuses is a 422 with its reason; the same key works once the reason is gone."""
    platform.refusal = "eu-1 is drained already"
    refused = client.ask("PUT", SHED, BODIES["promo.shed"], Idempotency_Key="k")
    assert refused == (422, {"error": "eu-1 is drained already"})
    platform.refusal = ""
    assert client.ask("PUT", SHED, BODIES["promo.shed"], Idempotency_Key="k")[0] == 200


def test_undoing_nothing_is_fine(client: Client, platform: Platform) -> None:
    """An undo that has nothing to undo says so and does nothing, so it may be repeated."""
    status, answer = client.ask("DELETE", SHED)
    assert (status, answer["message"]) == (200, "promo.shed was not in force")
    assert platform.calls == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "the body is not JSON"),
        (b"[" * 5000, "the body is not JSON"),
        ([], "expected a JSON object"),
        ({"percent": 60}, "missing member 'reason'"),
        ({"percent": 60, "reason": "x", "force": True}, "unknown member 'force'; known: percent, reason"),
        ({"percent": 0, "reason": "x"}, "percent: expected an integer from 1 to 95"),
        ({"percent": True, "reason": "x"}, "percent: expected an integer from 1 to 95"),
        ({"percent": "60", "reason": "x"}, "percent: expected an integer from 1 to 95"),
        ({"percent": 60.0, "reason": "x"}, "percent: expected an integer from 1 to 95"),
        ({"percent": 60, "reason": ""}, "reason: expected 1 to 200 printable characters"),
        ({"percent": 60, "reason": "\x1b[2J"}, "reason: expected 1 to 200 printable characters"),
    ],
)
def test_bodies_are_checked_strictly(client: Client, platform: Platform, body: Any, error: str) -> None:
    """A body that is not exactly right is a 400 that says what was expected; nothing is done."""
    assert client.ask("PUT", SHED, body) == (400, {"error": error})
    assert platform.calls == []


def test_networks_and_choices_are_checked(client: Client) -> None:
    """Lists of networks and choices take only what they name."""
    block, drain = ACTIONS["auth.block"].path, ACTIONS["region.drain"].path
    for networks in ("AS1", [], ["AS1; drop"], [1], ["AS1"] * 9):
        assert client.ask("PUT", block, {"networks": networks, "reason": "x"})[0] == 400
    assert client.ask("PUT", drain, {"region": "mars", "reason": "x"})[1] == {
        "error": "region: expected one of eu-1, us-1"
    }


def test_requests_that_make_no_sense(client: Client, platform: Platform) -> None:
    """Unknown paths, methods, types, sizes and hosts have each their own answer."""
    body = BODIES["promo.shed"]
    assert client.ask("PUT", "/v1/promo/sched", body)[0] == 404
    assert client.ask("GET", SHED)[0] == 405
    assert client.ask("POST", SHED, body)[0] == 405
    assert client.ask("PUT", "/v1/state", body)[0] == 405
    assert client.ask("DELETE", ACTIONS["chat.restart"].path)[0] == 405
    assert client.ask("PUT", SHED, body, Content_Type="text/plain")[0] == 415
    assert client.ask("PUT", SHED, b"x" * (admin.MAX_BODY_BYTES + 1))[0] == 413
    assert client.ask("DELETE", SHED, {"percent": 60})[0] == 400
    assert client.ask("PUT", SHED, body, Host="evil.example")[0] == 421
    assert client.ask("PUT", SHED, body, Idempotency_Key="k" * 300)[0] == 400
    assert platform.calls == []


def test_a_body_without_length_is_refused(client: Client) -> None:
    """Chunked or unannounced bodies are a 411, and the connection ends."""
    host, port = client.address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(b"PUT /v1/promo/shed HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        answer = b""
        while part := raw.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", ""])
def test_only_loopback(host: str) -> None:
    """It binds to no address that another machine could reach."""
    with pytest.raises(OpsctlError, match="loopback only"):
        AdminServer(lambda action, params: "", host=host)
