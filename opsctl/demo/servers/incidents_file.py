"""The local PagerDuty's memory: incidents in a file, on disk before anything is acknowledged.

Must never keep a routing key (it knows integrations by name) and never forget an event that was answered with 202.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opsctl.core.frozen import dataclass

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
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an event did: opened, appended, acknowledged, resolved or ignored."""

    dedup_key: str
    effect: str
    incident: str | None


class IncidentsFile:
    """Incidents of every integration; one writer."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._guard = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        for statement in _TABLES.split(";\n"):
            self._db.execute(statement)

    def apply(self, integration: str, event: Mapping[str, Any]) -> Applied:
        """Carry out a valid event and log it as accepted, in one transaction."""
        key = event.get("dedup_key") or uuid.uuid4().hex
        with self._guard:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                done = self._act(integration, str(key), event)
                self._log(202, integration, event, str(key), done.effect, done.incident, [])
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
        return done

    def refused(self, status: int, integration: str, event: Any, errors: list[str]) -> None:
        """Log a request that was not accepted."""
        known = event if isinstance(event, dict) else {}
        with self._guard:
            self._log(status, integration, known, str(known.get("dedup_key") or ""), "refused", None, errors)

    def _act(self, integration: str, key: str, event: Mapping[str, Any]) -> Applied:
        found = self._db.execute(
            "SELECT * FROM incidents WHERE integration = ? AND dedup_key = ? AND status != 'resolved'",
            (integration, key),
        ).fetchone()
        match event["event_action"]:
            case "trigger" if found is None:
                return self._open(integration, key, event)
            case "trigger":
                self._db.execute("UPDATE incidents SET alerts = alerts + 1 WHERE number = ?", (found["number"],))
                return Applied(key, "appended", found["id"])
            case "acknowledge" if found is not None and found["status"] == "triggered":
                return self._move(found, "acknowledged")
            case "resolve" if found is not None:
                return self._move(found, "resolved")
        return Applied(key, "ignored", found["id"] if found else None)

    def _open(self, integration: str, key: str, event: Mapping[str, Any]) -> Applied:
        payload = event["payload"]
        kept = {name: value for name, value in event.items() if name != "routing_key"}
        identity = "Q" + uuid.uuid4().hex[:13].upper()
        self._db.execute(
            "INSERT INTO incidents (id, integration, dedup_key, status, title, severity, created_at, event)"
            " VALUES (?, ?, ?, 'triggered', ?, ?, ?, ?)",
            (identity, integration, key, payload["summary"], payload["severity"], _now(), json.dumps(kept)),
        )
        return Applied(key, "opened", identity)

    def _move(self, found: sqlite3.Row, status: str) -> Applied:
        self._db.execute(
            f"UPDATE incidents SET status = ?, {status}_at = ? WHERE number = ?", (status, _now(), found["number"])
        )
        return Applied(found["dedup_key"], status, found["id"])

    def _log(
        self,
        status: int,
        integration: str,
        event: Mapping[str, Any],
        key: str,
        effect: str,
        incident: str | None,
        errors: list[str],
    ) -> None:
        action = str(event.get("event_action") or "")
        self._db.execute(
            "INSERT INTO log (at, status, integration, action, dedup_key, effect, incident, errors)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (_now(), status, integration, action, key, effect, incident, json.dumps(errors)),
        )

    def incidents(self, dedup_key: str | None = None, status: str | None = None) -> list[dict[str, Any]]:
        """Incidents, oldest first; the first trigger's event is in `event`."""
        with self._guard:
            rows = self._db.execute(
                "SELECT * FROM incidents WHERE dedup_key = coalesce(?, dedup_key) AND status = coalesce(?, status)"
                " ORDER BY number",
                (dedup_key, status),
            ).fetchall()
        return [dict(row) | {"event": json.loads(row["event"])} for row in rows]

    def log(self, after: int = 0) -> list[dict[str, Any]]:
        """Every request after that id, in the order of arrival."""
        with self._guard:
            rows = self._db.execute("SELECT * FROM log WHERE id > ? ORDER BY id", (after,)).fetchall()
        return [dict(row) | {"errors": json.loads(row["errors"])} for row in rows]

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._db.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
