"""PagerDuty's Events v2: triggers, acknowledgements, resolves and change events; notes go through a REST companion.

Must never put a routing key anywhere but into the request, and never raise for what the far side does. The outbox owns
every repeat.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from opsctl.adapters.sinks.answers import is_permanent, retry_after
from opsctl.adapters.sinks.pagerduty_transport import Reply, Transport, events_client, line
from opsctl.errors import ConfigError, OpsctlError
from opsctl.ports import Delivery, SinkEvent

if TYPE_CHECKING:
    from opsctl.files import context as files

EVENTS_URL = "https://events.pagerduty.com"
DEFAULT_ROUTE = "default"
FALLBACK = "fallback"
NO_REST = "notes need PagerDuty's REST API: add a token as pagerduty.rest"
_ANSWER_BYTES = 64 * 1024
_READ_AGAIN_SECONDS = 10.0


class RoutingKeys:
    """Routing keys by name (a team, `default`, `fallback`); each is read when it is needed first, and kept."""

    def __init__(self, sources: Mapping[str, Callable[[], str]]) -> None:
        self._sources = sources
        self._known: dict[str, str] = {}
        self._failed: dict[str, tuple[float, OpsctlError]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that has a key of its own."""
        return tuple(self._sources)

    def name_of(self, team: str) -> str:
        """The name whose key a team's events go under."""
        return team if team in self._sources else DEFAULT_ROUTE

    def read(self, team: str) -> str:
        """The key for a team's events; OpsctlError where there is none, or it cannot be read."""
        name = self.name_of(team)
        if name not in self._known:
            if name not in self._sources:
                missing = f"no key for team {team or '(none)'} and no default"
                raise ConfigError("pagerduty.routing_keys", None, missing, hint="add one")
            self._known[name] = self._fetched(name)
        return self._known[name]

    def _fetched(self, name: str) -> str:
        """A command that hangs takes 10 s: what failed a moment ago is not tried again for the next event."""
        at, wrong = self._failed.get(name, (0.0, None))
        if wrong is not None and time.monotonic() - at < _READ_AGAIN_SECONDS:
            raise wrong
        try:
            return self._sources[name]().strip()
        except OpsctlError as failed:
            self._failed[name] = (time.monotonic(), failed)
            raise

    def forget(self, team: str) -> None:
        """Read the key again before its next event: it was refused, and keys are renewed."""
        self._known.pop(self.name_of(team), None)


class Notes(Protocol):
    """Writes a line on the incident of a dedup key."""

    def write(self, key: str, text: str, id_: str, timeout_seconds: float) -> Delivery:
        """At most one note, however often the same `id_` is tried."""
        ...

    def close(self) -> None:
        """Drop connections."""
        ...


class PagerDuty:
    """One PagerDuty account's events."""

    def __init__(
        self,
        keys: RoutingKeys | Mapping[str, Callable[[], str]],
        events_url: str = EVENTS_URL,
        notes: Notes | None = None,
    ) -> None:
        self.name = "pagerduty"
        self._keys = keys if isinstance(keys, RoutingKeys) else RoutingKeys(keys)
        self._notes = notes
        self._transport = Transport(
            events_url,
            setting="pagerduty.events_url",
            default=EVENTS_URL,
            connect=events_client,
            answer_bytes=_ANSWER_BYTES,
        )

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        """Exactly one request, or none if there is no key for the route (then `retry`); a note may take three."""
        body = _own(event.body)
        if body.get("event_action") != "note":
            return self._post("/v2/enqueue", event.key, body, timeout_seconds)
        if self._notes is None:
            return Delivery("permanent", None, NO_REST)
        return self._notes.write(str(body["dedup_key"]), str(body["note"]), event.id, timeout_seconds)

    def change(self, key: str, body: Mapping[str, Any], timeout_seconds: float = 5.0) -> Delivery:
        """Tell of a deployment or another change: it opens nothing and wakes nobody."""
        return self._post("/v2/change/enqueue", key, dict(body), timeout_seconds)

    def channel(self, key: str) -> str:
        """Names of the same routing key share one rate limit; the channel is a digest, not the key."""
        try:
            secret = self._keys.read(key)
        except OpsctlError:
            return f"{self.name}/route/{key}"
        return f"{self.name}/{hashlib.sha256(secret.encode()).hexdigest()[:12]}"

    def close(self) -> None:
        """Drop connections."""
        self._transport.close()
        if self._notes is not None:
            self._notes.close()

    def _post(self, path: str, team: str, body: dict[str, Any], timeout_seconds: float) -> Delivery:
        try:
            secret = self._keys.read(team)
        except OpsctlError as wrong:
            return Delivery("retry", None, f"no request was made: {line(str(wrong))}")
        delivery = _delivery(self._transport.request("POST", path, secret, timeout_seconds, json=body))
        if delivery.outcome == "permanent":
            self._keys.forget(team)
        return delivery


def open_pagerduty(
    settings: files.PagerDuty,
    resolve: Callable[[files.Secret], str],
    keys: RoutingKeys | None = None,
    notes: Notes | None = None,
) -> PagerDuty:
    """The PagerDuty of a context; a key named `fallback` is for what the others refuse."""
    return PagerDuty(keys or routing_keys(settings, resolve), settings.events_url or EVENTS_URL, notes)


def routing_keys(settings: files.PagerDuty, resolve: Callable[[files.Secret], str]) -> RoutingKeys:
    """The routing keys of a context."""
    return RoutingKeys({team: partial(resolve, secret) for team, secret in settings.routing_keys.items()})


def _own(body: str) -> dict[str, Any]:
    """The event as PagerDuty takes it: what ends an incident has no payload."""
    event: dict[str, Any] = json.loads(body)
    if event.get("event_action") != "trigger":
        event.pop("payload", None)
    return event


def _delivery(reply: Reply) -> Delivery:
    if reply.status is None:
        return Delivery("retry", None, reply.message)
    if reply.status == 202:
        return Delivery("accepted", reply.status, "")
    message = reply.message or f"HTTP {reply.status}: expected 202"
    if is_permanent(reply.status):
        return Delivery("permanent", reply.status, message)
    return Delivery("retry", reply.status, message, retry_after(reply.headers.get("retry-after")))
