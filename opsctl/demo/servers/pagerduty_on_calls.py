"""The REST API's reading of what is configured: services, users, who is on call, schedules, policies, priorities.

Must never change anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from opsctl.demo.servers import pagerduty_queries as queries
from opsctl.demo.servers.incidents_file import IncidentsFile
from opsctl.demo.servers.pagerduty_account import OnCall, Service, Token, identity
from opsctl.demo.servers.pagerduty_answers import Answer, Refusal, error, invalid, not_found
from opsctl.demo.servers.pagerduty_maintenance import Maintenance
from opsctl.demo.servers.pagerduty_queries import Query, shown
from opsctl.demo.servers.pagerduty_references import Directory, Resource

T = TypeVar("T")
_FUTURE = timedelta(days=90)
_PRIORITIES = ("P1", "P2", "P3", "P4", "P5")


class Configured:
    """The reading endpoints that are not about incidents."""

    def __init__(self, file: IncidentsFile, directory: Directory, maintenance: Maintenance) -> None:
        self._file = file
        self._directory = directory
        self._maintenance = maintenance

    # -- services

    def services(self, query: Query) -> Answer:
        """GET /services."""
        show = self._service_shower(query)
        queries.order(query, {"name": "", "name:asc": ""}, "")
        return self._list(query, "services", self._directory.account.services, lambda one: one.name, show)

    def service(self, id_: str, query: Query) -> Answer:
        """GET /services/{id}."""
        return Answer(200, {"service": self._service_shower(query)(self._service(id_))})

    def integration(self, service: str, id_: str) -> Answer:
        """GET /services/{id}/integrations/{id}."""
        for name in self._service(service).integrations:
            if identity("integration", name) == id_:
                return Answer(200, {"integration": self._directory.full_integration(name)})
        raise not_found()

    def _service(self, id_: str) -> Service:
        return _first(one for one in self._directory.account.services if one.id == id_)

    def _service_shower(self, query: Query) -> Callable[[Service], Resource]:
        known = ("escalation_policies", "teams", "integrations", "auto_pause_notifications_parameters")
        whole = "integrations" in queries.several(query, "include", known)
        return lambda one: self._directory.full_service(one, self._status(one), integrations=whole)

    def _status(self, service: Service) -> str:
        if self._maintenance.ongoing(service):
            return "maintenance"
        rows = self._file.rows("SELECT DISTINCT integration, status FROM incidents WHERE status != 'resolved'")
        open_ones = {row["status"] for row in rows if row["integration"] in service.integrations}
        return "critical" if "triggered" in open_ones else "warning" if open_ones else "active"

    # -- people

    def users(self, query: Query) -> Answer:
        """GET /users."""
        _user_includes(query)
        return self._list(
            query, "users", self._directory.account.users, lambda one: one.name, self._directory.full_user
        )

    def user(self, id_: str, query: Query) -> Answer:
        """GET /users/{id}."""
        _user_includes(query)
        found = _first(one for one in self._directory.account.users if one.id == id_)
        return Answer(200, {"user": self._directory.full_user(found)})

    def me(self, token: Token, query: Query) -> Answer:
        """GET /users/me: only with a token of a user."""
        _user_includes(query)
        found = self._directory.account.user(token.user) if token.user else None
        if found is None:
            raise Refusal(error(400, 2001, "Invalid Input Provided", "/users/me needs a user-level API key"))
        return Answer(200, {"user": self._directory.full_user(found)})

    def on_calls(self, query: Query) -> Answer:
        """GET /oncalls: everybody who is on call now, or within a range of time."""
        page, now = queries.page(query), self._file.clock.now()
        includes = queries.several(query, "include", ("escalation_policies", "users", "schedules"))
        since = queries.moment(query, "since") or now
        until = queries.moment(query, "until") or max(now, since)
        if until < since or until - now > _FUTURE:
            raise Refusal(error(400, 2005, "Invalid Query Date Range"))
        found = [one for one in self._directory.account.on_calls if _overlaps(one, since, until)]
        shown_ones = [self._on_call(one, includes) for one in sorted(found, key=lambda one: one.level)]
        kept = [one for one in shown_ones if self._asked_for(one, query)]
        if queries.flag(query, "earliest"):
            kept = list({(one["escalation_level"], one["user"]["id"]): one for one in reversed(kept)}.values())[::-1]
        return Answer(200, page.of("oncalls", kept))

    def _asked_for(self, shown_one: Resource, query: Query) -> bool:
        wanted = {
            "user_ids": shown_one["user"]["id"],
            "escalation_policy_ids": shown_one["escalation_policy"]["id"],
            "schedule_ids": (shown_one["schedule"] or {"id": "null"})["id"],
        }
        return all(not (ids := queries.several(query, name)) or own in ids for name, own in wanted.items())

    def _on_call(self, one: OnCall, includes: Sequence[str]) -> Resource:
        about = self._directory
        user = about.agent("user", one.user)
        schedule = None
        if one.schedule:
            schedule = about.full_schedule(one.schedule) if "schedules" in includes else about.schedule(one.schedule)
        return {
            "escalation_policy": about.full_policy() if "escalation_policies" in includes else about.policy(),
            "escalation_level": one.level,
            "schedule": schedule,
            "user": about.expanded(user) if "users" in includes else user,
            "start": shown(one.start) if one.start else None,
            "end": shown(one.end) if one.end else None,
        }

    def schedules(self, query: Query) -> Answer:
        """GET /schedules."""
        queries.several(query, "include", ("schedule_layers", "overrides_subschedule", "final_schedule"))
        names = self._directory.schedules()
        return self._list(query, "schedules", names, lambda name: name, self._directory.full_schedule)

    def schedule(self, id_: str) -> Answer:
        """GET /schedules/{id}."""
        name = _first(one for one in self._directory.schedules() if identity("schedule", one) == id_)
        return Answer(200, {"schedule": self._directory.full_schedule(name)})

    def policies(self, query: Query) -> Answer:
        """GET /escalation_policies."""
        queries.several(query, "include", ("services", "teams", "targets"))
        name = self._directory.account.policy
        return self._list(
            query, "escalation_policies", [name], lambda one: one, lambda _: self._directory.full_policy()
        )

    def policy(self, id_: str) -> Answer:
        """GET /escalation_policies/{id}."""
        if id_ != identity("policy", self._directory.account.policy):
            raise not_found()
        return Answer(200, {"escalation_policy": self._directory.full_policy()})

    def priorities(self, query: Query) -> Answer:
        """GET /priorities."""
        found = [
            self._directory.reference("priority", identity("priority", name), name, f"/priorities/{name}")
            | {"type": "priority", "name": name, "description": None}
            for name in _PRIORITIES
        ]
        return Answer(200, queries.page(query).of("priorities", found))

    # -- change events

    def changes(self, query: Query) -> Answer:
        """GET /change_events: the newest first; times must be in UTC."""
        page = queries.page(query)
        since, until = _utc(query, "since"), _utc(query, "until")
        found = []
        for row in self._file.rows("SELECT * FROM changes ORDER BY number DESC"):
            made = self._change(row)
            at = queries.time_of(made["timestamp"])
            integrations = queries.several(query, "integration_ids")
            inside = (since is None or at >= since) and (until is None or at < until)
            if inside and (not integrations or made["integration"]["id"] in integrations):
                found.append(made)
        return Answer(200, page.of("change_events", found))

    def _change(self, row: dict[str, Any]) -> Resource:
        event, about = json.loads(row["event"]), self._directory
        payload = event["payload"]
        integration = about.integration(row["integration"])
        return {
            "id": row["id"],
            "type": "change_event",
            "summary": payload["summary"],
            "timestamp": shown(queries.time_of(payload.get("timestamp") or row["at"])),
            "source": payload.get("source"),
            "integration": {"id": integration["id"], "type": "inbound_integration_reference"},
            "services": [about.service(about.account.service(row["integration"]))],
            "custom_details": payload.get("custom_details"),
            "links": event.get("links") or [],
        }

    def _list(
        self,
        query: Query,
        name: str,
        everything: Sequence[Any],
        named: Callable[[Any], str],
        show: Callable[[Any], Resource],
    ) -> Answer:
        """A list that `query` searches by name; nothing here belongs to a team."""
        page, text = queries.page(query), (queries.one(query, "query") or "").casefold()
        kept = [one for one in everything if text in named(one).casefold()]
        if queries.several(query, "team_ids"):
            kept = []
        return Answer(200, page.of(name, [show(one) for one in sorted(kept, key=named)]))


def _first(found: Iterable[T]) -> T:
    for one in found:
        return one
    raise not_found()


def _user_includes(query: Query) -> None:
    queries.several(query, "include", ("contact_methods", "notification_rules", "teams", "subdomains", "calendar_urls"))


def _overlaps(one: OnCall, since: datetime, until: datetime) -> bool:
    starts = not one.start or queries.time_of(one.start) <= until
    return starts and (not one.end or queries.time_of(one.end) > since)


def _utc(query: Query, name: str) -> datetime | None:
    at, text = queries.moment(query, name), queries.one(query, name) or ""
    if at is not None and not text.endswith("Z"):
        raise invalid(f"{name} must be in UTC, and end in Z")
    return at
