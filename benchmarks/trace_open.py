"""A trace of 10,000 spans on the Traces screen: from the decoded answer to the first paint of its waterfall.

The answer is that of `trace_decode`, decoded anew for each opening, so that no span was looked at before. The decoding
itself is measured there and not here. An absolute bound: people wait for it.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.pairs import Figure
from benchmarks.trace_decode import SPANS, answer_body
from collectors.jaeger.answers import read
from collectors.jaeger.source import decode_traces
from collectors.jaeger.wire import traces_of
from opsctl.core.catalogue import Catalogue
from opsctl.core.signals import Measured, Reading
from opsctl.core.traces import Trace, trace_of
from opsctl.http import Answer
from opsctl.tui.app import OpsctlApp
from opsctl.tui.options import Options
from tests.tui.hand import hand_app, until

OPENINGS = 9
GOAL_MS = 300.0
SMALL = "5" * 32
TICK_SECONDS = 0.001


class Watched:
    """Answers with the great trace, or a small one between, and knows when it did."""

    name = "bench"
    concurrency = 1

    def __init__(self, body: bytes) -> None:
        great = _decoded(body)
        self.great = great.trace_id
        self.answered = 0.0
        self._body = body
        self._small = trace_of(SMALL, [great.spans[0]])

    def trace(self, trace_id: str, timeout_seconds: float) -> Reading[Trace]:
        """One of both."""
        found = self._small if trace_id == SMALL else _decoded(self._body)
        self.answered = time.perf_counter()
        return Measured(found, self.name)

    def close(self) -> None:
        """Nothing is open."""


def _decoded(body: bytes) -> Trace:
    answer = Answer(200, {"content-type": "application/json"}, body)
    (trace,) = read(answer, decode_traces, traces_of, "http://127.0.0.1").data
    return trace


def trace_open() -> Figure:
    """Milliseconds, and the longest that the loop was held up meanwhile."""
    opened, stall = asyncio.run(_measured())
    what = f"{SPANS:,} spans from the answer to the first paint, in ms (loop held up {stall * 1000:.0f} ms at most)"
    return Figure("trace_open_ms", opened * 1000, GOAL_MS, "lower", what)


async def _measured() -> tuple[float, float]:
    source: Any = Watched(answer_body())
    with tempfile.TemporaryDirectory(prefix="opsctl-bench-") as folder:
        app, _ = hand_app(Path(folder), Catalogue({}), options=Options(screen="traces"))
        app.composition.trace_source = source
        async with app.run_test(size=(120, 40)):
            opened, stalls = [], []
            for number in range(OPENINGS + 1):
                await _open(app, SMALL)
                gc.collect()  # what the opening before left behind is not part of this one
                ticking = asyncio.create_task(_longest_stall())
                await _open(app, source.great)
                painted = time.perf_counter()
                ticking.cancel()
                if number:
                    opened.append(painted - source.answered)
                    stalls.append(await ticking)
    return median(opened), max(stalls)


async def _open(app: OpsctlApp, trace_id: str) -> None:
    view: Any = app.pane.view  # type: ignore[union-attr]
    made = view.lines.made
    app.look(trace_id=trace_id, span_id="")
    await until(
        lambda: view.shown is not None and view.shown.trace.trace_id == trace_id and view.lines.made > made, "a paint"
    )


async def _longest_stall() -> float:
    """Until it is cancelled; the longest time between two ticks beyond the tick."""
    longest, before = 0.0, time.perf_counter()
    try:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.perf_counter()
            longest, before = max(longest, now - before - TICK_SECONDS), now
    except asyncio.CancelledError:
        return longest
