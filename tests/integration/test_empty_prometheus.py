"""The shipped rules on a Prometheus that has nothing for them: exit 3, never a pass, and nobody is woken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.fixtures import StartPrometheus
from tests.servers.prometheus import Running

ALIEN = "# TYPE node_load1 gauge\n" + "".join(f"node_load1 1 {1700000000 + 60 * i}\n" for i in range(3)) + "# EOF\n"


def opsctl(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run opsctl in that home, as cron would."""
    return subprocess.run(
        [sys.executable, "-m", "opsctl", *arguments],
        cwd=home,
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def configure(home: Path, url: str, rules: str) -> None:
    (home / "opsctl.toml").write_text(
        f'default_context = "t"\n[contexts.t]\nnamespace = "t"\ncatalogue = "bundled:"\nrules = ["{rules}"]\n'
        f'[contexts.t.prometheus]\nurl = "{url}"\n[contexts.t.series]\nlogs = "prometheus"\ntraces = "prometheus"\n'
    )


@pytest.mark.parametrize("rules", ["bundled:platform", "bundled:"])
@pytest.mark.parametrize("output", ["table", "json"])
def test_an_empty_prometheus_never_passes(prometheus3: Running, fixed_home: Path, rules: str, output: str) -> None:
    """Each rule never had data: UNKNOWN, exit 3, no alert, no check mark."""
    configure(fixed_home, prometheus3.url, rules)
    done = opsctl(fixed_home, "check", "-o", output)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "✔" not in done.stdout + done.stderr
    if output == "table":
        assert "? UNKNOWN" in done.stdout
        assert "✖" not in done.stdout
        return
    verdicts = json.loads(done.stdout)["verdicts"]
    assert {verdict["outcome"] for verdict in verdicts} == {"unknown"}
    headlines = [verdict["headline"] for verdict in verdicts]
    (counted,) = [line for line in headlines if not line.startswith("never had data: ")] or [None]
    if rules == "bundled:":  # what no Prometheus has is counted from traces, which this context does not have
        assert counted.startswith("no answer from traces: ")
        assert "no [contexts.t.jaeger]" in counted
    else:
        assert counted is None


def test_a_rule_that_never_had_data_is_named_by_doctor(prometheus3: Running, fixed_home: Path) -> None:
    configure(fixed_home, prometheus3.url, "bundled:platform")
    opsctl(fixed_home, "check")
    done = opsctl(fixed_home, "doctor")
    assert "8 never had data: CredentialStuffing" in done.stdout, done.stdout + done.stderr


def test_a_recorded_name_that_the_server_lacks_is_said_so(prometheus3: Running, fixed_home: Path) -> None:
    """Read with a matcher it cannot be inlined; the line names the file that records it."""
    (fixed_home / "mine.rules.yaml").write_text(
        'groups:\n  - name: g\n    rules:\n      - {record: "a:b", expr: "rate(x_total[5m])"}\n'
        "      - {alert: Mine, expr: 'a:b{job=\"x\"} > 1', labels: {severity: page}}\n"
    )
    configure(fixed_home, prometheus3.url, "mine.rules.yaml")
    done = opsctl(fixed_home, "check", "-o", "json")
    assert done.returncode == 3, done.stdout + done.stderr
    (verdict,) = json.loads(done.stdout)["verdicts"]
    assert "a:b is recorded by " in verdict["headline"]
    assert f"mine.rules.yaml:4, and not on prometheus {prometheus3.url}" in verdict["headline"]


@pytest.mark.parametrize("version", ["3.16", "2.42"])
def test_every_version_takes_the_questions(start_prometheus: StartPrometheus, fixed_home: Path, version: str) -> None:
    """A name that needs quotes is asked for in words that an old Prometheus knows too."""
    (fixed_home / "mine.rules.yaml").write_text(
        "groups:\n  - name: g\n    rules:\n"
        "      - {alert: Mine, expr: '{__name__=\"weird.name\"} > 1', labels: {severity: page}}\n"
    )
    configure(fixed_home, start_prometheus(ALIEN, version).url, "mine.rules.yaml")
    done = opsctl(fixed_home, "check", "-o", "json")
    assert done.returncode == 3, done.stdout + done.stderr
    (verdict,) = json.loads(done.stdout)["verdicts"]
    assert (
        verdict["headline"]
        == "never had data: none of its metrics is there: weird.name; nothing in the last 24h either"
    )
