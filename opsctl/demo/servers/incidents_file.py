"""The local PagerDuty's memory: incidents in a file, on disk before anything is acknowledged.

Must never keep a routing key (it knows integrations by name) and never forget an event that was answered with 202.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from opsctl.core.frozen import dataclass
from opsctl.demo.servers.own_file import opened
from opsctl.demo.servers.pagerduty_clock import Clock

_TABLES = """
CREATE TABLE IF NOT EXISTS incidents (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, integration TEXT NOT NULL, dedup_key TEXT NOT NULL,
  status TEXT NOT NULL, title TEXT NOT NULL, severity TEXT NOT NULL, created_at TEXT NOT NULL,
  acknowledged_at TEXT, resolved_at TEXT, alerts INTEGER NOT NULL DEFAULT 1, event TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS incidents_key ON incidents (integration, dedup_key, status);
CREATE TABLE IF NOT EXISTS log (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, status INTEGER NOT NULL, integration TEXT NOT NULL,
  action TEXT NOT NULL, dedup_key TEXT NOT NULL, effect TEXT NOT NULL, incident TEXT, errors TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, incident TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL,
  agent_type TEXT NOT NULL, agent TEXT NOT NULL, note TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS entries_incident ON entries (incident, kind);
CREATE TABLE IF NOT EXISTS pending (
  id INTEGER PRIMARY KEY AUTOINCREMENT, due TEXT NOT NULL, log INTEGER NOT NULL, integration TEXT NOT NULL,
  dedup_key TEXT NOT NULL, event TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS changes (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, integration TEXT NOT NULL, at TEXT NOT NULL,
  event TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS windows (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, start_time TEXT NOT NULL, end_time TEXT NOT NULL,
  description TEXT NOT NULL, created_by TEXT NOT NULL, services TEXT NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an event did.

    opened, appended, acknowledged, resolved or ignored; maintenance if its service was in a window; invisible or later
    if a fault wanted it so.
    """

    dedup_key: str
    effect: str
    incident: str | None


class Agent(NamedTuple):
    """Who does something: a service (by the name of an integration) or a user (by id)."""

    type: str
    name: str


class IncidentsFile:
    """Incidents of every integration; one writer."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self._guard = threading.RLock()
        self._db = opened(path, _TABLES)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside, or nothing; what became due before is carried out first."""
        with self._guard:
            self._settle()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
        """The rows of a SELECT; what became due before is carried out first."""
        with self._guard:
            self._settle()
            return [dict(row) for row in self._db.execute(query, values).fetchall()]

    def apply(self, integration: str, event: Mapping[str, Any], instead: str = "", later: float = 0.0) -> Applied:
        """Carry out a valid event and log it as accepted, in one transaction.

        Nothing is carried out with an `instead`, which is the effect to log; with `later`, that many seconds from now.
        """
        key = str(event.get("dedup_key") or uuid.uuid4().hex)
        with self.transaction():
            waits = instead or ("later" if later else "")
            done = Applied(key, waits, None) if waits else self._act(integration, key, event)
            number = self._log(202, integration, event, key, done.effect, done.incident, [])
            if later and not instead:
                due = _text(self.clock.now() + timedelta(seconds=later))
                self._db.execute(
                    "INSERT INTO pending (due, log, integration, dedup_key, event) VALUES (?, ?, ?, ?, ?)",
                    (due, number, integration, key, _kept(event)),
                )
        return done

    def _settle(self) -> None:
        """Carry out what was accepted for later and is due, in the order of its times."""
        now = _text(self.clock.now())
        due = self._db.execute("SELECT * FROM pending WHERE due <= ? ORDER BY due, id", (now,)).fetchall()
        for row in due:
            self._db.execute("BEGIN IMMEDIATE")
            done = self._act(row["integration"], row["dedup_key"], json.loads(row["event"]))
            self._db.execute(
                "UPDATE log SET effect = ?, incident = ? WHERE id = ?", (done.effect, done.incident, row["log"])
            )
            self._db.execute("DELETE FROM pending WHERE id = ?", (row["id"],))
            self._db.execute("COMMIT")

    def refused(self, status: int, integration: str, event: Any, errors: list[str], effect: str = "refused") -> None:
        """Log a request that was not accepted; a status of 0 is no answer at all."""
        known = event if isinstance(event, dict) else {}
        with self._guard:
            self._log(status, integration, known, str(known.get("dedup_key") or ""), effect, None, errors)

    def _act(self, integration: str, key: str, event: Mapping[str, Any]) -> Applied:
        found = self._db.execute(
            "SELECT * FROM incidents WHERE integration = ? AND dedup_key = ? AND status != 'resolved'"
            " ORDER BY number DESC",  # two of a key are open where an old one was opened again by hand
            (integration, key),
        ).fetchone()
        agent = Agent("service", integration)
        match event["event_action"]:
            case "trigger" if found is None:
                return self._open(integration, key, event)
            case "trigger":
                self._db.execute("UPDATE incidents SET alerts = alerts + 1 WHERE number = ?", (found["number"],))
                self.enter(found["id"], "append", agent)
                return Applied(key, "appended", found["id"])
            case "acknowledge" if found is not None and found["status"] == "triggered":
                self.move(found["id"], "acknowledged", agent)
                return Applied(key, "acknowledged", found["id"])
            case "resolve" if found is not None:
                self.move(found["id"], "resolved", agent)
                return Applied(key, "resolved", found["id"])
        return Applied(key, "ignored", found["id"] if found else None)

    def _open(self, integration: str, key: str, event: Mapping[str, Any]) -> Applied:
        payload = event["payload"]
        identity = "Q" + uuid.uuid4().hex[:13].upper()
        self._db.execute(
            "INSERT INTO incidents (id, integration, dedup_key, status, title, severity, created_at, event)"
            " VALUES (?, ?, ?, 'triggered', ?, ?, ?, ?)",
            (identity, integration, key, payload["summary"], payload["severity"], self._now(), _kept(event)),
        )
        self.enter(identity, "trigger", Agent("service", integration))
        return Applied(key, "opened", identity)

    def move(self, incident: str, status: str, agent: Agent, note: str = "") -> None:
        """Give an incident another status, inside of a transaction; back to triggered it is as if it just began."""
        kind = {"acknowledged": "acknowledge", "resolved": "resolve", "triggered": "reopen"}[status]
        at = self._now()
        times = {
            "acknowledged": ("resolved_at = NULL, acknowledged_at = ?", (at,)),
            "resolved": ("resolved_at = ?", (at,)),
        }
        columns, values = times.get(status, ("resolved_at = NULL, acknowledged_at = NULL", ()))
        self._db.execute(f"UPDATE incidents SET status = ?, {columns} WHERE id = ?", (status, *values, incident))
        self.enter(incident, kind, agent, note)

    def enter(self, incident: str, kind: str, agent: Agent, note: str = "") -> int:
        """Add a log entry to an incident, inside of a transaction; returns its number."""
        done = self._db.execute(
            "INSERT INTO entries (incident, kind, at, agent_type, agent, note) VALUES (?, ?, ?, ?, ?, ?)",
            (incident, kind, self._now(), *agent, note),
        )
        return done.lastrowid or 0

    def _log(
        self,
        status: int,
        integration: str,
        event: Mapping[str, Any],
        key: str,
        effect: str,
        incident: str | None,
        errors: list[str],
    ) -> int:
        action = str(event.get("event_action") or "")
        done = self._db.execute(
            "INSERT INTO log (at, status, integration, action, dedup_key, effect, incident, errors)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self._now(), status, integration, action, key, effect, incident, json.dumps(errors)),
        )
        return done.lastrowid or 0

    def incidents(self, dedup_key: str | None = None, status: str | None = None) -> list[dict[str, Any]]:
        """Incidents, oldest first; the first trigger's event is in `event`."""
        rows = self.rows(
            "SELECT * FROM incidents WHERE dedup_key = coalesce(?, dedup_key) AND status = coalesce(?, status)"
            " ORDER BY number",
            (dedup_key, status),
        )
        return [row | {"event": json.loads(row["event"])} for row in rows]

    def log(self, after: int = 0) -> list[dict[str, Any]]:
        """Every event after that id, in the order of arrival; an effect of `later` changes when it is carried out."""
        rows = self.rows("SELECT * FROM log WHERE id > ? ORDER BY id", (after,))
        return [row | {"errors": json.loads(row["errors"])} for row in rows]

    def change(self, integration: str, event: Mapping[str, Any]) -> None:
        """Keep a change event."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO changes (id, integration, at, event) VALUES (?, ?, ?, ?)",
                ("01" + uuid.uuid4().hex[:24].upper(), integration, self._now(), _kept(event)),
            )

    def changes(self) -> list[dict[str, Any]]:
        """Change events, oldest first."""
        return [row | {"event": json.loads(row["event"])} for row in self.rows("SELECT * FROM changes ORDER BY number")]

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._db.close()

    def _now(self) -> str:
        return _text(self.clock.now())


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def _kept(event: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in event.items() if name != "routing_key"})
