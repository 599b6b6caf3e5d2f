"""The board as a person reads it: the worst first, why the selected one is red, and one key to everything about it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot

from opsctl.core.logs import LogRecord
from opsctl.core.rules import Outcome
from opsctl.core.traces import trace_of
from opsctl.tui.app import OpsctlApp
from opsctl.tui.report import Report
from tests.contract.trace_world import MS, span
from tests.tui.hand import HandFeed, hand_app, screen_text, until
from tests.tui.reports import AT, Maker

MAKER = Maker()
NAMES = ["calm", "loud", "warned", "bare"]
LINES = [
    LogRecord(AT - timedelta(seconds=i + 1), f"charge {i} failed: queue is full", "ERROR", "loud", id=str(i))
    for i in range(7)
]
START_US = round((AT - timedelta(minutes=1)).timestamp() * 1e6)
TRACE = trace_of(f"{10:032x}", [span(10, 1, None, "loud", "POST /charge", "server", START_US, 900 * MS)])
Play = Callable[[OpsctlApp, HandFeed, Pilot[int]], Awaitable[None]]


def report(number: int = 1, **changes: object) -> Report:
    """One service of each kind."""
    outcomes = {"calm": Outcome.PASS, "loud": Outcome.FAIL, "warned": Outcome.WARN}
    made = replace(
        MAKER.report(NAMES, number),
        verdicts=tuple(MAKER.verdict(name, outcome, AT) for name, outcome in outcomes.items()),
        stale=(),
        incidents=(MAKER.incident(1, "loud", AT),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def play(folder: Path, what: Play, *, size: tuple[int, int] = (120, 40)) -> None:
    """Open the board on the report, and do something on it."""
    app, feed = hand_app(folder, MAKER.catalogue(NAMES), records=LINES, traces=[TRACE])

    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            await until(lambda: bool(feed.posts), "the feed is started")
            feed.post(report())
            await until(lambda: app.report is not None, "the report is there")
            if size[1] > 8:
                await until(lambda: "loud" in screen_text(app), "the report is shown")
            await what(app, feed, pilot)

    asyncio.run(go())
    app.composition.close()


def line_of(app: OpsctlApp, word: str) -> int:
    """The first line with that word."""
    return next(i for i, line in enumerate(screen_text(app).splitlines()) if word in line)


def test_the_worst_is_on_top_with_its_budget_alerts_incident_and_change(tmp_path: Path) -> None:
    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        lines = screen_text(app).splitlines()
        first = next(line for line in lines if "✖ FAIL" in line)
        for word in ("loud", "99.9", "90%", "37/37", "1 page", "#1 ack", "9m ago"):
            assert word in first
        assert line_of(app, "no rule") > line_of(app, "✔ OK")
        assert "burn" in screen_text(app)
        for word in ("p99", "since", "acknowledge", "critical path", "severity", "reachable"):
            assert word not in screen_text(app)

    play(tmp_path, look)


def test_why_it_is_red_is_asked_when_the_cursor_rests_and_only_then(tmp_path: Path) -> None:
    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await until(lambda: "7× ERROR charge <num> failed" in screen_text(app), "the pattern is there")
        await until(lambda: "POST /charge" in screen_text(app), "the slowest operation is there")
        assert "firing for 12m" in screen_text(app)
        asked = app.queries.use()["logs"].asked
        await pilot.press("j", "j", "k", "k")
        assert app.queries.use()["logs"].asked == asked, "rows that are passed cost nothing, known ones neither"
        await until(lambda: "7× ERROR" in screen_text(app), "what is known is shown at once")

    play(tmp_path, look)


def test_sorting_filter_and_faults_only_keep_the_cursor_on_its_service(tmp_path: Path) -> None:
    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("j")
        assert app.spot.service == "warned"
        await pilot.press("s")
        await until(lambda: "service▼" in screen_text(app), "sorted by service")
        await pilot.press("z")
        await until(lambda: "no rule" not in screen_text(app), "only faults")
        assert app.spot.service == "warned"
        await pilot.press("z", "slash", *"nobody", "enter")
        await until(lambda: "no service that fits 'nobody'" in screen_text(app), "it says why there is nothing")

    play(tmp_path, look)


@pytest.mark.parametrize(
    ("key", "screen", "changed"),
    [
        ("enter", "service", {"service": "loud"}),
        ("d", "logs", {"service": "loud", "severity": "ERROR"}),
        ("T", "traces", {"service": "loud", "errors_only": True}),
        ("i", "incidents", {"service": "loud", "incident": 1}),
        ("R", "runbooks", {"runbook": "PromoSurge", "incident": 1}),
    ],
)
def test_one_key_goes_on_with_the_service_and_esc_comes_back(
    tmp_path: Path, key: str, screen: str, changed: dict[str, object]
) -> None:
    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press(key)
        await until(lambda: app.screen_name == screen, "the other screen")
        assert {name: getattr(app.spot, name) for name in changed} == changed
        await app.action_back()
        assert app.screen_name == "board"

    play(tmp_path, look)


def test_a_new_report_keeps_the_cursor_on_its_service_wherever_it_goes(tmp_path: Path) -> None:
    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("j", "j")
        assert app.spot.service == "calm"
        feed.post(report(2, verdicts=(MAKER.verdict("calm", Outcome.FAIL, AT),)))
        await until(lambda: app.report is not None and app.report.number == 2, "the next report")
        await until(lambda: "why calm is ✖ FAIL" in screen_text(app), "it is still about that service")

    play(tmp_path, look)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (60, 12), (20, 5)])
def test_columns_drop_in_a_narrow_window_and_nothing_breaks(tmp_path: Path, size: tuple[int, int]) -> None:
    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        text = screen_text(app)
        if size[0] >= 60:
            assert "loud" in text
        if size[0] >= 80:
            assert "37/37" in text
            assert "1 page" in text
        if size[0] <= 80 or size[0] >= 200:
            lines = re.search("[▁▂▃▄▅▆▇█]{5}", text)
            assert bool(lines) == (size[0] >= 200), "sparklines go first"

    play(tmp_path, look, size=size)
