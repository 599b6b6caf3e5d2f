"""`make bench`: prints a table and writes build/bench.json; exit 1 where a goal is missed or a measurement failed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.board import first_paint, key_to_paint, loop_stall, memory_slope
from benchmarks.coalesced import coalesced_cpu, coalesced_httpx, coalesced_requests
from benchmarks.engine_range import engine_range
from benchmarks.log_page import log_page
from benchmarks.log_scroll import log_scroll
from benchmarks.pairs import Figure
from benchmarks.signals import slowest_signal
from benchmarks.startup import check_startup, help_startup
from benchmarks.trace_decode import trace_decode
from benchmarks.trace_open import trace_open
from tests.servers.build import Missing

BOARD = (first_paint, key_to_paint, loop_stall, memory_slope)
TRACES = (trace_decode, trace_open)
LOGS = (log_page, log_scroll)
COALESCED = (coalesced_requests, coalesced_cpu, coalesced_httpx)
OUT = Path(__file__).resolve().parent.parent / "build" / "bench.json"


def main() -> int:
    """Measure everything, one line a figure."""
    print("measuring ratios in interleaved pairs, about four minutes …", file=sys.stderr, flush=True)
    figures: list[Figure] = []
    failed = 0
    print(f"{'figure':<20}{'ratio':>9}{'goal':>8}        what")
    for measure in (help_startup, check_startup, engine_range, *BOARD, *LOGS, *TRACES, slowest_signal, *COALESCED):
        try:
            one = measure()
        except (Missing, RuntimeError) as reason:
            failed += 1
            print(f"{measure.__name__}: not measured: {reason}", file=sys.stderr)
            continue
        goal = "–" if one.goal is None else f"{'≤' if one.better == 'lower' else '≥'} {one.goal:.3g}"
        print(f"{one.name:<20}{one.ratio:>9.2f}{goal:>8}  {'ok' if one.ok else 'MISSED':<6}  {one.what}", flush=True)
        figures.append(one)
    OUT.parent.mkdir(exist_ok=True)
    rows = [
        {"name": one.name, "ratio": round(one.ratio, 4), "goal": one.goal, "better": one.better, "ok": one.ok}
        for one in figures
    ]
    OUT.write_text(json.dumps(rows, indent=2) + "\n")
    return 1 if failed or not all(one.ok for one in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
