"""What a server of metrics knows beside values: names, exemplars, and the rules and alerts that it evaluates itself.

Pure. Must never hold a verdict of ours: what is here is somebody else's word, shown as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Labels

RuleKind = Literal["alerting", "recording"]
RuleHealth = Literal["ok", "err", "unknown"]
ServerState = Literal["inactive", "pending", "firing", "unknown"]

TRACE_LABELS = ("trace_id", "traceID", "TraceID")


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """Which series: those that fit one of the selectors (none: all) and have samples in [start, end]; 0 is no limit."""

    selectors: tuple[str, ...]
    start: datetime
    end: datetime
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a metric's exporter says of it; under OpenMetrics a counter's name comes without `_total`."""

    name: str
    type: str
    help: str
    unit: str


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One event behind a sample: `at` is unix seconds, `labels` are its own, not the series'."""

    labels: Labels
    value: float
    at: float

    @property
    def trace_id(self) -> str | None:
        """The trace that it was seen in, under any of the names that are in use."""
        own = dict(self.labels)
        return next((own[name] for name in TRACE_LABELS if own.get(name)), None)


@dataclass(frozen=True, slots=True)
class ExemplarSeries:
    """The exemplars of one series, oldest first."""

    labels: Labels
    exemplars: tuple[Exemplar, ...]


@dataclass(frozen=True, slots=True)
class ServerAlert:
    """One element of an alerting rule that is pending or firing at the server; annotations are expanded."""

    name: str
    state: ServerState
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    value: float
    since: datetime | None  # when its expression began to hold


@dataclass(frozen=True, slots=True)
class ServerRule:
    """One rule as the server evaluates it; durations are seconds, `evaluated` is None before its first time."""

    kind: RuleKind
    name: str
    expr: str
    group: str
    file: str
    health: RuleHealth
    error: str
    state: ServerState | None  # of an alerting rule
    for_seconds: float = 0.0
    keep_firing_seconds: float = 0.0
    interval_seconds: float = 0.0
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # templates
    alerts: tuple[ServerAlert, ...] = ()
    evaluated: datetime | None = None
    took_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RuleQuery:
    """Which of a server's rules; nothing said means all. Old servers ignore such filters, so sources filter again."""

    kind: RuleKind | None = None
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def takes(self, rule: ServerRule) -> bool:
        """Whether a rule is asked for."""
        return (
            (self.kind is None or rule.kind == self.kind)
            and (not self.names or rule.name in self.names)
            and (not self.groups or rule.group in self.groups)
        )


def family(name: str) -> tuple[str, ...]:
    """The names under which a metric's metadata may be filed, most exact first."""
    stems = [name]
    for suffix in ("_total", "_bucket", "_count", "_sum", "_created", "_info"):
        if name.endswith(suffix) and len(name) > len(suffix):
            stems.append(name.removesuffix(suffix))
    return tuple(stems)
