"""The journal's alerts as people and programs read them: state, where each goes, why nobody is told, who silences it.

Must never judge: an alert is what the last run wrote; routes and silences are asked as of now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from opsctl.core.alert_rows import AlertRow as AlertRow
from opsctl.core.alert_rows import alert_of as alert_of
from opsctl.core.alert_rows import alert_rows as alert_rows
from opsctl.core.alert_rows import effect as effect
from opsctl.core.alert_rows import inactive_row as inactive_row
from opsctl.core.alert_rows import matching as matching
from opsctl.core.alert_rows import to_words as to_words
from opsctl.core.route_choice import Choice
from opsctl.core.routing import Routing, Silence

GLYPHS = {"firing": "✖ firing", "pending": "! pending", "held": "~ held", "inactive": "✔ inactive"}


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
