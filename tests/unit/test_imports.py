"""What a command loads: the runtime twin of the import contracts, seen in `sys.modules` of a fresh process."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "textual",
    "elasticsearch",
    "opentelemetry",
    "numpy",
    "urllib3",
    "http.client",
    "requests",
    "pagerduty",
    "httpx2",
    "rich",
    "yaml",
    "prometheus_client",
}


def loaded_by(code: str) -> set[str]:
    """The names in `sys.modules` after running `code`."""
    program = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("argv", [["--help"], ["--version"]])
def test_help_loads_nothing_heavy(argv: list[str]) -> None:
    """`opsctl --help` imports no library that asks, draws or computes."""
    found = loaded_by(f"from opsctl.cli.main import main\nmain({argv!r})")
    assert not HEAVY & found


def test_prometheus_check_needs_no_numpy() -> None:
    """What `check` on a Prometheus is made of imports neither numpy nor a TUI nor a client it does not use."""
    found = loaded_by(
        "import opsctl.cli.check, opsctl.app, opsctl.engine, opsctl.adapters.journal, collectors.prometheus"
    )
    assert not (HEAVY - {"http.client", "yaml"}) & found


RULES = """apiVersion: openslo/v1
kind: SLO
metadata: {name: wallet}
spec:
  service: wallet
  indicator:
    metadata: {name: wallet}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: Prometheus, spec: {query: 'sum(increase(all_total{result="error"}[{{.window}}]))'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(increase(all_total[{{.window}}]))'}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: Wallet, target: 0.999}]
"""

NOT_FOR_A_CHECK = {
    "opsctl.core.runbooks",
    "opsctl.core.binding",
    "opsctl.core.commands",
    "opsctl.core.outbox",
    "opsctl.core.planning",
    "opsctl.core.routing",
    "opsctl.looking",
    "opsctl.files.runbooks",
    "opsctl.ports.runbooks",
    "opsctl.promql.blame",
    "opsctl.runner",
    "opsctl.adapters.sinks.pagerduty",
    "opsctl.adapters.journal.runbooks",
    "opsctl.sender",
    "importlib.metadata",
    "logging",
    "concurrent.futures",
    "json",
}


def check_ends_with(home: Path, code: int) -> str:
    """A program: a whole check of one SLO on a Prometheus that is not there, with a pager configured."""
    (home / "slo.slo.yaml").write_text(RULES)
    (home / "services.yaml").write_text("services:\n  - {name: wallet, tier: 1, team: money}\n")
    (home / "opsctl.toml").write_text(
        'default_context = "t"\n[contexts.t]\nnamespace = "t"\ncatalogue = "services.yaml"\n'
        f'state_dir = "{home / "state"}"\nrules = ["slo.slo.yaml"]\nrunbooks = []\n'
        '[contexts.t.prometheus]\nurl = "http://127.0.0.1:9"\n'
        '[contexts.t.pagerduty]\nrouting_keys = { default = { token_env = "KEY" } }\n'
    )
    argv = ["--config", str(home / "opsctl.toml"), "-q", "check"]
    return f"from opsctl.cli.main import main\nassert main({argv!r}) == {code}"


def test_check_loads_neither_runbooks_nor_delivery(tmp_path: Path) -> None:
    """`check` without --notify needs no runbook, no pager and no outbox, though the configuration has a pager."""
    found = loaded_by(check_ends_with(tmp_path, 3))
    assert "opsctl.adapters.journal.store" in found
    assert "collectors.prometheus" in found
    assert not NOT_FOR_A_CHECK & found
    assert not (HEAVY - {"http.client", "yaml"}) & found


def test_check_writes_one_transaction(tmp_path: Path) -> None:
    """A check that does not notify waits for the disk once: the run, its verdicts, its end in one transaction."""
    program = check_ends_with(tmp_path, 3)
    count = (
        "import opsctl.adapters.journal.database as d\nbegun = []\nonce = d.Database._once\n"
        "def counted(self, work, begin):\n    begun.append(begin)\n    return once(self, work, begin)\n"
        f"d.Database._once = counted\n{program}\nassert begun.count('BEGIN IMMEDIATE') == 1, begun"
    )
    loaded_by(count)
    db = sqlite3.connect(next(tmp_path.glob("state/**/journal.sqlite3")))
    assert db.execute("SELECT exit_code, success, ended IS NOT NULL FROM runs").fetchall() == [(3, 1, 1)]
    db.close()


def test_every_command_of_the_help_exists() -> None:
    """A command that does not work is not in the help: each entry of the table imports and builds."""
    from opsctl.cli.main import COMMANDS, root_app

    group = root_app()
    for name in COMMANDS:
        assert group.get_command(None, name) is not None, name  # type: ignore[arg-type]
