"""From plans to log lines in ECS: one line for each request that a service answers, at its end.

Must never hold a card number, a password or a token: players are pseudonymous, addresses are of documentation ranges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from opsctl.core.logs import FieldValue, LogRecord
from opsctl.demo.faults import REGIONS
from opsctl.demo.telemetry.draw import hexes, span_words
from opsctl.demo.telemetry.people import COUNTRIES, NETWORK_NUMBERS
from opsctl.demo.telemetry.plan import CALLEE, FINE, SHED, Plan, Row
from opsctl.demo.telemetry.rates import LOGIN_METHODS, LOGIN_REASONS
from opsctl.demo.telemetry.shapes import Step
from opsctl.demo.telemetry.spans import ERRORS, idempotency_keys, micros, status_of

ECS_VERSION = "8.11.0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_READS = frozenset({"leaderboard-read", "feed-read", "wallet-balance", "http-request", "card-detokenize", "match-sync"})
_REFUSED_BY = {"chat-message": "chat-message-blocked", "ticket-match": "ticket-expire"}
_SAID = {
    "bad_password": "wrong password",
    "locked": "account is locked",
    "expired_code": "promotion code has expired",
    "already_used": "promotion code was used before",
    "unknown_code": "promotion code is unknown",
    "declined": "declined by the payment provider",
    "blocked": "message blocked by the filter",
    "rejected": "rejected",
    "review": "sent to review",
    "ring": "accounts share a device",
}


def records(plan: Plan) -> list[LogRecord]:
    """The plan's lines, operation by operation."""
    ids = [high + low for high, low in zip(hexes(plan.high), hexes(plan.low), strict=True)]
    found: list[LogRecord] = []
    for number, row in enumerate(plan.rows):
        if row.step.action and row.present.any():
            found += _lines(plan, row, ids, hexes(span_words(plan.low, number)))
    return found


def dataset_of(service: str) -> str:
    """Elasticsearch's name for a service's lines: a dataset has no hyphen."""
    return service.replace("-", "_")


def _lines(plan: Plan, row: Row, ids: Sequence[str], names: Sequence[str]) -> list[LogRecord]:
    step, people = row.step, plan.people
    start, duration = micros(plan, row)
    ends, took, whys = (start + duration).tolist(), duration.tolist(), row.why.tolist()
    networks, regions = people.network.tolist(), plan.region.tolist()
    reasons = _reasons(plan, step)
    keys = idempotency_keys(plan) if step.keyed else None
    methods = [LOGIN_METHODS[row] for row in plan.login.tolist()] if step.action == "user-login" else None
    found = []
    for at in row.present.nonzero()[0].tolist():
        why, reason, network = whys[at], reasons[at], networks[at]
        level, same = _same(step, why, reason, regions[at])
        fields: dict[str, FieldValue] = {
            **same,
            "event.duration": took[at] * 1000,
            "user.id": people.user[at],
            "source.ip": people.address[at],
            "source.geo.country_iso_code": COUNTRIES[network],
            "source.as.number": NETWORK_NUMBERS[network],
            "device.id": people.device[at],
        }
        if keys is not None:
            fields["gaming.idempotency_key"] = keys[at]
        if methods is not None:
            fields["gaming.auth.method"] = methods[at]
        text = f"{_text(step, why, reason)} for {people.user[at]} in {took[at] / 1000:.0f} ms"
        when = _EPOCH + timedelta(microseconds=ends[at])
        found.append(LogRecord(when, text, level, step.service, ids[at], names[at], fields, names[at]))
    return found


def _reasons(plan: Plan, step: Step) -> list[str]:
    """Why the business turned each request down; empty where it did not, or where it is not this operation's matter."""
    shape = plan.asked.shape
    if step.action == "ticket-match":
        return ["expired" if expired else "" for expired in plan.expired.tolist()]
    if step.action == "user-login":
        return ["" if LOGIN_REASONS[row] == "ok" else LOGIN_REASONS[row] for row in plan.login.tolist()]
    inner = shape.root if shape.root.service != "gateway" else (shape.root.steps or (shape.root,))[0]
    deciding = inner.steps[0] if inner.timing == "proxy" else inner
    if step is not deciding or not shape.verdicts:
        return [""] * plan.count
    names = [name for name, _ in shape.verdicts]
    return ["" if verdict < 0 else names[verdict] for verdict in plan.verdict.tolist()]


def _text(step: Step, why: int, reason: str) -> str:
    what = step.saying if step.action == "http-request" else step.action.replace("-", " ")
    if why == SHED:
        return f"{what} turned away: too many requests"
    if why != FINE:
        return f"{what} failed: {ERRORS[why][1]}"
    if reason == "expired":
        return "ticket expired: nobody took it in time"
    return f"{what} refused: {_SAID[reason]}" if reason else step.saying


_SAME: dict[tuple[int, int, str, int], tuple[str, Mapping[str, FieldValue]]] = {}


def _same(step: Step, why: int, reason: str, region: int) -> tuple[str, Mapping[str, FieldValue]]:
    """Severity and the fields that all lines of an operation with that outcome have."""
    key = (id(step), why, reason, region)  # steps are part of a constant
    if key not in _SAME:
        _SAME[key] = (_severity(why, reason), _fields(step, why, reason, REGIONS[region]))
    return _SAME[key]


def _severity(why: int, reason: str) -> str:
    if why not in (FINE, SHED):
        return "ERROR"
    return "WARN" if why == SHED or reason == "locked" else "INFO"


def _fields(step: Step, why: int, reason: str, region: str) -> Mapping[str, FieldValue]:
    good = why == FINE and not reason
    action = "rate-limit-hit" if why == SHED else _REFUSED_BY.get(step.action, step.action) if reason else step.action
    fields: dict[str, FieldValue] = {
        "ecs.version": ECS_VERSION,
        "event.kind": "event",
        "event.dataset": dataset_of(step.service),
        "event.action": action,
        "event.outcome": "success" if good else "failure",
        "event.category": ["authentication" if action == "user-login" else "api"],
        "event.type": [_type(step, why, reason)],
        "cloud.region": region,
        "gaming.region": region,
    }
    if reason:
        fields["event.reason"] = reason
    if status := status_of(step, why):
        fields["http.response.status_code"] = status
        fields["url.path"] = str(step.attributes["http.route"])
    if why not in (FINE, SHED):
        fields["error.type"], fields["error.message"] = ERRORS[why][:2]
        if why == CALLEE:
            fields["event.reason"] = "dependency"
    return fields


def _type(step: Step, why: int, reason: str) -> str:
    if why not in (FINE, SHED):
        return "error"
    if step.action == "user-login":
        return "start"
    if reason or why == SHED:
        return "denied"
    return "access" if step.action in _READS else "change"
