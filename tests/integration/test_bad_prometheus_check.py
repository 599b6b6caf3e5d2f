"""`opsctl check` on a Prometheus that misbehaves: exit 3 (4 for 401 and 403), one line on stderr, and never a pass."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.bad_answers import SECRET, Case, says
from tests.integration.test_bad_prometheus import CASES, ok
from tests.servers.misbehaving import Behaviour, Exchange, Misbehaving

CATALOGUE = "services:\n  - {name: wallet, tier: 1, team: money}\n"
SLO = """apiVersion: openslo/v1
kind: SLO
metadata:
  name: wallet-op-success
spec:
  service: wallet
  indicator:
    metadata: {name: wallet-op-success}
    spec:
      ratioMetric:
        counter: true
        bad:
          metricSource:
            type: Prometheus
            spec:
              query: 'sum(increase(gaming_wallet_operations_total{result="error"}[{{.window}}]))'
        total:
          metricSource:
            type: Prometheus
            spec:
              query: 'sum(increase(gaming_wallet_operations_total[{{.window}}]))'
  timeWindow:
    - {duration: 30d, isRolling: true}
  budgetingMethod: Occurrences
  objectives:
    - {displayName: Wallet operations succeed, target: 0.999}
"""
# One of each kind: every other case differs below the collector only.
TOLD = {
    "hangs",
    "drips its body",
    "resets",
    "HTML with 200",
    "truncated JSON",
    "a number instead of a string",
    "a gzip bomb",
    "401",
    "403",
    "404 of Prometheus",
    "429",
    "503",
    "500 HTML",
    "partial",
    "partial and empty",
    "an error text with control characters",
}


def check(home: Path, url: str, output: str = "table") -> subprocess.CompletedProcess[str]:
    """Run `opsctl check` of one SLO, as cron would."""
    (home / "rules").mkdir()
    (home / "rules" / "wallet.slo.yaml").write_text(SLO)
    (home / "services.yaml").write_text(CATALOGUE)
    (home / "token").write_text(SECRET)
    (home / "token").chmod(0o600)
    (home / "opsctl.toml").write_text(
        'default_context = "t"\n[contexts.t]\nnamespace = "t"\ncatalogue = "services.yaml"\n'
        f'rules = ["rules/"]\nrunbooks = []\n[contexts.t.prometheus]\nurl = "{url}"\ntoken_file = "token"\n'
        '[contexts.t.limits]\nconnect = "400ms"\nrequest = "400ms"\ncycle = "5s"\nbody = "1MiB"\n'
    )
    return subprocess.run(
        [sys.executable, "-m", "opsctl", "check", "-o", output],
        cwd=home,
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def hold_to_it(done: subprocess.CompletedProcess[str], code: int) -> None:
    """What holds whatever the server did."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "✔" not in done.stdout
    assert "✔" not in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    about = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(about) == 1, done.stderr
    assert "prometheus http://127.0.0.1" in about[0]


@pytest.mark.parametrize("case", [case for case in CASES if case.name in TOLD], ids=lambda case: case.name)
def test_check_says_unknown_in_one_line(
    case: Case, serve: Callable[[Behaviour], Misbehaving], fixed_home: Path
) -> None:
    """Exit 3, or 4 where the server refused us; one line on stderr that names the backend; no pass."""
    done = check(fixed_home, serve(case.behave).url)
    hold_to_it(done, 4 if case.reason.value == "auth" else 3)


def test_check_on_a_refused_port(fixed_home: Path) -> None:
    """Nobody listens: exit 3 and one line."""
    server = Misbehaving(says(b""))
    server.stop()
    hold_to_it(check(fixed_home, server.url), 3)


def test_check_on_an_empty_prometheus_never_passes(serve: Callable[[Behaviour], Misbehaving], fixed_home: Path) -> None:
    """Whole but empty answers: no data is not a pass."""
    empty = serve(lambda exchange: exchange.answer(ok([], "matrix" if b"query_range" in exchange.head else "vector")))
    done = check(fixed_home, empty.url)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "✔" not in done.stdout
    assert "? UNKNOWN" in done.stdout


@pytest.mark.parametrize("output", ["table", "plain", "json"])
def test_a_failed_numerator_beside_a_good_denominator_never_passes(
    serve: Callable[[Behaviour], Misbehaving], fixed_home: Path, output: str
) -> None:
    """Errors that could not be counted are not zero errors, in any output."""

    def half(exchange: Exchange) -> None:
        if b"error" in exchange.body:
            exchange.answer(b"<html>", "200 OK", "text/html")
        elif b"query_range" in exchange.head:
            exchange.answer(ok([], "matrix"))
        else:
            exchange.answer(ok([{"metric": {}, "value": [1, "100000"]}]))

    done = check(fixed_home, serve(half).url, output)
    assert done.returncode == 3, done.stdout + done.stderr
    for pass_ in ("✔", "\nOK\t", '"pass"', '"OK": 1'):
        assert pass_ not in done.stdout
