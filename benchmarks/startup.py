"""How long a command takes from the shell, in units of a bare `python -c ""`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.pairs import Figure, ratio
from tests.servers import prometheus

PAIRS = 15
OPSCTL = [sys.executable, "-m", "opsctl"]

CATALOGUE = """services:
  - {name: wallet, tier: 1, team: money}
"""
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


BARE = [sys.executable, "-c", ""]


def help_startup() -> Figure:
    """What the help costs."""
    with tempfile.TemporaryDirectory(prefix="opsctl-bench-") as name:
        home = Path(name)
        value = _against_bare([*OPSCTL, "--help"], home)
    return Figure("help_startup", value, 7, "lower", "opsctl --help / bare python")


def check_startup() -> Figure:
    """What a whole check of one SLO on a real Prometheus costs."""
    with tempfile.TemporaryDirectory(prefix="opsctl-bench-") as name:
        home = Path(name)
        server = prometheus.start(_history(), "3.16")
        try:
            _configure(home, server.url)
            value = _against_bare([*OPSCTL, "--config", str(home / "opsctl.toml"), "check"], home)
        finally:
            server.stop()
    return Figure("check_startup", value, 15, "lower", "opsctl check of one SLO on Prometheus 3.16 / bare python")


def _against_bare(command: list[str], home: Path) -> float:
    env = _clean(home)
    return ratio(lambda: _run(command, env, home), lambda: _run(BARE, env, home), PAIRS)


def _run(command: list[str], env: dict[str, str], folder: Path) -> None:
    done = subprocess.run(
        command, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [
            done.stdout.decode(errors="replace")[-300:]
        ]
        raise RuntimeError(f"{' '.join(command[2:])} ended with {done.returncode}: {said[-1]}")


def _clean(home: Path) -> dict[str, str]:
    # PYTHON…: an installed opsctl has its bytecode, so the first, uncounted pair writes it here too.
    foreign = ("OPSCTL_", "XDG_", "OTEL_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    root = str(Path(__file__).resolve().parent.parent)
    return {**kept, "HOME": str(home), "PYTHONPATH": root}


def _configure(home: Path, url: str) -> None:
    (home / "rules").mkdir()
    (home / "rules" / "wallet.slo.yaml").write_text(SLO)
    (home / "services.yaml").write_text(CATALOGUE)
    (home / "opsctl.toml").write_text(
        'default_context = "bench"\n[contexts.bench]\nnamespace = "bench"\ncatalogue = "services.yaml"\n'
        f'rules = ["rules/"]\nrunbooks = []\n[contexts.bench.prometheus]\nurl = "{url}"\n'
    )


def _history() -> str:
    """Seven hours of a healthy wallet, up to the present."""
    last = int(time.time()) // 60 * 60
    lines = ["# TYPE gaming_wallet_operations counter"]
    for result, rate in (("ok", 6000), ("error", 1)):
        name = f'gaming_wallet_operations_total{{service="wallet",result="{result}"}}'
        lines += [f"{name} {rate * i} {last - 60 * (420 - i)}" for i in range(421)]
    return "\n".join([*lines, "# EOF", ""])
