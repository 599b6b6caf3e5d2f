"""opsctl's own spans and metrics: they arrive at a real Jaeger, and no collector delays or changes a run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from opsctl.adapters.telemetry import EXIT_SECONDS, refused
from tests.integration.test_cli_streams import burning, folder
from tests.servers.jaeger import Jaeger
from tests.servers.misbehaving import Exchange, Misbehaving

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "tell-nobody-4711"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def opsctl(fixed_home: Path) -> Iterator[Run]:
    """`opsctl` in a folder with one SLO that burns, in a process of its own with these variables."""
    server = Misbehaving(burning)
    folder(fixed_home, server)

    def run(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "opsctl", *argv],
            cwd=fixed_home,
            env={"HOME": str(fixed_home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    yield run
    server.stop()


def spans_of(jaeger: Jaeger, service: str, within_seconds: float = 15) -> list[dict[str, Any]]:
    """The spans of the service's only trace, once Jaeger shows them."""
    until = time.monotonic() + within_seconds
    while time.monotonic() < until:
        connection = HTTPConnection("127.0.0.1", jaeger.ports["query"], timeout=5)
        connection.request("GET", f"/api/traces?{urlencode({'service': service, 'limit': 5})}")
        found = json.loads(connection.getresponse().read())["data"] or []
        connection.close()
        if found:
            assert len(found) == 1
            spans: list[dict[str, Any]] = found[0]["spans"]
            return spans
        time.sleep(0.1)
    raise AssertionError(f"Jaeger has no trace of {service}")


def tags(span: dict[str, Any]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in span["tags"]}


def test_spans_arrive_at_a_real_jaeger(opsctl: Run, jaeger: Jaeger) -> None:
    """The command in the CI job's trace, the cycle below it, each question below the cycle, without its literals."""
    name = f"opsctl-{os.getpid()}"
    done = opsctl(
        "check",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{jaeger.otlp}/v1/traces",
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{SECRET}",
        OTEL_SERVICE_NAME=name,
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=ci",
        TRACEPARENT=f"00-{TRACE}-{PARENT}-01",
    )
    assert (done.returncode, done.stderr) == (1, "")
    spans = spans_of(jaeger, name)
    assert {span["traceID"] for span in spans} == {TRACE}
    by_name: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        by_name.setdefault(span["operationName"], []).append(span)
    (command,), (cycle,) = by_name.pop("opsctl check"), by_name.pop("opsctl cycle")
    parents = {span["spanID"]: [one["spanID"] for one in span["references"]] for span in spans}
    assert parents[command["spanID"]] == [PARENT]
    assert parents[cycle["spanID"]] == [command["spanID"]]
    assert tags(command)["process.exit.code"] == 1
    assert (tags(cycle)["opsctl.rules"], tags(cycle)["opsctl.rules.fail"]) == (1, 1)
    assert set(by_name) == {"instant 127.0.0.1", "range 127.0.0.1"}
    questions = [span for spans in by_name.values() for span in spans]
    assert all(parents[span["spanID"]] == [cycle["spanID"]] for span in questions)
    one = tags(by_name["instant 127.0.0.1"][0])
    assert (one["db.system.name"], one["db.operation.name"], one["span.kind"]) == ("prometheus", "instant", "client")
    assert one["opsctl.reading"] == "measured"
    assert one["db.query.text"].startswith("sum(increase(gaming_wallet_operations_total")
    whole = json.dumps(spans)
    assert SECRET not in whole
    assert '\\"error\\"' not in whole  # the literal of a matcher


def test_what_a_collector_is_sent(opsctl: Run) -> None:
    """Both signals, on their own paths, as protobuf, with the headers that were asked for."""
    collector = Misbehaving(lambda exchange: exchange.answer(b"", "200 OK", "application/x-protobuf"))
    done = opsctl("check", **{ENDPOINT: f"{collector.url}/base/", "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={SECRET}"})
    assert (done.returncode, done.stderr) == (1, "")
    metrics = next(one for one in collector.requests if one.startswith(b"POST /base/v1/metrics "))
    assert any(one.startswith(b"POST /base/v1/traces ") for one in collector.requests)
    assert all(f"x-key: {SECRET}".encode() in one for one in collector.requests)
    collector.stop()
    for name in (b"opsctl.command.duration", b"opsctl.cycle.duration", b"opsctl.question.duration", b"opsctl.rules"):
        assert name in metrics
    assert b"service.name" in metrics
    assert b"opsctl" in metrics


COLLECTORS: dict[str, Callable[[Exchange], None]] = {
    "hangs": lambda exchange: exchange.hold(),
    "says 401": lambda exchange: exchange.answer(b"no", "401 Unauthorized", "text/plain"),
    "says 503": lambda exchange: exchange.answer(b"busy", "503 Service Unavailable", "text/plain", "Retry-After: 30"),
    "drips": lambda exchange: exchange.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0.3),
    "redirects": lambda exchange: exchange.answer(b"", "307 Temporary Redirect", "text/plain", "Location: /loop"),
    "talks nonsense": lambda exchange: exchange.answer(b"\xff" * 3000, "200 what", "application/x-protobuf"),
    "closes": lambda exchange: exchange.sock.close(),
}


def timed(opsctl: Run, *argv: str, **env: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """The seconds of a run, and the run."""
    begun = time.monotonic()
    done = opsctl(*argv, **env)
    return time.monotonic() - begun, done


@pytest.fixture
def quick() -> Iterator[str]:
    """A collector that takes everything at once."""
    collector = Misbehaving(lambda exchange: exchange.answer(b"", "200 OK", "application/x-protobuf"))
    yield collector.url
    collector.stop()


def test_no_collector_delays_the_exit(opsctl: Run, quick: str) -> None:
    """Whatever it does, a run ends half a second after the one with a quick collector, give or take a busy machine."""
    opsctl("check")
    plain = max(timed(opsctl, "check", **{ENDPOINT: quick})[0] for _ in range(2))
    bound = plain + EXIT_SECONDS + 1.5  # a hanging collector would cost 10 s, a refused one 6 s
    listening = socket.create_server(("127.0.0.1", 0))
    silent = f"http://127.0.0.1:{listening.getsockname()[1]}"
    wrong = {}
    for what, url in (("never answers", silent), ("is refused", "http://127.0.0.1:9")):
        took, done = timed(opsctl, "check", **{ENDPOINT: url, "OTEL_EXPORTER_OTLP_TIMEOUT": "10"})
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), what
        if took > bound:
            wrong[what] = took
    for what, behave in COLLECTORS.items():
        collector = Misbehaving(behave)
        took, done = timed(opsctl, "check", **{ENDPOINT: collector.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "10"})
        collector.stop()
        assert done.returncode == 1, what
        assert "Traceback" not in done.stderr, what
        assert done.stderr.count("\n") <= 1, done.stderr
        if took > bound:
            wrong[what] = took
    listening.close()
    assert wrong == {}, f"a quick collector: {plain:.2f} s, the bound: {bound:.2f} s"


def test_what_did_not_arrive_is_said_once(opsctl: Run) -> None:
    """How much, and why; nothing with -q, and never an address or a header."""
    collector = Misbehaving(COLLECTORS["says 401"])
    env = {ENDPOINT: collector.url, "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={SECRET}"}
    done = opsctl("check", **env)
    words = done.stderr.split()
    assert done.stderr.count("\n") == 1
    assert " ".join([*words[:2], "N", *words[3:]]) == (
        "opsctl: telemetry: N spans and the metrics did not reach the OTLP endpoint: it answered 401"
    )
    assert int(words[2]) > 10
    assert opsctl("-q", "check", **env).stderr == ""
    collector.stop()


def test_headers_go_to_no_other_host(opsctl: Run) -> None:
    """A redirect is not followed."""
    other = Misbehaving(lambda exchange: exchange.answer(b"", "200 OK"))
    to = f"Location: http://localhost:{other.port}/v1/traces"
    collector = Misbehaving(lambda exchange: exchange.answer(b"", "307 Temporary Redirect", "text/plain", to))
    done = opsctl("check", **{ENDPOINT: collector.url, "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={SECRET}"})
    collector.stop()
    other.stop()
    assert (done.returncode, other.requests) == (1, [])
    assert collector.requests


def test_the_verdict_is_the_same(opsctl: Run, quick: str) -> None:
    """stdout does not know of telemetry."""
    assert opsctl("check", "-o", "plain", **{ENDPOINT: quick}).stdout == opsctl("check", "-o", "plain").stdout


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: expected http/protobuf"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER=console: expected otlp or none"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4318"}, "the endpoint for traces is not a URL"),
        ({"OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}, ""),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "telemetry is off: ValueError while it was set up"),
    ],
)
def test_variables_that_cannot_be_met_fail_no_run(opsctl: Run, quick: str, env: dict[str, str], words: str) -> None:
    """One line on stderr, or none where telemetry is switched off; the verdict stands."""
    done = opsctl("check", **{ENDPOINT: quick, **env})
    assert done.returncode == 1
    assert done.stderr.count("\n") == (1 if words else 0)
    assert words in done.stderr


def test_a_signal_may_be_left_out(opsctl: Run) -> None:
    """Traces alone, metrics alone."""
    collector = Misbehaving(lambda exchange: exchange.answer(b"", "200 OK", "application/x-protobuf"))
    opsctl("check", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/t")
    opsctl("check", **{ENDPOINT: collector.url, "OTEL_TRACES_EXPORTER": "none"})
    opsctl("check", **{ENDPOINT: collector.url, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"})
    paths = [one.split(b" ")[1] for one in collector.requests]
    collector.stop()
    assert set(paths[:1]) == {b"/t"}
    assert set(paths[1:]) == {b"/v1/metrics"}


def test_the_signal_s_own_variable_beats_the_common_one() -> None:
    """As the specification has it."""
    base = {ENDPOINT: "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert refused({**base, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, "TRACES") is None
    assert "grpc" in (refused(base, "TRACES") or "")
    assert refused({}, "TRACES") == ""
    assert refused({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318"}, "TRACES") == ""


def test_help_sends_nothing(opsctl: Run) -> None:
    """Neither help nor a version is worth a span."""
    collector = Misbehaving(lambda exchange: exchange.answer(b"", "200 OK"))
    for argv in (["--help"], ["check", "--help"], ["--version"], []):
        opsctl(*argv, **{ENDPOINT: collector.url})
    collector.stop()
    assert collector.connections == 0


@pytest.mark.parametrize(
    "env", [{}, {"OTEL_SERVICE_NAME": "x"}, {ENDPOINT: ""}, {ENDPOINT: "http://c:1", "OTEL_SDK_DISABLED": "true"}]
)
def test_nothing_is_loaded_unless_it_is_wanted(fixed_home: Path, env: dict[str, str]) -> None:
    """No endpoint, no OpenTelemetry: a check that is off the telemetry pays nothing for it."""
    server = Misbehaving(burning)
    folder(fixed_home, server)
    code = (
        "import sys\nfrom opsctl.cli.main import main\nassert main(['-q', 'check', '-o', 'nagios']) == 1\n"
        "found = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not found & {'opentelemetry', 'requests', 'google'}, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=fixed_home,
        env={"HOME": str(fixed_home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    server.stop()
    assert done.returncode == 0, done.stderr
