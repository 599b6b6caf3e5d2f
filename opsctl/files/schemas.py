"""JSON schemas of `opsctl.toml` and `silences.yaml`, for editors and reviews; the readers say more than a schema can.

Made from the readers' own lists of keys. Must never allow a key that no reader knows.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from opsctl.files.backend_settings import BACKEND_KEYS, LOG_FIELDS, PASSWORD_KEYS, TOKEN_KEYS
from opsctl.files.board import BOARD_KEYS, BOARD_THEMES
from opsctl.files.context import Limits, Paging
from opsctl.files.context_reader import BACKENDS, CONTEXT_KEYS
from opsctl.files.hours import EXAMPLE
from opsctl.files.routes import ROUTE_KEYS
from opsctl.files.silences import SILENCE_KEYS, TEXT_LIMIT

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|[ywdhms]))+$", "examples": ["10s", "1h30m"]}
_URL: Schema = {"type": "string", "pattern": "^https?://[^/?#@\\s]+[^?#\\s]*$"}
_HOURS: Schema = {"type": "string", "description": "days, spans, zone", "examples": [EXAMPLE]}
_TIME: Schema = {"type": "string", "format": "date-time"}
_MATCHER: Schema = {
    "type": "string",
    "description": "Alertmanager's syntax: =, !=, =~, !~; expressions are anchored",
    "pattern": "(=|!=|=~|!~)",
    "examples": ['service="wallet"', 'team=~"money|growth"'],
}


def silences_schema() -> Schema:
    """Of `silences.yaml`."""
    name = {"type": ["string", "number"], "description": "default: a digest of owner, reason, matchers and starts"}
    line = {"type": "string", "minLength": 1, "maxLength": TEXT_LIMIT}
    types: Schema = {
        "id": name,
        "owner": line,
        "reason": line,
        "matchers": {"type": "array", "items": _MATCHER, "minItems": 1},
        "starts": _TIME,
        "ends": {**_TIME, "description": "after starts, at most 90 days"},
        "hours": _HOURS,
    }
    entry = _table({key: types[key] for key in SILENCE_KEYS}, "owner", "reason", "matchers", "starts", "ends")
    title = "opsctl: who is not told of what, and until when"
    listed = {"type": ["array", "null"], "items": entry}
    return {"$schema": DIALECT, "title": title, **_table({"silences": listed}, "silences")}


def settings_schema() -> Schema:
    """Of `opsctl.toml`."""
    contexts = {"type": "object", "additionalProperties": _context(), "minProperties": 1}
    top = _table({"default_context": _TEXT, "tui": _board(), "contexts": contexts}, "contexts")
    return {"$schema": DIALECT, "title": "opsctl's configuration", **top, "$defs": _definitions()}


def _board() -> Schema:
    keys = {"type": "string", "description": "`opsctl tui --keys` lists the ids", "examples": ["e", "ctrl+n", "f5,R"]}
    types: Schema = {
        "theme": {"enum": list(BOARD_THEMES)},
        "mouse": _FLAG,
        "utc": _FLAG,
        "keys": {"type": "object", "additionalProperties": keys},
    }
    return _table({key: types[key] for key in BOARD_KEYS})


def _table(properties: Schema, *required: str) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _definitions() -> Schema:
    command = {"anyOf": [_TEXT, _TEXTS]}
    secret = _table({TOKEN_KEYS[0]: _TEXT, TOKEN_KEYS[1]: command, TOKEN_KEYS[2]: _TEXT})
    keys = {"type": "object", "additionalProperties": _ref("secret"), "required": ["default"]}
    return {"secret": {**secret, "minProperties": 1, "maxProperties": 1}, "keys": keys}


def _context() -> Schema:
    types: Schema = {
        **dict.fromkeys(("protected", "console"), _FLAG),
        **dict.fromkeys(("namespace", "state_dir", "catalogue", "silences"), _TEXT),
        **dict.fromkeys(("rules", "runbooks"), _TEXTS),
        **{kind: _server() for kind in (*BACKENDS, "alertmanager")},
        "elasticsearch": _server(index=_TEXTS, fields=_table(dict.fromkeys(LOG_FIELDS, _TEXTS))),
        "pagerduty": _pagerduty(),
        "opsgenie": _table({"url": _URL, "api_keys": _ref("keys"), "responders": _FLAG}, "url", "api_keys"),
        "webhooks": {"type": "object", "additionalProperties": _server(signing=_ref("secret"))},
        "routes": {"type": "array", "items": _route()},
        "limits": _table({one.name: _limit(one.name) for one in fields(Limits)}),
        "paging": _table({one.name: _patience(one.name) for one in fields(Paging)}),
        "runbook_policy": _table({"auto": _TEXTS}),
        "offsets": _table(dict.fromkeys(("metrics", "traces", "logs"), _DURATION)),
        "series": _table({key: {"enum": ["backend", "prometheus"]} for key in ("logs", "traces")}),
    }
    return _table({key: types[key] for key in CONTEXT_KEYS})


def _server(**more: Schema) -> Schema:
    password = _table({"user": _TEXT, **{key: {"type": ["string", "array"]} for key in PASSWORD_KEYS}}, "user")
    types: Schema = {
        "url": _URL,
        "headers": {"type": "object", "additionalProperties": _TEXT},
        "ca_file": _TEXT,
        "allow_http": _FLAG,
        **dict.fromkeys(TOKEN_KEYS, _TEXT),
        TOKEN_KEYS[1]: {"anyOf": [_TEXT, _TEXTS]},
        "basic": password,
    }
    return _table({**{key: types[key] for key in BACKEND_KEYS}, **more}, "url")


def _pagerduty() -> Schema:
    rest = _table({**{key: {"type": ["string", "array"]} for key in TOKEN_KEYS}, "from": _TEXT}, "from")
    return _table({"routing_keys": _ref("keys"), "events_url": _URL, "rest_url": _URL, "rest": rest}, "routing_keys")


def _route() -> Schema:
    sink = "pagerduty, opsgenie, alertmanager, webhook/NAME, console, or none (which takes no pages)"
    types: Schema = {
        "matchers": {"type": "array", "items": _MATCHER},
        "sink": {"type": "string", "description": sink},
        "key": {"type": "string", "description": "a name in routing_keys or api_keys; default: the alert's team"},
        "hours": _HOURS,
        "group_by": {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True},
    }
    return _table({key: types[key] for key in ROUTE_KEYS}, "sink")


def _limit(name: str) -> Schema:
    if name == "body":
        return {"type": "string", "pattern": "^[1-9][0-9]*(B|KiB|MiB|GiB)$"}
    if name == "concurrency":
        return {"type": "integer", "minimum": 1, "maximum": 64}
    return {"type": "integer", "minimum": 1} if name == "series" else _DURATION


def _patience(name: str) -> Schema:
    if name == "inhibit":
        return _FLAG
    return {"type": "integer", "minimum": 0, "maximum": 20} if name == "runner" else _DURATION
