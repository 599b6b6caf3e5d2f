"""The board's speed: the first paint of a process in a terminal, and key to paint while everything comes in at once."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import pty
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks.pairs import Figure, ratio
from opsctl.core.logs import LogRecord
from opsctl.tui.app import OpsctlApp
from opsctl.tui.run import spare_the_loop
from tests.tui.hand import HandClock, HandFeed, hand_app, until
from tests.tui.reports import AT, Maker, services

PAIRS = 9
SERVICES = 2_000
LINES_A_SECOND = 500
KEYS = 240
_MOVES = "jjkjGkgj"  # each of them moves the cursor: what changes nothing is not painted
PATIENCE_SECONDS = 20.0
EMPTY = """
from textual.app import App
from textual.widgets import Label
class Empty(App):
    def compose(self):
        yield Label("Board")
Empty().run()
"""
CONFIG = """default_context = "bench"
[contexts.bench]
namespace = "bench"
state_dir = "state"
rules = ["bundled:slo"]
[contexts.bench.prometheus]
url = "http://127.0.0.1:9"
"""


# -- the first paint ---------------------------------------------------------------------------------------------------


def first_paint() -> Figure:
    """From the shell to the frame on the screen."""
    with tempfile.TemporaryDirectory(prefix="opsctl-bench-") as name:
        home = Path(name)
        (home / "opsctl.toml").write_text(CONFIG)
        ours = [sys.executable, "-m", "opsctl", "--config", str(home / "opsctl.toml"), "tui"]
        value = ratio(lambda: painted(ours, home), lambda: painted([sys.executable, "-c", EMPTY], home), PAIRS)
    return Figure("first_paint", value, 2, "lower", "opsctl tui / an empty Textual app, to the first paint")


def painted(command: list[str], folder: Path) -> None:
    """Run a command in a terminal until it has painted the word Board, then end it."""
    env = {**os.environ, "HOME": str(folder), "TERM": "xterm-256color", "LINES": "40", "COLUMNS": "120"}
    env["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execve(command[0], command, env)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    try:
        _wait_for(terminal, b"Board")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def _wait_for(terminal: int, word: bytes) -> None:
    seen = b""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while word not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise RuntimeError(f"nothing was painted within {PATIENCE_SECONDS:g} s: {seen[-200:]!r}")
        try:
            seen += os.read(terminal, 65536)
        except OSError as gone:
            raise RuntimeError(f"it ended before it painted: {seen[-400:]!r}") from gone


# -- while everything comes in -----------------------------------------------------------------------------------------


def key_to_paint() -> Figure:
    """The 95th percentile of a key's way to the screen, in ms."""
    return Figure(
        "key_to_paint_ms", _busy()[0], 50, "lower", f"p95 with {SERVICES:,} services and {LINES_A_SECOND} lines/s"
    )


def loop_stall() -> Figure:
    """The longest time that the loop did nothing else, in ms."""
    return Figure("loop_stall_ms", _busy()[1], 100, "lower", "the longest stall of the loop meanwhile")


@lru_cache(maxsize=1)
def _busy() -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="opsctl-bench-") as name:
        return asyncio.run(_measured(Path(name)))


async def _measured(folder: Path) -> tuple[float, float]:
    spare_the_loop()
    maker, names = Maker(), services(SERVICES)
    clock = HandClock()
    records = [_record(i, names) for i in range(20_000)]
    app, feed = hand_app(folder, maker.catalogue(names), records=records, clock=clock)
    taken: list[float] = []
    late = [0.0]
    async with app.run_test(size=(120, 40)) as pilot:
        paints = _Paints(app)
        reports = [maker.report(names, number) for number in range(1, 4)]
        feed.post(reports[0])
        await pilot.pause(1.0)
        jobs = [
            asyncio.create_task(_reporting(feed, reports)),
            asyncio.create_task(_lines(app, names, clock)),
            asyncio.create_task(_heart(late)),
        ]
        for screen in ("1", "6"):
            await paints.of(screen)
            await asyncio.sleep(1.0)
            late[0] = 0.0 if screen == "1" else late[0]
            for i in range(KEYS // 2):
                taken.append(await paints.of(_MOVES[i % len(_MOVES)]))
                await asyncio.sleep(0.02)
        for job in jobs:
            job.cancel()
    return quantiles(taken, n=20)[-1] * 1000, late[0] * 1000


class _Paints:
    """Sends keys as a terminal does, and hears when the screen was painted after one."""

    def __init__(self, app: OpsctlApp) -> None:
        self._app = app
        self._painted = asyncio.Event()
        before: Callable[..., Any] = app._display

        def display(*what: Any) -> None:
            before(*what)
            self._painted.set()

        app._display = display  # type: ignore[method-assign]

    async def of(self, key: str) -> float:
        """Seconds from a key to the next paint."""
        from textual import events

        self._painted.clear()
        begun = time.perf_counter()
        self._app.post_message(events.Key(key, key))
        try:
            await asyncio.wait_for(self._painted.wait(), 2.0)
        except TimeoutError:
            return 0.0  # a key that changes nothing paints nothing
        return time.perf_counter() - begun


async def _reporting(feed: HandFeed, reports: list[Any]) -> None:
    while True:
        for report in reports:
            feed.post(report)
            await asyncio.sleep(1.0)


async def _lines(app: OpsctlApp, names: list[str], clock: HandClock) -> None:
    """Five hundred lines a second, fifty at a time, as time goes by."""
    kept: Any = app.composition.log_source
    number = 20_000
    while True:
        await asyncio.sleep(0.1)
        clock.at += timedelta(seconds=0.1)
        kept.add([_record(number + i, names, clock) for i in range(LINES_A_SECOND // 10)])
        number += LINES_A_SECOND // 10


async def _heart(late: list[float]) -> None:
    """How much too late a beat comes is how long the loop was held."""
    beat = 0.005
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(beat)
        late[0] = max(late[0], time.perf_counter() - begun - beat)


def _record(number: int, names: list[str], clock: HandClock | None = None) -> LogRecord:
    at = clock.at if clock is not None else AT - timedelta(milliseconds=2 * (20_000 - number))
    severity = ("INFO", "INFO", "INFO", "WARN", "ERROR")[number % 5]
    return LogRecord(
        at,
        f"request {number} of u-{number % 977} took {number % 83} ms",
        severity,
        names[number % min(50, len(names))],
        id=str(number),
    )


# -- an hour and more --------------------------------------------------------------------------------------------------


def memory_slope() -> Figure:
    """What a thousand reports leave behind after the first five hundred, in MiB."""
    value = asyncio.run(grown(1_500, 500))
    return Figure("memory_slope_mib", value, 1, "lower", "MiB that 1,000 reports leave, after the first 500")


async def grown(reports: int, first: int, count: int = 10) -> float:
    """Post so many reports and look at every screen again and again; MiB that those after the `first` left behind."""
    import tracemalloc

    maker, names = Maker(), services(count)
    tracemalloc.start()  # from the beginning: what is freed later was counted, too
    with tempfile.TemporaryDirectory(prefix="opsctl-bench-") as name:
        app, feed = hand_app(Path(name), maker.catalogue(names), records=[_record(i, names) for i in range(1000)])
        async with app.run_test(size=(120, 40)) as pilot:
            base = 0
            for number in range(1, reports + 1):
                feed.post(maker.report(names, number, AT + timedelta(minutes=number)))
                await until(lambda at=number: app.report is not None and app.report.number == at, "the report")
                if number % 10 == 0:
                    await pilot.press("12345680"[number // 10 % 8])
                if number == first:
                    gc.collect()
                    base = tracemalloc.get_traced_memory()[0]
            gc.collect()
            left = tracemalloc.get_traced_memory()[0] - base
            tracemalloc.stop()
    return max(0.0, left / (1 << 20))
