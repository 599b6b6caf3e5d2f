"""A page down and its paint in the log screen's list: at 1,000,000 lines against 1,000, in one run.

One app without a terminal shows the same list on two rings in turn; a page down, the paint of the whole window, and a
page up again are timed. What a list costs must be what is seen, not what is kept.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from benchmarks.pairs import Figure

MANY, FEW = 1_000_000, 1_000
PAIRS = 60
SIZE = (120, 40)
START = datetime(2026, 3, 1, tzinfo=UTC)
SEVERITIES = ("INFO", "INFO", "INFO", "WARN", "ERROR")


def log_scroll() -> Figure:
    """Long against short."""
    found = asyncio.run(_measured())
    what = f"a page down and its paint at {MANY:,} log lines / at {FEW:,}"
    return Figure("log_scroll", found, 1.5, "lower", what)


def _ring(count: int) -> Any:
    from opsctl.core.logs import LogRecord
    from opsctl.tui.log_ring import Ring

    ring = Ring(capacity=count, characters=1 << 40)
    services = ("wallet", "payments", "lobby")
    ring.append(
        LogRecord(
            START + timedelta(milliseconds=7 * number),
            f"payment {number} accepted after {number % 977} ms, player {number * 7919 % 100_003} goes on playing",
            SEVERITIES[number % 5],
            services[number % 3],
            id=str(number),
        )
        for number in range(count)
    )
    return ring


async def _measured() -> float:
    from textual.app import App

    from opsctl.tui.log_ring import Picked
    from opsctl.tui.widgets.log_list import LogList

    pages = {count: Picked(_ring(count)) for count in (MANY, FEW)}

    class One(App[None]):
        def compose(self) -> Any:
            yield LogList()

    app = One()
    taken: dict[int, list[float]] = {MANY: [], FEW: []}
    async with app.run_test(size=SIZE) as pilot:
        lines = app.query_one(LogList)
        for number in range(PAIRS):
            for count, picked in pages.items():
                lines.following = False
                lines.show(picked)
                lines.cursor = (number * 7919) % (count - 200)
                await pilot.pause()
                begun = time.perf_counter()
                lines.action_page(1)
                app.screen._compositor.render_update(full=True)
                lines.action_page(-1)
                app.screen._compositor.render_update(full=True)
                if number > 2:
                    taken[count].append(time.perf_counter() - begun)
    return median(taken[MANY]) / median(taken[FEW])
