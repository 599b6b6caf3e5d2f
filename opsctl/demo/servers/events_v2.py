"""The documented rules of PagerDuty's Events API v2: what an event must look like, and what a bad one is told.

Pure. Must never be more forgiving than the documentation: a client that passes here passes there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

BODY_BYTES = 512 * 1024
EVENTS_PER_MINUTE = 120
_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("critical", "warning", "error", "info")
_KEY_CHARACTERS = 32
_DEDUP_CHARACTERS = 255
_SUMMARY_CHARACTERS = 1024
_UNRECOGNIZED = "Event object format is unrecognized"


def errors_of(event: Any) -> list[str]:
    """Everything that is wrong with a decoded event, in the words of the API; unknown fields are tolerated."""
    if not isinstance(event, dict):
        return [_UNRECOGNIZED]
    found = list(_routing_key(event.get("routing_key")))
    action = event.get("event_action")
    if not isinstance(action, str) or not action:
        found.append("'event_action' is missing or blank")
    elif action not in _ACTIONS:
        found.append("'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')")
    found.extend(_dedup_key(event.get("dedup_key"), required=action in ("acknowledge", "resolve")))
    if action == "trigger":
        found.extend(_payload(event.get("payload")))
    found.extend(_list_of(event, "links", "href"))
    found.extend(_images(event))
    found.extend(
        f"'{name}' must be a string" for name in ("client", "client_url") if not _text_or_none(event.get(name))
    )
    return found


def errors_of_change(event: Any) -> list[str]:
    """Everything that is wrong with a decoded change event: it has neither action nor key nor severity."""
    if not isinstance(event, dict):
        return [_UNRECOGNIZED]
    found = list(_routing_key(event.get("routing_key")))
    payload = event.get("payload")
    if not isinstance(payload, dict):
        return [*found, "'payload' is missing or blank"]
    found.extend(_summary(payload))
    found.extend(_optional(payload, ("source",)))
    found.extend(_list_of(event, "links", "href"))
    found.extend(_images(event))
    return found


def _routing_key(key: Any) -> Iterator[str]:
    if not isinstance(key, str) or not key:
        yield "'routing_key' is missing or blank"
        return
    if len(key) != _KEY_CHARACTERS:
        yield "Length of 'routing_key' is incorrect (should be 32 characters)"
    if not (key.isascii() and key.isalnum()):
        yield "'routing_key' cannot contain non-alphanumeric characters."


def _dedup_key(key: Any, *, required: bool) -> Iterator[str]:
    if key is None and not required:
        return
    if not isinstance(key, str) or not key:
        yield "'dedup_key' is missing or blank"
    elif len(key) > _DEDUP_CHARACTERS:
        yield "Length of 'dedup_key' is incorrect (should be 255 characters or less)"


def _payload(payload: Any) -> Iterator[str]:
    if not isinstance(payload, dict):
        yield "'payload' is missing or blank"
        return
    yield from _summary(payload)
    for name in ("source", "severity"):
        if not isinstance(payload.get(name), str) or not payload[name].strip():
            yield f"'payload.{name}' is missing or blank"
    if isinstance(payload.get("severity"), str) and payload["severity"] not in _SEVERITIES:
        yield "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')"
    yield from _optional(payload, ("component", "group", "class"))


def _summary(payload: dict[str, Any]) -> Iterator[str]:
    summary = payload.get("summary")
    if not isinstance(summary, str) or not summary.strip():
        yield "'payload.summary' is missing or blank"
    elif len(summary) > _SUMMARY_CHARACTERS:
        yield "Length of 'payload.summary' is incorrect (should be 1024 characters or less)"


def _optional(payload: dict[str, Any], texts: tuple[str, ...]) -> Iterator[str]:
    if payload.get("timestamp") is not None and not _is_time(payload["timestamp"]):
        yield "'payload.timestamp' is invalid (must be a valid ISO 8601 date-time)"
    for name in texts:
        if not _text_or_none(payload.get(name)):
            yield f"'payload.{name}' must be a string"
    if not isinstance(payload.get("custom_details"), (dict, str, type(None))):
        yield "'payload.custom_details' must be an object"


def _images(event: dict[str, Any]) -> Iterator[str]:
    """The documentation: an image must be served by https."""
    wrong = list(_list_of(event, "images", "src"))
    yield from wrong
    for number, image in enumerate(event.get("images") or () if not wrong else ()):
        if not image["src"].startswith("https://"):
            yield f"'images[{number}].src' must be served via HTTPS"


def _list_of(event: dict[str, Any], name: str, required: str) -> Iterator[str]:
    values = event.get(name)
    if values is None:
        return
    if not isinstance(values, list):
        yield f"'{name}' must be an array"
        return
    for number, value in enumerate(values):
        if not isinstance(value, dict) or not isinstance(value.get(required), str) or not value[required]:
            yield f"'{name}[{number}].{required}' is missing or blank"


def _text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_time(value: Any) -> bool:
    try:
        return 1970 < datetime.fromisoformat(value).year < 9000
    except (ValueError, TypeError):
        return False


def refusal(errors: list[str]) -> dict[str, Any]:
    """The body of a 400; what is no JSON object at all is told so in words of its own."""
    if errors == [_UNRECOGNIZED]:
        return {"status": "Unrecognized object", "message": _UNRECOGNIZED, "errors": ["JSON parse error"]}
    return {"status": "invalid event", "message": "Event object is invalid", "errors": errors}


def accepted(dedup_key: str) -> dict[str, Any]:
    """The body of a 202."""
    return {"status": "success", "message": "Event processed", "dedup_key": dedup_key}


def accepted_change() -> dict[str, Any]:
    """The body of a change event's 202."""
    return {"status": "success", "message": "Change event processed"}
