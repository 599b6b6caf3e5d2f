"""Rules on logs and spans from the command line, against a real Elasticsearch and a real Jaeger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsctl.core.traces import trace_of
from tests.contract.log_world import BEGAN, Line, fill
from tests.contract.trace_world import otlp, span
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.fixtures import StartJaeger
from tests.servers.jaeger import Jaeger

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _lines() -> list[Line]:
    """Six minutes: a log-in a second from a large network, hardly any wrong; a wrong password a second from another."""
    now = (datetime.now(UTC) - BEGAN).total_seconds()
    out = []
    for i in range(360):
        for network, wrong in (("64496", i % 40 == 0), ("64506", True)):
            outcome = (
                {"event.outcome": "failure", "event.reason": "bad_password"} if wrong else {"event.outcome": "success"}
            )
            more = {"event.action": "user-login", "source.as.number": network, **outcome}
            out.append(Line(now - 5 - i, "ecs", "a log-in", "info", "auth", more=more))
    return out


def _send(jaeger: Jaeger, count: int = 60) -> None:
    """Credits of three to five minutes ago, every third one without a score before it."""
    first = (time.time_ns() // 1_000_000) << 8
    now_us = time.time_ns() // 1000
    traces = []
    for i in range(count):
        began = now_us - (180 + 2 * i) * 1_000_000
        trace, root, scored, credited = (first + 4 * i + n for n in range(4))
        spans = [
            span(trace, root, None, "promo", "promo.redeem", "server", began, 50_000, gaming__sampled="always"),
            span(trace, credited, root, "wallet", "wallet.credit", "server", began + 20_000, 9_000),
        ]
        if i % 3:
            spans.append(span(trace, scored, root, "fraud", "fraud.score", "server", began + 1_000, 9_000))
        traces.append(trace_of(f"{trace:032x}", spans))
    request = urllib.request.Request(
        f"{jaeger.otlp}/v1/traces", otlp(traces), {"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=10).read()


@pytest.fixture(scope="module")
def world(elasticsearch9: Elasticsearch, start_jaeger: StartJaeger) -> tuple[Elasticsearch, str, Jaeger]:
    """Both backends with an attack in one and a bypass in the other, under an index and a Jaeger of their own."""
    prefix = f"cli-{time.time_ns():x}"
    fill(elasticsearch9.url, prefix, _lines())
    jaeger = start_jaeger(spm_prometheus="")
    _send(jaeger)
    return elasticsearch9, prefix, jaeger


@pytest.fixture
def run(world: tuple[Elasticsearch, str, Jaeger], tmp_path: Path) -> Run:
    """opsctl in a home with both backends and all bundled rules on logs and traces."""
    elasticsearch, prefix, jaeger = world
    (tmp_path / "opsctl.toml").write_text(
        f'default_context = "t"\n[contexts.t]\nnamespace = "t"\nstate_dir = "{tmp_path / "state"}"\n'
        'rules = ["bundled:logs", "bundled:traces"]\nrunbooks = ["bundled:"]\n'
        f'[contexts.t.elasticsearch]\nurl = "{elasticsearch.url}"\nindex = ["{prefix}-*"]\n'
        f'[contexts.t.jaeger]\nurl = "{jaeger.url}"\n'
    )

    def opsctl(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "opsctl", "--config", str(tmp_path / "opsctl.toml"), *arguments],
            cwd=tmp_path,
            env=dict(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return opsctl


def test_check_finds_the_attack_in_the_logs_and_the_bypass_in_the_traces(run: Run) -> None:
    """Both page; what the pair rule does not see is not called healthy by the others."""
    deadline = time.monotonic() + 60
    while True:
        done = run("check", "-o", "json")
        verdicts = {one["rule"]: one for one in json.loads(done.stdout)["verdicts"]}
        if verdicts["WalletCreditWithoutFraudCheck"]["outcome"] == "fail" or time.monotonic() > deadline:
            break
        time.sleep(1)  # until Jaeger has stored them
    assert done.returncode == 1, done.stdout + done.stderr
    attack, bypass = verdicts["LoginAttackInLogs"], verdicts["WalletCreditWithoutFraudCheck"]
    assert (attack["outcome"], attack["headline"]) == ("fail", "Somebody tries passwords from AS64506")
    assert (bypass["outcome"], bypass["headline"]) == ("fail", "A wallet was credited without a fraud check")
    assert verdicts["ServicePairErrors"]["outcome"] == "pass"


def test_a_query_goes_where_its_series_are(run: Run) -> None:
    """Logs, traces, and neither: this context has no Prometheus, and says so only when it is asked for one."""
    wrong = 'sum by (source_as_number) (increase(log_record_count_total{event_reason="bad_password"}[5m])) > 50'
    done = run("metric", "query", wrong, "-o", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["backend"].startswith("elasticsearch ")
    (sample,) = found["samples"]
    assert sample["labels"] == {"source_as_number": "64506"}
    assert 250 < sample["value"] <= 300
    spans = run(
        "metric",
        "query",
        'sum(increase(traces_span_metrics_calls_total{span_name="wallet.credit"}[10m]))',
        "-o",
        "json",
    )
    assert spans.returncode == 0, spans.stderr
    assert [one["value"] for one in json.loads(spans.stdout)["samples"]] == [60]
    ranged = run("metric", "range", "sum(increase(log_record_count_total[1m]))", "--since", "4m", "-o", "json")
    assert ranged.returncode == 0, ranged.stderr
    assert 120 in [value for _, value in json.loads(ranged.stdout)["series"][0]["points"]]
    up = run("metric", "query", "up")
    assert up.returncode == 2
    assert "has no [contexts.t.prometheus]" in up.stderr
    both = run("metric", "query", "up and log_record_count_total")
    assert both.returncode == 2
    assert "one signal per expression, this reads series of metrics and logs" in both.stderr


def test_a_mistyped_label_is_one_line_with_a_near_one(run: Run) -> None:
    """Neither an empty answer nor a traceback."""
    done = run("metric", "query", 'sum(increase(log_record_count_total{event_acton="user-login"}[5m]))')
    assert done.returncode == 2
    assert "the label event_acton is no field of the logs; near: event_action (event.action)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_runbook_asks_the_logs(run: Run) -> None:
    """The promql steps of LoginAttackInLogs are answered by Elasticsearch; nothing is sent before somebody says go."""
    done = run(
        "runbook", "run", "LoginAttackInLogs", "-p", "network=64506", "-p", "admin=http://127.0.0.1:9", "-o", "json"
    )
    assert "wrong" in done.stdout + done.stderr, done.stdout + done.stderr
    assert "wrong_passwords" in done.stdout + done.stderr, done.stdout + done.stderr


def test_a_dead_backend_costs_its_own_rules(run: Run, tmp_path: Path) -> None:
    """Jaeger is gone: its rules are unknown, the attack in the logs still pages."""
    file = tmp_path / "opsctl.toml"
    head, _, _ = file.read_text().partition("[contexts.t.jaeger]")
    file.write_text(f'{head}[contexts.t.jaeger]\nurl = "http://127.0.0.1:9"\n')
    done = run("check", "-o", "json")
    outcomes = {one["rule"]: one["outcome"] for one in json.loads(done.stdout)["verdicts"]}
    assert outcomes == {
        "LoginAttackInLogs": "fail",
        "WalletCreditWithoutFraudCheck": "unknown",
        "ServicePairErrors": "unknown",
    }
    assert "Traceback" not in done.stderr
