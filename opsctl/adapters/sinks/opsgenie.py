"""Opsgenie's Alert API v2, and the part of it that Jira Service Management keeps: exactly one request a call.

An alert's alias is the dedup key with a colon in place of the slash: actions name the alert in the path of their
address, where a slash, plain or encoded, does not arrive everywhere. Must never put an API key anywhere but into the
request, and never raise for what the far side does.

202 says that the request was taken, not that it was carried out: whether there is an alert, `OpsgenieReader` sees.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from opsctl.adapters.sinks.answers import line, retry_after
from opsctl.adapters.sinks.posting import Server, posted
from opsctl.errors import ConfigError, OpsctlError
from opsctl.http import MIB, Answer, Client, Endpoint
from opsctl.ports import Delivery, SinkEvent

if TYPE_CHECKING:
    from opsctl.files import context as files

NAME = "opsgenie"
OPSGENIE_URL = "https://api.opsgenie.com"
SOURCE = "opsctl"  # of our alerts, and the user of our actions
DEFAULT_KEY = "default"
ALERTS = "/v2/alerts"
_JSM_PATH = "/jsm/ops/integration"
_ANSWER_BYTES = 16 * MIB  # a page of 100 alerts
_VERBS = {"acknowledge": "acknowledge", "resolve": "close", "note": "notes"}
_PRIORITIES = {"critical": "P1", "error": "P2", "warning": "P3", "info": "P5"}
_MESSAGE, _ENTITY, _DESCRIPTION, _NOTE, _TAG = 130, 512, 15_000, 25_000, 50
_DETAILS = 8_000
_DETAIL_NAME, _DETAIL = 100, 1_000
_IN_DESCRIPTION = frozenset({"description", "evidence"})

ApiKeys = Mapping[str, Callable[[], str]]
"""Team → how to get its API key; `default` is for teams without one."""


class Account:
    """Where the API is, with a connection for each API key; a key is read when it is first needed."""

    def __init__(self, keys: ApiKeys, url: str = OPSGENIE_URL) -> None:
        self._keys = keys
        self.url = url.rstrip("/").removesuffix(ALERTS)
        try:
            Client(Endpoint(self.url))
        except OpsctlError as wrong:
            raise ConfigError("opsgenie.url", None, str(wrong), hint=f"such as {OPSGENIE_URL}") from None
        self._servers = {name: self._server(name) for name in keys}

    def _server(self, name: str) -> Server:
        endpoint = Endpoint(self.url, authorization=lambda: f"GenieKey {self._keys[name]().strip()}")
        return Server(endpoint, answer_bytes=_ANSWER_BYTES)

    @property
    def readable(self) -> bool:
        """Whether alerts can be read there; what Jira Service Management keeps takes events only."""
        return not urlsplit(self.url).path.rstrip("/").endswith(_JSM_PATH)

    @property
    def servers(self) -> Sequence[Server]:
        """One for each API key."""
        return tuple(self._servers.values())

    def server(self, name: str) -> Server | None:
        """The one of a key, `default` where there is none of that name."""
        return self._servers.get(name) or self._servers.get(DEFAULT_KEY)

    def close(self) -> None:
        """Drop connections."""
        for one in self.servers:
            one.close()


class Opsgenie:
    """One account's alerts; with `responders`, the alert's team is named as its responder."""

    def __init__(self, account: Account, *, responders: bool = False) -> None:
        self.name = NAME
        self._account = account
        self._responders = responders

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        """Exactly one request, or none if there is no key for it (then `retry`)."""
        server = self._account.server(event.key)
        if server is None:
            none = f"opsgenie.api_keys: no key for team {event.key or '(none)'} and no default"
            return Delivery("retry", None, line(f"no request was made: {none}"))
        try:
            path, body = request_of(json.loads(event.body), responders=self._responders)
        except (ValueError, KeyError) as wrong:
            return Delivery("permanent", None, line(f"no event for Opsgenie: {type(wrong).__name__}: {wrong}"))
        delivery, answer = posted(
            server, server.address, path, json.dumps(body).encode(), {}, timeout_seconds, accepted=(202,)
        )
        return delivery if answer is None else _with_wait(delivery, answer)

    def channel(self, key: str) -> str:
        """All keys share one: Opsgenie counts an account's requests, not a key's."""
        return f"{self.name}/{urlsplit(self._account.url).netloc}"

    def close(self) -> None:
        """Drop connections."""
        self._account.close()


def open_opsgenie(settings: files.Opsgenie, resolve: Callable[[files.Secret], str]) -> tuple[Opsgenie, Account]:
    """The Opsgenie of a context, and the account for `OpsgenieReader` where it is `readable`."""
    keys = {team: partial(resolve, secret) for team, secret in settings.api_keys.items()}
    account = Account(keys, settings.url)
    return Opsgenie(account, responders=settings.responders), account


def alias_of(dedup_key: str) -> str:
    """The alert's alias."""
    return dedup_key.replace("/", ":")


def request_of(event: Mapping[str, Any], *, responders: bool = False) -> tuple[str, dict[str, Any]]:
    """Path with query, and body, for an event in the form of Events v2."""
    action, alias = str(event["event_action"]), alias_of(str(event["dedup_key"]))
    if action == "trigger":
        return ALERTS, _alert(event, alias, responders=responders)
    body: dict[str, Any] = {"user": SOURCE, "source": SOURCE}
    if action == "note":
        body["note"] = clip(str(event.get("note") or ""), _NOTE)
    return f"{ALERTS}/{quote(alias, safe=':')}/{_VERBS[action]}?identifierType=alias", body


def _alert(event: Mapping[str, Any], alias: str, *, responders: bool) -> dict[str, Any]:
    payload: Mapping[str, Any] = event.get("payload") or {}
    given = payload.get("custom_details")
    details: Mapping[str, Any] = given if isinstance(given, dict) else {}
    summary, severity, team = (str(payload.get(name) or "") for name in ("summary", "severity", "group"))
    alert: dict[str, Any] = {
        "message": clip(" ".join(summary.split()) or alias, _MESSAGE),
        "alias": alias,
        "description": _description(summary, details, event.get("links")),
        "priority": _PRIORITIES.get(severity, "P1"),
        "tags": _tags({"service": payload.get("component"), "team": team, "severity": severity}),
        "entity": clip(str(payload.get("component") or ""), _ENTITY),
        "details": _flat(details),
        "source": SOURCE,
        "user": SOURCE,
    }
    if responders and team:
        alert["responders"] = [{"type": "team", "name": clip(team, _ENTITY)}]
    return {name: value for name, value in alert.items() if value}


def _description(summary: str, details: Mapping[str, Any], links: Any) -> str:
    evidence = details.get("evidence")
    parts = [
        summary if units(summary) > _MESSAGE else "",
        str(details.get("description") or ""),
        "\n".join(["Evidence:", *map(str, evidence)]) if isinstance(evidence, list) and evidence else "",
        "\n".join(f"{one.get('text') or 'link'}: {one.get('href')}" for one in links or () if isinstance(one, dict)),
        str(details.get("look") or ""),
    ]
    return clip("\n\n".join(part for part in parts if part), _DESCRIPTION)


def _tags(of: Mapping[str, Any]) -> list[str]:
    return [clip(f"{name}:{value}", _TAG) for name, value in of.items() if value]


def _flat(details: Mapping[str, Any]) -> dict[str, str]:
    """A map of texts within the 8,000 characters; what comes first is kept."""
    flat: dict[str, str] = {}
    room = _DETAILS
    for name, value in _pairs(details):
        name = clip(name, _DETAIL_NAME)
        text = clip(value, min(_DETAIL, room - units(name)))
        if not text or name in flat:
            continue
        flat[name] = text
        room -= units(name) + units(text)
    return flat


def _pairs(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in details.items():
        if name in _IN_DESCRIPTION or value is None:
            continue
        if isinstance(value, dict):
            pairs += [(f"{name}.{inner}", str(one)) for inner, one in value.items()]
        elif isinstance(value, list):
            pairs.append((name, ", ".join(map(str, value))))
        else:
            pairs.append((name, json.dumps(value) if isinstance(value, bool) else str(value)))
    return pairs


def units(text: str) -> int:
    """The length as Java counts it, where what lies outside the basic plane is two characters."""
    return len(text) + sum(one > "\uffff" for one in text)


def clip(text: str, most: int) -> str:
    """At most so many characters, however the far side counts them; lone surrogates are replaced."""
    safe = text.encode("utf-8", "replace").decode("utf-8")
    if units(safe) <= most:
        return safe
    kept, room = 0, most - 1
    for one in safe:
        room -= units(one)
        if room < 0:
            break
        kept += 1
    return safe[:kept] + "…" if most > 0 else ""


def _with_wait(delivery: Delivery, answer: Answer) -> Delivery:
    """Opsgenie documents no Retry-After; it names the window that is used up, of a second or of a minute."""
    if delivery.status != 429 or delivery.retry_after_seconds is not None:
        return delivery
    period = retry_after(answer.headers.get("x-ratelimit-period-in-sec"))
    return Delivery(delivery.outcome, delivery.status, delivery.message, period)
