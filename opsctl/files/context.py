"""What one context of the configuration says: plain values, read once, never changed.

Must never hold a secret, only where to find it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Union

from opsctl.core.frozen import dataclass

if TYPE_CHECKING:
    from opsctl.core.routing import Route

SecretKind = Literal["file", "command", "env"]


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is: a file's path, a command (no shell reads it), or the name of an environment variable."""

    kind: SecretKind
    reference: str
    command: tuple[str, ...] = ()  # the words of `reference` where it is a command
    origin: str = ""  # path:line of the setting

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}"


@dataclass(frozen=True, slots=True)
class Bearer:
    """`Authorization: Bearer …` (Elasticsearch: `ApiKey …`)."""

    secret: Secret


@dataclass(frozen=True, slots=True)
class Basic:
    """`Authorization: Basic …`."""

    user: str
    secret: Secret


Credentials = Union[Bearer, Basic]


@dataclass(frozen=True, slots=True)
class Backend:
    """One server that answers questions; `index` and `fields` (more names of what a log line says) are for logs."""

    url: str
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ca_file: Path | None = None
    credentials: Credentials | None = None
    allow_http: bool = False
    index: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Rest:
    """How to ask PagerDuty's REST API; `from_` is the mail address that its changes are made under."""

    secret: Secret
    from_: str


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """Where pages go: a routing key by team, `default` for teams without one. A URL is None for PagerDuty's own."""

    routing_keys: Mapping[str, Secret]
    events_url: str | None = None
    rest_url: str | None = None
    rest: Rest | None = None

    def key_of(self, team: str) -> Secret:
        """The routing key for a team's pages."""
        return self.routing_keys.get(team) or self.routing_keys["default"]


@dataclass(frozen=True, slots=True)
class Opsgenie:
    """Where alerts go: an API key by team, `default` for teams without one; also Jira Service Management's address."""

    url: str
    api_keys: Mapping[str, Secret]
    responders: bool = False  # name the alert's team as its responder


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address of one's own: events are posted as JSON, signed where there is a secret."""

    backend: Backend
    signing: Secret | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much; `body` is bytes, `concurrency` requests at once for each backend."""

    connect: timedelta = timedelta(seconds=2)
    request: timedelta = timedelta(seconds=10)
    cycle: timedelta = timedelta(seconds=30)
    send: timedelta = timedelta(seconds=15)
    concurrency: int = 8
    body: int = 64 * 1024 * 1024
    series: int = 200_000


@dataclass(frozen=True, slots=True)
class Paging:
    """How patient delivery is (docs/incidents.md)."""

    hold_open: timedelta = timedelta(minutes=5)
    reopen_after: timedelta = timedelta(minutes=15)
    repeat_interval: timedelta = timedelta(hours=1)
    not_after: timedelta = timedelta(hours=1)
    stale_after: timedelta = timedelta(minutes=10)
    runner: int = 0
    inhibit: bool = True


@dataclass(frozen=True, slots=True)
class RunbookPolicy:
    """What may happen unattended: `RUNBOOK/STEP` of each step that may mutate."""

    auto: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offsets:
    """Evaluate so long ago, for data that comes late."""

    metrics: timedelta = timedelta(0)
    traces: timedelta = timedelta(seconds=30)
    logs: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class SeriesFrom:
    """Who answers for series of log records and of spans: the backend that keeps them, or a Prometheus of counts."""

    logs: Literal["backend", "prometheus"] = "backend"
    traces: Literal["backend", "prometheus"] = "backend"


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """One context; relative paths were resolved against `base`, the folder of the file."""

    name: str
    namespace: str
    state_dir: Path
    base: Path
    protected: bool = False
    catalogue: str = "bundled:"
    rules: tuple[str, ...] = ()
    runbooks: tuple[str, ...] = ()
    prometheus: Backend | None = None
    jaeger: Backend | None = None
    zipkin: Backend | None = None
    elasticsearch: Backend | None = None
    pagerduty: PagerDuty | None = None
    alertmanager: Backend | None = None
    opsgenie: Opsgenie | None = None
    webhooks: Mapping[str, Webhook] = field(default_factory=lambda: MappingProxyType({}))
    console: bool = False  # print what would be sent, on stderr
    routes: tuple[Route, ...] = ()
    silences: Path | None = None
    limits: Limits = Limits()
    paging: Paging = Paging()
    runbook_policy: RunbookPolicy = RunbookPolicy()
    offsets: Offsets = Offsets()
    series: SeriesFrom = SeriesFrom()

    def backends(self) -> dict[str, Backend]:
        """Every configured backend by its kind."""
        found = {
            "prometheus": self.prometheus,
            "jaeger": self.jaeger,
            "zipkin": self.zipkin,
            "elasticsearch": self.elasticsearch,
        }
        return {kind: backend for kind, backend in found.items() if backend is not None}

    def sinks(self) -> tuple[str, ...]:
        """The name of every configured sink, the first one takes the pages that no route does."""
        named = {
            "pagerduty": self.pagerduty is not None,
            "opsgenie": self.opsgenie is not None,
            "alertmanager": self.alertmanager is not None,
            **{f"webhook/{name}": True for name in self.webhooks},
            "console": self.console,
        }
        return tuple(name for name, there in named.items() if there)

    def secrets(self) -> dict[str, Secret]:
        """Every secret by the dotted name of the setting that names it."""
        servers = {**self.backends(), **{f"webhooks.{name}": one.backend for name, one in self.webhooks.items()}}
        if self.alertmanager is not None:
            servers["alertmanager"] = self.alertmanager
        out = {
            f"{kind}.{_credential(server.credentials)}": server.credentials.secret
            for kind, server in servers.items()
            if server.credentials
        }
        if self.pagerduty is not None:
            out.update({f"pagerduty.routing_keys.{team}": key for team, key in self.pagerduty.routing_keys.items()})
            if self.pagerduty.rest is not None:
                out["pagerduty.rest"] = self.pagerduty.rest.secret
        if self.opsgenie is not None:
            out.update({f"opsgenie.api_keys.{team}": key for team, key in self.opsgenie.api_keys.items()})
        out.update({f"webhooks.{name}.signing": one.signing for name, one in self.webhooks.items() if one.signing})
        return out


def _credential(credentials: Credentials) -> str:
    return "basic" if isinstance(credentials, Basic) else "token"
