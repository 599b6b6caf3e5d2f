"""References and the resources behind them that do not change: services, integrations, users, policies, schedules.

Pure. Must never show a routing key but in a full integration, as PagerDuty does.
"""

from __future__ import annotations

from typing import Any

from opsctl.demo.servers.pagerduty_account import Account, Service, User, identity

Resource = dict[str, Any]


class Directory:
    """The account as resources of the REST API, at an address."""

    def __init__(self, account: Account, base: str) -> None:
        self.account = account
        self.base = base.rstrip("/")

    def reference(self, kind: str, id_: str, summary: str, path: str, page: str | None = None) -> Resource:
        """A pointer to a resource; `path` is where the API has it, `page` where the web application has it."""
        return {
            "id": id_,
            "type": f"{kind}_reference",
            "summary": summary,
            "self": f"{self.base}{path}",
            "html_url": f"{self.base}{path if page is None else page}",
        }

    def service(self, one: Service) -> Resource:
        """A reference to a service."""
        return self.reference("service", one.id, one.name, f"/services/{one.id}", f"/service-directory/{one.id}")

    def integration(self, name: str) -> Resource:
        """A reference to an integration."""
        service, id_ = self.account.service(name), identity("integration", name)
        return self.reference(
            "events_api_v2_inbound_integration", id_, name, f"/services/{service.id}/integrations/{id_}"
        )

    def user(self, one: User) -> Resource:
        """A reference to a user."""
        return self.reference("user", one.id, one.name, f"/users/{one.id}")

    def policy(self) -> Resource:
        """A reference to the one escalation policy."""
        id_ = identity("policy", self.account.policy)
        return self.reference("escalation_policy", id_, self.account.policy, f"/escalation_policies/{id_}")

    def schedule(self, name: str) -> Resource:
        """A reference to a schedule."""
        id_ = identity("schedule", name)
        return self.reference("schedule", id_, name, f"/schedules/{id_}")

    def agent(self, type_: str, name: str) -> Resource:
        """Who did something: the service of an integration, or a user by id."""
        if type_ == "service":
            return self.service(self.account.service(name))
        found = self.account.user(name)
        return self.user(found) if found else self.reference("user", name, name, f"/users/{name}")

    def full_integration(self, name: str) -> Resource:
        """An integration with its routing key."""
        return _whole(self.integration(name)) | {
            "name": name,
            "service": self.service(self.account.service(name)),
            "integration_key": self.account.keys.get(name, ""),
        }

    def full_service(self, one: Service, status: str, *, integrations: bool = False) -> Resource:
        """A service; its integrations are references unless they are asked for."""
        show = self.full_integration if integrations else self.integration
        return _whole(self.service(one)) | {
            "name": one.name,
            "description": None,
            "status": status,
            "auto_resolve_timeout": None,
            "acknowledgement_timeout": None,
            "escalation_policy": self.policy(),
            "teams": [],
            "integrations": [show(name) for name in one.integrations],
            "incident_urgency_rule": {"type": "constant", "urgency": "high"},
            "alert_creation": "create_alerts_and_incidents",
        }

    def full_user(self, one: User) -> Resource:
        """A person."""
        return _whole(self.user(one)) | {
            "name": one.name,
            "email": one.email,
            "time_zone": "Etc/UTC",
            "role": "user",
            "description": None,
            "job_title": None,
            "invitation_sent": False,
            "contact_methods": [],
            "notification_rules": [],
            "teams": [],
        }

    def full_policy(self) -> Resource:
        """The escalation policy: one rule for each level, with its schedules and people."""
        levels = sorted({one.level for one in self.account.on_calls})
        rules = [
            {
                "id": identity("rule", str(level)),
                "escalation_delay_in_minutes": 30,
                "targets": list(self._targets(level).values()),
            }
            for level in levels
        ]
        return _whole(self.policy()) | {
            "name": self.account.policy,
            "description": None,
            "num_loops": 0,
            "on_call_handoff_notifications": "if_has_services",
            "escalation_rules": rules,
            "services": [self.service(one) for one in self.account.services],
            "teams": [],
        }

    def _targets(self, level: int) -> dict[str, Resource]:
        found: dict[str, Resource] = {}
        for one in self.account.on_calls:
            if one.level == level:
                target = self.schedule(one.schedule) if one.schedule else self.agent("user", one.user)
                found[target["id"]] = target
        return found

    def full_schedule(self, name: str) -> Resource:
        """A schedule and who is on it."""
        emails = dict.fromkeys(one.user for one in self.account.on_calls if one.schedule == name)
        return _whole(self.schedule(name)) | {
            "name": name,
            "time_zone": "Etc/UTC",
            "description": None,
            "escalation_policies": [self.policy()],
            "users": [self.agent("user", email) for email in emails],
            "teams": [],
        }

    def schedules(self) -> list[str]:
        """The names of all schedules."""
        return sorted({one.schedule for one in self.account.on_calls if one.schedule})

    def expanded(self, reference: Resource) -> Resource:
        """The whole user behind a reference, where it is one; anything else as it is."""
        found = self.account.user(reference["id"]) if reference["type"] == "user_reference" else None
        return self.full_user(found) if found else reference


def _whole(reference: Resource) -> Resource:
    return reference | {"type": reference["type"].removesuffix("_reference")}
