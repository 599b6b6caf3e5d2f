"""The fixtures of real servers: they start, answer their own API on loopback only, hold a past, and end."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collectors.prometheus import PrometheusSource
from opsctl.core.signals import Measured
from opsctl.http import Endpoint
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.fixtures import StartAlertmanager, StartElasticsearch, StartJaeger, StartPrometheus
from tests.servers.jaeger import Jaeger
from tests.servers.otelcol import Collector
from tests.servers.prometheus import Prometheus
from tests.servers.running import Launch, Running, free_ports, start

ROOT = Path(__file__).parent.parent.parent
SECONDS = 15.0
LISTEN = "0A"  # in /proc/net/tcp

HISTORY = """# TYPE demo_level gauge
demo_level{service="wallet"} 1 1700000000
demo_level{service="wallet"} 2 1700000060
# EOF
"""


def ask(url: str, body: object = None, *, login: str = "", kind: str = "application/json") -> Any:
    """The JSON (or the text) that a server answers to a GET, or to a POST of a body."""
    data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": kind}
    if login:
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10) as answer:
        said = answer.read().decode()
    return json.loads(said) if "json" in (answer.headers["Content-Type"] or "") else said


def eventually(look: Callable[[], Any]) -> Any:
    """What a look sees as soon as it sees something."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if seen := look():
            return seen
        time.sleep(0.1)
    raise AssertionError(f"nothing within {SECONDS:.0f} s")


def group(running: Running) -> list[int]:
    """The processes of one server."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if group_of(pid) == running.process.pid]


def group_of(pid: int) -> int:
    """The group of a process; 0 when it is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def listening(running: Running) -> Iterator[tuple[str, int]]:
    """Every address and port that a server takes connections on."""
    inodes = set()
    for pid in group(running):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                inodes.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in inodes:
                address, port = fields[1].split(":")
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                ip = ipaddress.ip_address(b"".join(words))
                yield str(getattr(ip, "ipv4_mapped", None) or ip), int(port, 16)


def assert_on_loopback(running: Running) -> None:
    """It listens, on the ports that it was given, and nowhere else."""
    addresses = set(listening(running))
    assert {port for _, port in addresses} == set(running.ports.values())
    assert {address for address, _ in addresses} == {"127.0.0.1"}


def spans(service: str, count: int, errors: int = 0) -> dict[str, Any]:
    """OTLP of server spans of one service, each a trace of its own."""
    now = time.time_ns()
    made = [
        {
            "traceId": os.urandom(16).hex(),
            "spanId": os.urandom(8).hex(),
            "name": "GET /balance",
            "kind": 2,
            "startTimeUnixNano": str(now - 100_000_000),
            "endTimeUnixNano": str(now),
            "status": {"code": 2 if number < errors else 0},
        }
        for number in range(count)
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": made}]}]}


@pytest.mark.parametrize("version", ["3.16", "2.42"])
def test_a_server_answers_from_the_past_that_it_was_given(start_prometheus: StartPrometheus, version: str) -> None:
    """A history that is years old is neither deleted by retention nor out of reach."""
    running = start_prometheus(HISTORY, version)
    source = PrometheusSource(Endpoint(running.url))
    reading = source.instant("demo_level", datetime.fromtimestamp(1700000060, UTC), 5)
    source.close()
    assert isinstance(reading, Measured)
    assert reading.data.samples[0].value == 2


def test_both_prometheus_versions_are_what_they_say(prometheus: Prometheus, prometheus2: Prometheus) -> None:
    """The older one knows its version; the newer one, built from its module, has none."""
    version = ask(f"{prometheus.url}/api/v1/status/buildinfo")["data"]["version"]
    assert version.startswith("2.42") if prometheus is prometheus2 else version == ""
    assert_on_loopback(prometheus)


def test_stop_ends_the_process_and_removes_its_data(start_prometheus: StartPrometheus) -> None:
    """`stop()` leaves no process and no folder, and the next call of the fixture starts another server."""
    history = "# TYPE demo_other gauge\ndemo_other 1 1700000000\n"
    running = start_prometheus(history, "3.16")
    running.stop()
    assert not running.folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(running.process.pid, 0)
    assert start_prometheus(history, "3.16") is not running


@pytest.mark.parametrize(("version", "alerts"), [("3.16", "0.31"), ("2.42", "0.25")])
def test_a_prometheus_scrapes_judges_rules_and_tells_an_alertmanager(
    start_prometheus: StartPrometheus, start_alertmanager: StartAlertmanager, version: str, alerts: str
) -> None:
    """A rule over what it scrapes from an Alertmanager becomes an alert there."""
    alertmanager = start_alertmanager(version=alerts)
    name = f"Up{version.replace('.', '')}at{alertmanager.version.replace('.', '')}"
    rule = f"groups: [{{name: one, rules: [{{alert: {name}, expr: 'up{{team=\"a\"}} == 1'}}]}}]"
    running = start_prometheus(
        version=version,
        scrape=[("alerts", alertmanager.address, {"team": "a"})],
        rules=[rule],
        alertmanager=alertmanager.address,
    )

    def told() -> bool:
        alerts = ask(f"{alertmanager.url}/api/v2/alerts")
        return any(alert["labels"]["alertname"] == name for alert in alerts)

    eventually(told)
    assert_on_loopback(running)
    assert_on_loopback(alertmanager)
    command = [str(alertmanager.amtool), f"--alertmanager.url={alertmanager.url}", "alert", "query", "-o", "json"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert name in {alert["labels"]["alertname"] for alert in json.loads(said.stdout)}


def test_a_prometheus_keeps_exemplars_of_a_collector(start_prometheus: StartPrometheus, otelcol: Collector) -> None:
    """A span's trace is found from the series that its duration was counted in."""
    running = start_prometheus(scrape=[("otelcol", otelcol.prometheus, {})], exemplars=True)
    query = 'query=traces_span_metrics_duration_milliseconds_bucket{service_name="exemplified"}'
    url = f"{running.url}/api/v1/query_exemplars?{query}&start={time.time() - 60}&end={time.time() + 60}"

    def exemplars() -> Any:
        ask(f"{otelcol.otlp}/v1/traces", spans("exemplified", 3))
        return ask(url)["data"]

    (series,) = eventually(exemplars)
    assert {"trace_id", "span_id"} <= series["exemplars"][0]["labels"].keys()


def test_a_configuration_that_prometheus_refuses_is_said(start_prometheus: StartPrometheus) -> None:
    """In its own words; the fixture `jaeger_with_spm` shows that a good one is taken."""
    running = start_prometheus("# TYPE demo_change gauge\ndemo_change 1 1700000000\n")
    with pytest.raises(RuntimeError, match="did not take its configuration"):
        running.reconfigure(rules=["groups: nothing"])
    running.stop()


def test_a_jaeger_takes_traces_and_gives_them_back(jaeger: Jaeger) -> None:
    """Over OTLP in, over its query API out; without SPM it says so."""
    ask(f"{jaeger.otlp}/v1/traces", spans("given-back", 2))
    eventually(lambda: "given-back" in (ask(f"{jaeger.url}/api/services")["data"] or []))
    assert len(ask(f"{jaeger.url}/api/traces?service=given-back")["data"]) == 2
    with pytest.raises(urllib.error.HTTPError, match="501"):
        ask(f"{jaeger.url}/api/metrics/calls?service=given-back")
    assert_on_loopback(jaeger)


def test_a_jaeger_with_spm_serves_what_its_prometheus_scraped(jaeger_with_spm: tuple[Jaeger, Prometheus]) -> None:
    """The same calls as series of Prometheus and as Jaeger's own metrics."""
    jaeger, scraper = jaeger_with_spm
    ask(f"{jaeger.otlp}/v1/traces", spans("measured", 10, errors=2))
    calls = 'traces_span_metrics_calls_total{service_name="measured",status_code="STATUS_CODE_ERROR"}'
    counted = f"{scraper.url}/api/v1/query?query={calls}+%3E+1"  # a new series of the connector begins at 0
    (series,) = eventually(lambda: ask(counted)["data"]["result"])
    assert series["value"][1] == "2"
    assert series["metric"]["span_kind"] == "SPAN_KIND_SERVER"
    asked = f"service=measured&endTs={int(time.time() * 1000)}&lookback=60000&step=1000&ratePer=60000"
    assert ask(f"{jaeger.url}/api/metrics/calls?{asked}&spanKind=server")["name"] == "service_call_rate"
    assert_on_loopback(jaeger)


def test_a_zipkin_takes_spans_and_gives_them_back(zipkin: Running) -> None:
    """Its own format, and its own health."""
    span = {"traceId": "a" * 16, "id": "b" * 16, "name": "get", "timestamp": int(time.time() * 1e6), "duration": 1000}
    ask(f"{zipkin.url}/api/v2/spans", [{**span, "kind": "SERVER", "localEndpoint": {"serviceName": "given-back"}}])
    assert eventually(lambda: ask(f"{zipkin.url}/api/v2/traces?serviceName=given-back"))[0][0]["name"] == "get"
    assert_on_loopback(zipkin)


def test_both_elasticsearch_versions_keep_documents(elasticsearch: Elasticsearch) -> None:
    """They are what they say, take a document and find it."""
    (node,) = ask(f"{elasticsearch.url}/_nodes")["nodes"].values()
    assert node["version"] == elasticsearch.version
    ask(f"{elasticsearch.url}/servers-kept/_doc?refresh=true", {"service": {"name": "wallet"}, "level": 3})
    assert ask(f"{elasticsearch.url}/servers-kept/_count?q=service.name:wallet")["count"] >= 1
    assert_on_loopback(elasticsearch)


def test_an_elasticsearch_with_security_knows_its_user_and_leaves_no_process(
    start_elasticsearch: StartElasticsearch,
) -> None:
    """401 without the password; and stopping it stops the server that its launcher started, which is not root."""
    running = start_elasticsearch("9.2.0", security=True)
    health = f"{running.url}/_cluster/health"
    for login in ("", f"{running.user}:wrong"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(health, login=login)
    assert ask(health, login=f"{running.user}:{running.password}")["number_of_nodes"] == 1
    processes = group(running)
    assert len(processes) == 2
    assert 0 not in {Path(f"/proc/{pid}").stat().st_uid for pid in processes}
    running.stop()
    assert group(running) == []
    assert not running.folder.exists()


def test_a_collector_counts_what_it_was_sent(otelcol: Collector) -> None:
    """Batches add up: the exporter shows the sum, not the last batch; its own metrics are on a port of their own."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "counted"}}]}
    for _ in range(7):
        record = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": "x"}}
        logs = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}
        ask(f"{otelcol.otlp}/v1/logs", logs)
    seen = re.compile(r'^log_record_count_total\{.*job="counted".*\} 7$', re.MULTILINE)
    eventually(lambda: seen.search(ask(f"http://{otelcol.prometheus}/metrics")))
    assert "otelcol_receiver_accepted_log_records" in ask(f"http://{otelcol.own_metrics}/metrics")
    assert_on_loopback(otelcol)


def test_a_server_that_does_not_start_says_why_and_leaves_nothing() -> None:
    """Three tries, the end of its log, no folder."""
    folders: list[Path] = []

    def plan(folder: Path) -> Launch:
        folders.append(folder)
        return Launch(["sh", "-c", "echo no such option; exit 3"], "http://127.0.0.1", lambda: False, free_ports("x"))

    with pytest.raises(RuntimeError, match=r"(?s)^toy 1 does not start: no such option"):
        start(Running, "toy 1", plan)
    assert len(folders) == 3
    assert not folders[0].exists()


STARTER = """
import sys, time
from tests.servers.jaeger import start_jaeger
running = start_jaeger()
print(running.process.pid, running.folder, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_server_does_not_outlive_a_run_that_was_ended(start_jaeger: StartJaeger, how: signal.Signals) -> None:
    """Also when the run had no chance to do anything about it."""
    start_jaeger()  # skips where there is none
    run = subprocess.Popen([sys.executable, "-c", STARTER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().decode().split()
        run.send_signal(how)
        run.wait(10)
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text())
    eventually(lambda: not Path(folder).exists())
