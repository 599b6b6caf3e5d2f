"""How many questions a cycle of the bundled rules puts to each backend: the figures in docs/rules.md are bounds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from collectors.memory import MemorySource
from opsctl.cli.demo_world import platform_signals
from opsctl.core.memory import Memory
from opsctl.core.rules import Outcome, Rule
from opsctl.core.signals import Matrix, Reading, Signal, Vector
from opsctl.demo.clock import StoryClock
from opsctl.demo.platform import Platform
from opsctl.engine import CycleReport, Limits, run_cycle
from opsctl.files.catalogue import load_catalogue
from opsctl.files.rules import load_rules
from opsctl.ports import MetricsSource, Probe
from opsctl.promql.store import SeriesStore
from opsctl.series.logs import LogSeries
from opsctl.series.spans import SpanSeries

HERE = Path(__file__).parent
SEED = 7
START = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
END = START + timedelta(days=1)
MINUTE = timedelta(minutes=1)

PATIENT = Limits(request=MINUTE, cycle=5 * MINUTE)  # the questions are counted, not timed
FIRST = {Signal.METRICS: 520, Signal.LOGS: 10, Signal.TRACES: 10}
NEXT = {Signal.METRICS: 460, Signal.LOGS: 10, Signal.TRACES: 10}
FIGURES = (
    f"at most {FIRST[Signal.METRICS]} questions to a Prometheus in the first cycle and {NEXT[Signal.METRICS]} in the next",
    f"at most {FIRST[Signal.LOGS]} each for logs and traces",
)


class Counting:
    """Counts what a source is asked."""

    def __init__(self, source: MetricsSource) -> None:
        self.source = source
        self.name = source.name
        self.concurrency = source.concurrency
        self.query_bytes = getattr(source, "query_bytes", 1 << 18)
        self.instants = self.ranges = 0

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        self.instants += 1
        return self.source.instant(query, at, timeout_seconds)

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        self.ranges += 1
        return self.source.range(query, start, end, step, timeout_seconds)

    def probe(self, timeout_seconds: float) -> Probe:
        return self.source.probe(timeout_seconds)

    def close(self) -> None:
        self.source.close()


@cache
def rules() -> tuple[Rule, ...]:
    found = load_rules(["bundled:"], HERE, load_catalogue("bundled:", HERE)).rules
    assert {rule.signal for rule in found} == set(Signal)
    return found


def cycles() -> list[tuple[CycleReport, dict[Signal, int]]]:
    """A healthy platform: a cycle without memory, and the one of the minute after."""
    store = SeriesStore()
    platform = Platform(SEED, START, store)
    clock = StoryClock(END)
    platform.advance(END)
    traces, logs = platform_signals(platform, SEED, clock)
    out: list[tuple[CycleReport, dict[Signal, int]]] = []
    memory = Memory()
    for minute in (2, 1):
        sources = {
            Signal.METRICS: Counting(MemorySource(store)),
            Signal.LOGS: Counting(LogSeries(logs)),
            Signal.TRACES: Counting(SpanSeries(traces)),
        }
        report = run_cycle(rules(), sources, END - minute * MINUTE, memory, limits=PATIENT)
        memory = report.memory
        out.append((report, {signal: one.instants + one.ranges for signal, one in sources.items()}))
    return out


def test_a_cycle_of_the_bundled_rules_keeps_to_its_number_of_requests() -> None:
    (first, cold), (second, warm) = cycles()
    for report in (first, second):
        assert Outcome.UNKNOWN not in {verdict.outcome for verdict in report.verdicts}
    for asked, bounds in ((cold, FIRST), (warm, NEXT)):
        for signal, bound in bounds.items():
            assert 0 < asked[signal] <= bound, f"{signal}: {asked}"


def test_the_documents_state_the_bounds() -> None:
    text = re.sub(r"\s+", " ", (HERE.parent.parent / "docs" / "rules.md").read_text())
    for figure in FIGURES:
        assert figure in text
