"""The daemon's own numbers for Prometheus: what the last check found, and how paging itself does.

Every label value comes from the configuration or from a fixed set, so the number of series is bounded. Must never ask a
backend or the journal when it is scraped: a page shows what the last run left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from opsctl.loop import Pulse
from opsctl.ports import Delivery
from opsctl.render.openmetrics import families
from opsctl.render.text import clean

if TYPE_CHECKING:
    from opsctl.adapters.journal.page_times import PageTimes
    from opsctl.sender import SendReport
    from opsctl.views.check import Result

CYCLES = ("completed", "failed", "skipped", "missed")
OUTCOMES = ("accepted", "retry", "permanent")
EVENTS = ("accepted", "dead", "never_delivered")
STAGES = ("accepted", "visible")
NOT_VISIBLE_AFTER = timedelta(minutes=2)
_CYCLE_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120)
_REQUEST_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5)
_LATENCY_BUCKETS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_NAMES = ("context", "namespace")


@dataclass(frozen=True)
class Left:
    """What a run, or sending between two runs, left behind."""

    at: datetime
    waiting: tuple[datetime, ...] = ()  # when each event was decided that is still to be sent
    pages: tuple[PageTimes, ...] = ()
    readers: frozenset[str] = frozenset()  # sinks that can be read back
    silences: int = 0
    journal_problem: str | None = None
    config_problem: str | None = None
    config_read: datetime | None = None

    @property
    def undelivered(self) -> tuple[datetime, ...]:
        """When each open page was decided that no sink took yet and that nobody knows of."""
        return tuple(page.decided for page in self.pages if page.open and page.accepted is None and not page.taken)

    @property
    def not_visible(self) -> int:
        """Open pages that a sink took and does not show."""
        return sum(
            page.open and page.accepted is not None and page.visible is None
            and self.at - page.accepted > NOT_VISIBLE_AFTER and page.route.partition("/")[0] in self.readers
            for page in self.pages
        )  # fmt: skip


class Numbers:
    """Counters that grow while the process lives, and gauges of the last run; read by the listener's threads."""

    def __init__(
        self, context: str, namespace: str, version: str, interval: timedelta, pulse: Pulse, now: Callable[[], datetime]
    ) -> None:
        self._common = {"context": clean(context), "namespace": clean(namespace)}
        self._interval, self._pulse, self._now = interval, pulse, now
        self.version = version
        self.result: Result | None = None
        self.left = Left(now())
        self._latencies_told: set[tuple[int, str]] | None = None
        self.registry = CollectorRegistry(auto_describe=False)
        self._counters()
        self.registry.register(_Gauges(self._gauges))
        ProcessCollector(registry=self.registry)

    def _counters(self) -> None:
        registry, values = self.registry, tuple(self._common.values())
        self._cycles = Counter(
            "opsctl_cycles", "Runs, by what became of them.", (*_NAMES, "outcome"), registry=registry
        )
        self._cycle = Histogram(
            "opsctl_cycle_duration_seconds",
            "How long whole runs took.",
            _NAMES,
            buckets=_CYCLE_BUCKETS,
            registry=registry,
        ).labels(*values)
        self._deliveries = Counter(
            "opsctl_deliveries",
            "Requests to sinks, by what came back.",
            (*_NAMES, "sink", "outcome"),
            registry=registry,
        )
        self._requests = Histogram(
            "opsctl_delivery_duration_seconds",
            "How long requests to sinks took.",
            (*_NAMES, "sink"),
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )
        self._events = Counter(
            "opsctl_events", "Events that are over, by their end.", (*_NAMES, "result"), registry=registry
        )
        self._latency = Histogram(
            "opsctl_page_latency_seconds",
            "From the decision to page until a sink took the page, and until it showed the incident.",
            (*_NAMES, "stage"),
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        for counter, words in ((self._cycles, CYCLES), (self._events, EVENTS), (self._latency, STAGES)):
            for word in words:
                counter.labels(*values, word)

    # -- what happens

    def cycle(self, outcome: str, seconds: float | None = None, *, runs: int = 1) -> None:
        """Runs ended, were left to another process, or were missed."""
        self._cycles.labels(*self._common.values(), outcome).inc(runs)
        if seconds is not None:
            self._cycle.observe(seconds)

    def delivery(self, sink: str, delivery: Delivery, seconds: float) -> None:
        """One request to a sink; also called for each by `Composition.on_delivery`."""
        values = (*self._common.values(), clean(sink))
        self._deliveries.labels(*values, delivery.outcome).inc()
        self._requests.labels(*values).observe(seconds)

    def sinks(self, names: Iterable[str]) -> None:
        """Begin the series of each sink at zero, so that the first request shows as an increase."""
        for name in names:
            for outcome in OUTCOMES:
                self._deliveries.labels(*self._common.values(), clean(name), outcome)

    def sent(self, report: SendReport) -> None:
        """What sending came to."""
        for result in EVENTS:
            self._events.labels(*self._common.values(), result).inc(len(getattr(report, result)))

    def leave(self, left: Left) -> None:
        """Show this from now on, and count the latencies that are new; what was there at the start is not ours."""
        reached = {
            (page.episode, stage): (then - page.decided).total_seconds()
            for page in left.pages
            for stage, then in (("accepted", page.accepted), ("visible", page.visible))
            if then is not None
        }
        known, self._latencies_told = self._latencies_told, set(reached)
        if known is not None:
            for episode, stage in reached.keys() - known:
                self._latency.labels(*self._common.values(), stage).observe(max(0.0, reached[episode, stage]))
        self.left = left

    # -- what is read

    def page(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, in the format that the reader prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _gauges(self) -> Iterator[Metric]:
        if self.result is not None:
            for name, words, samples in families(self.result, self.version):
                family = GaugeMetricFamily(name, words, labels=tuple(samples[0][0]) if samples else ())
                for labels, value in samples:
                    family.add_metric(tuple(labels.values()), value)
                yield family
        for name, words, one in self._own():
            if one is not None:
                family = GaugeMetricFamily(name, words, labels=_NAMES)
                family.add_metric(tuple(self._common.values()), float(one))
                yield family

    def _own(self) -> Iterator[tuple[str, str, float | None]]:
        left, now = self.left, self._now()
        open_ = [page for page in left.pages if page.open]
        yield "opsctl_watch_interval_seconds", "How often a run begins.", self._interval.total_seconds()
        yield "opsctl_cycles_failed_in_a_row", "Runs in a row that ended with an error.", self._pulse.failures
        yield "opsctl_outbox_queued", "Events that are still to be sent.", len(left.waiting)
        yield "opsctl_outbox_oldest_age_seconds", "Age of the oldest of them.", _age(left.waiting, now)
        yield "opsctl_pages_undelivered", "Open pages that no sink took yet.", len(left.undelivered)
        yield "opsctl_pages_undelivered_oldest_age_seconds", "Age of the oldest of them.", _age(left.undelivered, now)
        yield (
            "opsctl_dead_letters",
            "Open pages that were refused for good.",
            sum(page.dead and page.accepted is None for page in open_),
        )
        visible = float(left.not_visible) if left.readers else None  # without a reader nobody knows
        yield (
            "opsctl_pages_not_visible",
            "Open pages that a sink took more than 2 minutes ago and does not show.",
            visible,
        )
        yield "opsctl_silences_active", "Silences that hold now.", left.silences
        yield (
            "opsctl_journal_problem",
            "1 where the journal cannot be trusted.",
            float(left.journal_problem is not None),
        )
        yield (
            "opsctl_config_last_reload_successful",
            "0 where the files say something wrong and what they said before is in force.",
            float(left.config_problem is None),
        )
        read = left.config_read
        yield (
            "opsctl_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was read.",
            read.timestamp() if read is not None else None,
        )


class _Gauges(Collector):
    def __init__(self, make: Callable[[], Iterator[Metric]]) -> None:
        self._make = make

    def collect(self) -> Iterator[Metric]:
        """Every gauge."""
        return self._make()


def _age(times: Iterable[datetime], now: datetime) -> float:
    """Seconds since the first of these times; 0 where there is none."""
    oldest = min(times, default=now)
    return max(0.0, (now - oldest).total_seconds())
