"""A local PagerDuty for tests of what is read back: events in, acts of people, its clock and its faults."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from opsctl.adapters.sinks.pagerduty import RoutingKeys
from opsctl.adapters.sinks.pagerduty_reader import PagerDutyReader
from opsctl.adapters.sinks.pagerduty_rest import Rest
from opsctl.adapters.sinks.pagerduty_services import Services
from opsctl.core.events import encode
from opsctl.core.keys import PREFIX
from opsctl.core.seen import Seen
from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty

TOKEN = "c4naryR3stT0ken_u8"
KEYS = {"default": "d" * 32, "money": "m" * 32, "social": "s" * 32}
ANA = "ana@example.com"


class PagerDutyWorld:
    """One running account and a reader of it."""

    def __init__(self, server: LocalPagerDuty, tokens: Mapping[str, str] | None = None) -> None:
        self.server = server
        self.keys = RoutingKeys({name: (lambda key=key: key) for name, key in KEYS.items()})
        self.rest = Rest(lambda: TOKEN, ANA, server.address)
        self.services = Services(self.rest, self.keys)
        self.reader = PagerDutyReader(self.rest, self.services)

    def event(self, action: str, key: str, team: str = "money", **changes: Any) -> None:
        body = {"routing_key": KEYS[team], "event_action": action, "dedup_key": key} | changes
        if action == "trigger":
            body.setdefault("payload", {"summary": key, "source": "x", "severity": "critical"})
        self.post("/v2/enqueue", body)

    def person(self, do: str, key: str, user: str = ANA) -> dict[str, Any]:
        return self.post("/_person", {"do": do, "dedup_key": key, "user": user})["incident"]  # type: ignore[no-any-return]

    def window(
        self, service: str, hours: float = 1.0, description: str = "", at: datetime | None = None
    ) -> dict[str, Any]:
        now = at or datetime.now(UTC)
        [id_] = [one["id"] for one in self.get(f"/services?query={service}")["services"] if one["name"] == service]
        wanted = {
            "type": "maintenance_window",
            "start_time": now.isoformat(),
            "end_time": (now + timedelta(hours=hours)).isoformat(),
            "description": description,
            "services": [{"id": id_, "type": "service_reference"}],
        }
        made = self.post("/maintenance_windows", {"maintenance_window": wanted})
        return made["maintenance_window"]  # type: ignore[no-any-return]

    def faults(self, *rules: Mapping[str, Any]) -> None:
        self.call("PUT", "/_faults", list(rules))

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        return [one for one in self.get("/_requests")["requests"] if path in one["path"]]

    def look(self, *keys: str, known: Mapping[str, str] | None = None, seconds: float = 5.0) -> Seen:
        return self.reader.look(keys, known or {}, seconds)

    def get(self, path: str) -> dict[str, Any]:
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> dict[str, Any]:
        return self.call("POST", path, body)

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Token token={TOKEN}",
            "Accept": "application/vnd.pagerduty+json;version=2",
            "From": ANA,
        }
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server.address + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())  # type: ignore[no-any-return]


@contextmanager
def pagerduty_world(folder: Path, **account: Any) -> Iterator[PagerDutyWorld]:
    """Start one; `account` is as `start_local_pagerduty` has it."""
    tokens = {"opsctl": TOKEN} | account.pop("tokens", {})
    server = start_local_pagerduty(folder / "pd.sqlite3", KEYS, tokens=tokens, **account)
    world = PagerDutyWorld(server)
    try:
        yield world
    finally:
        world.reader.close()
        server.stop()


def key_of(name: str) -> str:
    """A dedup key of ours."""
    return f"{PREFIX}{name}"


def note(key: str, text: str) -> str:
    """The body of a note's event."""
    return encode({"event_action": "note", "dedup_key": key, "note": text})
