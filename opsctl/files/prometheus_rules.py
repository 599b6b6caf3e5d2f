"""Prometheus rule files, read as strictly as Prometheus reads them: a file that promtool accepts is accepted.

What opsctl adds stands in annotations (`opsctl_rule_uid`, …) and is checked as strictly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

from opsctl.core.catalogue import Catalogue
from opsctl.core.frozen import dataclass
from opsctl.core.rules import AlertingRule, RecordingRule
from opsctl.core.slo import Severity
from opsctl.core.windows import MINUTE
from opsctl.files.nodes import Node, Problems, Table
from opsctl.promql import PromqlError, UnsupportedError, parse

GROUP_KEYS = ("name", "interval", "query_offset", "limit", "labels", "rules")
RULE_KEYS = ("record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")
ANNOTATIONS = ("opsctl_rule_uid", "opsctl_formerly", "opsctl_runbook", "opsctl_identity_labels")
_SEVERITIES = {
    "page": Severity.PAGE,
    "critical": Severity.PAGE,
    "ticket": Severity.TICKET,
    "warning": Severity.TICKET,
}
_ZERO = timedelta(0)


@dataclass(frozen=True, slots=True)
class Group:
    """What the rules of a group share."""

    name: str
    interval: timedelta
    query_offset: timedelta
    limit: int
    labels: Mapping[str, str]


@dataclass(slots=True)
class PrometheusRules:
    """The rules of all files, in their order."""

    alerting: list[AlertingRule]
    recording: list[RecordingRule]
    notes: list[str]


def read_rule_files(roots: Iterable[Node], catalogue: Catalogue, problems: Problems) -> PrometheusRules:
    """Read every file; what is wrong is noted."""
    out = PrometheusRules([], [], [])
    for root in roots:
        top = Table(root, problems, ("groups",), "the rule file")
        names: dict[str, Node] = {}
        for node in _written(top, "groups"):
            table = Table(node, problems, GROUP_KEYS, node.where)
            group = _group(table, names)
            for rule in _written(table, "rules"):
                _rule(Table(rule, problems, RULE_KEYS, rule.where), group, catalogue, out)
    return out


def _written(table: Table, key: str) -> list[Node]:
    """A list's items; Prometheus skips empty ones."""
    return [node for node in table.nodes(key) if node.value is not None]


def _group(table: Table, names: dict[str, Node]) -> Group:
    name = table.text("name", required=True, loose=True)
    if not name and "name" in table:
        table.problems.add(table.node, f"{table.what}: a group's name must not be empty")
    if name in names:
        table.problems.add(table.node, f"group {name} stands twice in this file, first in line {names[name].line}")
    names.setdefault(name, table.node)
    return Group(
        name=name,
        interval=table.duration("interval", _ZERO, loose=True) or MINUTE,
        query_offset=table.duration("query_offset", _ZERO, loose=True),
        limit=table.integer("limit", 0, least=-(2**31), loose=True),
        labels=_labels(table),
    )


def _labels(table: Table, key: str = "labels") -> dict[str, str]:
    labels = table.text_map(key, loose=True)
    node = table.node_of(key)
    for name in labels:
        if not name or (key == "labels" and name == "__name__"):
            at = (node.get(name) if node else None) or table.node
            table.problems.add(at, f"{table.what}.{key}: {name or 'an empty text'} is not a label's name here")
    return labels


def _rule(table: Table, group: Group, catalogue: Catalogue, out: PrometheusRules) -> None:
    record, alert = table.text("record", loose=True), table.text("alert", loose=True)
    if bool(record) == bool(alert):
        table.problems.add(
            table.node, f"{table.what}: expected one of alert, record" + (", got both" if record else "")
        )
        return
    expr = _expression(table)
    if record:
        _record(table, group, record, expr, out)
    else:
        out.alerting.append(_alert(table, group, alert, expr, catalogue, out.notes))


def _expression(table: Table) -> str:
    expr = table.text("expr", required=True, loose=True).strip()
    node = table.node_of("expr")
    if node is None:
        return ""
    if not expr:
        table.problems.add(node, f"{node.where}: expected a PromQL expression, it is empty")
        return ""
    try:
        parse(expr)
    except UnsupportedError:
        pass  # a server may know it; asking says so
    except PromqlError as wrong:
        table.problems.add(node, f"{node.where}: {wrong}")
    return expr


def _record(table: Table, group: Group, record: str, expr: str, out: PrometheusRules) -> None:
    for key in ("annotations", "for", "keep_firing_for"):
        node = table.node_of(key)
        empty = node is not None and (node.value in ({}, "") or (key != "annotations" and node.text in {"0", "0s"}))
        if node is not None and not empty:
            table.problems.add(node, f"{node.where}: a recording rule has no {key}")
    if "{" in record or "}" in record:
        at = table.node_of("record") or table.node
        table.problems.add(at, f"{table.what}.record: braces in a metric's name: they belong into expr")
    labels = MappingProxyType({**group.labels, **_labels(table)})
    out.recording.append(RecordingRule(record, expr, labels, group.name, group.interval, table.node.origin))


def _alert(table: Table, group: Group, name: str, expr: str, catalogue: Catalogue, notes: list[str]) -> AlertingRule:
    labels = {**group.labels, **_labels(table)}
    annotations = _labels(table, "annotations")
    node = table.node_of("annotations")
    for key in annotations:
        if key.startswith("opsctl_") and key not in ANNOTATIONS:
            table.problems.unknown((node and node.get(key)) or table.node, "annotation", key, ANNOTATIONS)
    service = _static(labels.get("service", ""))
    known = catalogue.get(service)
    if service and known is None:
        notes.append(f"{table.node.origin}: alert {name} names service {service}, which the catalogue does not have")
    identity = annotations.get("opsctl_identity_labels")
    return AlertingRule(
        name=name,
        uid=annotations.get("opsctl_rule_uid", "").strip() or name,
        expr=expr,
        for_=table.duration("for", _ZERO, loose=True),
        keep_firing_for=table.duration("keep_firing_for", _ZERO, loose=True),
        labels=MappingProxyType(labels),
        annotations=MappingProxyType(annotations),
        group=group.name,
        interval=group.interval,
        limit=group.limit,
        query_offset=group.query_offset,
        severity=_SEVERITIES.get(labels.get("severity", "").lower(), Severity.SHOW),
        origin=table.node.origin,
        service=service,
        team=_static(labels.get("team", "")) or (known.team if known else ""),
        formerly=_words(annotations.get("opsctl_formerly", "")),
        identity_labels=None if identity is None else _words(identity),
        runbook=annotations.get("opsctl_runbook", "").strip() or None,
    )


def _static(label: str) -> str:
    """A label's value, unless it is a template whose value only an alert knows."""
    return "" if "{{" in label else label


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def tell_apart(rules: PrometheusRules) -> list[AlertingRule]:
    """Give alerts that share their name and say no uid one each: Prometheus allows them, a dedup key does not.

    The first keeps the plain name, so that a later one does not move its incident; the others get their severity, then
    a number.
    """
    taken = {rule.uid for rule in rules.alerting if rule.annotations.get("opsctl_rule_uid")}
    out = []
    for rule in rules.alerting:
        if rule.annotations.get("opsctl_rule_uid"):
            out.append(rule)
            continue
        uid = next(name for name in _names(rule) if name not in taken)
        taken.add(uid)
        if uid != rule.uid:
            rules.notes.append(f"{rule.origin}: another alert is called {rule.name}: this one's uid is {uid}")
        out.append(replace(rule, uid=uid))
    return out


def _names(rule: AlertingRule) -> Iterable[str]:
    yield rule.uid
    severity = rule.labels.get("severity", "")
    if severity and "{{" not in severity:
        yield f"{rule.uid}/{severity}"
    number = 2
    while True:
        yield f"{rule.uid}/{number}"
        number += 1
