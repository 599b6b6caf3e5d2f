"""Around the screens: keys, palette, the command line, times, protected contexts, copying, export, and bugs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from opsctl.actions import Acknowledge, Action
from opsctl.errors import Refused
from opsctl.tui.app import OpsctlApp
from opsctl.tui.leader import PlanDialog
from opsctl.tui.options import Options
from opsctl.tui.output import Output
from opsctl.tui.pane import Pane
from opsctl.tui.picker import Picker
from opsctl.tui.terminal import Plainer, plain_cells
from opsctl.tui.typed import Grammar, Ran
from opsctl.tui.widgets.bar import Bar
from tests.tui.desks import HandDesk
from tests.tui.hand import HandFeed, hand_app, screen_text, until
from tests.tui.reports import AT, Maker

MAKER = Maker()
NAMES = ["chat", "gateway", "wallet"]
GRAMMAR: Grammar = {
    ("check",): ("--json",),
    ("watch",): (),
    ("incident",): (),
    ("incident", "ack"): (),
    ("incident", "ls"): (),
    ("log",): (),
    ("log", "search"): ("-s",),
}
Play = Callable[[OpsctlApp, HandFeed, Pilot[int]], Awaitable[None]]


@dataclass
class HandLine:
    """A command line that says what a test wants."""

    ran: Ran = field(default_factory=lambda: Ran(0, "all is well\n"))
    gate: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    stopped: list[bool] = field(default_factory=list)
    wrong: Exception | None = None

    def grammar(self) -> Grammar:
        """A few commands."""
        return GRAMMAR

    def action(self, words: Sequence[str]) -> Action | None:
        """An acknowledgement is one."""
        if words[0] == "watch":
            raise Refused("watch is not for the board: it does not end")
        return Acknowledge(int(words[2].removeprefix("#"))) if words[:2] == ("incident", "ack") else None

    def run(self, words: Sequence[str], width: int, stop: threading.Event) -> Ran:
        """When the gate is open, or it is told to stop."""
        self.asked.append(tuple(words))
        if self.wrong is not None:
            raise self.wrong
        while not self.gate.wait(0.01) and not stop.is_set():
            pass
        self.stopped.append(stop.is_set())
        return self.ran


def play(
    folder: Path,
    what: Play,
    *,
    line: HandLine | None = None,
    protected: bool = False,
    read_only: bool = False,
    size: tuple[int, int] = (120, 40),
    desk: HandDesk | None = None,
    **options: Any,
) -> OpsctlApp:
    """Open a board, and do something on it."""
    made = Options(line=(lambda _: line) if line is not None else None, **options)
    app, feed = hand_app(folder, MAKER.catalogue(NAMES), options=made, protected=protected, read_only=read_only)
    if desk is not None:
        app.desk = desk  # type: ignore[assignment]

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(lambda: bool(feed.posts), "the feed is started")
            feed.post(MAKER.report(NAMES))
            await until(lambda: app.report is not None, "the report is there")
            await pilot.pause()
            await what(app, feed, pilot)

    asyncio.run(go())
    app.composition.close()
    return app


async def type_command(app: OpsctlApp, pilot: Pilot[int], text: str) -> None:
    """`:`, the text, enter."""
    await pilot.press("colon")
    app.query_one_bar().value = text
    await pilot.press("enter")
    await pilot.pause()


def shows(app: OpsctlApp, words: str) -> Callable[[], bool]:
    """Whether it is on the screen."""
    return lambda: words in screen_text(app)


# -- keys and palette


def test_the_help_has_the_keys_that_are_bound_now_and_narrows(tmp_path: Path) -> None:
    """As they are bound by this person, those of this screen first."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("question_mark")
        seen = screen_text(app)
        assert "f9, f10" in seen
        assert seen.index("this screen") < seen.index("lists") < seen.index("time")
        await pilot.press(*"palette")
        await until(lambda: "ctrl+p" in screen_text(app) and "earlier" not in screen_text(app), "only the palette")
        await pilot.press("escape")
        assert not isinstance(app.screen, Picker)
        assert app.screen_name == "board"

    play(tmp_path, what, keys={"time.earlier": "f9,f10"})


def test_own_keys_do_what_the_old_ones_did(tmp_path: Path) -> None:
    """And the old ones do nothing."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("left_square_bracket")
        assert app.spot.window.live
        await pilot.press("f9")
        assert not app.spot.window.live

    play(tmp_path, what, keys={"time.earlier": "f9"})


@pytest.mark.parametrize(
    ("typed", "after"),
    [
        ("Backends", lambda app: app.screen_name == "backends"),
        ("wallet", lambda app: (app.screen_name, app.spot.service) == ("service", "wallet")),
        ("window 30m", lambda app: app.spot.window.length == timedelta(minutes=30)),
        ("theme light", lambda app: app.theme == "light"),
    ],
)
def test_the_palette_goes_where_it_says(tmp_path: Path, typed: str, after: Callable[[OpsctlApp], bool]) -> None:
    """Screens, services, windows, themes: the best hit is taken by enter."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+p")
        app.screen.query_one(Input).value = typed
        await pilot.pause()
        await pilot.press("enter")
        await until(lambda: after(app), typed)

    play(tmp_path, what)


def test_names_of_the_palette_are_no_markup(tmp_path: Path) -> None:
    """And no escape sequences."""
    bad = Maker(lambda usual: f"[bold]{usual}[/nope]\x1b[2J")

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        feed.post(bad.report(NAMES))
        await pilot.pause()
        await pilot.press("ctrl+p")
        app.screen.query_one(Input).value = "nope"
        await until(shows(app, "[/nope]\\x1b[2J"), "as it is written")

    play(tmp_path, what)


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


# -- protected contexts


def test_write_lifts_the_read_only_when_the_name_is_typed_and_ro_ends_it(tmp_path: Path) -> None:
    """Fifteen minutes, counted down in the header."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await type_command(app, pilot, "write")
        await pilot.press(*"staging", "enter")
        await until(shows(app, "not lifted: expected prod, got staging"), "not this name")
        assert app.desk.read_only
        app.query_one(Bar).value = "prod"
        await pilot.press("enter")
        await until(shows(app, "WRITE 15:00"), "the header counts down")
        assert not app.desk.read_only
        await type_command(app, pilot, "ro")
        await until(shows(app, " RO "), "read-only again")

    play(tmp_path, what, protected=True)


@pytest.mark.parametrize(
    ("protected", "read_only", "words"),
    [(False, False, "is not protected"), (True, True, "not done: lifting it"), (False, True, "--read-only")],
)
def test_write_says_why_there_is_nothing_to_lift(tmp_path: Path, protected: bool, read_only: bool, words: str) -> None:
    """--read-only is not lifted."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await type_command(app, pilot, "write")
        await until(shows(app, words), words)
        assert app.desk.writable_until is None

    play(tmp_path, what, protected=protected, read_only=read_only)


# -- copying, opening, exporting


def of_screen(monkeypatch: pytest.MonkeyPatch, **parts: Any) -> None:
    """What the Board has under its cursor, and so on."""
    from opsctl.tui.panes.board import Board

    for name, value in parts.items():
        monkeypatch.setattr(Board, name, lambda self, value=value: value)


def test_copying_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cursor is on, and the command for the same."""
    for name in ("SSH_TTY", "SSH_CONNECTION", "TMUX", "STY", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    of_screen(monkeypatch, under_cursor="wal let", command=("log", "search", "timed out"))
    monkeypatch.setattr("sys.platform", "linux")

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("y")
        await until(shows(app, "copied “wal let” by the terminal (OSC 52"), "y")
        await pilot.press("Y")
        await until(shows(app, "copied “opsctl log search 'timed out'”"), "Y")

    play(tmp_path, what)


def test_a_link_is_shown_where_no_browser_can_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that is no page of the web is not opened at all."""
    monkeypatch.setenv("SSH_TTY", "/dev/pts/0")
    of_screen(monkeypatch, link="https://x.net/Q1")

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("o")
        await until(shows(app, "no browser on this machine: https://x.net/Q1"), "the address")
        of_screen(monkeypatch, link="file:///etc/passwd")
        await pilot.press("o")
        await until(shows(app, "not opened"), "refused")

    play(tmp_path, what)


@pytest.mark.parametrize("suffix", ["txt", "csv", "md", "json", "svg"])
def test_a_view_is_exported_and_not_over_a_file(tmp_path: Path, suffix: str) -> None:
    """In the format that the suffix says, without asking only with a !."""
    path = tmp_path / f"view.{suffix}"

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await type_command(app, pilot, f"export {path}")
        await until(path.exists, "written")
        text = path.read_text()
        assert "wallet" in text
        assert suffix != "svg" or text.startswith("<svg")
        assert suffix != "json" or json.loads(text)["screen"] == "board"
        await type_command(app, pilot, f"export {path}")
        await until(shows(app, "is there already"), "not over it")
        app.query_one(Bar).close()
        path.write_text("old")
        await type_command(app, pilot, f"export! {path}")
        await until(lambda: path.read_text() != "old", "over it")

    play(tmp_path, what)


def test_ctrl_e_offers_a_name(tmp_path: Path) -> None:
    """Of the context, the screen and the time."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+e")
        assert app.query_one(Bar).value.startswith("export opsctl-prod-board-")

    play(tmp_path, what)


# -- small, plain, broken


def test_what_is_too_small_says_so_and_comes_back(tmp_path: Path) -> None:
    """Nothing is lost."""

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.resize_terminal(20, 5)
        await until(shows(app, "20 columns × 5"), "too small")
        await pilot.resize_terminal(100, 30)
        await until(lambda: "wallet" in screen_text(app) and "needs 60" not in screen_text(app), "all there")

    play(tmp_path, what)


def test_a_terminal_of_ascii_gets_as_many_cells() -> None:
    """Glyphs have plainer ones, dots are dots, anything else is a question mark a cell."""
    assert plain_cells("✔ OK │▓░ 漢 ⠤ “x”…") == '+ OK |#. ?? . "x".'
    assert Plainer().enabled


def test_a_bug_ends_the_board_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opened it says it in a line; nothing is printed by Textual."""

    def broken(self: Pane, report: object) -> None:
        raise ZeroDivisionError("odd")

    async def what(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        from opsctl.tui.panes.board import Board

        monkeypatch.setattr(Board, "update_report", broken)
        feed.post(MAKER.report(NAMES))
        await until(lambda: app.crash is not None, "it is caught")
        assert isinstance(app.crash, ZeroDivisionError)
        assert app.return_code == 70
        assert not app._exit_renderables

    with pytest.raises(ZeroDivisionError):
        play(tmp_path, what)
