"""The command line behind a colon: run and shown, planned and asked about, or said to be wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from textual.pilot import Pilot

from opsctl.actions import Acknowledge
from opsctl.tui.app import OpsctlApp
from opsctl.tui.leader import PlanDialog
from opsctl.tui.output import Output
from opsctl.tui.typed import Ran
from opsctl.tui.widgets.bar import Bar
from tests.tui.desks import HandDesk
from tests.tui.hand import HandFeed, screen_text, until
from tests.tui.reports import AT
from tests.tui.shells import HandLine, play, shows, type_command

# -- the command line


def test_a_command_is_run_and_shown_and_what_runs_is_ended_when_it_is_closed(tmp_path: Path) -> None:
    """With its code; a bug in it does not end the board."""
    line = HandLine(Ran(3, "a\x1b[31mb\nsecond\n", "opsctl: said so\n"))

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await type_command(app, pilot, "log search -s wallet 'timed out'")
        await until(shows(app, "… running"), "it runs")
        line.gate.set()
        await until(shows(app, "! exit 3"), "it ended")
        assert line.asked == [("log", "search", "-s", "wallet", "timed out")]
        seen = screen_text(app)
        assert seen.index("opsctl: said so") < seen.index("a\\x1b[31mb") < seen.index("second")
        await pilot.press("escape")
        line.gate.clear()
        await type_command(app, pilot, "check")
        await until(lambda: isinstance(app.screen, Output) and len(line.asked) == 2, "the next one runs")
        await pilot.press("escape")
        await until(lambda: line.stopped == [False, True], "it was told to stop")
        line.wrong = TypeError("odd")
        await type_command(app, pilot, "check")
        await until(shows(app, "a bug in opsctl: TypeError: odd"), "the bug is said")

    play(tmp_path, what, line=line)


def test_what_changes_something_goes_to_the_desk_and_is_asked_about(tmp_path: Path) -> None:
    """The same dialog as behind the leader key; cancelled, nothing is done."""
    desk, line = HandDesk(), HandLine()

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await type_command(app, pilot, "incident ack #7")
        await until(lambda: isinstance(app.screen, PlanDialog), "the dialog")
        assert desk.plans[0] == Acknowledge(7)
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, PlanDialog), "it is closed")
        assert (desk.applied, line.asked) == ([], [])
        await type_command(app, pilot, "watch")
        await until(shows(app, "watch is not for the board"), "it is refused")

    play(tmp_path, what, line=line, desk=desk)


def test_a_wrong_line_is_said_and_stays_to_be_mended(tmp_path: Path) -> None:
    """With the nearest word; enter on nothing closes it."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await type_command(app, pilot, "incidnt ls")
        await until(shows(app, "did you mean incident?"), "the nearest")
        bar = app.query_one(Bar)
        assert bar.display
        assert bar.value == "incidnt ls"
        bar.value = ""
        await pilot.press("enter")
        assert not bar.display

    play(tmp_path, what, line=HandLine())


def test_tab_completes_and_up_recalls(tmp_path: Path) -> None:
    """Commands first, then what they are about."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("colon")
        bar = app.query_one(Bar)
        await until(lambda: bool(app._grammar), "the grammar is there")
        await pilot.press(*"logs", "space", "w", "tab")
        assert bar.value == "logs wallet "
        bar.value = "incident "
        await pilot.press("tab")
        first = bar.value
        await pilot.press("tab")
        assert bar.value != first
        assert bar.value.startswith("incident ")
        bar.value = "window 30m"
        await pilot.press("enter")
        await pilot.press("colon", "up")
        assert bar.value == "window 30m"

    play(tmp_path, what, line=HandLine())


def test_words_that_move_the_board(tmp_path: Path) -> None:
    """A service, a time, a window; esc takes each back."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await type_command(app, pilot, "logs wallet")
        await until(lambda: (app.screen_name, app.spot.service) == ("logs", "wallet"), "its logs")
        await type_command(app, pilot, "at 17:02")
        assert app.spot.window.end == AT.replace(hour=17, minute=2)
        await type_command(app, pilot, "window 6h")
        assert app.spot.window.length == timedelta(hours=6)
        await type_command(app, pilot, "live")
        assert app.spot.window.live
        await pilot.press("t")
        await pilot.press(*"15m", "enter")
        assert app.spot.window.end == AT - timedelta(minutes=15)
        await pilot.press("t")
        await pilot.press(*"25:99", "enter")
        await until(shows(app, "a clock shows"), "what is wrong with it")

    play(tmp_path, what)


def test_what_is_typed_ahead_goes_into_the_line(tmp_path: Path) -> None:
    """`:q` in one burst does not press q on the board first."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        from textual.events import Key

        for key, character in (("colon", ":"), ("x", "x"), ("q", "q"), ("slash", "/"), ("colon", ":")):
            app.post_message(Key(key, character))
        await until(lambda: app.query_one(Bar).value == "xq/:", "all of it")
        assert app.is_running

    play(tmp_path, what)


def test_without_a_command_line_the_board_still_moves(tmp_path: Path) -> None:
    """As in a recorded session."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await type_command(app, pilot, "backends")
        await until(lambda: app.screen_name == "backends", "moved")
        await type_command(app, pilot, "check")
        await until(shows(app, "no such command: check"), "said")

    play(tmp_path, what)
