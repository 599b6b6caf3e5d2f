"""What every screen shares: what is looked at, the way back, time, pause, and what the frame says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot

from opsctl.core.signals import Failed, Reason
from opsctl.tui.app import OpsctlApp
from opsctl.tui.focus import Window
from opsctl.tui.queries import Queries
from opsctl.tui.report import Trouble
from opsctl.tui.widgets.header import Hint, fitting
from tests.tui.hand import HandFeed, hand_app, screen_text, until
from tests.tui.reports import AT, Maker, services

NAMES = services(6)
MAKER = Maker()

Play = Callable[[OpsctlApp, HandFeed, Pilot[int]], Awaitable[None]]


def play(folder: Path, what: Play, *, size: tuple[int, int] = (120, 40), protected: bool = False) -> None:
    """Open a board and do something on it."""
    app, feed = hand_app(folder, MAKER.catalogue(NAMES), protected=protected)

    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            await until(lambda: bool(feed.posts), "the feed is started")
            feed.post(MAKER.report(NAMES))
            await until(lambda: app.report is not None, "the report is there")
            await pilot.pause()
            await what(app, feed, pilot)

    asyncio.run(go())
    app.composition.close()


# -- time, pure


def test_a_live_window_that_is_shifted_back_stands_still_and_forward_again_is_live() -> None:
    live = Window(timedelta(hours=1))
    back = live.shifted(-1, AT)
    assert back.bounds(AT + timedelta(hours=9)) == (AT - timedelta(minutes=90), AT - timedelta(minutes=30))
    assert back.shifted(1, AT).live


@pytest.mark.parametrize(("steps", "minutes"), [(1, 180), (-1, 30), (99, 10_080), (-99, 5)])
def test_a_window_is_zoomed_within_its_lengths(steps: int, minutes: int) -> None:
    assert Window(timedelta(hours=1)).zoomed(steps).length == timedelta(minutes=minutes)


# -- hints, pure


def test_hints_are_whole_and_those_that_lead_to_all_else_stay_longest() -> None:
    hints = [Hint("d", "logs"), Hint("T", "traces of it"), Hint("?", "keys", True), Hint("z", "x")]
    assert fitting(hints, 200) == hints
    assert [one.key for one in fitting(hints, 21)] == ["d", "?", "z"]
    assert [one.key for one in fitting(hints, 9)] == ["?"]


# -- going and coming back


def test_escape_goes_back_to_the_screen_the_service_and_the_time_before(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("left_square_bracket")
        at = app.spot.window.end
        assert at == AT - timedelta(minutes=30)
        await app.go("backends", service=NAMES[1])
        assert (app.screen_name, app.spot.service) == ("backends", NAMES[1])
        await pilot.press("escape")
        assert app.screen_name == "board"
        assert app.spot.window.end == at
        await pilot.press("escape")
        assert app.spot.window.live

    play(tmp_path, what)


def test_q_goes_back_and_at_the_board_it_ends_however_one_came_there(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("0", "q")
        assert app.screen_name == "board"
        await pilot.press("0", "1")
        assert app.is_running
        await pilot.press("q")
        await until(lambda: not app.is_running, "it is over")

    play(tmp_path, what)


def test_capital_q_goes_back_and_keeps_the_time(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await app.go("backends")
        await pilot.press("left_square_bracket", "Q", "Q")
        assert app.screen_name == "board"
        assert app.spot.window.end == AT - timedelta(minutes=30)

    play(tmp_path, what)


def test_the_feed_looks_where_the_person_looks(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("left_square_bracket")
        assert feed.looked[-1] == (AT - timedelta(minutes=30), timedelta(hours=1))
        assert "PAST" in screen_text(app)
        await pilot.press("L")
        assert feed.looked[-1] == (None, timedelta(hours=1))
        assert "▸ live" in screen_text(app)

    play(tmp_path, what)


def test_a_pause_holds_still_counts_what_comes_and_shows_it_when_it_ends(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("space")
        for number in (2, 3, 4):
            feed.post(MAKER.report(NAMES, number))
        await until(lambda: "PAUSED +3" in screen_text(app), "three are counted")
        assert app.report is not None
        assert app.report.number == 1
        await pilot.press("space")
        assert app.report.number == 4
        assert "PAUSED" not in screen_text(app)

    play(tmp_path, what)


# -- honesty


def test_a_backend_that_did_not_answer_is_said_on_every_screen(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        for key in "10":
            await pilot.press(key)
            assert "✖ elasticsearch http://127.0.0.1:9200: refused" in screen_text(app)
            assert "! jaeger http://127.0.0.1:16686: cut" in screen_text(app)

    play(tmp_path, what)


def test_a_cycle_that_came_to_nothing_is_said_until_the_next_one_comes(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        feed.posts[-1](Trouble(AT, "another run holds the lock"))
        await until(lambda: "no new verdicts: another run holds the lock" in screen_text(app), "it is said")
        feed.post(MAKER.report(NAMES, 2))
        await until(lambda: "no new verdicts" not in screen_text(app), "it is over")

    play(tmp_path, what)


def test_what_an_earlier_session_left_is_shown_with_its_age_and_never_over_a_new_report(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        old = replace(MAKER.report(NAMES, 9), made=AT - timedelta(minutes=7), old=True)
        feed.post(old)
        await pilot.pause(0.1)
        assert app.report is not None
        assert app.report.number == 1
        app.report = None
        feed.post(old)
        await until(lambda: "~7m" in screen_text(app), "its age is shown")

    play(tmp_path, what)


def test_a_report_that_nothing_follows_grows_old_before_ones_eyes(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        assert "prometheus ✔" in screen_text(app)
        app.composition.clock.at = AT + timedelta(minutes=3)  # type: ignore[attr-defined]
        await until(lambda: "prometheus ~3m" in screen_text(app), "its age is shown")

    play(tmp_path, what, size=(160, 40))


def test_a_protected_context_is_read_only_until_that_is_lifted(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        assert " RO " in screen_text(app)
        app.desk.allow(timedelta(minutes=15))
        await until(lambda: "WRITE 15:00" in screen_text(app), "it counts down")

    play(tmp_path, what, protected=True)


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (80, 24), (200, 60)])
def test_any_size_is_drawn_and_what_is_too_narrow_says_so(tmp_path: Path, size: tuple[int, int]) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        for key in "12345680":
            await pilot.press(key)
        lines = screen_text(app).splitlines()
        assert len(lines) == size[1]
        if size[0] < 60:
            assert any("columns" in line for line in lines)

    play(tmp_path, what, size=size)


# -- questions


def test_equal_questions_at_once_are_one_request_and_the_budget_makes_the_next_wait(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        queries = Queries(app.composition, budget=2)
        asked: list[int] = []

        def call() -> str:
            asked.append(1)
            return "answer"

        same = [asyncio.ensure_future(queries.ask("logs", "k", call)) for _ in range(5)]
        assert await asyncio.gather(*same) == ["answer"] * 5
        assert len(asked) == 1
        await queries.ask("logs", "other", call)
        third = asyncio.ensure_future(queries.ask("logs", "third", call))
        await asyncio.sleep(0.15)
        assert not third.done()
        assert queries.use()["logs"].waiting == 1
        assert (queries.use()["logs"].last_minute, queries.use()["logs"].budget) == (2, 2)
        third.cancel()

    play(tmp_path, what)


def test_a_backend_that_is_not_configured_is_a_failed_reading_and_no_error(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        app.composition.log_source = None
        from opsctl.core.logs import LogQuery

        reading = await app.queries.logs(LogQuery(start=AT, end=AT))
        assert isinstance(reading, Failed)
        assert reading.reason is Reason.UNSUPPORTED
        assert "no [contexts.prod.elasticsearch]" in reading.message

    play(tmp_path, what)
