"""Where pages go: PagerDuty, Opsgenie, an Alertmanager, webhooks.

Must never put a value that may be a secret into a message, and never read a secret.
"""

from __future__ import annotations

import re
from pathlib import Path

from opsctl.files.backend_settings import (
    BACKEND_KEYS,
    BY_REFERENCE,
    TOKEN_KEYS,
    check_url,
    read_secret,
    read_server,
    secret_table,
)
from opsctl.files.context import Backend, Opsgenie, PagerDuty, Rest, Secret, Webhook
from opsctl.files.nodes import Problems, Table

SINK_KEYS = ("pagerduty", "opsgenie", "alertmanager", "webhooks", "console")
KEYED = {"pagerduty": "routing_keys", "opsgenie": "api_keys"}
"""Sinks that hold several keys, and the setting that names them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_pagerduty(table: Table, base: Path, problems: Problems) -> PagerDuty | None:
    """`[contexts.X.pagerduty]`."""
    section = secret_table(table, "pagerduty", ("routing_keys", "events_url", "rest_url", "rest"), BY_REFERENCE)
    if section is None:
        return None
    for key in ("events_url", "rest_url"):
        node = section.node_of(key)
        if node is not None and (url := section.text(key)):
            check_url(node, url, False, problems)
    return PagerDuty(
        routing_keys=_keys(section, "routing_keys", base),
        events_url=section.text("events_url") or None,
        rest_url=section.text("rest_url") or None,
        rest=_rest(section, base),
    )


def read_opsgenie(table: Table, base: Path, problems: Problems) -> Opsgenie | None:
    """`[contexts.X.opsgenie]`."""
    section = secret_table(table, "opsgenie", ("url", "api_keys", "responders"), BY_REFERENCE)
    if section is None:
        return None
    url = section.text("url", required=True)
    node = section.node_of("url")
    if node is not None and url:
        check_url(node, url, False, problems)
    return Opsgenie(url=url, api_keys=_keys(section, "api_keys", base), responders=section.boolean("responders"))


def read_alertmanager(table: Table, base: Path, problems: Problems) -> Backend | None:
    """`[contexts.X.alertmanager]`."""
    section = secret_table(table, "alertmanager", BACKEND_KEYS, BY_REFERENCE)
    return read_server(section, base, problems) if section else None


def read_webhooks(table: Table, base: Path, problems: Problems) -> dict[str, Webhook]:
    """`[contexts.X.webhooks.NAME]`, by name."""
    node = table.node_of("webhooks")
    if node is None:
        return {}
    found: dict[str, Webhook] = {}
    several = Table(node, problems, None)
    for name, child in several.items():
        if not _NAME.fullmatch(name):
            problems.add(child, f"{child.where}: a webhook's name is letters, digits, '.', '_' and '-', at most 64")
            continue
        section = secret_table(several, name, (*BACKEND_KEYS, "signing"), BY_REFERENCE)
        if section is not None:
            found[name] = Webhook(read_server(section, base, problems), _signing(section, base))
    return found


def _signing(section: Table, base: Path) -> Secret | None:
    inner = secret_table(section, "signing", TOKEN_KEYS, BY_REFERENCE)
    if inner is None:
        return None
    if not any(key in inner for key in TOKEN_KEYS):
        inner.problems.add(inner.node, f"{inner.what}: expected one of {', '.join(TOKEN_KEYS)}")
    return read_secret(inner, base, TOKEN_KEYS)


def _keys(section: Table, key: str, base: Path) -> dict[str, Secret]:
    node = section.need(key)
    keys: dict[str, Secret] = {}
    if node is None:
        return keys
    if not isinstance(node.value, dict):
        section.problems.add(node, f"{node.where}: expected a secret by team: {BY_REFERENCE}")
        return keys
    teams = Table(node, section.problems, None)
    for team, _ in teams.items():
        inner = secret_table(teams, team, TOKEN_KEYS, BY_REFERENCE)
        secret = read_secret(inner, base, TOKEN_KEYS) if inner else None
        if secret is not None:
            keys[team] = secret
        elif inner is not None and not inner.node.value:
            section.problems.add(inner.node, f"{inner.what}: expected one of {', '.join(TOKEN_KEYS)}")
    if "default" not in teams:
        words = f"{node.where}: default is missing: pages of teams without a key of their own go there"
        section.problems.add(node, words)
    return keys


def _rest(section: Table, base: Path) -> Rest | None:
    inner = secret_table(section, "rest", (*TOKEN_KEYS, "from"), BY_REFERENCE)
    if inner is None:
        return None
    sender = inner.text("from", required=True)
    node = inner.node_of("from")
    if node is not None and sender and not re.fullmatch(r"[^@\s]+@[^@\s]+", sender):
        inner.problems.add(node, f"{node.where}: expected the mail address of a PagerDuty user")
    secret = read_secret(inner, base, TOKEN_KEYS)
    if secret is None and not any(key in inner for key in TOKEN_KEYS):
        inner.problems.add(inner.node, f"{inner.what}: expected one of {', '.join(TOKEN_KEYS)}")
    return Rest(secret, sender) if secret else None
