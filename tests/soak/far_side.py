"""The local PagerDuty of a world: the shipped one, in a forked process of its own, on the world's clock.

What it kept is read from its own file, by the oracle too. Must never be told anything by our journal.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from opsctl.demo.servers.faults_script import FaultScript
from opsctl.demo.servers.incidents_file import IncidentsFile
from opsctl.demo.servers.pagerduty_account import read_account
from opsctl.demo.servers.pagerduty_clock import Clock
from opsctl.demo.servers.pagerduty_http import Server
from opsctl.demo.servers.pagerduty_service import Service
from tests.soak.clock import BASE, SharedTime

TOKEN = "soak-token-soak-token"
KEYS = {
    "default": f"{1:032d}",
    "money": f"{2:032d}",
    "batch": f"{3:032d}",
    "night": f"{4:032d}",
    "fallback": f"{5:032d}",
}
ACCOUNT = {"routing_keys": KEYS, "tokens": {"opsctl": TOKEN}}
PERSON = "ana@example.com"


@dataclass(frozen=True)
class Period:
    """One incident while it was open; seconds of the world. `closed` is None to the end; `by_person` says who closed."""

    key: str
    integration: str
    created: float
    closed: float | None
    by_person: bool


class FarSide:
    """A running one; `stop` ends the process, by its pid."""

    def __init__(self, file: Path, shared: SharedTime) -> None:
        self.file = file
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            _serve(file, shared, writer)
        os.close(writer)
        self.address = os.read(reader, 64).decode()
        os.close(reader)
        self.acted: Counter[str] = Counter()
        if not self.address:
            raise RuntimeError("the local PagerDuty did not start")

    def faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Be treated so from now on; what the rules before did is counted."""
        self._count()
        self._ask("PUT", "/_faults", list(rules))

    def _count(self) -> None:
        for rule in self._ask("GET", "/_faults")["rules"]:
            self.acted[_named(rule)] += rule["acted"]

    def person(self, what: str, key: str) -> bool:
        """Somebody acknowledges or resolves an incident; false if it is not open."""
        return bool(self._ask("POST", "/_person", {"do": what, "dedup_key": key, "user": PERSON}))

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                if refused.code not in {400, 404}:
                    raise
            return None

    def stop(self) -> None:
        """End it."""
        self._count()
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


def _named(rule: Mapping[str, Any]) -> str:
    which = "look " if rule.get("match", {}).get("method") == "GET" else ""
    if rule["do"] != "status":
        return f"{which}{rule['do']}"
    return f"{which}{rule['status']}{' with Retry-After' if 'retry_after' in rule else ''}"


def _ends_with(parent: int) -> Callable[[], None]:
    """Asked twice a second: nothing is left behind by a world that was killed."""

    def look() -> None:
        if os.getppid() != parent:
            os._exit(1)

    return look


def _serve(file: Path, shared: SharedTime, writer: int) -> None:
    code = 1
    try:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        service = Service(IncidentsFile(file, Clock(shared.now)), read_account(ACCOUNT), FaultScript())
        server = Server(0, service)
        address = f"http://127.0.0.1:{server.server_address[1]}"
        service.serve_at(address)
        server.service_actions = _ends_with(os.getppid())  # type: ignore[method-assign]
        os.write(writer, address.encode())
        os.close(writer)
        server.serve_forever(0.5)
    finally:
        os._exit(code)


def periods(file: Path) -> list[Period]:
    """What was open when, from the far side's own file; an incident that a person reopened counts as one."""
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        people = {
            incident
            for incident, agent in db.execute(
                "SELECT incident, agent_type FROM entries WHERE id IN"
                " (SELECT max(id) FROM entries WHERE kind = 'resolve' GROUP BY incident)"
            )
            if agent == "user"
        }
        return [
            Period(
                key, integration, _seconds(created), _seconds(resolved) if status == "resolved" else None, id_ in people
            )
            for id_, key, integration, status, created, resolved in db.execute(
                "SELECT id, dedup_key, integration, status, created_at, resolved_at FROM incidents ORDER BY number"
            )
        ]
    finally:
        db.close()


def _seconds(text: str) -> float:
    return (datetime.fromisoformat(text) - BASE).total_seconds()
