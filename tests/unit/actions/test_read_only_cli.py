"""`opsctl --read-only`: what changes something is exit 6 and one line, whatever it is; what looks works as ever."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsctl.actions import Nobody, StartRun
from opsctl.cli.main import COMMANDS, root_app
from tests.unit.actions.test_desk import silence
from tests.unit.actions.world import World

SILENCE = ["alert", "silence", "-l", "service=chat", "--for", "2h", "--reason", "CHG-7"]
CHANGING = {
    "incident ack": [["#1"], ["#9"]],
    "incident resolve": [["#1", "--yes"]],
    "incident note": [["#1", "hello"]],
    "alert silence": [SILENCE[2:], [*SILENCE[2:], "--yes"]],
    "alert silence end": [["SILENCE"]],
    "runbook run": [["Sample"], ["Sample", "--auto"], ["Sample", "--confirm", "prod"]],
    "runbook resume": [["RUN"], ["RUN", "--undo"]],
    "change send": [["Deploy 1.2", "--service", "promo"]],
    "check": [["--notify"]],
    "watch": [[], ["--interval", "5s"]],
    "config state vacuum": [[]],
    "config init": [["new.toml"]],
    # without --live it acts in a world of its own
    "demo": [["--live", "--otlp", "http://127.0.0.1:9"]],
}
LOOKING = {
    "alert ls": [[]],
    "alert show": [["RedeemBudgetBurn"]],
    "alert route": [["--label", "service=promo"]],
    "alert silence": [[*SILENCE[2:], "-n"]],
    "alert silence end": [["SILENCE", "-n"]],
    "alert silence ls": [[]],
    "change send": [["Deploy 1.2", "--service", "promo", "-n"]],
    "check": [[], ["--notify", "-n"]],
    "config show": [[]],
    "incident ack": [["#1", "-n"]],
    "incident ls": [["--offline"]],
    "incident note": [["#1", "hello", "-n"]],
    "incident resolve": [["#1", "-n"]],
    "incident show": [["#1", "--offline"]],
    "incident timeline": [[]],
    "runbook ls": [[]],
    "runbook plan": [["Sample"]],
    "runbook resume": [],
    "runbook run": [["Sample", "-n"], ["Looking", "--no-input"]],
    "runbook show": [["Sample"]],
    "status": [[]],
}
ONLY_LOOK = {
    *("completion", "config schema", "config validate", "doctor", "grafana build", "incident why-not", "log patterns"),
    *("log search", "log tail", "metric labels", "metric ls", "metric query", "metric range", "oncall show"),
    *("rule eval", "rule ls", "runbook lint", "runbook test", "service deps", "service ls", "service show"),
    *("slo budget", "slo ls", "slo show", "trace compare", "trace search", "trace show", "tui"),
}
"""Commands that change nothing but files that they are told to write."""
DONE = {0, 1, 3}  # or a finding


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A", "token")
    return World(tmp_path / "one")


def words(world: World, name: str, more: list[str]) -> list[str]:
    """The command line, with a silence and a run that there are."""
    made = silence(world)
    world.new_desk().apply(made)
    run = world.new_desk().run(StartRun("Sample"), Nobody())
    world.clock.sleep(90)
    known = {"SILENCE": made.silence.id, "RUN": run.run.run}
    return [*name.split(), *(known.get(word, word) for word in more)]


def cases(table: dict[str, list[list[str]]]) -> list[tuple[str, list[str]]]:
    return [(name, more) for name, several in table.items() for more in several]


@pytest.mark.parametrize(("name", "more"), cases(CHANGING))
def test_what_changes_something_is_refused_in_one_line(
    world: World, capsys: pytest.CaptureFixture[str], name: str, more: list[str]
) -> None:
    argv = words(world, name, more)
    before, files = world.trace(), sorted(world.folder.parent.rglob("*"))
    capsys.readouterr()
    assert world.opsctl("--read-only", *argv) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("opsctl: read-only (--read-only): not done: ")
    assert err.count("\n") == 1
    assert world.trace() == before
    assert sorted(world.folder.parent.rglob("*")) == files


@pytest.mark.parametrize(("name", "more"), cases(LOOKING))
def test_what_looks_or_rehearses_works(
    world: World, capsys: pytest.CaptureFixture[str], name: str, more: list[str]
) -> None:
    argv = words(world, name, more)
    sent, silences = list(world.pager.sent), world.silences()
    assert world.opsctl("--read-only", *argv) in DONE, capsys.readouterr().err
    assert (world.pager.sent, world.silences()) == (sent, silences)


def test_a_variable_says_the_same(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSCTL_READ_ONLY", "1")
    assert world.opsctl("incident", "ack", "#1") == 6
    assert "read-only (--read-only): not done: acknowledge #1" in capsys.readouterr().err
    monkeypatch.setenv("OPSCTL_READ_ONLY", "0")
    assert world.opsctl("incident", "ack", "#1") == 0


def test_a_check_writes_its_verdicts_into_the_journal_as_ever(world: World) -> None:
    assert world.opsctl("--read-only", "check") == 1
    assert world.journal().history.verdicts_at(world.clock.now())


def test_in_a_protected_context_a_wanted_note_is_written_and_a_resolve_wants_its_name(tmp_path: Path) -> None:
    world = World(tmp_path / "p", protected=True)
    assert world.opsctl("incident", "note", "#1", "hello") == 0
    assert world.opsctl("incident", "resolve", "#1") == 6
    assert world.opsctl("incident", "resolve", "#1", "--yes") == 0
    assert world.opsctl("--read-only", "incident", "resolve", "#2", "--yes") == 6


def leaves(command: Any, name: str) -> Iterator[str]:
    """Every command below this one that does something."""
    below = getattr(command, "commands", None)
    if below is None or command.invoke_without_command:
        yield name
    for word, one in (below or {}).items():
        yield from leaves(one, f"{name} {word}")


def test_of_every_command_it_is_known_whether_it_changes_something() -> None:
    """A new command has to be put into one of the tables above."""
    root = root_app()
    found = {leaf for name in COMMANDS for leaf in leaves(root.get_command(None, name), name)}  # type: ignore[arg-type]
    assert found == CHANGING.keys() | LOOKING.keys() | ONLY_LOOK
