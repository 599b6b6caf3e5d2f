"""Series counted from a real Elasticsearch equal those of a real Collector's count connector in a real Prometheus."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.elasticsearch import ElasticsearchSource
from opsctl.core.signals import Absent, Failed, Measured, Reason
from opsctl.http import Endpoint
from opsctl.series.logs import LogSeries
from tests.contract.log_world import BEGAN, Line, fill
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.fixtures import StartCollector, StartPrometheus
from tests.servers.prometheus import Prometheus

COUNT = "log_record_count_total"
# What docs/series.md tells to write: a label has to be an attribute of the connector.
COLLECTOR = """receivers: {otlp: {protocols: {http: {endpoint: "${env:OTLP_HTTP}"}}}}
processors: {batch: {timeout: 200ms}, deltatocumulative: {}}
connectors:
  count:
    logs:
      log.record.count:
        attributes:
          - {key: service.name}
          - {key: event.action, default_value: ""}
          - {key: event.outcome, default_value: ""}
exporters: {prometheus: {endpoint: "${env:PROMETHEUS}"}}
service:
  pipelines:
    logs: {receivers: [otlp], processors: [batch], exporters: [count]}
    metrics: {receivers: [count], processors: [deltatocumulative], exporters: [prometheus]}
"""
LABELS = "service_name, event_action, event_outcome"


def lines(prefix: str, number: int) -> list[Line]:
    """Lines of now, in every combination but evenly of none."""
    now = (datetime.now(UTC) - BEGAN).total_seconds() - 1
    out = []
    for i in range(number):
        more = {"event.action": ("login", "pay", "chat.send")[i % 3]}
        if i % 4:
            more["event.outcome"] = "failure" if i % 5 == 0 else "success"
        shape = ("ecs", "otel")[i % 2]
        out.append(Line(now + i / 1000, shape, f"line {i}", "info", f"{prefix}-{'ab'[i % 7 == 0]}", more=more))
    return out


def otlp(some: Sequence[Line]) -> bytes:
    """OTLP/JSON for `/v1/logs`, a resource for each service."""

    def pairs(values: dict[str, str]) -> list[dict[str, Any]]:
        return [{"key": name, "value": {"stringValue": value}} for name, value in values.items()]

    resources = []
    for service in sorted({line.service for line in some}):
        records = [
            {
                "timeUnixNano": str(round(line.at.timestamp() * 1e9)),
                "body": {"stringValue": line.message},
                "attributes": pairs(dict(line.more)),
            }
            for line in some
            if line.service == service
        ]
        resource = {"attributes": pairs({"service.name": service})}
        resources.append({"resource": resource, "scopeLogs": [{"logRecords": records}]})
    return json.dumps({"resourceLogs": resources}).encode()


def told(prometheus: Prometheus, query: str, at: datetime | None = None) -> dict[Any, float]:
    asked = {"query": query} | ({} if at is None else {"time": str(at.timestamp())})
    with urllib.request.urlopen(f"{prometheus.url}/api/v1/query?{urllib.parse.urlencode(asked)}", timeout=10) as got:
        result = json.load(got)["data"]["result"]
    return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in result}


class Oracle:
    """The same lines in an Elasticsearch and, as series, in a Prometheus that scrapes a Collector."""

    def __init__(self, elasticsearch: Elasticsearch, collector: Any, prometheus: Prometheus) -> None:
        self.elasticsearch, self.collector, self.prometheus = elasticsearch, collector, prometheus
        self.prefix = f"oracle-{time.time_ns():x}"
        self.selector = f'{{service_name=~"{self.prefix}-.*"}}'
        self.lines: list[Line] = []
        self.add(90)
        self.before = datetime.now(UTC)
        time.sleep(3)  # a few scrapes of the first state
        self.add(60)
        self.after = datetime.now(UTC)

    def add(self, number: int) -> None:
        made = lines(self.prefix, number)
        self.lines += made
        fill(self.elasticsearch.url, self.prefix, made)
        for half in (made[: number // 2], made[number // 2 :]):  # in order: deltatocumulative drops what is late
            url = f"{self.collector.otlp}/v1/logs"
            body = urllib.request.Request(url, otlp(half), {"Content-Type": "application/json"}, method="POST")
            urllib.request.urlopen(body, timeout=10).read()
        deadline = time.monotonic() + 40
        while sum(told(self.prometheus, f"{COUNT}{self.selector}").values()) != len(self.lines):
            assert time.monotonic() < deadline, "the counts never came to Prometheus"
            time.sleep(0.3)

    def series(self) -> LogSeries:
        return LogSeries(ElasticsearchSource(Endpoint(self.elasticsearch.url), index=(f"{self.prefix}-*",)))

    def counted(self, query: str, at: datetime) -> dict[Any, float]:
        reading = self.series().instant(query, at, 20.0)
        if isinstance(reading, Absent):
            return {}
        assert isinstance(reading, Measured), reading
        return {one.labels: one.value for one in reading.data.samples}


@pytest.fixture(scope="module", params=["8.19.21", "9.2.0"])
def oracle(request: pytest.FixtureRequest, start_otelcol: StartCollector, start_prometheus: StartPrometheus) -> Oracle:
    """Each of two versions of Elasticsearch."""
    collector = start_otelcol(COLLECTOR)
    prometheus = start_prometheus("", "3.16", scrape=[("counts", collector.prometheus, {})])
    start_elasticsearch = request.getfixturevalue("start_elasticsearch")
    return Oracle(start_elasticsearch(request.param), collector, prometheus)


@pytest.mark.parametrize("by", [LABELS, "service_name", "event_action", "event_outcome, event_action"])
def test_counts_equal_the_connectors(oracle: Oracle, by: str) -> None:
    """To the last line, by the same labels, through ECS and OpenTelemetry mappings alike."""
    ours = oracle.counted(f"sum by ({by}) (increase({COUNT}{oracle.selector}[10m]))", oracle.after)
    theirs = told(oracle.prometheus, f"sum by ({by}) ({COUNT}{oracle.selector})")
    assert ours == theirs
    assert sum(ours.values()) == len(oracle.lines)


@pytest.mark.parametrize(
    "matchers",
    [
        'event_action="login"',
        'event_outcome=""',
        'event_outcome!="success"',
        'event_action=~"p.*|chat.*"',
        'event_action!~"login"',
    ],
)
def test_matchers_choose_as_prometheus_does(oracle: Oracle, matchers: str) -> None:
    """A field that a line does not have is the empty text."""
    selector = f"{oracle.selector[:-1]},{matchers}}}"
    ours = oracle.counted(f"sum by ({LABELS}) (increase({COUNT}{selector}[10m]))", oracle.after)
    assert ours == told(oracle.prometheus, f"sum by ({LABELS}) ({COUNT}{selector})")
    assert ours


def test_a_plain_count_says_the_same(oracle: Oracle) -> None:
    """Neither side is believed alone."""
    ours = oracle.counted(f"sum by (event_action) (increase({COUNT}{oracle.selector}[10m]))", oracle.after)
    plain = Counter(str(line.more["event.action"]) for line in oracle.lines)
    assert ours == {(("event_action", action),): float(n) for action, n in plain.items()}


def test_windows_equal_prometheus_within_what_sampling_allows(oracle: Oracle) -> None:
    """Prometheus estimates a window from scrapes a second apart: it is off by its two edges at most."""
    window = oracle.after - oracle.before + timedelta(seconds=1)
    milliseconds = round(window.total_seconds() * 1000)
    allowed = 2.5 / window.total_seconds()
    for text in (
        f"sum(increase({COUNT}{oracle.selector}[{milliseconds}ms]))",
        f"sum by (event_action) (rate({COUNT}{oracle.selector}[{milliseconds}ms]))",
    ):
        ours, theirs = oracle.counted(text, oracle.after), told(oracle.prometheus, text, oracle.after)
        assert ours.keys() == theirs.keys()
        for labels, number in theirs.items():
            assert ours[labels] == pytest.approx(number, rel=allowed), labels


def test_a_label_that_no_index_has_is_refused(oracle: Oracle) -> None:
    """The mapping is asked, not guessed."""
    reading = oracle.series().instant(f'sum(increase({COUNT}{{event_actoin="login"}}[5m]))', oracle.after, 20.0)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED
    assert "the label event_actoin is no field of the logs; near: event_action (event.action)" in reading.message


def test_no_index_is_absent_and_an_old_index_too(oracle: Oracle) -> None:
    """Presence on an index that is not there, and on one without a line for an hour."""
    other = of_index(oracle, "nothing-here-*")
    assert isinstance(other.instant(f"group({COUNT}{{}})", oracle.after, 20.0), Absent)
    later = oracle.series().instant(f"group({COUNT}{oracle.selector})", oracle.after + timedelta(hours=1), 20.0)
    assert isinstance(later, Absent)
    now = oracle.series().instant(f"group({COUNT}{oracle.selector})", oracle.after, 20.0)
    assert isinstance(now, Measured)


def of_index(oracle: Oracle, index: str) -> LogSeries:
    return LogSeries(ElasticsearchSource(Endpoint(oracle.elasticsearch.url), index=(index,)))


def test_a_month_is_asked_in_little(oracle: Oracle) -> None:
    """A long window is one number, not thousands."""
    begun = time.monotonic()
    ours = oracle.counted(f"sum(increase({COUNT}{oracle.selector}[30d]))", oracle.after)
    assert ours == {(): float(len(oracle.lines))}
    assert time.monotonic() - begun < 5
