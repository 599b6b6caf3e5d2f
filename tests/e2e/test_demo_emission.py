"""What the platform emits arrives at real servers: a scrape with exemplars, their traces, and the lines of those."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from opsctl.core.logs import LogRecord
from opsctl.core.traces import Trace
from opsctl.demo.emit.bulk import LogSender, open_log_sender
from opsctl.demo.emit.exposition import Exposition
from opsctl.demo.emit.live import LivePlatform
from opsctl.demo.emit.otlp import SpanSender
from opsctl.demo.emit.page import MetricsPages
from opsctl.demo.platform import Platform
from opsctl.demo.telemetry.minutes import Telemetry
from tests.servers.jaeger import Jaeger, start_jaeger
from tests.servers.making import Missing

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
WAIT_SECONDS = 90


def ask(url: str, headers: dict[str, str] | None = None) -> str:
    """The body of a GET."""
    with urlopen(Request(url, headers=headers or {}), timeout=10) as answer:
        return str(answer.read().decode())


def until(found: Callable[[], Any]) -> Any:
    """What `found` answers as soon as that is something."""
    end = time.monotonic() + WAIT_SECONDS
    while not (answer := found()):
        assert time.monotonic() < end, "it did not arrive"
        time.sleep(0.2)
    return answer


class Heard:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.traces: dict[str, Trace] = {}
        self.records: list[LogRecord] = []

    def deliver(self, items: Any) -> None:
        """Takes anything."""
        for item in items:
            if isinstance(item, Trace):
                self.traces[item.trace_id] = item
            else:
                self.records.append(item)


@dataclass
class Emission:
    """A live platform, its page, and where it sends."""

    live: LivePlatform
    pages: MetricsPages
    spans: SpanSender
    logs: LogSender
    said: list[str]


@pytest.fixture(scope="module")
def own_jaeger() -> Iterator[Jaeger]:
    """One that nobody else writes to."""
    try:
        server = start_jaeger()
    except Missing as reason:
        pytest.skip(str(reason))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def emission(own_jaeger: Jaeger, elasticsearch9: Any) -> Iterator[Emission]:
    """A surge since two minutes ago, live."""
    now = datetime.now(UTC)
    exposition, said = Exposition(), []
    platform = Platform(7, now - timedelta(minutes=4), exposition)
    platform.inject("promo-surge", now - timedelta(minutes=2))
    platform.advance(now - timedelta(minutes=1))
    spans = SpanSender(own_jaeger.otlp, said.append, timeout_seconds=60)
    logs = open_log_sender(elasticsearch9.url, said.append, timeout_seconds=90)
    telemetry = Telemetry(7, platform.state)
    live = LivePlatform(platform, telemetry, exposition, spans, logs, lambda: datetime.now(UTC))
    stop = threading.Event()
    with MetricsPages(exposition) as pages:
        thread = threading.Thread(target=live.run, args=(stop,))
        thread.start()
        yield Emission(live, pages, spans, logs, said)
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    spans.close()
    logs.close()


def test_real_prometheus_scrapes_exemplars_that_lead_to_real_traces_and_their_lines(
    emission: Emission, start_prometheus: Any, own_jaeger: Jaeger, elasticsearch9: Any
) -> None:
    """From a bucket of the redemption histogram to the trace in Jaeger, in that bucket, and to its lines."""
    until(lambda: "# {" in ask(f"http://{emission.pages.address}/metrics", OPENMETRICS))
    server = start_prometheus("", "3.16", scrape=emission.pages.scrape(), exemplars=True)
    name = 'gaming_redemption_duration_seconds_bucket{service="promo",stage="e2e"}'

    def exemplars() -> list[Any]:
        now = time.time()
        query = urlencode({"query": name, "start": now - 600, "end": now})
        found: list[Any] = json.loads(ask(f"{server.url}/api/v1/query_exemplars?{query}"))["data"]
        return found

    series = until(exemplars)
    checked = 0
    for one in series:
        for exemplar in one["exemplars"]:
            trace_id, span_id = exemplar["labels"]["trace_id"], exemplar["labels"]["span_id"]
            assert float(exemplar["value"]) <= float(one["seriesLabels"]["le"])
            answer = json.loads(ask(f"{own_jaeger.url}/api/traces/{trace_id}"))
            (span,) = [s for s in answer["data"][0]["spans"] if s["spanID"] == span_id]
            assert span["operationName"] == "promo.redeem"
            assert span["duration"] / 1e6 == pytest.approx(float(exemplar["value"]), abs=1e-6)
            lines = until(lambda trace_id=trace_id: lines_of(elasticsearch9.url, trace_id, {"gateway", "promo"}))
            assert span_id in {line["span.id"] for line in lines}
            checked += 1
    assert checked
    targets = quote("count(count by (region, service) (up == 1)) == 34")
    until(lambda: json.loads(ask(f"{server.url}/api/v1/query?query={targets}"))["data"]["result"])
    assert emission.said == []
    assert emission.spans.delivery.lost == emission.logs.delivery.lost == 0


def hits(url: str, trace_id: str) -> list[dict[str, Any]]:
    """The lines of a trace, as they were sent."""
    query = quote(f'trace.id:"{trace_id}"')
    found = json.loads(ask(f"{url}/logs-*-demo/_search?q={query}&size=100"))
    return [hit["_source"] for hit in found["hits"]["hits"]]


def lines_of(url: str, trace_id: str, services: set[str]) -> list[dict[str, Any]]:
    """The lines of a trace once those services' are among them; each stream becomes searchable by itself."""
    found = hits(url, trace_id)
    return found if {line["service.name"] for line in found} >= services else []


def test_spans_arrive_with_their_times_resources_and_errors(emission: Emission, own_jaeger: Jaeger) -> None:
    """A failed redemption of a minute ago is found in Jaeger as it was made: parents, kinds, region, exception."""
    minute = int(time.time() // 60)
    traces = emission.live.telemetry.traces(minute)
    emission.spans.deliver(traces)
    wanted = next(t for t in traces if t.root.name == "POST /promo" and t.errors and len(t.spans) > 8)
    found = until(lambda: _trace(own_jaeger.url, wanted.trace_id, len(wanted.spans)))
    assert len(found["spans"]) == len(wanted.spans)
    for span in found["spans"]:
        sent = wanted.by_id[span["spanID"]]
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        process = found["processes"][span["processID"]]
        assert (span["operationName"], process["serviceName"]) == (sent.name, sent.service)
        assert (span["startTime"], span["duration"]) == (sent.start_us, sent.duration_us)
        assert [ref["spanID"] for ref in span["references"]] == ([sent.parent_id] if sent.parent_id else [])
        assert tags.get("error", False) == sent.failed
        assert tags["gaming.region"] == sent.attributes["gaming.region"]
        assert {tag["key"]: tag["value"] for tag in process["tags"]}["cloud.region"] == sent.resource["cloud.region"]


def _trace(url: str, trace_id: str, spans: int) -> Any:
    try:
        found = json.loads(ask(f"{url}/api/traces/{trace_id}"))["data"][0]
    except OSError:
        return None
    return found if len(found["spans"]) >= spans else None


def test_lines_sent_twice_are_there_once(emission: Emission, elasticsearch9: Any) -> None:
    """A line's id is its own: the second delivery changes nothing and counts as arrived."""
    records = emission.live.telemetry.records(int(time.time() // 60) - 1)[:500]
    before = emission.logs.delivery.lost
    emission.logs.deliver(records)
    emission.logs.deliver(records)
    assert emission.logs.delivery.lost == before
    ask(f"{elasticsearch9.url}/logs-*-demo/_refresh")
    assert len(hits(elasticsearch9.url, records[0].trace_id)) <= 8
    ids = [line["span.id"] for line in hits(elasticsearch9.url, records[0].trace_id)]
    assert len(ids) == len(set(ids))


def test_a_page_is_openmetrics_that_the_reference_parser_takes(emission: Emission) -> None:
    """All of it and one service's part: classic histograms whose buckets grow, exemplars inside their buckets."""
    for path in ("", "/eu-1/promo", "/us-1/wallet"):
        text = ask(f"http://{emission.pages.address}/metrics{path}", OPENMETRICS)
        families = list(text_string_to_metric_families(text))
        assert families
        for family in families:
            assert family.type in ("counter", "gauge", "histogram", "unknown")
            for sample in family.samples:
                assert (path == "") == ("service" in sample.labels)
                if sample.exemplar is not None:
                    assert re.fullmatch(r"[0-9a-f]{32}", sample.exemplar.labels["trace_id"])
                    assert sample.exemplar.value <= float(sample.labels["le"])
        names = {family.name for family in families}
        assert (
            "gaming_redemption_duration_seconds" in names
            if path != "/us-1/wallet"
            else "gaming_wallet_duration_seconds" in names
        )
    plain = ask(f"http://{emission.pages.address}/metrics")
    assert "# EOF" not in plain
    assert "trace_id" not in plain


class Nothing:
    """No server."""

    url = "http://127.0.0.1:9"


def test_dead_backends_are_counted_and_said_once() -> None:
    """Three rounds against closed ports: all lost, one sentence each, nothing raised; when it works again it says so."""
    said: list[str] = []
    platform = Platform(7, datetime(2026, 3, 2, 18, tzinfo=UTC), Exposition())
    made = Telemetry(7, platform.state)
    minute = int(datetime(2026, 3, 2, 18, 5, tzinfo=UTC).timestamp() // 60)
    traces, records = made.traces(minute)[:20], made.records(minute)[:50]
    spans, logs = SpanSender(Nothing.url, said.append, timeout_seconds=0.3), open_log_sender(Nothing.url, said.append)
    for _ in range(3):
        spans.deliver(traces)
        logs.deliver(records)
    assert spans.delivery.lost == 3 * sum(len(trace.spans) for trace in traces)
    assert logs.delivery.lost == 3 * len(records)
    assert len(said) == 2
    assert all("counted and lost" in line and "\n" not in line for line in said)
    logs.delivery._send, logs.delivery._again = lambda items: (len(items), ""), 0.0  # it is back
    logs.deliver(records)
    assert said[2].endswith(f"again; {3 * len(records)} were lost")
