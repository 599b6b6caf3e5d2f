"""Around the screens: keys, palette, protected contexts, copying, export, sizes, and bugs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from opsctl.tui.app import OpsctlApp
from opsctl.tui.pane import Pane
from opsctl.tui.picker import Picker
from opsctl.tui.terminal import Plainer, plain_cells
from opsctl.tui.widgets.bar import Bar
from tests.tui.hand import HandFeed, screen_text, until
from tests.tui.reports import Maker
from tests.tui.shells import MAKER, NAMES, play, shows, type_command

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
