"""Environment variables that beat the file: `OPSCTL_<KEY>` and `OPSCTL_<SECTION>_<KEY>` for the chosen context.

Only scalar settings have one (`OPSCTL_NAMESPACE`, `OPSCTL_PROMETHEUS_URL`, `OPSCTL_LIMITS_REQUEST`), and two lists,
with commas between (`OPSCTL_RULES`, `OPSCTL_RUNBOOKS`). Secrets have none, only the references to them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from opsctl.errors import UsageError
from opsctl.files.nodes import Node
from opsctl.files.text import plain

Kind = Literal["text", "boolean", "integer", "list"]
OTHERS = ("OPSCTL_CONFIG", "OPSCTL_CONTEXT", "OPSCTL_READ_ONLY")

_TOKENS = {"token_file": "text", "token_command": "text", "token_env": "text"}
_BACKEND = {"url": "text", "ca_file": "text", "allow_http": "boolean", **_TOKENS}
_SECTIONS: dict[str, dict[str, str]] = {
    "": {
        **dict.fromkeys(("protected", "console"), "boolean"),
        **dict.fromkeys(("namespace", "state_dir", "catalogue", "silences"), "text"),
        **dict.fromkeys(("rules", "runbooks"), "list"),
    },
    "prometheus": _BACKEND,
    "jaeger": _BACKEND,
    "zipkin": _BACKEND,
    "elasticsearch": {**_BACKEND, "index": "list"},
    "pagerduty": dict.fromkeys(("events_url", "rest_url"), "text"),
    "opsgenie": {"url": "text", "responders": "boolean"},
    "alertmanager": _BACKEND,
    "limits": {
        **dict.fromkeys(("connect", "request", "cycle", "send", "body"), "text"),
        **dict.fromkeys(("concurrency", "series"), "integer"),
    },
    "paging": {
        **dict.fromkeys(("hold_open", "reopen_after", "repeat_interval", "not_after", "stale_after"), "text"),
        "runner": "integer",
        "inhibit": "boolean",
    },
    "offsets": dict.fromkeys(("metrics", "traces", "logs"), "text"),
    "series": dict.fromkeys(("logs", "traces"), "text"),
}

VARIABLES: Mapping[str, tuple[str, str, str]] = {
    "_".join(part.upper() for part in ("opsctl", section, key) if part): (section, key, kind)
    for section, keys in _SECTIONS.items()
    for key, kind in keys.items()
}
"""Name → (section, key, kind)."""


def overlay(context: Node, env: Mapping[str, str]) -> Node:
    """The context with what the environment says in the place of what the file says."""
    for name in sorted(env):
        if name in VARIABLES:
            section, key, kind = VARIABLES[name]
            context = _with(context, section, key, name, kind, env[name])
        elif name.startswith("OPSCTL_") and name not in OTHERS and (near := _mistyped(name)):
            raise UsageError(f"environment variable {name} is unknown", hint=f"did you mean {near}?")
    return context


def _mistyped(name: str) -> str | None:
    import difflib

    found = difflib.get_close_matches(name, (*VARIABLES, *OTHERS), n=1, cutoff=0.85)
    return found[0] if found else None


def _with(context: Node, section: str, key: str, name: str, kind: str, raw: str) -> Node:
    if not isinstance(context.value, dict):
        return context
    values = dict(context.value)
    if not section:
        values[key] = _leaf(f"{context.where}.{key}", name, kind, raw)
        return _replaced(context, values)
    where = f"{context.where}.{section}"
    inner = values.get(section) or Node({}, f"environment {name}", None, where)
    if isinstance(inner.value, dict):
        kept = {k: v for k, v in inner.value.items() if key not in _TOKENS or k not in (*_TOKENS, "basic")}
        kept[key] = _leaf(f"{where}.{key}", name, kind, raw)
        values[section] = _replaced(inner, kept)
    return _replaced(context, values)


def _replaced(node: Node, values: dict[str, Node]) -> Node:
    return Node(values, node.path, node.line, node.where)


def _leaf(where: str, name: str, kind: str, raw: str) -> Node:
    path = f"environment {name}"
    value: str | int | bool = raw
    if kind == "boolean" and plain(raw) in {"true", "false", "1", "0"}:
        value = plain(raw) in {"true", "1"}
    elif kind == "integer" and re.fullmatch(r"[0-9]{1,18}", raw):
        value = int(raw)
    elif kind == "list":
        items = [part.strip() for part in raw.split(",") if part.strip()]
        return Node([Node(item, path, None, where, item) for item in items], path, None, where)
    return Node(value, path, None, where, raw)
