"""Looks around in a server: series, labels, exemplars, metadata, and the rules and alerts that it evaluates itself.

Old servers ignore filters and limits that they do not know, so both are applied here again. Must never take a list
that was cut for a whole one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from collectors.prometheus.answers import Got, failed, left, read, reading
from collectors.prometheus.values import check_count
from opsctl.core.exploring import (
    Exemplar,
    ExemplarSeries,
    Metadata,
    RuleHealth,
    RuleQuery,
    SeriesQuery,
    ServerAlert,
    ServerRule,
    ServerState,
)
from opsctl.core.signals import Labels, Reading, Reason, labels
from opsctl.http import Client, HttpProblem, one_line

T = TypeVar("T")
Pairs = list[tuple[str, str]]

_LEGACY_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_STATES: dict[str, ServerState] = {"inactive": "inactive", "pending": "pending", "firing": "firing"}
_HEALTH: dict[str, RuleHealth] = {"ok": "ok", "err": "err"}


class _Exemplar(msgspec.Struct):
    labels: dict[str, str]
    value: str
    timestamp: float


class _ExemplarSeries(msgspec.Struct):
    seriesLabels: dict[str, str]
    exemplars: list[_Exemplar]


class _Alert(msgspec.Struct):
    labels: dict[str, str]
    state: str
    annotations: dict[str, str] = {}
    value: str = "NaN"
    activeAt: str | None = None


class _Rule(msgspec.Struct):
    type: str
    name: str
    query: str
    health: str = "unknown"
    lastError: str = ""
    state: str = "unknown"
    duration: float = 0.0
    keepFiringFor: float = 0.0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    alerts: list[_Alert] | None = None
    lastEvaluation: str | None = None
    evaluationTime: float = 0.0


class _Group(msgspec.Struct):
    name: str
    file: str = ""
    interval: float = 0.0
    rules: list[_Rule] | None = None


class _Groups(msgspec.Struct):
    groups: list[_Group]


class _Alerts(msgspec.Struct):
    alerts: list[_Alert]


class _Metadata(msgspec.Struct):
    type: str = ""
    help: str = ""
    unit: str = ""


_decode_series = msgspec.json.Decoder(list[dict[str, str]]).decode
_decode_names = msgspec.json.Decoder(list[str]).decode
_decode_exemplars = msgspec.json.Decoder(list[_ExemplarSeries]).decode
_decode_rules = msgspec.json.Decoder(_Groups).decode
_decode_alerts = msgspec.json.Decoder(_Alerts).decode
_decode_metadata = msgspec.json.Decoder(dict[str, list[_Metadata]]).decode


class Explorer:
    """Asks by the connections of a source; `cap` is the most elements of an answer."""

    def __init__(self, client: Client, name: str, address: str, cap: int) -> None:
        self._client = client
        self._name = name
        self._address = address
        self._cap = cap

    def series(self, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[Labels, ...]]:
        """The label sets of series, sorted."""
        if not query.selectors:
            return failed(HttpProblem(Reason.REJECTED, "series are asked for by a selector"), self._name, _now())

        def decode(raw: msgspec.Raw) -> tuple[Labels, ...]:
            return self._sorted([labels(one) for one in _decode_series(raw)])

        return self._listed("POST", "/api/v1/series", query, timeout_seconds, decode)

    def label_names(self, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every label name that series have, sorted."""
        return self._listed("POST", "/api/v1/labels", query, timeout_seconds, self._names)

    def label_values(self, label: str, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every value of a label, sorted."""
        if not label:
            return failed(HttpProblem(Reason.REJECTED, "the label has no name"), self._name, _now())
        path = f"/api/v1/label/{_in_path(label)}/values"
        return self._listed("GET", path, query, timeout_seconds, self._names)

    def exemplars(
        self, expression: str, start: datetime, end: datetime, timeout_seconds: float
    ) -> Reading[tuple[ExemplarSeries, ...]]:
        """The exemplars in [start, end] of the series that an expression reads."""
        first, last = start.timestamp(), end.timestamp()
        form = [("query", expression), ("start", f"{first:.3f}"), ("end", f"{last:.3f}")]

        def decode(raw: msgspec.Raw) -> tuple[ExemplarSeries, ...]:
            found = _decode_exemplars(raw)
            check_count(sum(len(one.exemplars) for one in found), self._cap)
            made = (_exemplars(one, first, last) for one in found)
            return tuple(sorted((one for one in made if one.exemplars), key=lambda one: one.labels))

        return self._asked("POST", "/api/v1/query_exemplars", form, timeout_seconds, decode)

    def rules(self, query: RuleQuery, timeout_seconds: float) -> Reading[tuple[ServerRule, ...]]:
        """The rules that the server evaluates, in its order."""
        form: Pairs = [("rule_name[]", name) for name in query.names] + [
            ("rule_group[]", name) for name in query.groups
        ]
        if query.kind is not None:
            form.append(("type", "alert" if query.kind == "alerting" else "record"))

        def decode(raw: msgspec.Raw) -> tuple[ServerRule, ...]:
            groups = _decode_rules(raw).groups
            check_count(sum(len(group.rules or ()) for group in groups), self._cap)
            made = (_rule(group, rule) for group in groups for rule in group.rules or ())
            return tuple(rule for rule in made if query.takes(rule))

        return self._asked("GET", "/api/v1/rules", form, timeout_seconds, decode)

    def alerts(self, timeout_seconds: float) -> Reading[tuple[ServerAlert, ...]]:
        """What is pending or firing at the server."""

        def decode(raw: msgspec.Raw) -> tuple[ServerAlert, ...]:
            found = _decode_alerts(raw).alerts
            check_count(len(found), self._cap)
            return tuple(_alert(one) for one in found)

        return self._asked("GET", "/api/v1/alerts", [], timeout_seconds, decode)

    def metadata(self, metric: str | None, timeout_seconds: float) -> Reading[Mapping[str, tuple[Metadata, ...]]]:
        """Type, help and unit by metric family, sorted."""

        def decode(raw: msgspec.Raw) -> dict[str, tuple[Metadata, ...]]:
            found = _decode_metadata(raw)
            check_count(len(found), self._cap)
            return {
                name: tuple(Metadata(name, one.type, one.help, one.unit) for one in found[name])
                for name in sorted(found)
                if metric in (None, name)
            }

        form = [] if metric is None else [("metric", metric)]
        return self._asked("GET", "/api/v1/metadata", form, timeout_seconds, decode)

    def _listed(
        self,
        method: str,
        path: str,
        query: SeriesQuery,
        timeout_seconds: float,
        decode: Callable[[msgspec.Raw], tuple[T, ...]],
    ) -> Reading[tuple[T, ...]]:
        form = [("match[]", selector) for selector in query.selectors]
        form += [("start", f"{query.start.timestamp():.3f}"), ("end", f"{query.end.timestamp():.3f}")]
        if query.limit:
            form.append(("limit", str(query.limit)))
        return self._asked(method, path, form, timeout_seconds, decode, query.limit)

    def _asked(
        self,
        method: str,
        path: str,
        form: Pairs,
        timeout_seconds: float,
        decode: Callable[[msgspec.Raw], T],
        limit: int = 0,
    ) -> Reading[T]:
        begun = _now()
        try:
            got = self._ask(method, path, form, begun + timeout_seconds, decode)
        except HttpProblem as wrong:
            if wrong.status == 404 and wrong.reason is Reason.MALFORMED:
                message = f"answered 404: it has no {path}, or a path prefix is missing in the url"
                wrong = HttpProblem(Reason.UNSUPPORTED, message, status=404)
            return failed(wrong, self._name, begun)
        return reading(_cut(got, limit), not got.data, self._name, begun)

    def _ask(self, method: str, path: str, form: Pairs, deadline: float, decode: Callable[[msgspec.Raw], T]) -> Got[T]:
        text = urlencode(form)
        if method == "GET":
            target = f"{path}?{text}" if text else path
            answer = self._client.request("GET", target, timeout_seconds=left(deadline), packed=True)
        else:
            answer = self._client.request(
                "POST",
                path,
                body=text.encode(),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                timeout_seconds=left(deadline),
                idempotent=True,
                packed=True,
            )
        return read(answer, decode, self._address)

    def _names(self, raw: msgspec.Raw) -> tuple[str, ...]:
        return self._sorted(_decode_names(raw))

    def _sorted(self, found: Sequence[Any]) -> tuple[Any, ...]:
        check_count(len(found), self._cap)
        return tuple(sorted(set(found)))


def _now() -> float:
    return time.monotonic()


def _cut(got: Got[Any], limit: int) -> Got[Any]:
    """What a server that knows no limits sent, cut and said so."""
    if not limit or len(got.data) <= limit:
        return got
    warnings = got.warnings or (f"there are more than {limit}; the rest is left out",)
    return Got(got.data[:limit], warnings, got.notes)


def _in_path(label: str) -> str:
    """A label name in a path: one that is no plain word as the server unescapes it (`U__service_2e_name`)."""
    if _LEGACY_NAME.fullmatch(label) and not label.startswith("U__"):
        return label
    escaped = "".join(_escaped(ch) for ch in label)
    return quote(f"U__{escaped}", safe="")


def _escaped(ch: str) -> str:
    if ch == "_":
        return "__"
    return ch if ch.isascii() and ch.isalnum() else f"_{ord(ch):x}_"


def _exemplars(found: _ExemplarSeries, first: float, last: float) -> ExemplarSeries:
    made = (Exemplar(labels(one.labels), float(one.value), one.timestamp) for one in found.exemplars)
    inside = sorted((one for one in made if first <= one.at <= last), key=lambda one: one.at)
    return ExemplarSeries(labels(found.seriesLabels), tuple(inside))


def _rule(group: _Group, rule: _Rule) -> ServerRule:
    if rule.type not in {"alerting", "recording"}:
        raise ValueError(f"a rule of the unknown type {one_line(rule.type, 40)!r}")
    return ServerRule(
        kind="alerting" if rule.type == "alerting" else "recording",
        name=rule.name,
        expr=rule.query,
        group=group.name,
        file=group.file,
        health=_HEALTH.get(rule.health, "unknown"),
        error=one_line(rule.lastError),
        state=_STATES.get(rule.state, "unknown") if rule.type == "alerting" else None,
        for_seconds=rule.duration,
        keep_firing_seconds=rule.keepFiringFor,
        interval_seconds=group.interval,
        labels=rule.labels,
        annotations=rule.annotations,
        alerts=tuple(_alert(one) for one in rule.alerts or ()),
        evaluated=_time(rule.lastEvaluation),
        took_seconds=rule.evaluationTime,
    )


def _alert(alert: _Alert) -> ServerAlert:
    name = alert.labels.get("alertname", "")
    state = _STATES.get(alert.state, "unknown")
    return ServerAlert(name, state, alert.labels, alert.annotations, float(alert.value), _time(alert.activeAt))


def _time(text: str | None) -> datetime | None:
    """RFC 3339 with nanoseconds; Go's zero time is none."""
    if not text or text.startswith("0001-"):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError as far:
        raise ValueError(f"the time {one_line(text, 40)!r} is too far away") from far
