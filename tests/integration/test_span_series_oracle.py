"""Series counted from a real Jaeger's traces equal those of its span metrics connector in a real Prometheus."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from collectors.jaeger import JaegerSource
from opsctl.core.signals import Absent, Measured, Vector
from opsctl.core.traces import Trace, trace_of
from opsctl.http import Endpoint
from opsctl.series.spans import SpanSeries
from tests.contract.trace_world import MS, otlp, span
from tests.servers.jaeger import Jaeger
from tests.servers.prometheus import Prometheus

CALLS = "traces_span_metrics_calls_total"
DURATION = "traces_span_metrics_duration_milliseconds"
# Around the edges of the connector's buckets, and beyond the last.
TOOK_US = (0, 500, 1999, 2000, 2001, 9_999, 10_000, 49_000, 100_001, 1_400_000, 14_999_999, 15_000_001)
KINDS = ("server", "client", "internal", "producer", "consumer")
STATUSES = ("unset", "ok", "error")
_ids = count(int(time.time()) << 20)


def batch(services: tuple[str, ...], traces: int) -> list[Trace]:
    """Traces that begin now: each has a span of every service, of all kinds, outcomes and durations in turn."""
    now_us = int(time.time() * 1e6)
    out = []
    for i in range(traces):
        trace = next(_ids)
        spans = []
        for depth, service in enumerate(services):
            n = i + 3 * depth
            parent = None if depth == 0 else next(_ids) if i % 7 == 6 else int(spans[-1].span_id, 16)
            kind, status = KINDS[n % 5], STATUSES[n % 3]
            name = ("charge", "refund")[n % 2]
            began = now_us - 500_000 + i * MS
            spans.append(
                span(trace, next(_ids), parent, service, name, kind, began, TOOK_US[n % 12], status, zone=f"z{n % 2}")
            )
        out.append(trace_of(f"{trace:032x}", spans))
    return out


def send(jaeger: Jaeger, traces: list[Trace]) -> None:
    request = urllib.request.Request(
        f"{jaeger.otlp}/v1/traces", otlp(traces), {"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=10).read()


def told(prometheus: Prometheus, query: str, at: datetime | None = None) -> dict[tuple[tuple[str, str], ...], float]:
    """What Prometheus answers, without the metric's name."""
    asked = {"query": query} | ({} if at is None else {"time": str(at.timestamp())})
    with urllib.request.urlopen(f"{prometheus.url}/api/v1/query?{urllib.parse.urlencode(asked)}", timeout=10) as got:
        result = json.load(got)["data"]["result"]
    return {
        tuple(sorted((k, v) for k, v in one["metric"].items() if k != "__name__")): float(one["value"][1])
        for one in result
    }


def wait(until: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 40
    while not until():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def counted(series: SpanSeries, query: str, at: datetime) -> dict[Any, float]:
    reading = series.instant(query, at, 20.0)
    if isinstance(reading, Absent):
        return {}
    assert isinstance(reading, Measured), reading
    assert isinstance(reading.data, Vector)
    return {one.labels: one.value for one in reading.data.samples}


class Oracle:
    """A Jaeger with two services' spans in it, all of them scraped."""

    def __init__(self, jaeger: Jaeger, prometheus: Prometheus) -> None:
        self.jaeger, self.prometheus = jaeger, prometheus
        self.services = tuple(f"oracle-{next(_ids):x}-{name}" for name in ("shop", "purse"))
        self.selector = f'{{service_name=~"{"|".join(self.services)}"}}'
        self.spans = 0
        self.add(60)
        self.before = datetime.now(UTC)
        time.sleep(3)  # a few scrapes of the first state
        self.add(40)
        self.after = datetime.now(UTC)

    def add(self, traces: int) -> None:
        made = batch(self.services, traces)
        self.spans += sum(len(trace.spans) for trace in made)
        send(self.jaeger, made)
        wait(
            lambda: sum(told(self.prometheus, f"{CALLS}{self.selector}").values()) == self.spans,
            "the span metrics never came to Prometheus",
        )
        wait(lambda: self._stored() == self.spans, "the traces never came to Jaeger")

    def _stored(self) -> float:
        found = counted(self.series(), f"sum(increase({CALLS}{self.selector}[10m]))", datetime.now(UTC))
        return next(iter(found.values()), 0.0)

    def source(self) -> JaegerSource:
        return JaegerSource(Endpoint(self.jaeger.url))

    def series(self) -> SpanSeries:
        """Counted from traces: what is asked without a service of its own is nothing that SPM can say."""
        return SpanSeries(self.source())


@pytest.fixture(scope="module")
def oracle(jaeger_with_spm: tuple[Jaeger, Prometheus]) -> Oracle:
    """The same spans in Jaeger and, as series, in Prometheus."""
    return Oracle(*jaeger_with_spm)


@pytest.mark.parametrize(
    ("metric", "by"),
    [
        (CALLS, "service_name, span_name, span_kind, status_code"),
        (CALLS, "service_name"),
        (f"{DURATION}_count", "service_name, span_name, span_kind, status_code"),
        (f"{DURATION}_bucket", "service_name, span_name, span_kind, status_code, le"),
        (f"{DURATION}_bucket", "le"),
    ],
)
def test_counts_equal_the_connectors(oracle: Oracle, metric: str, by: str) -> None:
    """To the last span, by all of the connector's labels: its counters began at zero with the first of them."""
    ours = counted(oracle.series(), f"sum by ({by}) (increase({metric}{oracle.selector}[10m]))", oracle.after)
    theirs = told(oracle.prometheus, f"sum by ({by}) ({metric}{oracle.selector})")
    assert ours == theirs
    assert len(theirs) >= 2


def test_the_sum_of_durations_equals_the_connectors(oracle: Oracle) -> None:
    """In milliseconds."""
    by = "service_name, span_kind"
    ours = counted(oracle.series(), f"sum by ({by}) (increase({DURATION}_sum{oracle.selector}[10m]))", oracle.after)
    theirs = told(oracle.prometheus, f"sum by ({by}) ({DURATION}_sum{oracle.selector})")
    assert ours.keys() == theirs.keys()
    for labels, milliseconds in theirs.items():
        assert ours[labels] == pytest.approx(milliseconds, rel=1e-9, abs=1e-6)


def test_bare_series_have_the_connectors_labels(oracle: Oracle) -> None:
    """An expression without `by` gives the same series; what a scrape adds is Prometheus's own."""
    ours = counted(oracle.series(), f"{CALLS}{oracle.selector}", oracle.after)
    added = {
        "job",
        "instance",
        "exported_job",
        "exported_instance",
        "otel_scope_name",
        "otel_scope_version",
        "otel_scope_schema_url",
    }
    theirs = {
        tuple(pair for pair in labels if pair[0] not in added)
        for labels in told(oracle.prometheus, f"{CALLS}{oracle.selector}")
    }
    assert {tuple(pair for pair in labels if pair[0] != "__name__") for labels in ours} == theirs


@pytest.mark.parametrize(
    "expression",
    [
        "sum by (service_name) (increase({calls}{selector}[30s]))",
        "sum by (service_name, status_code) (rate({calls}{selector}[30s]))",
        'sum(increase({calls}{{service_name=~"{services}",status_code="STATUS_CODE_ERROR"}}[30s])) / sum(increase({calls}{selector}[30s]))',
        "sum by (le) (increase({duration}_bucket{selector}[30s]))",
    ],
)
def test_windows_equal_prometheus_within_what_sampling_allows(oracle: Oracle, expression: str) -> None:
    """Prometheus estimates a window from scrapes a second apart: it is off by its two edges at most."""
    text = expression.format(
        calls=CALLS, duration=DURATION, selector=oracle.selector, services="|".join(oracle.services)
    )
    # Only the second batch is within the window of both: the first is older than its scrapes.
    window = (oracle.after - oracle.before).total_seconds() + 1
    text = text.replace("[30s]", f"[{round(window * 1000)}ms]")
    ours, theirs = counted(oracle.series(), text, oracle.after), told(oracle.prometheus, text, oracle.after)
    assert theirs
    assert ours.keys() >= theirs.keys()
    for labels, number in theirs.items():
        assert ours[labels] == pytest.approx(number, rel=2.5 / window, abs=0.05), labels


def test_span_metrics_of_jaeger_equal_prometheus(oracle: Oracle) -> None:
    """Jaeger asks the same Prometheus: its calls and error shares become the same numbers, and no trace is fetched."""

    class NoTraces(JaegerSource):
        def search(self, *args: Any, **more: Any) -> Any:
            raise AssertionError("a trace was asked for")

    series = SpanSeries(NoTraces(Endpoint(oracle.jaeger.url)))
    service = oracle.services[1]
    for matchers, by in (
        ('span_kind="SPAN_KIND_SERVER"', "service_name"),
        ('span_kind="SPAN_KIND_CLIENT"', "span_name"),
        ('span_name=~"ch.*"', "span_name"),
        ('status_code="STATUS_CODE_ERROR"', "service_name"),
    ):
        text = f'sum by ({by}) (increase({CALLS}{{service_name="{service}",{matchers}}}[1m]))'
        ours, theirs = counted(series, text, oracle.after), told(oracle.prometheus, text, oracle.after)
        assert theirs
        assert ours.keys() == theirs.keys()
        for labels, number in theirs.items():
            assert ours[labels] == pytest.approx(number, rel=0.02), (text, labels)
