"""A local PagerDuty without a process: requests in, answers out, with an account of two services and three tokens."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opsctl.demo.servers.faults_script import FaultScript
from opsctl.demo.servers.incidents_file import IncidentsFile
from opsctl.demo.servers.pagerduty_account import identity, read_account
from opsctl.demo.servers.pagerduty_answers import Answer, Request
from opsctl.demo.servers.pagerduty_clock import Clock
from opsctl.demo.servers.pagerduty_service import Reply, Service

KEY, OTHER_KEY = "c4naryc4naryc4naryc4naryc4nary00", "0therk3y0therk3y0therk3y0therk3y"
TOKEN, READER, PERSONAL = "t0ken-full-canary", "t0ken-read-canary", "t0ken-ana-canary"
ANA, BEN = "ana@example.com", "ben@example.com"
ACCEPT = "application/vnd.pagerduty+json;version=2"
BEGIN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
MONEY, CHAT = identity("service", "Money"), identity("service", "Chat")

ACCOUNT: dict[str, Any] = {
    "routing_keys": {"money": KEY, "chat": OTHER_KEY},
    "tokens": {
        "full": TOKEN,
        "reader": {"token": READER, "access": "read"},
        "personal": {"token": PERSONAL, "user": ANA},
    },
    "services": {"Money": ["money"], "Chat": ["chat"]},
    "users": [{"name": "Ana Novak", "email": ANA}, {"name": "Ben Okafor", "email": BEN}],
    "on_call": [
        {"user": ANA, "level": 1, "schedule": "Primary", "start": "2026-03-01T08:00Z", "end": "2026-03-01T20:00Z"},
        {"user": BEN, "level": 1, "schedule": "Primary", "start": "2026-03-01T20:00Z", "end": "2026-03-02T08:00Z"},
        {"user": BEN, "level": 2},
    ],
}


def event(action: str = "trigger", key: str = "k", **changes: Any) -> dict[str, Any]:
    """An event of the integration `money`."""
    body = {"summary": f"{key} burns", "source": "x", "severity": "critical"}
    return {"routing_key": KEY, "event_action": action, "dedup_key": key, "payload": body} | changes


def payload(**changes: Any) -> dict[str, Any]:
    """The payload of an event, for `event(**payload(…))`."""
    return {"payload": {"summary": "s", "source": "x", "severity": "critical"} | changes}


class World:
    """One PagerDuty whose time stands still until a test moves it."""

    def __init__(self, path: Path | str = ":memory:", account: dict[str, Any] | None = None) -> None:
        self.clock = Clock(lambda: BEGIN)
        self.faults = FaultScript()
        self.file = IncidentsFile(Path(path), self.clock)
        self.service = Service(self.file, read_account(account or ACCOUNT), self.faults)

    def send(self, action: str = "trigger", key: str = "k", **changes: Any) -> Answer:
        """An event; whatever comes back."""
        return self.reply("POST", "/v2/enqueue", event(action, key, **changes)).answer

    def reply(self, method: str, target: str, body: Any = None, **headers: str) -> Reply:
        """Any request; names of headers are written with underscores."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.service.reply(
            Request(method, target, {name.replace("_", "-"): value for name, value in headers.items()}, raw)
        )

    def rest(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        """A request of the REST API with good headers, of which some may be others; an empty one is left out."""
        good = {"authorization": f"Token token={TOKEN}", "accept": ACCEPT, "content_type": "application/json"}
        if method in {"POST", "PUT"}:
            good["from"] = ANA
        return self.reply(method, target, body, **{k: v for k, v in (good | headers).items() if v}).answer

    def get(self, target: str) -> dict[str, Any]:
        """The body of a GET that is answered with 200."""
        answer = self.rest("GET", target)
        assert answer.status == 200, answer
        assert answer.body is not None
        return dict(answer.body)

    def put(self, incident: str, **change: Any) -> Answer:
        """A change of one incident."""
        return self.rest("PUT", f"/incidents/{incident}", {"incident": {"type": "incident_reference"} | change})

    def opened(self, key: str = "k", **changes: Any) -> str:
        """The id of a new incident."""
        assert self.send("trigger", key, **changes).status == 202
        return str(self.file.incidents(key)[-1]["id"])

    def log(self) -> list[str]:
        """What each event did."""
        return [one["effect"] for one in self.file.log()]


def error_of(answer: Answer) -> tuple[int, int, str, list[str]]:
    """Status, code, message and details of a REST error."""
    assert answer.body is not None
    error = answer.body["error"]
    return answer.status, error["code"], error["message"], error.get("errors", [])
