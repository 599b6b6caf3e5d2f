"""The journal's alerts as people and programs read them: state, where each goes, why nobody is told, who silences it.

Must never judge: an alert is what the last run wrote; routes and silences are asked as of now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from opsctl.core.alerts import Alert, AlertState, Cause
from opsctl.core.commands import JournalAlert
from opsctl.core.frozen import dataclass
from opsctl.core.keys import key_of
from opsctl.core.route_choice import Choice, choose
from opsctl.core.routing import Matcher, Routing, Silence, labels_of, target
from opsctl.core.rules import Rule
from opsctl.core.slo import Slo

GLYPHS = {"firing": "✖ firing", "pending": "! pending", "held": "~ held", "inactive": "✔ inactive"}
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


def because(row: AlertRow) -> str:
    """Which route says where, and where it is written."""
    if row.choice.route is None:
        return "no route takes it" + (": the default" if row.choice.to else ": only pages have a default")
    return f"the route at {row.choice.route.origin}"


def row_body(row: AlertRow) -> dict[str, Any]:
    """One alert for programs."""
    alert = row.alert
    return {
        "key": row.key,
        "state": row.state,
        "rule": alert.rule_name,
        "rule_uid": alert.rule_uid,
        "service": alert.service,
        "team": alert.team,
        "severity": alert.severity.value,
        "cause": alert.cause.value,
        "since": alert.since if row.state != "inactive" else None,
        "summary": alert.summary,
        "to": row.to or None,
        "told": row.told,
        "withheld": row.why_withheld or None,
        "silences": [one.id for one in row.silences],
        "incident": row.incident or None,
        "members": [{"rule_uid": uid, "key": key} for uid, key in alert.members],
    }


def choice_body(choice: Choice, routing: Routing) -> dict[str, Any]:
    """Where labels go and why, for programs: one entry a route that was asked, the last one takes them."""
    asked = [
        {
            "origin": passed.route.origin,
            "sink": passed.route.sink,
            "takes": False,
            "missed": [str(one) for one in passed.missed],
            "outside_hours": str(passed.route.hours) if passed.outside else None,
        }
        for passed in choice.passed
    ]
    if choice.route is not None:
        one = choice.route
        asked.append({"origin": one.origin, "sink": one.sink, "takes": True, "missed": [], "outside_hours": None})
    group = list(choice.route.group_by) if choice.route else []
    return {"to": choice.to or None, "default": routing.default, "group_by": group, "routes": asked}


def choice_rows(choice: Choice, labels: Mapping[str, str], routing: Routing) -> list[list[str]]:
    """Every route in its order: what it is, where it leads, and what became of it."""
    rows = [[_place(one.route.origin), one.route.sink, f"passed over: {one.words(labels)}"] for one in choice.passed]
    if choice.route is not None:
        one = choice.route
        words = "takes it" + (f"; grouped by {', '.join(one.group_by)}" if one.group_by else "")
        rows.append([_place(one.origin), to_words(choice.to), words])
        rest = routing.routes[len(choice.passed) + 1 :]
        return [*rows, *([_place(after.origin), after.sink, "not asked"] for after in rest)]
    words = "takes it: no route does" if choice.to else "takes pages only"
    return [*rows, ["default", to_words(choice.to) if choice.to else routing.default, words]]


def _place(origin: str) -> str:
    """The file's name and line: the folder is the configuration's."""
    return origin.rpartition("/")[2] or "-"


def silence_state(silence: Silence, at: datetime) -> str:
    """`holds`, `to come`, `over`, or `waits` for the next of its hours."""
    if at >= silence.ends:
        return "over"
    if at < silence.starts:
        return "to come"
    return "holds" if silence.active(at) else "waits"


def silence_body(silence: Silence, rows: Sequence[AlertRow], at: datetime) -> dict[str, Any]:
    """One silence for programs, with the alerts that fulfil its matchers now."""
    return {
        "id": silence.id,
        "state": silence_state(silence, at),
        "owner": silence.owner,
        "reason": silence.reason,
        "matchers": [str(one) for one in silence.matchers],
        "starts": silence.starts,
        "ends": silence.ends,
        "hours": str(silence.hours) if silence.hours else None,
        "origin": silence.origin,
        "alerts": [row.key for row in matching(rows, silence.matchers)],
    }


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
