"""A context's settings as lines: dotted key, value, and where it came from. Secrets are shown as references only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opsctl.core.frozen import dataclass
from opsctl.core.windows import format_duration
from opsctl.files.context import Backend, Basic, ContextSettings, Opsgenie, PagerDuty, Secret
from opsctl.files.settings import Settings
from opsctl.files.text import size_words

if TYPE_CHECKING:
    from opsctl.core.routing import Route

_WORDS = {"file": "token_file", "command": "token_command", "env": "token_env"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; `origin` is `path:line`, `environment NAME`, `flag …` or `default`."""

    key: str
    value: str
    origin: str


def shown(settings: Settings) -> list[Setting]:
    """Every setting of the chosen context, in the order of the documentation."""
    context = settings.chosen
    lines = [Setting("context", context.name, settings.origins.get("context", "default"))]
    for key, value in _values(context):
        lines.append(Setting(key, value, _origin(settings, f"contexts.{context.name}.{key}")))
    return [*lines, *_board(settings)]


def _board(settings: Settings) -> Iterator[Setting]:
    """The board's, which all contexts share."""
    board = settings.board
    for key, value in (("theme", board.theme), ("mouse", board.mouse), ("utc", bool(board.utc))):
        yield Setting(f"tui.{key}", words(value), settings.origins.get(f"tui.{key}", "default"))
    for name, own in board.keys.items():
        yield Setting(f"tui.keys.{name}", own.keys, str(own.origin))


def _origin(settings: Settings, key: str) -> str:
    """Where a value came from: its own place, or that of the table which was read whole."""
    while key.count(".") > 1:
        if key in settings.origins:
            return settings.origins[key]
        key = key.rpartition(".")[0]
    return "default"


def _values(context: ContextSettings) -> Iterator[tuple[str, str]]:
    yield "protected", words(context.protected)
    yield "namespace", context.namespace
    yield "state_dir", str(context.state_dir)
    yield "catalogue", context.catalogue
    yield "rules", words(context.rules)
    yield "runbooks", words(context.runbooks)
    for kind, backend in context.backends().items():
        yield from ((f"{kind}.{key}", value) for key, value in _backend(backend))
    if context.pagerduty is not None:
        yield from ((f"pagerduty.{key}", value) for key, value in _pagerduty(context.pagerduty))
    yield from _other_sinks(context)
    for index, route in enumerate(context.routes):
        yield from ((f"routes[{index}].{key}", value) for key, value in _route(route))
    if context.silences is not None:
        yield "silences", str(context.silences)
    for section in ("limits", "paging", "runbook_policy", "offsets", "series"):
        part = getattr(context, section)
        for field in fields(part):
            value = getattr(part, field.name)
            text = size_words(value) if (section, field.name) == ("limits", "body") else words(value)
            yield f"{section}.{field.name}", text


def _other_sinks(context: ContextSettings) -> Iterator[tuple[str, str]]:
    if context.opsgenie is not None:
        yield from ((f"opsgenie.{key}", value) for key, value in _opsgenie(context.opsgenie))
    if context.alertmanager is not None:
        yield from ((f"alertmanager.{key}", value) for key, value in _backend(context.alertmanager))
    for name, webhook in context.webhooks.items():
        for key, value in _backend(webhook.backend):
            yield f"webhooks.{name}.{key}", without_path(value) if key == "url" else value
        if webhook.signing is not None:
            yield _reference(f"webhooks.{name}.signing", webhook.signing)
    yield "console", words(context.console)


def without_path(url: str) -> str:
    """An address of which the path may be a secret, as those of chat hooks are."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" + ("/…" if parts.path.strip("/") else "")


def _opsgenie(opsgenie: Opsgenie) -> Iterator[tuple[str, str]]:
    yield "url", opsgenie.url
    for team, secret in opsgenie.api_keys.items():
        yield _reference(f"api_keys.{team}", secret)
    yield "responders", words(opsgenie.responders)


def _route(route: Route) -> Iterator[tuple[str, str]]:
    if route.matchers:
        yield "matchers", words(route.matchers)
    yield "sink", route.sink
    if route.key:
        yield "key", route.key
    if route.hours is not None:
        yield "hours", str(route.hours)
    if route.group_by:
        yield "group_by", words(route.group_by)


def _backend(backend: Backend) -> Iterator[tuple[str, str]]:
    yield "url", backend.url
    for name, value in backend.headers.items():
        yield f"headers.{name}", value
    if backend.ca_file is not None:
        yield "ca_file", str(backend.ca_file)
    yield "allow_http", words(backend.allow_http)
    if backend.index:
        yield "index", words(backend.index)
    for name, names in backend.fields.items():
        yield f"fields.{name}", words(names)
    match backend.credentials:
        case None:
            return
        case Basic(user, secret):
            yield "basic.user", user
            yield "basic." + _WORDS[secret.kind].replace("token", "password"), secret.reference
        case bearer:
            yield _WORDS[bearer.secret.kind], bearer.secret.reference


def _pagerduty(pagerduty: PagerDuty) -> Iterator[tuple[str, str]]:
    for team, secret in pagerduty.routing_keys.items():
        yield _reference(f"routing_keys.{team}", secret)
    if pagerduty.events_url:
        yield "events_url", pagerduty.events_url
    if pagerduty.rest_url:
        yield "rest_url", pagerduty.rest_url
    if pagerduty.rest is not None:
        yield _reference("rest", pagerduty.rest.secret)
        yield "rest.from", pagerduty.rest.from_


def _reference(key: str, secret: Secret) -> tuple[str, str]:
    return f"{key}.{_WORDS[secret.kind]}", secret.reference


def words(value: object) -> str:
    """A value as a person would write it into the file, without quotes."""
    match value:
        case bool():
            return "true" if value else "false"
        case timedelta():
            return format_duration(value)
        case tuple():
            return ", ".join(str(part) for part in value)
        case Path():
            return str(value)
        case _:
            return str(value)
