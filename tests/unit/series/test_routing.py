"""Which backend an expression is asked of, and that no other is opened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opsctl.core.signals import Absent, Failed, Reason, Signal
from opsctl.ports import Probe
from opsctl.series.names import SIGNAL_OF, signal_of
from opsctl.series.routing import OnUse, by_signal, prometheus_first

AT = datetime(2026, 3, 2, tzinfo=UTC)


class Named:
    """Answers nothing, under its name."""

    concurrency = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Any:
        return Absent(self.name)

    def range(self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float) -> Any:
        return Absent(self.name)

    def probe(self, timeout_seconds: float) -> Probe:
        return Probe(self.name, self.name, True, True, "")

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("query", "opened"),
    [
        ("up", "metrics"),
        ("1 + 1", "metrics"),
        ("sum(", "metrics"),
        ('{__name__=~"log_record.*"}', "metrics"),
        ("sum(increase(log_record_count_total[5m]))", "logs"),
        ("traces_span_metrics_calls_total offset 5m", "traces"),
        ("traces_service_graph_request_total / traces_span_metrics_calls_total", "traces"),
    ],
)
def test_an_expression_opens_its_own_backend_only(query: str, opened: str) -> None:
    """Also one that cannot be parsed: whoever answers metrics says what is wrong with it."""
    sources = OnUse({signal: (lambda signal=signal: Named(str(signal))) for signal in Signal})  # type: ignore[misc]
    router = by_signal(sources)
    assert router.instant(query, AT, 1).backend == opened
    assert router.range(query, AT, AT, timedelta(minutes=1), 1).backend == opened
    assert [source.name for source in sources.opened] == [opened]


def test_two_signals_are_refused_before_anybody_is_asked() -> None:
    """One backend cannot answer it."""
    sources = OnUse({})
    reading = by_signal(sources).instant("up and log_record_count_total", AT, 1)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED
    assert reading.message == "one signal per expression, this reads series of metrics and logs"


def test_a_prometheus_of_span_series_is_not_asked_for_what_only_opsctl_counts() -> None:
    """No connector computes `traces_span_without_total`: it would be absent there for ever."""
    source = prometheus_first(lambda: Named("prometheus"), lambda: Named("jaeger"))
    assert source.instant("traces_span_metrics_calls_total", AT, 1).backend == "prometheus"
    assert source.instant('traces_span_without_total{span_name="a",without="b"}', AT, 1).backend == "jaeger"


def test_every_series_has_one_signal() -> None:
    """Names decide; no name at all is metrics."""
    assert signal_of([]) == (Signal.METRICS,)
    assert set(SIGNAL_OF.values()) == {Signal.LOGS, Signal.TRACES}
