"""What may go to whom, now: routes, silences and grouping over alerts.

Pure. Must never judge: a silenced alert is as wrong as before, nobody is told of it. Matchers are those of
Alertmanager (`team="money"`, `!=`, `=~`, `!~`; expressions are anchored), over the alert's labels and `alertname`,
`rule_uid`, `service`, `team`, `severity` (page, ticket, show), `cause` and `namespace`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from opsctl.core.alerts import Alert, AlertState
from opsctl.core.frozen import dataclass
from opsctl.core.keys import dedup_key, key_of
from opsctl.core.rules import GROUP as GROUP
from opsctl.core.slo import Severity

Comparison = Literal["=", "!=", "=~", "!~"]
NOWHERE = "none"
_LOUDNESS = {Severity.PAGE: 0, Severity.TICKET: 1, Severity.SHOW: 2}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; a label that is not there is the empty text."""

    name: str
    comparison: Comparison
    value: str
    pattern: str = ""  # of =~ and !~, as Python reads it; "" for the value as it is written

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil it."""
        text = labels.get(self.name, "")
        match self.comparison:
            case "=":
                return text == self.value
            case "!=":
                return text != self.value
            case "=~":
                return _expression(self.pattern or self.value).fullmatch(text) is not None
            case "!~":
                return _expression(self.pattern or self.value).fullmatch(text) is None

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.comparison}"{value}"'


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)  # as in Alertmanager a dot takes no line end


@dataclass(frozen=True, slots=True)
class Hours:
    """Times of the week: `days` (0 is Monday), spans of minutes since midnight [from, to), in one zone."""

    days: frozenset[int]
    spans: tuple[tuple[int, int], ...]
    zone: tzinfo
    text: str = ""

    def holds(self, at: datetime) -> bool:
        """Whether `at` lies inside; a span over midnight belongs to the day that it begins on."""
        local = at.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        today, yesterday = local.weekday(), (local.weekday() - 1) % 7
        for begin, end in self.spans:
            if begin < end and today in self.days and begin <= minute < end:
                return True
            if begin >= end and ((today in self.days and minute >= begin) or (yesterday in self.days and minute < end)):
                return True
        return False

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Route:
    """Where alerts go that fulfil every matcher at these hours; the first route that takes an alert has it.

    `sink` is the name of one (`pagerduty`, `webhook/chat`) or `none`; `key` chooses within it (a PagerDuty routing key
    by its name), the alert's team where it is empty. With `group_by`, alerts whose named labels are equal are one
    incident.
    """

    sink: str
    matchers: tuple[Matcher, ...] = ()
    key: str = ""
    hours: Hours | None = None
    group_by: tuple[str, ...] = ()
    origin: str = ""  # path:line

    @property
    def group_names(self) -> tuple[str, ...]:
        """The labels that make a group; its team is one of them where the team chooses the key."""
        return tuple(sorted({*self.group_by, *(() if self.key else ("team",))}))

    @property
    def group_uid(self) -> str:
        """What stands for a rule's uid: neither sink nor hours, so that an open group stays one when they change."""
        matchers = ",".join(sorted(map(str, self.matchers)))
        return GROUP + ",".join(self.group_names) + (f"{{{matchers}}}" if matchers else "")

    def takes(self, labels: Mapping[str, str], at: datetime) -> bool:
        """Whether an alert with these labels goes here now."""
        return all(one.holds(labels) for one in self.matchers) and (self.hours is None or self.hours.holds(at))


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody is told of what fulfils every matcher from `starts` to `ends`, in `hours` only where there are some."""

    id: str
    owner: str
    reason: str
    matchers: tuple[Matcher, ...]
    starts: datetime
    ends: datetime
    hours: Hours | None = None
    origin: str = ""  # path:line

    def active(self, at: datetime) -> bool:
        """Whether it holds at that time."""
        return self.starts <= at < self.ends and (self.hours is None or self.hours.holds(at))

    def silences(self, labels: Mapping[str, str], at: datetime) -> bool:
        """Whether nobody is told of an alert with these labels now."""
        return self.active(at) and all(one.holds(labels) for one in self.matchers)

    def __str__(self) -> str:
        return f"silenced by {self.owner} until {self.ends:%Y-%m-%d %H:%M}Z: {self.reason}"


@dataclass(frozen=True, slots=True)
class Routing:
    """Everything that decides who is told.

    `default` is the sink of pages that no route takes. `dependencies`: service → every service that it needs, directly
    or not; `inhibit` says whether a visible incident of one of them stands for a page. `problems` says what could not
    be read: silences that nobody knows silence nothing.
    """

    namespace: str = ""
    routes: tuple[Route, ...] = ()
    silences: tuple[Silence, ...] = ()
    default: str = "pagerduty"
    inhibit: bool = True
    dependencies: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Routed:
    """An alert (or a group of them) with its key, and where it goes: `pagerduty/money`, or "" for nowhere."""

    key: str
    alert: Alert
    to: str
    silence: str = ""  # why nobody is told now


def labels_of(alert: Alert, namespace: str = "") -> dict[str, str]:
    """What matchers see."""
    return {
        **dict(alert.labels),
        **dict(alert.identity),
        "alertname": alert.rule_name,
        "rule_uid": alert.rule_uid,
        "service": alert.service,
        "team": alert.team,
        "severity": alert.severity.value,
        "cause": alert.cause.value,
        "namespace": namespace,
    }


def target(sink: str, key: str = "") -> str:
    """`sink/key`, the way a route is written down in the journal."""
    return f"{sink}/{key}"


def split_target(to: str) -> tuple[str, str]:
    """The sink's name and the key; a webhook's name has a slash of its own, and so may a team."""
    kind, _, rest = to.partition("/")
    if kind != "webhook":
        return kind, rest
    name, _, key = rest.partition("/")
    return f"{kind}/{name}", key


def route_of(alert: Alert, routing: Routing, at: datetime) -> tuple[str, Route | None]:
    """Where an alert goes, and the route that says so: the default takes pages only."""
    labels = labels_of(alert, routing.namespace)
    for route in routing.routes:
        if route.takes(labels, at):
            return ("" if route.sink == NOWHERE else target(route.sink, route.key or alert.team)), route
    return (target(routing.default, alert.team) if alert.severity is Severity.PAGE else ""), None


def silence_of(alert: Alert, routing: Routing, at: datetime) -> Silence | None:
    """The silence that holds for an alert; of several, the one that ends last."""
    if not routing.silences:
        return None
    labels = labels_of(alert, routing.namespace)
    found = [one for one in routing.silences if one.silences(labels, at)]
    return max(found, key=lambda one: one.ends, default=None)


def routed(alerts: Iterable[Alert], namespace: str, routing: Routing, at: datetime) -> dict[str, Routed]:
    """Every active alert by its key, grouped where a route says so.

    One alert a key: a firing one hides a pending one, else the first wins.
    """
    found: dict[str, Routed] = {}
    routes: dict[str, Route | None] = {}
    for alert in alerts:
        if alert.state is AlertState.INACTIVE:
            continue
        key = key_of(namespace, alert)
        was = found.get(key)
        if was is not None and not (alert.state is AlertState.FIRING and was.alert.state is not AlertState.FIRING):
            continue
        to, routes[key] = route_of(alert, routing, at)
        silence = silence_of(alert, routing, at)
        found[key] = Routed(key, alert, to, str(silence) if silence else "")
    alone: dict[str, Routed] = {}
    groups: dict[str, tuple[Route, list[Routed]]] = {}
    for key, one in found.items():
        route = routes[key]
        if route is None or not route.group_by or not one.to:
            alone[key] = one
            continue
        identity = _group_identity(one.alert, route, routing)
        group = dedup_key(namespace, route.group_uid, one.alert.severity, identity)
        groups.setdefault(group, (route, []))[1].append(one)
    return alone | {key: _group(key, route, members, routing) for key, (route, members) in groups.items()}


def _group_identity(alert: Alert, route: Route, routing: Routing) -> tuple[tuple[str, str], ...]:
    labels = labels_of(alert, routing.namespace)
    return tuple((name, labels.get(name, "")) for name in route.group_names)


def _group(key: str, route: Route, members: list[Routed], routing: Routing) -> Routed:
    """One alert that stands for those members of which somebody is told: who fires and is not silenced.

    Firing if one fires, silenced if all that fire are; a member that starts to fire, or is silenced no longer, is new.
    """
    firing = [one for one in members if one.alert.state is AlertState.FIRING] or members
    spoken = [one for one in firing if not one.silence] or firing
    first = spoken[0].alert
    identity = _group_identity(first, route, routing)
    words = f"{len(spoken)} alerts: " if len(spoken) > 1 else ""
    summary = words + "; ".join(f"{one.alert.rule_name}: {one.alert.summary}" for one in spoken)
    alert = replace(
        first,
        rule_uid=route.group_uid,
        rule_name=first.rule_name if len(spoken) == 1 else "Group of " + ", ".join(value for _, value in identity),
        identity=identity,
        since=min(one.alert.since for one in spoken),
        summary=summary,
        evidence=tuple(line for one in spoken for line in (one.alert.rule_name, *one.alert.evidence)),
        frozen=next((one.alert.frozen for one in spoken if one.alert.frozen), None),
        members=tuple((one.alert.rule_uid, one.key) for one in spoken),
    )
    return Routed(key, alert, spoken[0].to, spoken[0].silence)


def ends_soon(silences: Iterable[Silence], at: datetime, within: timedelta) -> tuple[Silence, ...]:
    """Active silences that end within that time, the first to end first."""
    return tuple(sorted((s for s in silences if s.active(at) and s.ends - at <= within), key=lambda s: s.ends))
