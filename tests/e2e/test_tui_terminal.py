"""The board in a real terminal: each way out leaves it sane, any size is drawn, keys and mouse work."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.terminal import Process, Screen, opened

OPSCTL = [sys.executable, "-m", "opsctl"]
CONFIG = """
[contexts.night]
state_dir = "state"
rules = ["bundled:slo"]
[contexts.night.prometheus]
url = "http://127.0.0.1:9"
[contexts.night.limits]
request = "1s"
"""


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    """A terminal in a folder with a small configuration, whose backend is not there."""
    (tmp_path / "opsctl.toml").write_text(CONFIG)
    with opened(tmp_path) as made:
        yield made


def board(screen: Screen, *flags: str, **env: str) -> Process:
    """Open the board and wait until it is drawn."""
    process = screen.start([*OPSCTL, "tui", *flags], env)
    screen.shows("1 Board")
    screen.shows("connection refused")
    return process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)], ids=lambda one: str(one)
)
def test_a_signal_leaves_a_sane_prompt(screen: Screen, number: signal.Signals, code: int) -> None:
    """Whatever ends it: no alternate screen, no mouse, echo on, and the code that says why."""
    process = board(screen)
    assert (screen.flag("alternate_on"), screen.flag("mouse_any_flag")) == ("1", "1")
    process.signal(number)
    screen.is_sane(code)


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.2, 0.25, 0.3, 0.5])
def test_a_signal_while_it_opens_leaves_a_sane_prompt(screen: Screen, delay: float) -> None:
    """Before the first paint too."""
    process = screen.start([*OPSCTL, "tui"])
    time.sleep(delay)
    process.signal(signal.SIGTERM)
    screen.is_sane(143)


@pytest.mark.parametrize(("keys", "code"), [(("C-c",), 130), (("q",), 0), ((":", "q", "Enter"), 0)])
def test_keys_leave_a_sane_prompt(screen: Screen, keys: tuple[str, ...], code: int) -> None:
    """Ctrl-C at once, since nothing is under way; q at the Board; :q."""
    board(screen)
    screen.press(*keys)
    screen.is_sane(code)


def test_ctrl_c_leaves_from_a_dialog_and_from_what_is_typed(screen: Screen) -> None:
    """It is heard wherever one is."""
    board(screen)
    screen.press("?")
    screen.shows("keys: type to narrow")
    screen.press("C-c")
    screen.is_sane(130)
    board(screen)
    screen.press(":", "a")
    screen.press("C-c")
    screen.is_sane(130)


def test_a_terminal_that_is_closed_ends_the_board(screen: Screen) -> None:
    """No process stays behind and spins."""
    process = board(screen)
    screen._run("kill-server")
    assert process.ends(10)


def test_a_stopped_board_gives_the_terminal_back_and_goes_on(screen: Screen) -> None:
    """SIGTSTP, the shell, and fg."""
    screen.type("set -m")
    screen.press("Enter")
    process = board(screen)
    process.signal(signal.SIGTSTP)
    screen.wait(lambda _: screen.flag("alternate_on") == "0", "the shell's screen")
    assert screen.flag("mouse_any_flag") == "0"
    screen.type('clear; fg; echo "code=$?"')
    screen.press("Enter")
    screen.wait(lambda seen: screen.flag("alternate_on") == "1" and "1 Board" in seen, "the board again")
    screen.press("q")
    screen.is_sane(0)


def test_a_bug_is_one_line_and_a_sane_prompt(screen: Screen) -> None:
    """No page of a traceback, exit code 70."""
    program = (
        "import sys, opsctl.tui.panes.board as m\n"
        "def broken(self, report): raise TypeError('sec\\x1b[31mret')\n"
        "m.Board.update_report = broken\n"
        "from opsctl.cli.main import main\n"
        "sys.exit(main(['tui']))"
    )
    screen.start([sys.executable, "-c", program])
    seen = screen.shows("code=70")
    assert r"opsctl: a bug in opsctl: TypeError: sec\x1b[31mret at <string>:2; --debug shows the traceback" in seen
    screen.is_sane(70)


def test_every_size_is_drawn(screen: Screen) -> None:
    """From 200×60 to 20×5 and back; what is too small says so."""
    board(screen)
    for columns, rows in ((80, 24), (200, 60), (20, 5), (59, 20), (100, 30)):
        screen.resize(columns, rows)
        words = "q leaves" if columns == 20 else "59 columns" if columns == 59 else "0 Back"
        seen = screen.shows(words)
        assert all(len(line) <= columns for line in seen.splitlines())
    screen.press("q")
    screen.is_sane(0)


def test_a_click_on_a_tab_opens_it_and_without_a_mouse_nothing_is_asked_for(screen: Screen) -> None:
    """--no-mouse leaves the terminal's own selection alone."""
    board(screen)
    column = screen.text().splitlines()[1].index("0 Backends") + 2
    screen.click(column, 2)
    screen.shows("reachable")
    screen.press("C-c")
    screen.is_sane(130)
    board(screen, "--no-mouse")
    assert screen.flag("mouse_any_flag") == "0"
    screen.press("C-c")
    screen.is_sane(130)


def test_without_colour_nothing_is_coloured(screen: Screen) -> None:
    """NO_COLOR: bold, underlined and reversed, in black and white."""
    board(screen, NO_COLOR="1")
    codes = set(re.findall(r"\x1b\[([\d;]*)m", screen.styled()))
    colours = [code for code in codes if re.search(r"(^|;)(3[1-6]|4[1-6]|9[1-6])(;|$)", code)]
    assert not colours
    mixed = [m for code in codes for m in re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", code) if len(set(m)) > 1]
    assert not mixed
    assert any(re.search(r"(^|;)1(;|$)", code) for code in codes), "what is bold tells it"
    screen.press("C-c")
    screen.is_sane(130)


@pytest.mark.parametrize("env", [{"LC_ALL": "C"}, {"LANG": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_terminal_of_ascii_gets_ascii(screen: Screen, env: dict[str, str]) -> None:
    """No cell moves, nothing is escaped, dialogs have frames."""
    board(screen, **env)
    screen.press("?")
    seen = screen.shows("keys: type to narrow")
    assert seen.isascii()
    assert "\\u" not in seen
    assert "+---" in seen
    screen.press("C-c")
    screen.is_sane(130)


def test_a_dumb_terminal_and_a_pipe_do_no_harm(screen: Screen) -> None:
    """The one opens without colours, the other is told what to do."""
    board(screen, TERM="dumb")
    screen.press("C-c")
    screen.is_sane(130)
    screen.start(["sh", "-c", f"{' '.join(OPSCTL)} tui | cat"])
    screen.shows("the board needs a terminal")
    screen.start(["sh", "-c", f"{' '.join(OPSCTL)} tui 2>said; cat said; rm said"])
    screen.shows("the board is drawn on stderr")


def test_a_command_is_typed_and_its_output_read(screen: Screen) -> None:
    """`:` runs it in a process of its own, which is not there any more when the board is left."""
    board(screen)
    screen.press(":")
    screen.type("config show")
    screen.press("Enter")
    seen = screen.shows("exit 0")
    assert "protected" in seen
    screen.press("Escape")
    screen.wait(lambda seen: "exit 0" not in seen, "it is closed")
    screen.press(":")
    screen.type("incdent ls")
    screen.press("Enter")
    screen.shows("did you mean incident?")
    screen.press("C-c")
    screen.is_sane(130)


WORDS = {
    "1": "burn",
    "2": "p99",
    "3": "since",
    "4": "acknowledge",
    "5": "critical path",
    "6": "severity",
    "8": "step",
    "0": "reachable",
}


def words_on(seen: str) -> set[str]:
    """Which screens' words are there."""
    return {word for word in WORDS.values() if re.search(rf"\b{word}\b", seen)}


def test_each_screen_has_a_word_that_no_other_has(tmp_path: Path) -> None:
    """On the demo's world: what a digit opens is what it says, in any order."""
    with opened(tmp_path, 120, 40) as screen:
        screen.start([*OPSCTL, "demo", "--tui", "--speed", "1"])
        screen.shows("✖ FAIL", 60)
        for key in (*WORDS, "6", "1", "5", "2"):
            screen.press(key)
            screen.wait(lambda seen, key=key: words_on(seen) == {WORDS[key]}, f"“{WORDS[key]}” and no other's word", 30)
        column = screen.text().splitlines()[1].index("3 Alerts") + 2
        screen.click(column, 2)
        screen.shows("since")
        screen.press(":")
        screen.type("log search -s wallet --limit 2")
        screen.press("Enter")
        screen.shows("exit 0", 30)
        screen.press("C-c")
        screen.is_sane(130)
