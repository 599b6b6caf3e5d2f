"""What Opsgenie's Alert API v2 documents: sizes of fields, words of refusals, and the language of searches.

Pure. Must never accept what the documentation forbids: our own mistakes must show here, not at Opsgenie.

Documented ("Alert API", "Alerts Search Query Help", "Rate Limiting", "Response", and the vendor's own OpenAPI file):
every limit, status and header below, `Request will be processed`, `Created alert`, `Alert does not exist`. Seen from
the real service in public reports: `Could not authenticate`, `Key format is not valid!`, `Request not found. It might
not be processed, yet.`, `Closed alert`, `You are making too many requests!`, the form of a 422 and of a 403 with code
40301. The other sentences are ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

PRIORITIES = ("P1", "P2", "P3", "P4", "P5")
IDENTIFIER_TYPES = ("id", "tiny", "alias")
ACTION_LIMITS: Mapping[str, int] = {"user": 100, "source": 100, "note": 25_000}
CREATE_LIMITS: Mapping[str, int] = {
    "message": 130,
    "alias": 512,
    "description": 15_000,
    "entity": 512,
    **ACTION_LIMITS,
}
TAGS, TAG_CHARACTERS = 20, 50
ACTIONS, ACTION_CHARACTERS = 10, 50
DETAILS_CHARACTERS = 8_000
RESPONDERS = 50
PAGE_DEFAULT, PAGE_MOST, DEEPEST = 20, 100, 20_000
BODY_BYTES = 1 << 20  # ours: the documentation names none, and everything above fits in a tenth of it

ACCEPTED = "Request will be processed"
UNKNOWN_KEY = "Could not authenticate"
NO_KEY_FORMAT = "Key format is not valid!"
NOT_PROCESSED = "Request not found. It might not be processed, yet."
NOT_THERE = "Alert does not exist"
NOT_ALLOWED = "To perform this action, use an API key from an API integration."
NOT_ALLOWED_CODE = 40301
TOO_MANY = "You are making too many requests!"
NO_JSON = "Request body is not valid JSON."
UNPROCESSABLE = "Request body is not processable. Please check the errors."

_RESPONDER_TYPES = {"team": ("id", "name"), "user": ("id", "username"), "escalation": ("id", "name")}
_RESPONDER_TYPES["schedule"] = ("id", "name")
_VISIBLE_TYPES = {kind: _RESPONDER_TYPES[kind] for kind in ("team", "user")}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_key(text: str) -> bool:
    """Whether a text has the form of an API key: a UUID."""
    return _UUID.fullmatch(text) is not None


def units(text: str) -> int:
    """A length in characters as Java counts them, the most that "characters" can mean: an emoji is two."""
    return len(text) + sum(one > "\uffff" for one in text)


def create_errors(body: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the body of a create request, by field."""
    return dict(_create(body))


def action_errors(body: Mapping[str, Any], *, note_required: bool = False) -> dict[str, str]:
    """What is wrong with the body of an acknowledge, close or note request, by field."""
    errors = dict(_texts(body, ACTION_LIMITS))
    if note_required and not str(body.get("note") or "").strip():
        errors["note"] = "can not be empty"
    return errors


def _create(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not isinstance(body.get("message"), str) or not body["message"].strip():
        yield "message", "can not be empty"
    yield from _texts(body, CREATE_LIMITS)
    if body.get("priority") is not None and body["priority"] not in PRIORITIES:
        yield "priority", f"should be one of [ {', '.join(PRIORITIES)} ]"
    yield from _list_of_texts("tags", body.get("tags"), TAGS, TAG_CHARACTERS)
    yield from _list_of_texts("actions", body.get("actions"), ACTIONS, ACTION_CHARACTERS)
    yield from _details(body.get("details"))
    yield from _recipients("responders", body.get("responders"), _RESPONDER_TYPES)
    yield from _recipients("visibleTo", body.get("visibleTo"), _VISIBLE_TYPES)


def _texts(body: Mapping[str, Any], limits: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    for name, most in limits.items():
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            yield name, "should be a text"
        elif units(value) > most:
            yield name, f"should not exceed {most} characters"


def _list_of_texts(name: str, value: Any, most: int, characters: int) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        yield name, "should be a list of texts"
    elif len(value) > most:
        yield name, f"should not have more than {most} items"
    elif any(units(one) > characters for one in value):
        yield name, f"no item should exceed {characters} characters"


def _details(value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        yield "details", "should be a map of texts"
    elif sum(units(name) + units(one) for name, one in value.items()) > DETAILS_CHARACTERS:
        yield "details", f"should not exceed {DETAILS_CHARACTERS} characters in all"


def _recipients(name: str, value: Any, kinds: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if not isinstance(value, list) or len(value) > RESPONDERS:
        yield name, f"should be a list of at most {RESPONDERS}"
        return
    for number, one in enumerate(value):
        kind = one.get("type") if isinstance(one, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            yield f"{name}#type", f"Invalid recipient type '{kind}'"
        elif not any(isinstance(one.get(by), str) and one[by] for by in kinds[kind]):
            yield f"{name}[{number}]", f"{' or '.join(kinds[kind])} should be provided"


# -- searches: `field: value` joined by AND, and the comparisons of times


class BadQuery(ValueError):
    """A search that this server does not understand; one line."""


class Term(NamedTuple):
    """One condition of a search."""

    field: str
    operator: str
    value: str


_TERM = re.compile(r"""\s*(?P<field>[A-Za-z.]+)\s*(?P<operator>[:=]|<=|>=|<|>)\s*(?P<value>"[^"]*"|[^\s"()]+)""")
_TEXT_FIELDS = ("alertId", "alias", "entity", "owner", "priority", "source", "status", "tag", "tinyId", "message")
_FLAG_FIELDS = ("acknowledged", "isSeen", "snoozed")
_NUMBER_FIELDS = ("count", "createdAt", "lastOccurredAt", "updatedAt")
_STORED_AS = {"alertId": "id", "tag": "tags"}
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ":": lambda left, right: left == right,
    "=": lambda left, right: left == right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def read_query(text: str) -> tuple[Term, ...]:
    """The conditions of a search, all of which must hold; `OR`, `NOT` and brackets are not understood: `BadQuery`."""
    terms: list[Term] = []
    rest = text.strip()
    while rest:
        if terms:
            joined = re.match(r"AND\s+", rest)
            rest = rest[joined.end() :] if joined else rest
        found = _TERM.match(rest)
        if found is None:
            raise BadQuery(f"expected field: value, and AND between them, at {rest[:40]!r}")
        terms.append(_checked(Term(found["field"], found["operator"], found["value"].strip('"'))))
        rest = rest[found.end() :].strip()
    return tuple(terms)


def _checked(term: Term) -> Term:
    known = (*_TEXT_FIELDS, *_FLAG_FIELDS, *_NUMBER_FIELDS)
    if term.field not in known:
        raise BadQuery(f"unknown field {term.field!r}; known: {', '.join(sorted(known))}")
    if term.field in _NUMBER_FIELDS:
        if not term.value.isascii() or not term.value.isdigit():
            raise BadQuery(f"{term.field}: expected a number (times in milliseconds)")
    elif term.operator not in {":", "="}:
        raise BadQuery(f"{term.field}: {term.operator} is for numbers only")
    return term


def holds(term: Term, alert: Mapping[str, Any]) -> bool:
    """Whether the condition holds for an alert, whose times are in milliseconds."""
    value = alert.get(_STORED_AS.get(term.field, term.field))
    if term.field == "alias":  # documented: "Using alias will only retrieve an open alert with that alias"
        return alert["status"] == "open" and value == term.value
    if term.field in _NUMBER_FIELDS:
        return _COMPARE[term.operator](float(value or 0), float(term.value))
    if term.field in _FLAG_FIELDS:
        return term.value.lower() == str(bool(value)).lower()
    if isinstance(value, list):
        return term.value.lower() in {str(one).lower() for one in value}
    wanted = term.value.lower()
    return wanted in str(value).lower() if term.field == "message" else wanted == str(value).lower()
