"""`opsctl check` of three signals while one backend misbehaves: its rule is unknown in one line, the others judge on."""

from __future__ import annotations

import io
import json
import time
import urllib.request
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from opsctl.cli.main import main
from tests.integration.bad_answers import HTML, OK_HEAD, SECRET, drips, floods, resets, says, sends
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.jaeger import Jaeger
from tests.servers.misbehaving import Behaviour, Misbehaving
from tests.servers.prometheus import Prometheus

CATALOGUE = """services:
  - {name: wallet, tier: 1, team: money}
  - {name: auth, tier: 1, team: identity}
  - {name: promo, tier: 1, team: growth}
"""
RULES = """groups:
  - name: three-signals
    rules:
      - alert: Metrics
        expr: sum(increase(bad_backends_operations_total[10m])) > 1e9
        labels: {severity: page, service: wallet}
      - alert: Logs
        expr: sum(increase(log_record_count_total{service_name="bad-backends-auth"}[10m])) > 1e9
        labels: {severity: page, service: auth}
      - alert: Traces
        expr: sum(increase(traces_span_metrics_calls_total{service_name="bad-backends-promo"}[10m])) > 1e9
        labels: {severity: page, service: promo}
"""
RULE_OF = {"prometheus": "Metrics", "elasticsearch": "Logs", "jaeger": "Traces", "zipkin": "Traces"}
CYCLE_SECONDS = 8.0
SLACK_SECONDS = 6.0  # for a busy machine; what hangs here would hang for a minute

PRODUCT = "X-Elastic-Product: Elasticsearch"
ES_HEAD = OK_HEAD + PRODUCT.encode() + b"\r\n"


@dataclass(frozen=True)
class Case:
    """One way to be wrong, whatever the backend."""

    name: str
    behave: Behaviour
    code: int = 3


CASES = (
    Case("hangs", lambda exchange: exchange.hold()),
    Case("drips", drips(OK_HEAD + b"Content-Length: 500\r\n\r\n", b"{" + b" " * 499)),
    Case("resets", resets),
    Case("HTML", says(HTML, "200 OK", "text/html", PRODUCT)),
    Case("truncated", sends(ES_HEAD + b"Content-Length: 5000\r\n\r\n" + b'{"took": 1, "data": [')),
    Case("cut JSON", says(b'{"took": 1, "data": [', "200 OK", "application/json", PRODUCT)),
    Case(
        "wrong types",
        says(b'{"data": 7, "status": 3, "hits": "x", "id": [], "indices": 1}', "200 OK", "application/json", PRODUCT),
    ),
    Case("huge", floods(ES_HEAD + b"\r\n", b" " * 65536)),
    Case("401", says(HTML, "401 Unauthorized", "text/html", PRODUCT), 4),
    Case("403", says(b"{}", "403 Forbidden", "application/json", PRODUCT), 4),
    Case("429", says(b"{}", "429 Too Many Requests", "application/json", PRODUCT)),
    Case("503", says(HTML, "503 Service Unavailable", "text/html", PRODUCT)),
    Case("redirects", says(b"", "302 Found", "text/plain", "Location: http://127.0.0.1:9/elsewhere", PRODUCT)),
    Case(
        "hostile",
        says(b'{"status": "error", "error": "\\u001b[2J\\r\\nevil"}', "400 Bad Request", "application/json", PRODUCT),
    ),
)


@pytest.fixture(scope="module")
def healthy(start_prometheus: Any, elasticsearch9: Elasticsearch, jaeger: Jaeger) -> dict[str, str]:
    """A real server for each signal, each with a little of what the rules read."""
    now = time.time()
    lines = ["# TYPE bad_backends_operations counter"]
    last = int(now) // 60 * 60
    lines += [f"bad_backends_operations_total {60 * i} {last - 60 * (30 - i)}" for i in range(31)]
    prometheus: Prometheus = start_prometheus("\n".join([*lines, "# EOF", ""]))
    _index(elasticsearch9.url, now)
    _trace(jaeger.otlp, now)
    return {"prometheus": prometheus.url, "elasticsearch": elasticsearch9.url, "jaeger": jaeger.url}


def _post(url: str, body: bytes, kind: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": kind}), timeout=20) as answer:
        assert not json.loads(answer.read() or b"{}").get("errors")


def _index(url: str, now: float) -> None:
    rows = []
    for i in range(20):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now - 60 - 20 * i))
        rows += [{"create": {"_index": "bad-backends-logs"}}]
        rows += [{"@timestamp": stamp, "message": "hello", "log.level": "info", "service.name": "bad-backends-auth"}]
    _post(f"{url}/_bulk?refresh=true", "".join(json.dumps(row) + "\n" for row in rows).encode(), "application/x-ndjson")


def _trace(otlp: str, now: float) -> None:
    at = int(now - 120) * 10**9
    spans = [
        {
            "traceId": f"{0xBADBAC0 + i:032x}",
            "spanId": f"{i + 1:016x}",
            "name": "redeem",
            "kind": 2,
            "startTimeUnixNano": str(at + i * 10**9),
            "endTimeUnixNano": str(at + i * 10**9 + 10**6),
        }
        for i in range(10)
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "bad-backends-promo"}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
    _post(f"{otlp}/v1/traces", json.dumps(body).encode(), "application/json")
    time.sleep(1.0)  # the server's own batches


def check(home: Path, urls: dict[str, str]) -> tuple[int, dict[str, Any], list[str], float]:
    """Exit code, JSON, the lines of stderr and the seconds of one check of all three rules."""
    (home / "rules.rules.yaml").write_text(RULES)
    (home / "services.yaml").write_text(CATALOGUE)
    (home / "token").touch(0o600)
    (home / "token").write_text(SECRET)
    config = [
        'default_context = "t"\n[contexts.t]\nnamespace = "t"\ncatalogue = "services.yaml"\nstate_dir = "state"',
        'rules = ["rules.rules.yaml"]\nrunbooks = []',
        f'[contexts.t.limits]\nconnect = "2s"\nrequest = "2s"\ncycle = "{CYCLE_SECONDS:g}s"\nbody = "1MiB"',
    ]
    for kind, url in urls.items():
        index = 'index = ["bad-backends-*"]\n' if kind == "elasticsearch" else ""
        config.append(f'[contexts.t.{kind}]\nurl = "{url}"\ntoken_file = "token"\n{index}')
    (home / "opsctl.toml").write_text("\n".join(config))
    out, err = io.StringIO(), io.StringIO()
    begun = time.monotonic()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["--config", str(home / "opsctl.toml"), "check", "--json"])
    took = time.monotonic() - begun
    text = out.getvalue() + err.getvalue()
    assert SECRET not in text
    assert "Traceback" not in text
    assert "\x1b" not in text
    return code, json.loads(out.getvalue()), [line for line in err.getvalue().splitlines() if line.strip()], took


def states(body: dict[str, Any]) -> dict[str, str]:
    """The state of each rule."""
    return {verdict["rule"]: verdict["state"] for verdict in body["verdicts"]}


def hold_to_it(bad: str, code: int, found: tuple[int, dict[str, Any], list[str], float]) -> None:
    """One line about the bad backend, its rule unknown, the others as ever, within the cycle's time."""
    got, body, lines, took = found
    assert got == code, lines
    wrong = RULE_OF[bad]
    assert states(body) == {name: "UNKNOWN" if name == wrong else "OK" for name in ("Metrics", "Logs", "Traces")}
    assert len(lines) == 1, lines
    assert bad in lines[0]
    assert took < CYCLE_SECONDS + SLACK_SECONDS
    assert body["partial"] is True


def test_three_healthy_backends_pass(healthy: dict[str, str], fixed_home: Path) -> None:
    """The ground that the others stand on: each signal is judged on real data."""
    code, body, lines, _ = check(fixed_home, healthy)
    assert (code, lines) == (0, []), body
    assert set(states(body).values()) == {"OK"}
    assert len(body["backends"]) == 3


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("bad", ["prometheus", "elasticsearch", "jaeger", "zipkin"])
def test_one_bad_backend_costs_its_own_rule_only(
    bad: str, case: Case, healthy: dict[str, str], serve: Callable[[Behaviour], Misbehaving], fixed_home: Path
) -> None:
    """Whatever one backend does: exit 3 (4 where it refused us), one line, the other signals unaffected."""
    urls = dict(healthy)
    if bad == "zipkin":
        del urls["jaeger"]
    server = serve(case.behave)
    urls[bad] = server.url
    hold_to_it(bad, case.code, check(fixed_home, urls))


@pytest.mark.parametrize("bad", ["prometheus", "elasticsearch", "jaeger", "zipkin"])
def test_a_dead_backend_costs_its_own_rule_only(bad: str, healthy: dict[str, str], fixed_home: Path) -> None:
    """Nobody listens there."""
    urls = dict(healthy)
    if bad == "zipkin":
        del urls["jaeger"]
    urls[bad] = "http://127.0.0.1:9"
    hold_to_it(bad, 3, check(fixed_home, urls))


def test_all_backends_dead_is_three_lines_in_one_deadline(fixed_home: Path) -> None:
    """Every signal blind: exit 3, a line each, nothing green."""
    dead = dict.fromkeys(("prometheus", "elasticsearch", "jaeger"), "http://127.0.0.1:9")
    code, body, lines, took = check(fixed_home, dead)
    assert code == 3
    assert set(states(body).values()) == {"UNKNOWN"}
    assert len(lines) == 3
    assert took < CYCLE_SECONDS + SLACK_SECONDS
