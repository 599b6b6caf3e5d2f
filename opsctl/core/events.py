"""Events as PagerDuty's Events v2 takes them, without the routing key.

Pure. Must never hold a secret (the pager puts the routing key in when it sends), never exceed the documented sizes, and
never emit a number that is not JSON. Field names and limits: PagerDuty Events API v2, "Send an alert event".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from opsctl.core.alerts import Alert
from opsctl.core.commands import Acknowledge, Command, Note, Resolve, Trigger
from opsctl.core.signals import Labels
from opsctl.core.slo import Severity

SUMMARY_CHARACTERS = 1024
BODY_BYTES = 512 * 1024
NOTE_CHARACTERS = 2000
SEVERITIES = {Severity.PAGE: "critical", Severity.TICKET: "warning", Severity.SHOW: "info"}
"""Ours → PagerDuty's."""
_TEXT_CHARACTERS = 4096
DETAIL_LINES = 50
_ROOM_BYTES = 1024  # for the routing key and what the transport adds


def event_of(
    command: Command, namespace: str, links: Mapping[str, str] | None = None, opened: Mapping[str, Any] | None = None
) -> str:
    """The event's JSON; a trigger too large for PagerDuty is written in its minimal form.

    `opened` is the trigger of the same episode: what ends it carries its payload, for sinks that know an alert by its
    labels. PagerDuty itself is not sent it.
    """
    match command:
        case Trigger():
            event = _trigger(command, namespace, links or {})
            return encode(event) if _fits(event) else encode(minimal(event))
        case Resolve():
            return encode(_later("resolve", command.key, opened))
        case Acknowledge():
            return encode(_later("acknowledge", command.key, opened))
        case Note():
            return encode(
                {"event_action": "note", "dedup_key": command.key, "note": clip(command.text, NOTE_CHARACTERS)}
            )


def _later(action: str, key: str, opened: Mapping[str, Any] | None) -> dict[str, Any]:
    event: dict[str, Any] = {"event_action": action, "dedup_key": key}
    payload = opened.get("payload") if opened else None
    return event | ({"payload": payload} if isinstance(payload, Mapping) else {})


def minimal(event: Mapping[str, Any]) -> dict[str, Any]:
    """The same event with the required fields only, for a second try after a refusal."""
    small = {name: event[name] for name in ("event_action", "dedup_key") if name in event}
    payload = event.get("payload")
    if isinstance(payload, Mapping):
        small["payload"] = {name: payload[name] for name in ("summary", "source", "severity") if name in payload}
    return small


def encode(event: Mapping[str, Any]) -> str:
    """Compact JSON in ASCII, so that no text from outside can break the request."""
    return json.dumps(event, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _fits(event: Mapping[str, Any]) -> bool:
    return len(encode(event)) <= BODY_BYTES - _ROOM_BYTES


def _trigger(command: Trigger, namespace: str, links: Mapping[str, str]) -> dict[str, Any]:
    alert = command.alert
    event: dict[str, Any] = {
        "event_action": "trigger",
        "dedup_key": command.key,
        "client": "opsctl",
        "payload": {
            "summary": clip(_summary(alert), SUMMARY_CHARACTERS),
            "source": clip(alert.service.strip() or namespace.strip() or "opsctl", _TEXT_CHARACTERS),
            "severity": SEVERITIES[alert.severity],
            "timestamp": alert.since.isoformat(timespec="seconds"),
            "component": clip(alert.service, _TEXT_CHARACTERS),
            "group": clip(alert.team, _TEXT_CHARACTERS),
            "class": clip(alert.rule_name, _TEXT_CHARACTERS),
            "custom_details": _details(command, namespace),
        },
    }
    shown = [{"href": href, "text": clip(text, 256)} for text, href in links.items() if _is_web(href)]
    if alert.runbook and _is_web(alert.runbook):
        shown.insert(0, {"href": alert.runbook, "text": "runbook"})
    if shown:
        event["links"] = shown[:DETAIL_LINES]
    return event


def _summary(alert: Alert) -> str:
    return alert.summary.strip() or f"{alert.rule_name} on {alert.service or 'the platform'}"


def _details(command: Trigger, namespace: str) -> dict[str, Any]:
    alert = command.alert
    details: dict[str, Any] = {
        "rule": alert.rule_name,
        "rule_uid": alert.rule_uid,
        "namespace": namespace,
        "service": alert.service,
        "team": alert.team,
        "cause": alert.cause.value,
        "incident": f"#{command.episode}",
        "active_since": ("at least " if alert.since_at_least else "") + alert.since.isoformat(timespec="seconds"),
        "value": _number(alert.value),
        "alerts": [uid for uid, _ in alert.members[:DETAIL_LINES]],
        "evidence": [clip(line, _TEXT_CHARACTERS) for line in alert.evidence[:DETAIL_LINES]],
        "identity": _pairs(alert.identity),
        "labels": _pairs(alert.labels),
        "description": clip(alert.description, _TEXT_CHARACTERS),
        "frozen": alert.frozen,
        "runbook": _runbook(alert),
        "look": f"opsctl incident show '#{command.episode}'",
    }
    return {name: value for name, value in details.items() if value not in (None, "", [], {})}


def _runbook(alert: Alert) -> str | None:
    if not alert.runbook or _is_web(alert.runbook):
        return alert.runbook
    return f"opsctl runbook plan {clip(alert.runbook, 200)}"


def _is_web(text: str) -> bool:
    return text.startswith(("https://", "http://"))


def _number(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return str(value)


def _pairs(labels: Labels) -> dict[str, str]:
    return {clip(name, 256): clip(value, _TEXT_CHARACTERS) for name, value in labels[:200]}


def clip(text: str, characters: int) -> str:
    """At most so many characters, with an ellipsis where some were cut; lone surrogates are replaced."""
    safe = text.encode("utf-8", "replace").decode("utf-8")
    return safe if len(safe) <= characters else safe[: characters - 1] + "…"
