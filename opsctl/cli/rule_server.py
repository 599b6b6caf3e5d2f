"""`opsctl rule ls --server`: the rules and alerts that the server evaluates itself, in its own words.

They are shown, never judged: what the context's rules say is `opsctl check`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from opsctl.cli.frame import Frame, write_json
from opsctl.cli.metric import finish, number, number_text, series_name, status
from opsctl.cli.metric_names import explorer
from opsctl.core.exploring import RuleQuery, ServerAlert, ServerRule
from opsctl.core.rules import State
from opsctl.core.signals import Absent, Failed, Measured, labels
from opsctl.errors import UsageError
from opsctl.render.table import Column, write_rows
from opsctl.render.text import clean
from opsctl.views.words import GLYPHS, ago

_LOUD = ("firing", "pending", "unknown", "inactive")
_STATES = {
    "firing": (State.FAIL, "FIRING"),
    "pending": (State.WARN, "PENDING"),
    "unknown": (State.UNKNOWN, "UNKNOWN"),
    "inactive": (State.OK, "INACTIVE"),
}
_HIDDEN = {"alertname", "severity"}  # of an alert's labels: they have columns


def print_server_rules(run: Frame, services: Sequence[str], form: str) -> None:
    """Ask the context's Prometheus and print; `services` keeps those whose label `service` fits one of them."""
    seconds = run.composition.context.limits.request.total_seconds()
    reading = explorer(run).rules(RuleQuery(), seconds)
    rules: Sequence[ServerRule] = ()
    match reading:
        case Measured():
            rules = reading.data
        case Failed() if reading.partial is not None:
            run.warn(clean(f"partial: {reading.message}"))
            rules = reading.partial
        case Absent():
            run.say("nothing: this server evaluates no rules")
    wanted = [part for word in services for part in (sys.stdin.read().split() if word == "-" else [word])]
    kept = [rule for rule in rules if not services or _is_of(rule, wanted)]
    if rules and not kept:
        raise UsageError(f"no rule of the server has the service {' or '.join(wanted) or '(stdin named none)'}")
    if form == "json":
        body = {"backend": reading.backend, **status(reading)}
        write_json("rule/server/v1", {**body, "rules": [_body(rule) for rule in kept]})
    elif isinstance(reading, Measured) or kept:
        _print(run, kept, form)
    finish(reading)


def _is_of(rule: ServerRule, wanted: Sequence[str]) -> bool:
    """Whether the label `service` of a rule, or of one of its alerts, is one of these names or globs."""
    has = {each.get("service", "") for each in (rule.labels, *(alert.labels for alert in rule.alerts))}
    return any(fnmatchcase(name, word) for name in has for word in wanted)


def _body(rule: ServerRule) -> dict[str, Any]:
    return {
        "rule": rule.name,
        "kind": rule.kind,
        "expression": rule.expr,
        "group": rule.group,
        "file": rule.file,
        "health": rule.health,
        "error": clean(rule.error) or None,
        "state": rule.state,
        "for_seconds": rule.for_seconds,
        "keep_firing_seconds": rule.keep_firing_seconds,
        "interval_seconds": rule.interval_seconds,
        "evaluated_at": rule.evaluated,
        "labels": dict(rule.labels),
        "annotations": dict(rule.annotations),
        "alerts": [_alert_body(alert) for alert in rule.alerts],
    }


def _alert_body(alert: ServerAlert) -> dict[str, Any]:
    return {
        "state": alert.state,
        "since": alert.since,
        "value": number(alert.value),
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
    }


def _print(run: Frame, rules: Sequence[ServerRule], form: str) -> None:
    """One row for each alert, or for the rule that has none, loudest first."""
    now = run.composition.clock.now()
    rows = sorted(
        ((rule, alert) for rule in rules for alert in rule.alerts or (None,)),
        key=lambda row: (_rank(*row), row[0].group, row[0].name),
    )
    names = ("state", "rule", "kind", "severity", "since", "value", "group", "says")
    columns = [Column(name, right=name == "value", wrap=name == "says") for name in names]
    cells = [_cells(rule, alert, now, form) for rule, alert in rows]
    write_rows(sys.stdout, columns, cells, table=form == "table", color=run.colored(sys.stdout))


def _rank(rule: ServerRule, alert: ServerAlert | None) -> int:
    """Loudest first; what is only recorded comes last."""
    if alert is None and rule.health == "err":
        return _LOUD.index("unknown")
    state = alert.state if alert else rule.state
    return _LOUD.index(state) if state else len(_LOUD)


def _cells(rule: ServerRule, alert: ServerAlert | None, now: datetime, form: str) -> list[str]:
    severity = {**rule.labels, **(alert.labels if alert else {})}.get("severity", "")
    since = alert.since if alert else None
    when = "" if since is None else since.isoformat() if form == "plain" else ago(now - since)
    value = number_text(alert.value, 6) if alert else ""
    return [_state(rule, alert), rule.name, rule.kind, severity, when, value, rule.group, _says(rule, alert)]


def _state(rule: ServerRule, alert: ServerAlert | None) -> str:
    if alert is None and rule.health == "err":
        return f"{GLYPHS[State.UNKNOWN]} ERROR"
    if alert is None and rule.state is None:
        word, state = ("OK", State.OK) if rule.health == "ok" else ("UNKNOWN", State.UNKNOWN)
        return f"{GLYPHS[state]} {word}"
    state, word = _STATES[alert.state if alert else rule.state or "unknown"]
    return f"{GLYPHS[state]} {word}"


def _says(rule: ServerRule, alert: ServerAlert | None) -> str:
    """What failed, or what the alert is about."""
    if rule.health == "err":
        return rule.error
    if alert is None:
        return ""
    summary = alert.annotations.get("summary") or alert.annotations.get("description")
    return summary or series_name(labels({k: v for k, v in alert.labels.items() if k not in _HIDDEN}))
