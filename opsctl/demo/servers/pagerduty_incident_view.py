"""How incidents, their alerts, notes and log entries look in the REST API.

Pure: rows in, resources out. Must never give an incident an `incident_key`: where it has alerts, PagerDuty's has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from opsctl.demo.servers.pagerduty_account import User
from opsctl.demo.servers.pagerduty_queries import shown
from opsctl.demo.servers.pagerduty_references import Directory, Resource

_ENTRY_TYPES = {
    "trigger": "trigger_log_entry",
    "append": "trigger_log_entry",
    "reopen": "trigger_log_entry",
    "acknowledge": "acknowledge_log_entry",
    "resolve": "resolve_log_entry",
    "annotate": "annotate_log_entry",
    "assign": "assign_log_entry",
    "notify": "notify_log_entry",
}
_SUMMARIES = {
    "trigger": "Triggered through the API",
    "append": "Triggered through the API",
    "reopen": "Reopened by {}",
    "acknowledge": "Acknowledged by {}",
    "resolve": "Resolved by {}",
    "annotate": "Note added by {}",
    "assign": "Assigned by {}",
    "notify": "Notified through {}",
}
_CHANGES = ("trigger", "reopen", "acknowledge", "resolve")


class IncidentView:
    """Shows what the file has."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def incident(self, row: Mapping[str, Any], entries: list[dict[str, Any]], includes: list[str]) -> Resource:
        about = self._directory
        changes = [entry for entry in entries if entry["kind"] in _CHANGES]
        last = (
            changes[-1] if changes else {"at": row["created_at"], "agent_type": "service", "agent": row["integration"]}
        )
        service = about.account.service(row["integration"])
        closed = row["status"] == "resolved"
        on_call = None if closed else self.assignee()
        person = about.full_user if {"assignees", "users"} & {*includes} else about.user
        made = about.reference("incident", row["id"], f"[#{row['number']}] {row['title']}", f"/incidents/{row['id']}")
        return made | {
            "type": "incident",
            "incident_number": row["number"],
            "title": row["title"],
            "created_at": shown(row["created_at"]),
            "updated_at": shown(max([row["created_at"], *(entry["at"] for entry in entries)])),
            "status": row["status"],
            "incident_key": None,
            "service": about.full_service(service, self.service_status(row))
            if "services" in includes
            else about.service(service),
            "assignments": [{"at": shown(row["created_at"]), "assignee": person(on_call)}] if on_call else [],
            "assigned_via": "escalation_policy",
            "last_status_change_at": shown(last["at"]),
            "last_status_change_by": self._who(last, expand=bool({"agents", "users"} & {*includes})),
            "resolved_at": shown(row["resolved_at"]) if closed else None,
            "first_trigger_log_entry": self._first(row),
            "alert_counts": {"all": 1, "triggered": int(not closed), "resolved": int(closed)},
            "is_mergeable": True,
            "incident_type": {"name": "incident_default"},
            "escalation_policy": about.full_policy() if "escalation_policies" in includes else about.policy(),
            "teams": [],
            "pending_actions": [],
            "acknowledgements": self._acknowledgements(
                row, changes, expand=bool({"acknowledgers", "users"} & {*includes})
            ),
            "alert_grouping": None,
            "priority": None,
            "resolve_reason": None,
            "urgency": "high",
        }

    def service_status(self, row: Mapping[str, Any]) -> str:
        """Of the service that an incident is on."""
        return (
            "critical" if row["status"] == "triggered" else "warning" if row["status"] == "acknowledged" else "active"
        )

    def _acknowledgements(
        self, row: Mapping[str, Any], changes: list[dict[str, Any]], *, expand: bool
    ) -> list[dict[str, Any]]:
        if row["status"] != "acknowledged":
            return []
        begun = max((place for place, one in enumerate(changes) if one["kind"] in {"trigger", "reopen"}), default=-1)
        since = [entry for entry in changes[begun + 1 :] if entry["kind"] == "acknowledge"]
        return [{"at": shown(entry["at"]), "acknowledger": self._who(entry, expand=expand)} for entry in since[-1:]]

    def _who(self, entry: Mapping[str, Any], *, expand: bool = False) -> Resource:
        found = self._directory.agent(entry["agent_type"], entry["agent"])
        return self._directory.expanded(found) if expand else found

    def assignee(self) -> User | None:
        """Who an open incident is assigned to: the first on call at level 1."""
        account = self._directory.account
        first = min(account.on_calls, key=lambda one: one.level, default=None)
        return account.user(first.user) if first else None

    def _first(self, row: Mapping[str, Any]) -> Resource:
        id_ = f"R{row['id'][1:]}"
        made = self._directory.reference(
            "trigger_log_entry", id_, "Triggered through the API", f"/log_entries/{id_}?incident_id={row['id']}"
        )
        return made | {"html_url": f"{self._directory.base}/incidents/{row['id']}/log_entries/{id_}"}

    def alert(self, row: Mapping[str, Any]) -> Resource:
        event = json.loads(row["event"])
        payload = event["payload"]
        id_ = f"A{row['id'][1:]}"
        made = self._directory.reference(
            "alert", id_, payload["summary"], f"/incidents/{row['id']}/alerts/{id_}", f"/alerts/{id_}"
        )
        contexts = [{"type": "link", **link} for link in event.get("links") or []]
        contexts += [{"type": "image", **image} for image in event.get("images") or []]
        incident = self._directory.reference("incident", row["id"], row["title"], f"/incidents/{row['id']}")
        return made | {
            "type": "alert",
            "created_at": shown(row["created_at"]),
            "status": "resolved" if row["status"] == "resolved" else "triggered",
            "resolved_at": shown(row["resolved_at"]) if row["resolved_at"] else None,
            "alert_key": row["dedup_key"],
            "service": self._directory.service(self._directory.account.service(row["integration"])),
            "integration": self._directory.integration(row["integration"]),
            "first_trigger_log_entry": self._first(row),
            "incident": {"id": incident["id"], "type": incident["type"]},
            "body": {"type": "alert_body", "contexts": contexts, "details": payload.get("custom_details")},
            "suppressed": False,
            "severity": row["severity"],
        }

    def note(self, entry: Mapping[str, Any]) -> Resource:
        return {
            "id": f"N{entry['id']:06d}",
            "user": self._who(entry),
            "channel": {"summary": "The PagerDuty website or APIs"},
            "content": entry["note"],
            "created_at": shown(entry["at"]),
            "updated_at": shown(entry["at"]),
        }

    def with_what_follows(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Assigning and notifying follow on every first trigger; they are not kept but told."""
        on_call = self.assignee()
        told = []
        for entry in entries:
            told.append(entry)
            if entry["kind"] == "trigger" and on_call is not None:
                told += [entry | {"kind": kind, "user": on_call} for kind in ("assign", "notify")]
        return told

    def entry(self, entry: Mapping[str, Any], row: Mapping[str, Any]) -> Resource:
        kind = entry["kind"]
        id_ = f"R{row['id'][1:]}" if kind == "trigger" else f"R{entry['id']:08d}{kind[0].upper()}"
        who = self._who(entry)
        made = self._directory.reference(_ENTRY_TYPES[kind], id_, "", f"/log_entries/{id_}?incident_id={row['id']}") | {
            "type": _ENTRY_TYPES[kind],
            "summary": _SUMMARIES[kind].format(who["summary"]),
            "html_url": f"{self._directory.base}/incidents/{row['id']}/log_entries/{id_}",
            "created_at": shown(entry["at"]),
            "agent": who,
            "channel": _channel(entry),
            "service": self._directory.service(self._directory.account.service(row["integration"])),
            "incident": self._directory.reference(
                "incident", row["id"], f"[#{row['number']}] {row['title']}", f"/incidents/{row['id']}"
            ),
            "teams": [],
            "contexts": [],
        }
        if kind == "trigger":
            made["event_details"] = {"description": json.loads(row["event"])["payload"]["summary"]}
        if "user" in entry:
            person = self._directory.user(entry["user"])
            made |= {"assignees": [person]} if kind == "assign" else {"user": person}
        return made


def _channel(entry: Mapping[str, Any]) -> Resource:
    if entry["kind"] in {"annotate", "resolve"} and entry["note"]:
        return {"type": "note", "summary": entry["note"]}
    if entry["kind"] == "notify":
        return {"type": "auto", "notification": {"type": "push_notification", "status": "success"}}
    return {"type": "api" if entry["agent_type"] == "service" else "website"}
