"""The command line inside the board: run beside it for a file's context, within it for a world in memory."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsctl.actions import Acknowledge, EndSilence, MakeSilence, Resolve, WriteNote
from opsctl.cli import board_line
from opsctl.cli.board_line import BoardLine
from opsctl.cli.demo_world import START, DemoWorld, demo_world
from opsctl.cli.frame import Frame
from opsctl.demo.clock import StoryClock
from opsctl.errors import OpsctlError, Refused, UsageError


@pytest.fixture
def hanging() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(20)
        yield server.getsockname()[1]


@pytest.fixture
def beside(tmp_path: Path, hanging: int) -> BoardLine:
    """The command line of a context in a file."""
    path = tmp_path / "opsctl.toml"
    path.write_text(
        f'[contexts.night]\nstate_dir = "state"\nrules = ["bundled:slo"]\n[contexts.night.prometheus]\nurl = "http://127.0.0.1:{hanging}"\n'
    )
    frame = Frame(config=path)
    return BoardLine(frame, frame.composition)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoWorld]:
    """The demo's world, which stands still."""
    folder = tmp_path_factory.mktemp("world")
    with demo_world("promo-surge", 7, StoryClock(START), folder=folder) as made:
        yield made


@pytest.fixture
def within(world: DemoWorld) -> BoardLine:
    """The command line of that world."""
    return BoardLine(Frame(utc=True), world.composition)


def test_a_context_of_a_file_is_asked_in_a_process_of_its_own(beside: BoardLine) -> None:
    """For a person: as a table, in the width of the board; what is said goes with it."""
    ran = beside.run(["config", "show"], 100, threading.Event())
    assert (ran.code, ran.cut) == (0, "")
    assert "protected" in ran.out
    assert "\t" not in ran.out
    ran = beside.run(["incident", "show", "#99"], 100, threading.Event())
    assert ran.code == 2
    assert "no such incident: #99" in ran.talk


def test_a_command_that_waits_is_ended_when_it_is_closed(beside: BoardLine) -> None:
    """At once, with its process."""
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    begun = time.monotonic()
    ran = beside.run(["metric", "query", "up"], 100, stop)
    assert (ran.code, ran.cut) == (None, "closed")
    assert time.monotonic() - begun < 5


def test_a_command_that_takes_or_says_too_much_is_cut(beside: BoardLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is said why there is no more."""
    monkeypatch.setattr(board_line, "DEADLINE_SECONDS", 0.5)
    assert "not ended after 0.5 s" in beside.run(["metric", "query", "up"], 100, threading.Event()).cut
    monkeypatch.setattr(board_line, "DEADLINE_SECONDS", 20.0)
    monkeypatch.setattr(board_line, "MOST_CHARACTERS", 1000)
    ran = beside.run(["config", "schema"], 100, threading.Event())
    assert "more than 1,000 characters" in ran.cut
    assert len(ran.out) == 1000


@pytest.mark.parametrize(
    ("words", "code", "words_of"),
    [
        (["incident", "ls"], 0, "RedemptionSuccess"),
        (["log", "search", "-s", "promo", "--limit", "2", "redeem"], 0, "promo"),
        (["metric", "query", "up"], 0, 'up{instance="gateway'),
        (["check", "--nope"], 2, "No such option: --nope"),
        (["incident", "ack", "#1"], 6, "read-only"),
    ],
)
def test_a_world_in_memory_is_asked_where_it_is(within: BoardLine, words: list[str], code: int, words_of: str) -> None:
    """The same commands; --read-only holds, whatever is typed."""
    ran = within.run(words, 100, threading.Event())
    assert ran.code == code, ran
    assert words_of in ran.out + ran.talk


def test_commands_leave_the_world_open(within: BoardLine) -> None:
    """The board goes on with its journal and its connections."""
    for _ in range(3):
        assert within.run(["incident", "ls", "--offline"], 100, threading.Event()).code == 0
    assert within.composition.journal().incidents()


def test_what_changes_something_is_an_action(within: BoardLine) -> None:
    """By number, key or the rule's name, with the command's own parser."""
    first = within.composition.journal().incidents()[-1]
    assert within.action(["incident", "ack", f"#{first.episode}"]) == Acknowledge(first.episode)
    assert within.action(["incident", "resolve", first.key]) == Resolve(first.episode)
    assert within.action(["incident", "note", f"#{first.episode}", "off"]) == WriteNote(first.episode, "off")


def test_a_note_that_begins_with_a_dash_follows_two(within: BoardLine) -> None:
    """As in a terminal."""
    first = within.composition.journal().incidents()[-1]
    assert within.action(["incident", "note", f"#{first.episode}", "--", "-x is off"]) == WriteNote(
        first.episode, "-x is off"
    )


def test_a_silence_is_an_action_too(within: BoardLine) -> None:
    """With what the flags say; what is missing is named."""
    words = ["alert", "silence", "-l", 'service="wallet"', "--for", "2h", "--reason", "CHG-12"]
    action = within.action(words)
    assert isinstance(action, MakeSilence)
    assert (action.silence.reason, [str(one) for one in action.silence.matchers]) == ("CHG-12", ['service="wallet"'])
    with pytest.raises(UsageError, match="--for, --reason missing"):
        within.action(words[:4])
    with pytest.raises(OpsctlError, match="silence"):
        within.action(["alert", "silence", "end", "nope"])
    assert EndSilence("x") != action


@pytest.mark.parametrize(
    "words",
    [
        ["check", "--json"],
        ["status"],
        ["incident", "ls"],
        ["incident", "ack", "--help"],
        ["alert", "silence", "ls"],
        ["runbook", "plan", "PromoSurge"],
    ],
)
def test_what_only_shows_is_no_action(within: BoardLine, words: list[str]) -> None:
    """It is run instead."""
    assert within.action(words) is None


@pytest.mark.parametrize(
    "words",
    [
        ["watch"],
        ["tui"],
        ["demo"],
        ["log", "tail"],
        ["change", "send", "x"],
        ["grafana", "build"],
        ["config", "init"],
        ["config", "state", "vacuum"],
        ["runbook", "resume", "1"],
        ["check", "--notify"],
        ["check", "--evidence=x.json"],
    ],
)
def test_what_is_not_for_the_board_says_why(within: BoardLine, words: list[str]) -> None:
    """And how it is typed in a terminal."""
    with pytest.raises(Refused, match=r"is not for the board.*in a terminal: opsctl"):
        within.action(words)


def test_a_wrong_command_is_one_line(within: BoardLine) -> None:
    """As the command line says it."""
    for words in (
        ["incident", "ack"],
        ["incident", "ack", "#99"],
        ["incident", "ack", "--nope", "#1"],
        ["log", "search", "-"],
    ):
        with pytest.raises(UsageError) as caught:
            within.action(words)
        assert len(str(caught.value).splitlines()) == 1
