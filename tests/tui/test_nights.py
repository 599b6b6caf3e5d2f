"""Other nights at the board, by keys alone: the past, a session looked at again, a backend that dies, a protected one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from opsctl.actions import Desk
from opsctl.tui.app import OpsctlApp
from opsctl.tui.options import Options
from opsctl.tui.recorder import Recorder
from opsctl.tui.replay import ReplayClock, ReplayFeed, ReplayQueries, composition_of, open_session
from opsctl.tui.session import Head
from tests.tui.hand import screen_text, until
from tests.tui.test_journey import spend
from tests.tui.world import Eyes, board_of, world_of


def test_before_the_fault_the_board_is_green_and_live_it_is_red_again(tmp_path: Path) -> None:
    """`[` half an hour back, `L` forward."""

    async def night(eyes: Eyes) -> None:
        await eyes.press("left_square_bracket")
        await eyes.sees("PAST")
        await eyes.sees("✔ OK", "promo", not_="✖ FAIL")
        await eyes.press("L")
        await eyes.sees("✖ FAIL", "promo", not_="PAST")

    with world_of(tmp_path) as world, board_of(world) as app:
        spend(world, app, night)


def test_a_session_that_was_recorded_shows_the_same_row_and_the_same_lines(tmp_path: Path) -> None:
    """Record the board and a service's lines; look at them again with nobody there."""
    file = tmp_path / "night.jsonl"
    seen: list[str] = []

    async def night(eyes: Eyes) -> None:
        seen.append(eyes.line("✖ FAIL", "promo"))
        await eyes.sees("promo redeem failed")
        await eyes.minutes(1)

    with world_of(tmp_path) as world:
        composition = world.composition
        head = Head("demo", "demo", "1.0", world.clock.now(), composition.catalogue)
        recorder = Recorder(file, head, world.clock, print)
        with board_of(world, recorder=recorder) as app:
            spend(world, app, night)
        recorder.close(5)
    session = open_session(file)
    clock = ReplayClock(session.reports[0].made)
    composition = composition_of(session, clock, tmp_path)
    feed = ReplayFeed(session, clock)
    queries = ReplayQueries(composition, session.answers)
    again = OpsctlApp(composition, feed, Desk(composition, read_only="recorded"), Options(replay=file), queries=queries)

    async def look() -> None:
        async with again.run_test(size=(120, 40)) as pilot:
            await until(lambda: seen[0] in screen_text(again), "the row as it was", 20)
            assert "REPLAY" in screen_text(again)
            await until(lambda: "promo redeem failed" in screen_text(again), "the lines that were asked for", 20)
            await pilot.press("x", "a")
            await pilot.pause(0.2)
            assert "the same: opsctl incident ack" not in screen_text(again)

    asyncio.run(look())
    feed.stop(5)
    composition.close()


def test_a_backend_that_dies_makes_rows_unknown_and_never_green_and_comes_back(tmp_path: Path) -> None:
    """The metrics are gone for two minutes."""

    async def night(eyes: Eyes) -> None:
        source: Any = eyes.world.source
        source._closed = True
        await eyes.minutes(1)
        await eyes.sees("? UNKNOWN", "promo", not_="✔ OK")
        banner = "\n".join(eyes.text.split("\n")[2:5])
        assert "metrics" in banner or "memory" in banner, eyes.text
        source._closed = False
        await eyes.minutes(1)
        await eyes.sees("✖ FAIL", "promo", not_="? UNKNOWN")

    with world_of(tmp_path) as world, board_of(world) as app:
        spend(world, app, night)


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
def test_a_protected_context_refuses_until_write_and_its_name(tmp_path: Path, size: tuple[int, int]) -> None:
    """`x a` is refused; `:write`, the name, and it is acknowledged."""

    def told(eyes: Eyes) -> int:
        return [one["status"] for one in eyes.world.incidents()].count("acknowledged")

    async def night(eyes: Eyes) -> None:
        assert "RO" in eyes.text
        await eyes.press("i")
        await eyes.sees("acknowledged", "by nobody")
        await eyes.press("x")
        await eyes.sees("read-only (context demo is protected)")
        await eyes.press("a")
        await asyncio.sleep(0.3)
        assert "the same: opsctl incident ack" not in eyes.text
        assert told(eyes) == 0
        await eyes.press("colon")
        await eyes.write("write")
        await eyes.press("enter")
        await eyes.sees("demo", "15")
        await eyes.write("demo")
        await eyes.press("enter")
        await eyes.sees("demo", ":", not_=" RO ")
        await eyes.press("x", "a")
        await eyes.sees("the same: opsctl incident ack")
        await eyes.press("tab")
        await eyes.write("demo")
        await eyes.press("enter")
        await eyes.sees("by ana")
        assert told(eyes) == 1

    with world_of(tmp_path) as world, board_of(world, protected=True) as app:
        spend(world, app, night, size)
