"""Looking around in real servers: exemplars and metadata of a scraped app, rules and alerts that the server evaluates."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from collectors.prometheus import PrometheusSource
from opsctl.core.exploring import RuleQuery, ServerRule
from opsctl.core.signals import Measured, Reading
from opsctl.http import Endpoint
from tests.integration.test_empty_prometheus import opsctl
from tests.servers.fixtures import StartPrometheus

TIMEOUT_SECONDS = 10.0
PATIENCE_SECONDS = 30.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOSTILE_TRACE = "x; rm -rf /\x1b[31m"

RULES = """
groups:
  - name: money
    rules:
      - record: redeem:rate
        expr: sum(rate(redeem_total[10s]))
      - alert: RedeemSeen
        expr: redeem_total > 0
        labels: {severity: page, service: promo}
        annotations: {summary: "{{ $value }} of {{ $labels.service }}"}
      - alert: RedeemWaits
        expr: redeem_total > 0
        for: 1h
        labels: {severity: ticket}
  - name: other
    rules:
      - alert: RedeemNever
        expr: redeem_total < 0
        labels: {service: wallet}
      - alert: RedeemBroken
        expr: redeem_total * on () group_left () redeem_seconds_bucket
"""


@dataclass
class App:
    """An app that is scraped, with the server that scrapes it."""

    url: str
    source: PrometheusSource
    begun: datetime


def until(ask: Callable[[], Reading[object]], enough: Callable[[object], bool]) -> object:
    """The data of a reading once it is enough; fails after a while with the last reading."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        reading = ask()
        if isinstance(reading, Measured) and enough(reading.data):
            return reading.data
        assert time.monotonic() < end, reading
        time.sleep(0.1)


@pytest.fixture(scope="module", params=["3.16", "2.42"])
def app(request: pytest.FixtureRequest, start_prometheus: StartPrometheus) -> Iterator[App]:
    """A scraped app with one exemplar of each kind of trace label, on both versions."""
    registry = CollectorRegistry()
    server, thread = start_http_server(0, "127.0.0.1", registry=registry)
    seconds = Histogram(
        "redeem_seconds", "Time to redeem a code.", registry=registry, buckets=(0.1, 0.5), unit="seconds"
    )
    count = Counter("redeem", "Codes redeemed.", ["service"], registry=registry)
    size = Gauge("cache_bytes", "Size of the cache.", registry=registry, unit="bytes")
    size.set(3 << 20)
    seconds.observe(0.05, {"traceID": TRACE})
    seconds.observe(0.3, {"TraceID": HOSTILE_TRACE})
    count.labels("promo").inc(3, {"trace_id": TRACE, "span_id": "00f067aa0ba902b7"})
    begun = datetime.now(UTC) - timedelta(minutes=1)
    scraped = [("app", f"127.0.0.1:{server.server_port}", {"region": "eu-1"})]
    running = start_prometheus("", request.param, scrape=scraped, rules=[RULES], exemplars=True)
    source = PrometheusSource(Endpoint(running.url))
    yield App(running.url, source, begun)
    source.close()
    server.shutdown()
    thread.join(5)


def evaluated(app: App, query: RuleQuery | None = None) -> dict[str, ServerRule]:
    """The server's rules by name, once it has evaluated what it scraped."""
    until(
        lambda: app.source.rules(RuleQuery(), TIMEOUT_SECONDS),
        lambda rules: {"firing", "pending"} <= {one.state for one in rules} and "err" in {one.health for one in rules},  # type: ignore[attr-defined]
    )
    reading = app.source.rules(query or RuleQuery(), TIMEOUT_SECONDS)
    assert isinstance(reading, Measured), reading
    return {rule.name: rule for rule in reading.data}


def test_exemplars_carry_their_trace_under_any_name(app: App) -> None:
    """A counter's and a histogram's, with value and time; `trace_id` finds all three spellings."""
    end = datetime.now(UTC) + timedelta(minutes=1)
    for expression, traces in (
        ("redeem_total", {TRACE}),
        ("sum by (le) (rate(redeem_seconds_bucket[1m]))", {TRACE, HOSTILE_TRACE}),
    ):
        found = until(
            lambda expression=expression: app.source.exemplars(expression, app.begun, end, TIMEOUT_SECONDS),  # type: ignore[misc]
            lambda data, traces=traces: len(data) == len(traces),  # type: ignore[misc]
        )
        ones = [one for series in found for one in series.exemplars]  # type: ignore[attr-defined]
        assert {one.trace_id for one in ones} == traces
        assert all(app.begun.timestamp() <= one.at <= end.timestamp() for one in ones)
    before = app.source.exemplars("redeem_total", app.begun - timedelta(hours=2), app.begun, TIMEOUT_SECONDS)
    assert not isinstance(before, Measured)


def test_metadata_is_filed_by_family(app: App) -> None:
    """OpenMetrics' counter has no `_total`, and type, help and unit come through."""
    until(lambda: app.source.metadata("redeem", TIMEOUT_SECONDS), bool)
    one = app.source.metadata("redeem", TIMEOUT_SECONDS)
    assert isinstance(one, Measured)
    assert [(m.type, m.help) for m in one.data["redeem"]] == [("counter", "Codes redeemed.")]
    every = app.source.metadata(None, TIMEOUT_SECONDS)
    assert isinstance(every, Measured)
    assert {"redeem", "redeem_seconds", "cache_bytes"} <= every.data.keys()
    assert every.data["cache_bytes"][0].unit == "bytes"


def test_rules_say_what_the_server_thinks_of_them(app: App) -> None:
    """States, health, groups, labels and the alerts inside, annotations expanded."""
    rules = evaluated(app)
    assert {name: rule.state for name, rule in rules.items()} == {
        "redeem:rate": None,
        "RedeemSeen": "firing",
        "RedeemWaits": "pending",
        "RedeemNever": "inactive",
        "RedeemBroken": rules["RedeemBroken"].state,  # the versions differ in what a broken rule's state is
    }
    assert rules["RedeemBroken"].health == "err"
    assert "duplicate" in rules["RedeemBroken"].error
    seen = rules["RedeemSeen"]
    assert (seen.kind, seen.group, seen.health, seen.interval_seconds) == ("alerting", "money", "ok", 1.0)
    (alert,) = seen.alerts
    assert (alert.value, alert.annotations["summary"], alert.labels["region"]) == (3.0, "3 of promo", "eu-1")
    assert alert.since is not None
    assert alert.since >= app.begun
    assert rules["RedeemWaits"].for_seconds == 3600.0


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (RuleQuery(kind="recording"), {"redeem:rate"}),
        (RuleQuery(names=("RedeemSeen", "no_such")), {"RedeemSeen"}),
        (RuleQuery(kind="alerting", groups=("other",)), {"RedeemNever", "RedeemBroken"}),
    ],
)
def test_filters_hold_on_servers_that_ignore_them(app: App, query: RuleQuery, names: set[str]) -> None:
    """2.42 knows only the type; the answer is the same."""
    assert evaluated(app, query).keys() == names


def test_alerts_are_those_of_the_rules(app: App) -> None:
    """Pending and firing ones, each with its state."""
    evaluated(app)
    reading = app.source.alerts(TIMEOUT_SECONDS)
    assert isinstance(reading, Measured)
    assert {(alert.name, alert.state) for alert in reading.data} == {
        ("RedeemSeen", "firing"),
        ("RedeemWaits", "pending"),
    }


# -- as people type it -------------------------------------------------------------------------------------------------


@pytest.fixture
def home(app: App, fixed_home: Path) -> Path:
    """A configuration for that server."""
    evaluated(app)
    (fixed_home / "opsctl.toml").write_text(
        'default_context = "t"\n[contexts.t]\nnamespace = "t"\nrules = ["bundled:slo"]\n'
        f'[contexts.t.prometheus]\nurl = "{app.url}"\n'
    )
    return fixed_home


def test_exemplars_come_with_the_command_that_shows_the_trace(home: Path) -> None:
    """A trace id that is none is shown clean and never in a command."""
    done = opsctl(home, "metric", "range", "redeem_seconds_bucket", "--exemplars")
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0] == ["time", "value", "trace", "series"]
    traces = {row[1]: row[2] for row in rows[1:]}
    assert traces["0.05"] == f"opsctl trace show {TRACE}"
    assert "opsctl" not in traces["0.3"]
    assert "\x1b" not in done.stdout
    body = json.loads(opsctl(home, "metric", "range", "redeem_seconds_bucket", "--exemplars", "--json").stdout)
    assert {one["command"] for one in body["exemplars"]} == {f"opsctl trace show {TRACE}", None}


def test_metrics_are_listed_with_type_and_number_of_series(home: Path) -> None:
    """By a part of the name and by a glob."""
    done = opsctl(home, "metric", "ls", "redeem_sec")
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in done.stdout.splitlines()}
    assert rows["redeem_seconds_bucket"] == ["histogram", "seconds", "3", "Time to redeem a code."]
    assert "redeem_total" not in rows
    body = json.loads(opsctl(home, "metric", "ls", "redeem_*_bucket", "--json").stdout)
    assert [(one["name"], one["series"]) for one in body["metrics"]] == [("redeem_seconds_bucket", 3)]


def test_labels_are_listed_with_their_values(home: Path) -> None:
    """How many series have each."""
    done = opsctl(home, "metric", "labels", "redeem_seconds_bucket")
    assert "le\t0.5\t1\n" in done.stdout
    assert "region\teu-1\t3\n" in done.stdout
    names = opsctl(home, "metric", "labels").stdout.splitlines()
    assert {"label", "__name__", "le", "region", "service"} <= set(names)


def test_a_misspelt_metric_is_named_with_what_it_may_mean(home: Path) -> None:
    """On stderr, after an answer that is empty; not when the name is right and only the labels are not."""
    wrong = opsctl(home, "metric", "query", "sum(rate(redem_total[5m]))")
    assert "no metric is called redem_total; did you mean redeem_total?" in wrong.stderr
    right = opsctl(home, "metric", "query", 'redeem_total{service="nobody"}')
    assert right.stderr == 'nothing: no series answers redeem_total{service="nobody"}\n'
    quiet = opsctl(home, "-q", "metric", "query", "redem_total")
    assert (quiet.stderr, quiet.returncode) == ("", 0)


def test_the_servers_own_rules_are_listed_loudest_first(home: Path) -> None:
    """With state in words; a service that no rule has is a usage error."""
    done = opsctl(home, "rule", "ls", "--server", "-o", "table")
    assert done.returncode == 0, done.stderr
    states = [line.split()[1] for line in done.stdout.splitlines()[1:] if line[0] in "✖!?✔"]
    assert states == ["FIRING", "PENDING", "ERROR", "INACTIVE", "OK"]
    one = opsctl(home, "rule", "ls", "pro*", "--server")
    assert [line.split("\t")[1] for line in one.stdout.splitlines()] == ["rule", "RedeemSeen", "RedeemWaits"]
    none = opsctl(home, "rule", "ls", "nobody", "--server")
    assert (none.returncode, none.stderr) == (2, "opsctl: no rule of the server has the service nobody\n")


def test_a_chart_is_drawn_with_the_unit_of_the_metadata(home: Path) -> None:
    """`--chart` also where stdout is no terminal, clean of escape codes."""
    done = opsctl(home, "metric", "range", "cache_bytes", "--since", "10s", "--step", "1s", "--chart")
    assert done.returncode == 0, done.stderr
    assert "3 MiB" in done.stdout
    assert "┤" in done.stdout
    assert "\x1b" not in done.stdout
    both = opsctl(home, "metric", "range", "cache_bytes", "--chart", "--json")
    assert (both.returncode, both.stderr) == (2, "opsctl: --chart goes with a table, not with json\n")
