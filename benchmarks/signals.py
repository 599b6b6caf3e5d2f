"""A check of metrics, logs and traces waits for the slowest backend, not for one after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from benchmarks.pairs import Figure, ratio
from opsctl.core.rules import AlertingRule
from opsctl.core.signals import Absent, Matrix, Measured, Reading, Sample, Signal, Vector
from opsctl.core.slo import Origin, Severity
from opsctl.engine import run_cycle
from opsctl.ports import MetricsSource, Probe

PAIRS = 7
AT = datetime(2026, 1, 4, tzinfo=UTC)
SECONDS = {Signal.METRICS: 0.2, Signal.LOGS: 0.25, Signal.TRACES: 0.3}  # of each answer: 0.75 one after the other
RULES = 8


class Slow:
    """A backend that takes its time for every answer."""

    concurrency = RULES

    def __init__(self, signal: Signal) -> None:
        self.name = f"slow {signal}"
        self._seconds = SECONDS[signal]

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        """One element, later."""
        time.sleep(self._seconds)
        return Measured(Vector((Sample((), 0.0),)), self.name)

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        """There was nothing before."""
        return Absent(self.name)

    def probe(self, timeout_seconds: float) -> Probe:
        """It is there."""
        return Probe(self.name, self.name, True, True, "")

    def close(self) -> None:
        """There is nothing to close."""


def slowest_signal() -> Figure:
    """Three signals together over the slowest alone."""
    sources: Mapping[Signal, MetricsSource] = {signal: Slow(signal) for signal in Signal}
    every = [_rule(signal, n) for signal in Signal for n in range(RULES)]
    slowest = [rule for rule in every if rule.signal is max(SECONDS, key=SECONDS.__getitem__)]
    value = ratio(lambda: _cycle(every, sources), lambda: _cycle(slowest, sources), PAIRS)
    return Figure(
        "slowest_signal", value, 1.2, "lower", "a cycle of three slow backends / of the slowest alone (sum: 2.5)"
    )


def _cycle(rules: list[AlertingRule], sources: Mapping[Signal, MetricsSource]) -> None:
    report = run_cycle(rules, sources, AT)
    if any(backend.status != "ok" for backend in report.backends):
        raise RuntimeError(f"a backend failed: {report.backends}")


def _rule(signal: Signal, number: int) -> AlertingRule:
    name = f"{signal}-{number}"
    nothing = timedelta(0)
    return AlertingRule(
        name=name,
        uid=name,
        expr=f"{signal}_{number}",
        for_=nothing,
        keep_firing_for=nothing,
        labels={},
        annotations={},
        group="slow",
        interval=timedelta(minutes=1),
        limit=0,
        query_offset=nothing,
        severity=Severity.SHOW,
        origin=Origin("slow.rules.yaml", 1),
        signal=signal,
    )
