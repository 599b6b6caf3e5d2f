"""Commands over traces in memory: a catalogue of four services, two rules' worth of nothing, a fixed clock."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collectors.memory_traces import MemoryTraceSource
from opsctl.app import Composition
from opsctl.cli.main import main
from opsctl.core.traces import Span, Trace, trace_of
from opsctl.files.settings import load_settings
from opsctl.ports.traces import TraceSource
from tests.contract.trace_world import MS, span, world

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BASE_US = int((NOW - timedelta(minutes=10)).timestamp()) * 1_000_000
CATALOGUE = """services:
  - {name: shop, tier: 1, team: money, depends_on: [wallet, bank, watch, ledger]}
  - {name: wallet, tier: 1, team: money, selectors: {jaeger: purse, prometheus: {job: games/wallet}}}
  - {name: watch, tier: 3, team: risk, links: {dashboard: "https://grafana.example.net/d/watch"}}
  - {name: ledger, tier: 2, team: money}
  - {name: bank, tier: 1, team: third-parties, kind: third_party}
"""
CONFIG = """default_context = "t"
[contexts.t]
namespace = "t"
catalogue = "services.yaml"
state_dir = "state"
rules = []
runbooks = []
"""


class FixedClock:
    """Always the same time."""

    def now(self) -> datetime:
        """Noon."""
        return NOW

    def monotonic(self) -> float:
        """No time passes."""
        return 0.0

    def sleep(self, seconds: float) -> None:
        """Nobody waits."""


def traces() -> tuple[Trace, ...]:
    """The contract's five, and one that calls the purse twelve times in a row."""
    start = BASE_US + 60_000_000
    spans: list[Span] = [span(0xF01D, 1, None, "shop", "POST /cart", "server", start, 400 * MS, "error")]
    for number in range(12):
        at, took = start + (5 + 30 * number) * MS, (20 + number) * MS
        bad = number == 7
        spans.append(
            span(0xF01D, 10 + number, 1, "purse", "purse.Debit", "server", at, took, "error" if bad else "unset")
        )
        spans.append(span(0xF01D, 50 + number, 10 + number, "purse", "INSERT", "client", at + MS, took - 2 * MS))
    spans.append(span(0xF01D, 99, 1, "watch", "audit", "consumer", start + 500 * MS, 40 * MS))
    return (*world(BASE_US, 0xABC0), trace_of(spans[0].trace_id, spans))


def source() -> MemoryTraceSource:
    """All of them."""
    one = MemoryTraceSource()
    one.add(traces())
    return one


def composition(folder: Path, traces_from: TraceSource | None, more: str = "") -> Composition:
    """A context in that folder."""
    (folder / "services.yaml").write_text(CATALOGUE)
    (folder / "opsctl.toml").write_text(CONFIG + more)
    settings = load_settings(folder / "opsctl.toml", None, env={"HOME": str(folder)}, cwd=folder)
    return Composition(settings, FixedClock(), env={}, trace_source=traces_from)


def run(
    folder: Path, argv: Sequence[str], traces_from: TraceSource | None = None, more: str = ""
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    world_of = composition(folder, traces_from or source(), more)
    out, err = io.StringIO(), io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["--utc", *argv], clock=world_of.clock, compose_with=lambda _: world_of)
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return code, out.getvalue(), err.getvalue()
