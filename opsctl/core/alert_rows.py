"""Alerts of the journal beside what decides who is told: where each goes, who silences it, what a silence would do.

Pure. Must never judge: an alert is what the last run wrote; routes and silences are asked as of now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from opsctl.core.alerts import Alert, AlertState, Cause
from opsctl.core.commands import JournalAlert
from opsctl.core.frozen import dataclass
from opsctl.core.keys import key_of
from opsctl.core.route_choice import Choice, choose
from opsctl.core.routing import Matcher, Routing, Silence, labels_of, target
from opsctl.core.rules import Rule
from opsctl.core.slo import Slo

_RANK = {"firing": 0, "held": 1, "pending": 2, "inactive": 3}


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert (or a group of them) with everything that decides who is told.

    `to` is where its incident went, else where it would go now; `withheld` is what the last run wrote, `silences` those
    that hold now.
    """

    key: str
    alert: Alert
    state: str  # firing, pending, held (under the line, its incident kept open), inactive
    labels: Mapping[str, str]
    to: str
    told: bool
    withheld: str
    incident: str
    choice: Choice
    silences: tuple[Silence, ...]
    closed: datetime | None = None

    @property
    def silenced(self) -> bool:
        """Whether a silence holds for it now, or did in the last run."""
        return bool(self.silences) or self.withheld.startswith("silenced by ")

    @property
    def why_withheld(self) -> str:
        """Why nobody is told, in one line; "" where somebody is."""
        if self.withheld:
            return self.withheld
        return f"{self.silences[0]} (from the next run on)" if self.silences else ""


def alert_rows(alerts: Mapping[str, JournalAlert], routing: Routing, at: datetime) -> list[AlertRow]:
    """Every alert that the journal has, firing ones first, then the oldest first."""
    rows = [_row(one, routing, at) for one in alerts.values()]
    return sorted(rows, key=lambda row: (_RANK[row.state], row.alert.since, row.alert.rule_name, row.key))


def _row(one: JournalAlert, routing: Routing, at: datetime) -> AlertRow:
    held = one.under_since is not None or one.alert.state is AlertState.INACTIVE
    return _made(
        one.alert,
        routing,
        at,
        state="held" if held else one.alert.state.value,
        key=one.key,
        route=one.route if one.triggers else "",
        withheld=one.withheld,
        incident=f"#{one.episode}" if one.episode is not None else "",
        closed=one.closed if one.episode is None else None,
    )


def _made(
    alert: Alert,
    routing: Routing,
    at: datetime,
    *,
    state: str,
    key: str,
    route: str = "",
    withheld: str = "",
    incident: str = "",
    closed: datetime | None = None,
) -> AlertRow:
    labels = _labels(alert, routing.namespace)
    choice = choose(labels, routing, at)
    of_group = _group_goes(alert, routing, at) if alert.members else ""
    silences = tuple(
        sorted((s for s in routing.silences if s.silences(labels, at)), key=lambda s: s.ends, reverse=True)
    )
    return AlertRow(
        key=key,
        alert=alert,
        state=state,
        labels=labels,
        to=route or of_group or choice.to,
        told=bool(route),
        withheld=withheld,
        incident=incident,
        choice=choice,
        silences=silences,
        closed=closed,
    )


def _labels(alert: Alert, namespace: str) -> dict[str, str]:
    """What matchers see; of a group of several only what all of its alerts have for certain."""
    labels = labels_of(alert, namespace)
    if len(alert.members) < 2:
        return labels
    return {name: labels[name] for name in (*dict(alert.identity), "alertname", "rule_uid", "severity", "namespace")}


def inactive_row(rule: Rule, routing: Routing, at: datetime) -> AlertRow:
    """A rule that the journal has no alert of, as it would be told of with what its file says."""
    alert = alert_of(rule, at)
    return _made(alert, routing, at, state="inactive", key=key_of(routing.namespace, alert))


def alert_of(rule: Rule, at: datetime) -> Alert:
    """What an alert of the rule has for certain: labels that only an element knows are missing."""
    slo = isinstance(rule, Slo)
    static = {} if isinstance(rule, Slo) else {k: v for k, v in rule.labels.items() if "{{" not in v}
    return Alert(
        rule_uid=rule.uid,
        rule_name=rule.alert_name if isinstance(rule, Slo) else rule.name,
        service=rule.service,
        team=rule.team,
        severity=rule.severity,
        identity=rule.identity if isinstance(rule, Slo) else (),
        labels=tuple(sorted(static.items())),
        state=AlertState.INACTIVE,
        cause=Cause.BURN if slo else Cause.RULE,
        since=at,
        summary="",
        runbook=rule.runbook,
    )


def matching(rows: Iterable[AlertRow], matchers: Sequence[Matcher]) -> list[AlertRow]:
    """Those that fulfil every matcher."""
    return [row for row in rows if all(one.holds(row.labels) for one in matchers)]


def to_words(to: str) -> str:
    """`pagerduty/money` as it is, without the slash of a sink that has no key; `nowhere`."""
    return to.rstrip("/") or "nowhere"


def effect(row: AlertRow) -> str:
    """What a silence that begins does to an alert, in words."""
    name = f"{row.alert.rule_name} on {row.alert.service}" if row.alert.service else row.alert.rule_name
    if len(row.alert.members) > 1:
        name += f" (stands for {len(row.alert.members)} alerts: silent when each of them is)"
    if row.told:
        return f"{row.incident} {name}: {to_words(row.to)} was told; it is not repeated, and resolved when it is over"
    return f"{name}: {row.state}; {to_words(row.to)} is not told"


def _group_goes(alert: Alert, routing: Routing, at: datetime) -> str:
    """Where the route that makes this group sends it now."""
    hold = (one for one in routing.routes if one.group_by and (one.hours is None or one.hours.holds(at)))
    return next((target(one.sink, one.key or alert.team) for one in hold if one.group_uid == alert.rule_uid), "")
