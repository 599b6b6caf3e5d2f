"""The REST API's incidents: lists, one, what people do to them, their alerts, notes and log entries.

The rules are those of PagerDuty's OpenAPI document of August 2026. Two that surprise: an incident with alerts has no
`incident_key`, though it is found by one; and acknowledging a resolved incident opens it again (since September 2025).
Where the documentation has an error code for a change that changes nothing, it is used. Must never touch HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from opsctl.demo.servers import pagerduty_queries as queries
from opsctl.demo.servers.incidents_file import Agent, IncidentsFile
from opsctl.demo.servers.pagerduty_account import User
from opsctl.demo.servers.pagerduty_answers import Answer, Refusal, error, invalid, not_found
from opsctl.demo.servers.pagerduty_incident_view import IncidentView
from opsctl.demo.servers.pagerduty_queries import Query
from opsctl.demo.servers.pagerduty_references import Directory, Resource

MOST_AT_ONCE = 250
MOST_NOTES = 2000
STATUSES = ("triggered", "acknowledged", "resolved")
_INCLUDES = (
    "acknowledgers", "agents", "assignees", "body", "conference_bridge", "custom_fields", "escalation_policies",
    "first_trigger_log_entries", "priorities", "services", "teams", "users",
)  # fmt: skip
_SORTED_BY = {
    "incident_number": "number", "created_at": "created_at", "resolved_at": "resolved_at", "urgency": "'high'",
}  # fmt: skip
_MAY_CHANGE = (
    "id", "type", "status", "resolution", "title", "priority", "escalation_level", "assignments", "incident_type",
    "escalation_policy", "urgency", "conference_bridge", "service",
)  # fmt: skip
_NUMBER = re.compile(r"[0-9]{1,15}")


class Incidents:
    """Everything below /incidents."""

    def __init__(self, file: IncidentsFile, directory: Directory) -> None:
        self._file = file
        self._directory = directory
        self._view = IncidentView(directory)

    # -- reading

    def index(self, query: Query) -> Answer:
        """GET /incidents."""
        page = queries.page(query)
        includes = queries.several(query, "include", _INCLUDES)
        where, values = self._where(query)
        by = queries.order(query, _SORTED_BY, "number ASC")
        [counted] = self._file.rows(f"SELECT count(*) AS n FROM incidents WHERE {where}", values)
        found = self._file.rows(
            f"SELECT * FROM incidents WHERE {where} ORDER BY {by}, number ASC LIMIT :limit OFFSET :offset",
            values | {"limit": page.limit, "offset": page.offset},
        )
        return Answer(200, page.answer("incidents", self._shown(found, includes), counted["n"]))

    def _where(self, query: Query) -> tuple[str, dict[str, Any]]:
        parts, values = ["1"], dict[str, Any]()
        if within := queries.created(query, self._file.clock.now()):
            parts.append("created_at >= :since AND created_at <= :until")
            values |= {"since": _comparable(within.since), "until": _comparable(within.until)}
        if key := queries.one(query, "incident_key"):
            parts.append("dedup_key = :key")
            values["key"] = key
        if statuses := queries.several(query, "statuses", STATUSES):
            parts.append(_is_one_of("status", statuses, values))
        if services := queries.several(query, "service_ids"):
            own = [name for one in self._directory.account.services if one.id in services for name in one.integrations]
            parts.append(_is_one_of("integration", own, values))
        if users := queries.several(query, "user_ids"):
            on_call = self._view.assignee()
            parts.append("status != 'resolved'" if on_call and on_call.id in users else "0")
        if queries.several(query, "team_ids") or queries.several(query, "urgencies", ("high", "low")) == ["low"]:
            parts.append("0")  # there are no teams, and every incident is urgent
        return " AND ".join(parts), values

    def show(self, id_: str, query: Query) -> Answer:
        """GET /incidents/{id}: by id or by number."""
        includes = queries.several(query, "include", _INCLUDES)
        return Answer(200, {"incident": self._shown([self._row(id_)], includes)[0]})

    def alerts(self, id_: str, query: Query) -> Answer:
        """GET /incidents/{id}/alerts: one alert an incident, for nothing is grouped here."""
        row, page = self._row(id_), queries.page(query)
        statuses = queries.several(query, "statuses", ("triggered", "resolved"))
        key = queries.one(query, "alert_key")
        queries.order(query, {"created_at": "", "resolved_at": ""}, "")
        queries.several(query, "include", ("services", "first_trigger_log_entries", "incidents"))
        alert = self._view.alert(row)
        fits = (not statuses or alert["status"] in statuses) and key in {None, alert["alert_key"]}
        return Answer(200, page.of("alerts", [alert] if fits else []))

    def notes(self, id_: str) -> Answer:
        """GET /incidents/{id}/notes: all of them, in one piece."""
        row = self._row(id_)
        return Answer(200, {"notes": [self._view.note(entry) for entry in self._entries(row["id"], ("annotate",))]})

    def log_entries(self, id_: str, query: Query) -> Answer:
        """GET /incidents/{id}/log_entries: the newest first."""
        row, page = self._row(id_), queries.page(query)
        queries.several(query, "include", ("incidents", "services", "channels", "teams"))
        since, until = queries.moment(query, "since"), queries.moment(query, "until")
        overview = queries.flag(query, "is_overview")
        entries = []
        for entry in self._view.with_what_follows(self._entries(row["id"])):
            at = queries.time_of(entry["at"])
            inside = (since is None or at >= since) and (until is None or at < until)
            if inside and not (overview and entry["kind"] == "append"):
                entries.append(self._view.entry(entry, row))
        return Answer(200, page.of("log_entries", entries[::-1]))

    # -- changing

    def change(self, id_: str, body: object, user: User) -> Answer:
        """PUT /incidents/{id}."""
        row = self._row(id_)
        wanted = body.get("incident") if isinstance(body, Mapping) else None
        self._carry_out([(row, _change(wanted))], user)
        return self.show(row["id"], {})

    def change_several(self, body: object, user: User) -> Answer:
        """PUT /incidents: at most 250, and all of them or none."""
        wanted = body.get("incidents") if isinstance(body, Mapping) else None
        if not isinstance(wanted, list) or not wanted:
            raise invalid("Incidents must be a list of incidents")
        if len(wanted) > MOST_AT_ONCE:
            raise Refusal(error(413, 2001, "Invalid Input Provided", f"At most {MOST_AT_ONCE} incidents at a time"))
        changes = []
        for one in wanted:
            change = _change(one)
            rows = self._file.rows("SELECT * FROM incidents WHERE id = ?", (change.get("id"),))
            if not rows:
                raise Refusal(error(400, 1004, "Invalid ID Provided", f"No incident {change.get('id')}"))
            changes.append((rows[0], change))
        self._carry_out(changes, user)
        ids = [row["id"] for row, _ in changes]
        values = dict[str, Any]()
        rows = self._file.rows(f"SELECT * FROM incidents WHERE {_is_one_of('id', ids, values)} ORDER BY number", values)
        return Answer(200, {"incidents": self._shown(rows, [])})

    def _carry_out(self, changes: list[tuple[dict[str, Any], Mapping[str, Any]]], user: User) -> None:
        with self._file.transaction() as db:
            for row, change in changes:
                status, title = change.get("status"), change.get("title")
                [now] = db.execute("SELECT status FROM incidents WHERE id = ?", (row["id"],)).fetchone()
                if status == now == "resolved":
                    raise Refusal(error(400, 1001, "Incident Already Resolved"))
                if status == now == "acknowledged":
                    raise Refusal(error(400, 1002, "Incident Already Acknowledged"))
                if title is not None:
                    db.execute("UPDATE incidents SET title = ? WHERE id = ?", (title, row["id"]))
                if status is not None and status != now:
                    self._file.move(row["id"], status, Agent("user", user.id), str(change.get("resolution") or ""))

    def add_note(self, id_: str, body: object, user: User) -> Answer:
        """POST /incidents/{id}/notes: at most 2,000 an incident."""
        row = self._row(id_)
        note = body.get("note") if isinstance(body, Mapping) else None
        content = note.get("content") if isinstance(note, Mapping) else None
        if not isinstance(content, str) or not content.strip():
            raise invalid("Content cannot be empty")
        with self._file.transaction() as db:
            [count] = db.execute(
                "SELECT count(*) FROM entries WHERE incident = ? AND kind = 'annotate'", (row["id"],)
            ).fetchone()
            if count >= MOST_NOTES:
                raise Refusal(error(400, 5002, "Simple Log Entry Limit Reached"))
            number = self._file.enter(row["id"], "annotate", Agent("user", user.id), content)
        [made] = self._file.rows("SELECT * FROM entries WHERE id = ?", (number,))
        return Answer(201, {"note": self._view.note(made)})

    def by_person(self, row: Mapping[str, Any], status: str, user: User) -> None:
        """What a person does in PagerDuty's own pages."""
        self._carry_out([(dict(row), {"status": status})], user)

    def _row(self, id_: str) -> dict[str, Any]:
        number = int(id_) if _NUMBER.fullmatch(id_) else -1
        rows = self._file.rows("SELECT * FROM incidents WHERE id = ? OR number = ?", (id_, number))
        if not rows:
            raise not_found()
        return rows[0]

    def _entries(self, incident: str, kinds: Sequence[str] = ()) -> list[dict[str, Any]]:
        values: dict[str, Any] = {"incident": incident}
        only = f" AND {_is_one_of('kind', kinds, values)}" if kinds else ""
        return self._file.rows(f"SELECT * FROM entries WHERE incident = :incident{only} ORDER BY id", values)

    def _shown(self, rows: list[dict[str, Any]], includes: list[str]) -> list[Resource]:
        ids, values = [row["id"] for row in rows], dict[str, Any]()
        by: dict[str, list[dict[str, Any]]] = {id_: [] for id_ in ids}
        where = _is_one_of("incident", ids, values)
        for entry in self._file.rows(f"SELECT * FROM entries WHERE {where} ORDER BY id", values):
            by[entry["incident"]].append(entry)
        return [self._view.incident(row, by[row["id"]], includes) for row in rows]


def _change(wanted: object) -> Mapping[str, Any]:
    """A change of one incident that is well-formed."""
    if not isinstance(wanted, Mapping):
        raise invalid("Incident must be an object")
    if wanted.get("type") not in {"incident", "incident_reference"}:
        raise invalid("Type must be incident or incident_reference")
    if unknown := [name for name in wanted if name not in _MAY_CHANGE]:
        raise invalid(f"Unknown member {unknown[0]}")
    if wanted.get("status", "triggered") not in STATUSES:
        raise Refusal(error(400, 1003, "Invalid Status Provided"))
    if wanted.get("resolution") is not None and wanted.get("status") != "resolved":
        raise invalid("Resolution goes with the status resolved only")
    title = wanted.get("title")
    if title is not None and not (isinstance(title, str) and title.strip()):
        raise invalid("Title cannot be empty")
    return wanted


def _is_one_of(column: str, wanted: Sequence[str], values: dict[str, Any]) -> str:
    """A condition with a placeholder for each value, which are added to the values."""
    names = [f"v{len(values) + place}" for place in range(len(wanted))]
    values |= dict(zip(names, wanted, strict=True))
    return f"{column} IN ({', '.join(f':{name}' for name in names)})"


def _comparable(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
