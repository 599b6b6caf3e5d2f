"""Which of PagerDuty's services our routing keys lead to, and which of them are in maintenance.

A routing key of an event orchestration belongs to no service and is never found. Must never let a key go anywhere: it
is only compared with what PagerDuty shows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from opsctl.adapters.sinks.pagerduty import RoutingKeys
from opsctl.adapters.sinks.pagerduty_rest import Budget, Resource, Rest, Unanswered, items_of, text_of, time_of
from opsctl.core.frozen import dataclass
from opsctl.errors import OpsctlError

_KEPT_SECONDS = 3600.0  # an integration may move
_AGAIN_SECONDS = 600.0  # where some were not found
_DESCRIPTION_CHARACTERS = 200
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Place:
    """A service of PagerDuty, and its escalation policy."""

    id: str
    name: str
    integration: str = ""  # id of the one that the routing key is of
    policy: str = ""
    policy_name: str = ""
    policy_url: str = ""
    warning: str = ""  # why its pages open nothing, or late


class Services:
    """The account's services by the name of the routing key that leads there; looked for once an hour."""

    def __init__(self, rest: Rest, keys: RoutingKeys) -> None:
        self._rest = rest
        self._keys = keys
        self._found: dict[str, Place] = {}
        self._again = 0.0  # when they are looked for again, by the monotonic clock

    def find(self, budget: Budget) -> Mapping[str, Place]:
        """Every service that is found; `Unanswered` where PagerDuty could not be asked, and what was known stays so."""
        now = time.monotonic()
        if now < self._again:
            return self._found
        wanted, found = self._wanted(), dict[str, Place]()
        listing = self._rest.listed(
            "/services",
            "services",
            budget,
            {"include[]": "integrations"},
            enough=lambda page: _note(page, wanted, found),
        )
        if listing.failed is not None:
            raise listing.failed
        self._found = found
        self._again = now + (_KEPT_SECONDS if self.all_found else _AGAIN_SECONDS)
        return self._found

    @property
    def places(self) -> Mapping[str, Place]:
        """What was found so far."""
        return self._found

    def key_of(self, integration: str) -> str:
        """The name of the routing key that an integration has; "" where that is not known."""
        if not integration:
            return ""
        return next((name for name, place in self._found.items() if place.integration == integration), "")

    @property
    def all_found(self) -> bool:
        """Whether every routing key leads to a known service: only then may incidents be asked for by service."""
        return bool(self._found) and self._found.keys() >= set(self._keys.names)

    def _wanted(self) -> dict[str, list[str]]:
        """The names of each routing key."""
        wanted: dict[str, list[str]] = {}
        for name in self._keys.names:
            try:
                wanted.setdefault(self._keys.read(name), []).append(name)
            except OpsctlError:
                continue  # said where it is sent to
        return wanted

    def maintenance(self, budget: Budget) -> ByTeam:
        """Routing key's name → the window that its service is in, in words; `Unanswered` where that is not known."""
        names: dict[str, list[str]] = {}
        for name, place in self._found.items():
            names.setdefault(place.id, []).append(name)
        if not names:
            return ByTeam({}, self._keys)
        params = {"filter": "ongoing", "service_ids[]": sorted(names)}
        listing = self._rest.listed("/maintenance_windows", "maintenance_windows", budget, params)
        if listing.failed is not None:
            raise listing.failed
        found: dict[str, str] = {}
        for window in sorted(listing.items, key=_end):  # of two windows the one that ends last
            for service in items_of(window, "services"):
                found.update(dict.fromkeys(names.get(text_of(service, "id"), ()), _words(window)))
        return ByTeam(found, self._keys)


class ByTeam(Mapping[str, str]):
    """By routing key's name; a team without a key of its own has what the default key has."""

    def __init__(self, found: Mapping[str, str], keys: RoutingKeys) -> None:
        self._found = found
        self._keys = keys

    def __getitem__(self, team: str) -> str:
        return self._found[self._keys.name_of(team)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _note(services: Sequence[Resource], wanted: Mapping[str, Sequence[str]], found: dict[str, Place]) -> bool:
    """Note which of these services are ours; whether that is all that is wanted."""
    for service in services:
        for integration in items_of(service, "integrations"):
            for name in wanted.get(text_of(integration, "integration_key"), ()):
                found[name] = _place(service, integration)
    return len(found) == sum(map(len, wanted.values()))


def find_or_none(services: Services, budget: Budget) -> Unanswered | None:
    """Look for them; what went wrong, if something did."""
    try:
        services.find(budget)
    except Unanswered as wrong:
        return wrong
    return None


def _place(service: Resource, integration: Resource) -> Place:
    policy = service.get("escalation_policy")
    return Place(
        text_of(service, "id"),
        text_of(service, "name") or text_of(service, "summary"),
        text_of(integration, "id"),
        text_of(policy, "id"),
        text_of(policy, "summary"),
        text_of(policy, "html_url"),
        _warning(service),
    )


def _warning(service: Resource) -> str:
    if text_of(service, "status") == "disabled":
        return "is disabled: its events open nothing"
    pause = service.get("auto_pause_notifications_parameters")
    if isinstance(pause, Mapping) and pause.get("enabled") is True:
        seconds = pause.get("timeout")
        told = f" for {seconds} s" if isinstance(seconds, int) else ""
        return f"holds back what may end by itself{told} (auto-pause): pages are late, and not visible meanwhile"
    return ""


def _end(window: Resource) -> datetime:
    return time_of(window, "end_time") or _NEVER


def _words(window: Resource) -> str:
    ends = time_of(window, "end_time")
    until = f" until {ends:%Y-%m-%d %H:%M}Z" if ends else ""
    about = " ".join(text_of(window, "description").split())[:_DESCRIPTION_CHARACTERS]
    return f"PagerDuty maintenance window{until}" + (f": {about}" if about else "")
