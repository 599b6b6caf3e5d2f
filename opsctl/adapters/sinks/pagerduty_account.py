"""What PagerDuty's account says besides incidents: who is on call for our routing keys, and whether we may ask at all.

Must never show how to call a person: their page at PagerDuty has that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from opsctl.adapters.sinks.pagerduty import RoutingKeys, routing_keys
from opsctl.adapters.sinks.pagerduty_rest import Budget, Resource, Rest, Unanswered, open_rest, text_of, time_of
from opsctl.adapters.sinks.pagerduty_services import Place, Services, find_or_none
from opsctl.ports.account import AccountState, Duty, OnCall, OnCalls

if TYPE_CHECKING:
    from opsctl.files import context as files

_MOST_REQUESTS = 60
_USER_PAGES = 10


class PagerDutyAccount:
    """One account by its token."""

    def __init__(self, rest: Rest, keys: RoutingKeys) -> None:
        self.name = "pagerduty"
        self._rest = rest
        self._keys = keys
        self._services = Services(rest, keys)

    def on_call(self, keys: Sequence[str], at: datetime, timeout_seconds: float) -> OnCalls:
        """Who is on call for each of these routing keys' names, level 1 first."""
        budget = Budget(timeout_seconds, _MOST_REQUESTS)
        try:
            places = self._services.find(budget)
            people = self._people({places[key].policy for key in keys if key in places}, at, budget)
        except Unanswered as wrong:
            return OnCalls(at, (), str(wrong), wrong.refused)
        return OnCalls(at, tuple(_duty(key, places.get(key), people) for key in keys))

    def examine(self, timeout_seconds: float) -> AccountState:
        """May we ask, who are we, and where do our keys lead."""
        budget = Budget(timeout_seconds, _MOST_REQUESTS)
        try:
            sender = self._sender(budget)
        except Unanswered as wrong:
            if wrong.status != 403:
                return AccountState(str(wrong), wrong.refused)
            sender = None  # such a token may still read incidents
        wrong_services = find_or_none(self._services, budget)
        if wrong_services is not None:
            return AccountState(str(wrong_services), wrong_services.refused, sender)
        found = {name: place.name for name, place in self._services.places.items()}
        services = {name: found.get(name, "") for name in self._keys.names}
        places = {place.id: place for place in self._services.places.values()}
        warnings = tuple(f"{place.name} {place.warning}" for place in places.values() if place.warning)
        try:
            windows = self._services.maintenance(budget)
        except Unanswered as wrong:
            return AccountState(str(wrong), wrong.refused, sender, services)
        maintenance = {name: windows[name] for name in self._keys.names if name in windows}
        return AccountState(None, False, sender, services, maintenance, warnings)

    def close(self) -> None:
        """Drop connections."""
        self._rest.close()

    def _people(self, policies: set[str], at: datetime, budget: Budget) -> Mapping[str, Sequence[OnCall]]:
        """By escalation policy."""
        found: dict[str, list[OnCall]] = {}
        if not policies:
            return found
        moment = at.isoformat(timespec="seconds")
        params = {"escalation_policy_ids[]": sorted(policies), "since": moment, "until": moment}
        listing = self._rest.listed("/oncalls", "oncalls", budget, params)
        if listing.failed is not None:
            raise listing.failed
        if not listing.whole:
            raise Unanswered("/oncalls: more people are on call than can be read")
        for one in listing.items:
            person = _on_call(one)
            if person is not None and _covers(person, at):
                found.setdefault(text_of(one, "escalation_policy", "id"), []).append(person)
        return found

    def _sender(self, budget: Budget) -> str | None:
        """The user that notes are written as; "" where nobody has that address, None where not all were read."""
        address = self._rest.from_.casefold()
        for params, pages in (({"query": self._rest.from_}, 1), ({}, _USER_PAGES)):
            listing = self._rest.listed("/users", "users", budget, params, most_pages=pages)
            for user in listing.items:
                if text_of(user, "email").casefold() == address:
                    return text_of(user, "name") or address
            if listing.failed is not None:
                raise listing.failed
        return "" if listing.whole else None


def open_account(settings: files.PagerDuty, resolve: Callable[[files.Secret], str]) -> PagerDutyAccount | None:
    """The account of a context, where it has a REST token."""
    if settings.rest is None:
        return None
    return PagerDutyAccount(open_rest(settings.rest, settings.rest_url, resolve), routing_keys(settings, resolve))


def _duty(key: str, place: Place | None, people: Mapping[str, Sequence[OnCall]]) -> Duty:
    if place is None:
        return Duty(key)
    ranked = sorted(people.get(place.policy, ()), key=lambda one: (one.level, one.schedule, one.person))
    return Duty(key, place.name, place.policy_name, place.policy_url, tuple(dict.fromkeys(ranked)))


def _on_call(one: Resource) -> OnCall | None:
    level, person = one.get("escalation_level"), text_of(one, "user", "summary")
    if not isinstance(level, int) or not person:
        return None
    return OnCall(
        person,
        level,
        text_of(one, "user", "html_url"),
        text_of(one, "schedule", "summary"),
        time_of(one, "start"),
        time_of(one, "end"),
    )


def _covers(one: OnCall, at: datetime) -> bool:
    return (one.starts is None or one.starts <= at) and (one.ends is None or at < one.ends)
