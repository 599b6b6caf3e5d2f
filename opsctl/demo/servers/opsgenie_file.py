"""The local Opsgenie's memory: requests that were accepted and the alerts they made, in a file.

A request is on disk before it is answered with 202 and is carried out when it is due, also by a process that starts
later. Must never keep an API key (it knows integrations by name), and never have two open alerts of one alias.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from opsctl.demo.servers.opsgenie_rules import NOT_THERE
from opsctl.demo.servers.own_file import opened

_TABLES = """
CREATE TABLE IF NOT EXISTS alerts (
  tiny INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, alias TEXT NOT NULL, status TEXT NOT NULL,
  acknowledged INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '', count INTEGER NOT NULL DEFAULT 1,
  created INTEGER NOT NULL, last INTEGER NOT NULL, updated INTEGER NOT NULL, acked INTEGER, acked_by TEXT,
  closed INTEGER, closed_by TEXT, integration TEXT NOT NULL, body TEXT NOT NULL, notes TEXT NOT NULL DEFAULT '[]'
);
CREATE UNIQUE INDEX IF NOT EXISTS one_open ON alerts (alias) WHERE status = 'open';
CREATE TABLE IF NOT EXISTS requests (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, integration TEXT NOT NULL, action TEXT NOT NULL,
  kind TEXT NOT NULL, identifier TEXT NOT NULL, body TEXT NOT NULL, due INTEGER NOT NULL, processed INTEGER,
  success INTEGER, said TEXT, alert TEXT, alias TEXT
);
CREATE INDEX IF NOT EXISTS waiting ON requests (due, number) WHERE processed IS NULL;
CREATE TABLE IF NOT EXISTS log (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, status INTEGER, method TEXT NOT NULL, path TEXT NOT NULL,
  integration TEXT NOT NULL, action TEXT NOT NULL, alias TEXT NOT NULL, fault TEXT NOT NULL, request TEXT NOT NULL,
  errors TEXT NOT NULL
);
"""
ACTIONS: Mapping[str, str] = {"create": "Create", "acknowledge": "Acknowledge", "close": "Close", "notes": "AddNote"}
API_USER = "Alert API"  # what Opsgenie shows for an action that names no user


class Asked(NamedTuple):
    """An accepted request; `kind` says what the identifier is: id, tiny or alias."""

    action: str
    kind: str
    identifier: str
    body: Mapping[str, Any]


class Line(NamedTuple):
    """A line of the log; `status` is None where the connection was cut instead."""

    status: int | None
    method: str
    path: str
    integration: str = ""
    action: str = ""
    alias: str = ""
    fault: str = ""
    request: str = ""
    errors: Any = None


class AlertsFile:
    """Alerts of an account; one writer. `now` gives milliseconds since 1970."""

    def __init__(self, path: Path, now: Callable[[], int]) -> None:
        self._now = now
        self._guard = threading.Lock()
        self._db = opened(path, _TABLES)

    def accept(self, integration: str, asked: Asked, line: Line, lag_ms: int) -> None:
        """Keep a request, under the id of its line in the log, to be carried out `lag_ms` from now."""
        with self._guard:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute(
                    "INSERT INTO requests (id, integration, action, kind, identifier, body, due)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (line.request, integration, *asked[:3], json.dumps(asked.body), self._now() + lag_ms),
                )
                self._write(line)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def log(self, line: Line) -> None:
        """Write what was not accepted, or only read."""
        with self._guard:
            self._write(line)

    def _write(self, line: Line) -> None:
        values = (_text(self._now()), *line[:-1], json.dumps(line.errors))
        self._db.execute(
            "INSERT INTO log (at, status, method, path, integration, action, alias, fault, request, errors)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def process(self) -> None:
        """Carry out every request that is due, in its order."""
        with self._guard:
            self._process()

    def _process(self) -> None:
        rows = self._db.execute(
            "SELECT * FROM requests WHERE processed IS NULL AND due <= ? ORDER BY due, number", (self._now(),)
        ).fetchall()
        for row in rows:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                asked = Asked(row["action"], row["kind"], row["identifier"], json.loads(row["body"]))
                success, said, alert = self._carry_out(row["integration"], asked, row["due"])
                known = (alert["id"], alert["alias"]) if alert else ("", "")
                self._db.execute(
                    "UPDATE requests SET processed = ?, success = ?, said = ?, alert = ?, alias = ? WHERE number = ?",
                    (row["due"], success, said, *known, row["number"]),
                )
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def _carry_out(self, integration: str, asked: Asked, at: int) -> tuple[bool, str, sqlite3.Row | None]:
        if asked.action == "create":
            return True, *self._create(integration, asked.body, at)
        alert = self._find(asked.kind, asked.identifier)
        if alert is None:
            return False, NOT_THERE, None
        who = str(asked.body.get("user") or API_USER)
        note = asked.body.get("note")
        said = "Added note to alert"
        if asked.action != "notes":
            if alert["status"] == "closed":
                return False, "Alert is already closed", alert
            said = self._move(alert, asked.action, who, at)
        if note:
            notes = [*json.loads(alert["notes"]), {"note": note, "owner": who, "createdAt": _text(at)}]
            self._db.execute(
                "UPDATE alerts SET notes = ?, updated = ? WHERE tiny = ?", (json.dumps(notes), at, alert["tiny"])
            )
        return True, said, alert

    def _create(self, integration: str, body: Mapping[str, Any], at: int) -> tuple[str, sqlite3.Row | None]:
        identity = f"{uuid.uuid4()}-{at}"
        alias = str(body.get("alias") or identity)
        found = self._find("alias", alias)
        if found is not None:  # de-duplication: an open alert with this alias counts up, and nobody is told again
            self._db.execute(
                "UPDATE alerts SET count = count + 1, last = ?, updated = ? WHERE tiny = ?", (at, at, found["tiny"])
            )
            return "Alert is open already, its count was increased", found
        kept = {name: value for name, value in body.items() if name not in {"alias", "note", "user"}}
        who = str(body.get("user") or API_USER)
        notes = [{"note": body["note"], "owner": who, "createdAt": _text(at)}] if body.get("note") else []
        self._db.execute(
            "INSERT INTO alerts (id, alias, status, created, last, updated, integration, body, notes)"
            " VALUES (?, ?, 'open', ?, ?, ?, ?, ?, ?)",
            (identity, alias, at, at, at, integration, json.dumps(kept), json.dumps(notes)),
        )
        return "Created alert", self._find("id", identity)

    def _move(self, alert: sqlite3.Row, action: str, who: str, at: int) -> str:
        if action == "close":
            self._db.execute(
                "UPDATE alerts SET status = 'closed', closed = ?, closed_by = ?, updated = ? WHERE tiny = ?",
                (at, who, at, alert["tiny"]),
            )
            return "Closed alert"
        if not alert["acknowledged"]:
            self._db.execute(
                "UPDATE alerts SET acknowledged = 1, owner = ?, acked = ?, acked_by = ?, updated = ? WHERE tiny = ?",
                (who, at, who, at, alert["tiny"]),
            )
        return "Acknowledged alert"

    def _find(self, kind: str, identifier: str) -> sqlite3.Row | None:
        """An alias names the open alert only; ids name closed ones too."""
        where = {"alias": "alias = ? AND status = 'open'", "tiny": "tiny = ?", "id": "id = ?"}[kind]
        found: sqlite3.Row | None = self._db.execute(f"SELECT * FROM alerts WHERE {where}", (identifier,)).fetchone()
        return found

    def person(self, action: str, alias: str, user: str) -> bool:
        """Somebody acknowledges or closes the open alert of that alias, at once; false if there is none."""
        with self._guard:
            self._process()
            alert = self._find("alias", alias)
            if alert is not None:
                self._move(alert, action, user, self._now())
            return alert is not None

    def request(self, identity: str) -> dict[str, Any] | None:
        """How a request went, in the API's form; None if it was not carried out yet, or there is no such request."""
        with self._guard:
            self._process()
            row = self._db.execute("SELECT * FROM requests WHERE id = ?", (identity,)).fetchone()
        if row is None or row["processed"] is None:
            return None
        return {
            "success": bool(row["success"]),
            "action": ACTIONS[row["action"]],
            "processedAt": _text(row["processed"]),
            "integrationId": integration_id(row["integration"]),
            "isSuccess": bool(row["success"]),
            "status": row["said"],
            "alertId": row["alert"],
            "alias": row["alias"],
        }

    def alert(self, kind: str, identifier: str) -> dict[str, Any] | None:
        """One alert in the API's form, in full."""
        with self._guard:
            self._process()
            row = self._find(kind, identifier)
        return None if row is None else shown(row, full=True)

    def alerts(self) -> list[sqlite3.Row]:
        """Every alert, oldest first."""
        with self._guard:
            self._process()
            return self._db.execute("SELECT * FROM alerts ORDER BY tiny").fetchall()

    def lines(self, after: int = 0) -> list[dict[str, Any]]:
        """The log after that id, in the order of arrival."""
        with self._guard:
            rows = self._db.execute("SELECT * FROM log WHERE id > ? ORDER BY id", (after,)).fetchall()
        return [dict(row) | {"errors": json.loads(row["errors"])} for row in rows]

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._db.close()


def shown(row: sqlite3.Row, *, full: bool) -> dict[str, Any]:
    """An alert as the API shows it; `full` is what only `Get Alert` has."""
    body = json.loads(row["body"])
    alert: dict[str, Any] = {
        "id": row["id"],
        "tinyId": str(row["tiny"]),
        "alias": row["alias"],
        "message": body["message"],
        "status": row["status"],
        "acknowledged": bool(row["acknowledged"]),
        "isSeen": bool(row["acknowledged"]),
        "seen": bool(row["acknowledged"]),
        "tags": body.get("tags") or [],
        "snoozed": False,
        "count": row["count"],
        "lastOccurredAt": _text(row["last"]),
        "createdAt": _text(row["created"]),
        "updatedAt": _text(row["updated"]),
        "source": body.get("source") or "127.0.0.1",  # documented: the caller's address where nothing was given
        "owner": row["owner"],
        "priority": body.get("priority") or "P3",
        "responders": body.get("responders") or [],
        "integration": {"id": integration_id(row["integration"]), "name": row["integration"], "type": "API"},
    }
    if report := _report(row):
        alert["report"] = report
    if full:
        alert |= {"actions": body.get("actions") or [], "entity": body.get("entity") or ""}
        alert |= {"description": body.get("description") or "", "details": body.get("details") or {}}
    return alert


def searched(row: sqlite3.Row) -> dict[str, Any]:
    """An alert as searches see it: its times in milliseconds."""
    times = {"createdAt": row["created"], "lastOccurredAt": row["last"], "updatedAt": row["updated"]}
    return shown(row, full=True) | times


def _report(row: sqlite3.Row) -> dict[str, Any]:
    report: dict[str, Any] = {}
    if row["acked"] is not None:
        report |= {"ackTime": row["acked"] - row["created"], "acknowledgedBy": row["acked_by"]}
    if row["closed"] is not None:
        report |= {"closeTime": row["closed"] - row["created"], "closedBy": row["closed_by"]}
    return report


def integration_id(name: str) -> str:
    """The same id for the same integration, in every process."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"opsgenie/{name}"))


def _text(milliseconds: int) -> str:
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
