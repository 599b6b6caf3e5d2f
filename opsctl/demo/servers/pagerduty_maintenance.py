"""The REST API's maintenance windows; while one lasts, the integrations of its services are switched off.

PagerDuty's support pages: no incident opens on a service in a window, open ones stay open and go on notifying, and
none is resolved through the Events API. Must never open, acknowledge or resolve anything.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from opsctl.demo.servers import pagerduty_queries as queries
from opsctl.demo.servers.incidents_file import IncidentsFile
from opsctl.demo.servers.pagerduty_account import Service, User
from opsctl.demo.servers.pagerduty_answers import Answer, Refusal, error, invalid, not_found
from opsctl.demo.servers.pagerduty_queries import Query, shown
from opsctl.demo.servers.pagerduty_references import Directory, Resource

_FILTERS = {
    "past": "end_time <= :now",
    "future": "start_time > :now",
    "ongoing": "start_time <= :now AND end_time > :now",
    "open": "end_time > :now",
    "all": "1",
}


class Maintenance:
    """Everything below /maintenance_windows."""

    def __init__(self, file: IncidentsFile, directory: Directory) -> None:
        self._file = file
        self._directory = directory

    def ongoing(self, service: Service) -> bool:
        """Whether a service is in a window now."""
        return any(service.id in json.loads(row["services"]) for row in self._rows("ongoing"))

    def index(self, query: Query) -> Answer:
        """GET /maintenance_windows."""
        page, state = queries.page(query), queries.one(query, "filter") or "all"
        if state not in _FILTERS:
            raise invalid(f"filter must be one of {', '.join(_FILTERS)}")
        services = set(queries.several(query, "service_ids"))
        includes = queries.several(query, "include", ("teams", "services", "users"))
        text = (queries.one(query, "query") or "").casefold()
        found = [
            row
            for row in self._rows(state)
            if (not services or services & {*json.loads(row["services"])})
            and text in row["description"].casefold()
            and not queries.several(query, "team_ids")
        ]
        return Answer(200, page.of("maintenance_windows", [self._shown(row, includes) for row in found]))

    def show(self, id_: str, query: Query) -> Answer:
        """GET /maintenance_windows/{id}."""
        includes = queries.several(query, "include", ("teams", "services", "users"))
        return Answer(200, {"maintenance_window": self._shown(self._row(id_), includes)})

    def create(self, body: object, user: User) -> Answer:
        """POST /maintenance_windows: it ends in the future; a start in the past is now."""
        wanted = body.get("maintenance_window") if isinstance(body, Mapping) else None
        if not isinstance(wanted, Mapping) or wanted.get("type") != "maintenance_window":
            raise invalid("Type must be maintenance_window")
        now = self._file.clock.now()
        start, end = max(_time(wanted, "start_time"), now), _time(wanted, "end_time")
        if end <= now:
            raise invalid("End time must be in the future")
        if end <= start:
            raise invalid("End time must be after the start time")
        description = wanted.get("description") or ""
        if not isinstance(description, str):
            raise invalid("Description must be a string")
        services, id_ = self._services(wanted), f"P{uuid.uuid4().hex[:6].upper()}"
        with self._file.transaction() as db:
            db.execute(
                "INSERT INTO windows (id, start_time, end_time, description, created_by, services)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (id_, _text(start), _text(end), description, user.id, json.dumps(services)),
            )
        return Answer(201, {"maintenance_window": self._shown(self._row(id_), [])})

    def _services(self, wanted: Mapping[str, Any]) -> list[str]:
        given = wanted.get("services")
        if not isinstance(given, list) or not given:
            raise invalid("Services cannot be empty")
        known, found = {one.id for one in self._directory.account.services}, []
        for one in given:
            if not isinstance(one, Mapping) or one.get("type") not in {"service", "service_reference"}:
                raise invalid("Services must be service references")
            if one.get("id") not in known:
                raise invalid(f"Service {one.get('id')} not found")
            found.append(str(one["id"]))
        return found

    def delete(self, id_: str) -> Answer:
        """DELETE /maintenance_windows/{id}: deletes a future one, ends an ongoing one; a past one stays (405)."""
        row, now = self._row(id_), _text(self._file.clock.now())
        if row["end_time"] <= now:
            raise Refusal(error(405, 5003, "Cannot cancel a maintenance window from the past"))
        with self._file.transaction() as db:
            if row["start_time"] > now:
                db.execute("DELETE FROM windows WHERE id = ?", (id_,))
            else:
                db.execute("UPDATE windows SET end_time = ? WHERE id = ?", (now, id_))
        return Answer(204, None)

    def _rows(self, state: str) -> list[dict[str, Any]]:
        now = {"now": _text(self._file.clock.now())}
        return self._file.rows(f"SELECT * FROM windows WHERE {_FILTERS[state]} ORDER BY number", now)

    def _row(self, id_: str) -> dict[str, Any]:
        rows = self._file.rows("SELECT * FROM windows WHERE id = ?", (id_,))
        if not rows:
            raise not_found()
        return rows[0]

    def _shown(self, row: Mapping[str, Any], includes: list[str]) -> Resource:
        about, wanted = self._directory, json.loads(row["services"])
        services = [one for one in about.account.services if one.id in wanted]
        made = about.reference(
            "maintenance_window",
            row["id"],
            row["description"],
            f"/maintenance_windows/{row['id']}",
            f"/service-directory/maintenance-windows/{row['id']}",
        )
        author = about.agent("user", row["created_by"])
        return made | {
            "type": "maintenance_window",
            "sequence_number": row["number"],
            "start_time": shown(row["start_time"]),
            "end_time": shown(row["end_time"]),
            "description": row["description"],
            "services": [
                about.full_service(one, "maintenance") if "services" in includes else about.service(one)
                for one in services
            ],
            "teams": [],
            "created_by": about.expanded(author) if "users" in includes else author,
        }


def _time(wanted: Mapping[str, Any], name: str) -> datetime:
    try:
        return queries.time_of(wanted[name])
    except (KeyError, TypeError, ValueError) as wrong:
        raise invalid(f"{name} must be a valid ISO 8601 date-time") from wrong


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
