"""`opsctl incident`: what is shown, which incident is meant, and who may close it."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from opsctl.adapters.journal import SqliteJournal, open_journal
from opsctl.cli.main import main
from opsctl.core.slo import Severity
from opsctl.files.context import ContextSettings
from opsctl.files.rules import RuleSet
from tests.unit.paging.world import (
    LOST,
    REFUSED,
    T0,
    ScriptedSink,
    SteppedClock,
    alert,
    cycle,
    minutes,
    run_record,
    sinks_of,
)

if TYPE_CHECKING:
    from opsctl.app import Composition


@dataclass
class World:
    """A composition with a journal and a scripted pager, and the command line on it."""

    folder: Path
    protected: bool = False
    pager: ScriptedSink = field(default_factory=ScriptedSink)

    def __post_init__(self) -> None:
        self.clock = SteppedClock()
        self.context = ContextSettings("prod", "prod-eu", self.folder, self.folder, protected=self.protected)
        self.sinks = sinks_of(self.pager)
        self.rules = RuleSet()
        self._journal = open_journal(self.folder, "prod-eu", self.clock)

    def journal(self) -> SqliteJournal:
        return self._journal

    def run(self, *argv: str) -> int:
        return main(["--utc", *argv], clock=self.clock, compose_with=lambda _: cast("Composition", self))


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "state")
    ticket = alert("chat-latency", severity=Severity.TICKET, summary="slow \x1b[31mred\x1b[0m")
    for alerts in ([alert("redeem")], [alert("redeem"), alert("pay-success"), ticket]):
        uids = ("redeem", "pay-success", "chat-latency")
        made.journal().commit(run_record(T0), (), cycle(made.clock.at, alerts, fresh=uids))
        made.clock.at += minutes(2)
    return made


def out(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_ls_shows_open_incidents_newest_first(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("incident", "ls") == 0
    lines = [line.split("\t") for line in out(capsys).splitlines()]
    assert lines[0][:3] == ["state", "incident", "rule"]
    assert [(line[0], line[1], line[6]) for line in lines[1:]] == [
        ("✖ firing", "#3", "none"),
        ("✖ firing", "#2", "queued"),
        ("✖ firing", "#1", "queued"),
    ]


def test_text_from_outside_cannot_reach_the_terminal(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.run("incident", "ls", "-o", "table")
    assert "\\x1b[31mred" in out(capsys)


def test_json_is_versioned_and_says_where_it_is_from(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("incident", "ls", "--json") == 0
    body: dict[str, Any] = json.loads(out(capsys))
    assert (body["schema"], body["source"], body["problem"]) == ("opsctl/incident/ls/v1", "journal", None)
    assert body["incidents"][2]["incident"] == "#1"
    assert body["incidents"][2]["delivery"] == {"state": "queued", "attempts": 0, "last_error": None}


@pytest.mark.parametrize("selector", ["#1", "1", "RedeemBudgetBurn", "redeem*", "KEY", "SHORT"])
def test_an_incident_is_named_by_number_key_or_rule(
    world: World, capsys: pytest.CaptureFixture[str], selector: str
) -> None:
    key = world.journal().incidents()[2].key
    selector = {"KEY": key, "SHORT": key.removeprefix("opsctl/")[:6]}.get(selector, selector)
    assert world.run("incident", "show", selector, "--json") == 0
    body = json.loads(out(capsys))
    assert body["incident"]["episode"] == 1
    assert body["timeline"][0]["kind"] == "opened"


@pytest.mark.parametrize(
    ("selector", "answer"),
    [
        ("#9", "no such incident: #9"),
        ("RedemBudgetBurn", "did you mean RedeemBudgetBurn?"),
        ("*BudgetBurn", "names 3 incidents: #3"),
    ],
)
def test_a_selector_without_one_answer_is_a_usage_error(
    world: World, capsys: pytest.CaptureFixture[str], selector: str, answer: str
) -> None:
    assert world.run("incident", "show", selector) == 2
    assert answer in capsys.readouterr().err


def test_ack_goes_as_an_event_after_its_trigger(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("incident", "ack", "#1") == 0
    assert "acknowledged #1" in out(capsys)
    assert world.pager.actions() == ["trigger", "trigger", "acknowledge"]
    assert world.run("incident", "ack", "#1") == 0
    assert "acknowledged already" in capsys.readouterr().err
    assert len(world.pager.sent) == 3


def test_what_is_resolved_is_said_to_be_and_takes_no_note(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("incident", "resolve", "#1") == 0
    sent = len(world.pager.sent)
    for action in ("resolve", "ack"):
        capsys.readouterr()
        assert world.run("incident", action, "#1") == 0
        assert "#1 RedeemBudgetBurn is resolved already" in capsys.readouterr().err
    assert world.run("incident", "note", "#1", "too late") == 2
    assert "is resolved: a note goes on an open incident" in capsys.readouterr().err
    assert len(world.pager.sent) == sent


def test_resolve_closes_and_the_timeline_says_who(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.run("incident", "ack", "#1")
    assert world.run("incident", "resolve", "#1") == 0
    assert world.pager.actions()[-1] == "resolve"
    assert world.run("incident", "show", "#1", "-o", "table") == 0
    assert "closed by" in out(capsys)
    assert world.run("incident", "ls", "--all") == 0
    assert "✔ resolved\t#1" in out(capsys)


def test_a_resolve_that_does_not_arrive_is_exit_5_and_names_what_sends_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run("incident", "ack", "#1")
    world.pager.answers = [REFUSED, REFUSED]
    assert world.run("incident", "resolve", "#1") == 5
    err = capsys.readouterr().err
    assert "NOT DELIVERED: resolve of #1" in err
    assert "check --notify" in err
    world.pager.answers = [LOST] * 99
    assert world.run("incident", "resolve", "#2") == 5


def test_a_ticket_is_noted_and_nobody_is_called(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("incident", "resolve", "#3") == 0
    assert world.pager.sent == []
    assert "nobody was told" in capsys.readouterr().err


def test_dry_run_changes_and_sends_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("incident", "resolve", "#1", "-n") == 0
    assert "would resolve #1" in out(capsys)
    assert world.pager.sent == []
    assert len(world.journal().incidents()) == 3


def test_a_protected_context_wants_its_name_or_yes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path / "guarded", protected=True)
    world.journal().commit(run_record(T0), (), cycle(T0, [alert(), alert("pay")], fresh=("redeem", "pay")))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert world.run("incident", "resolve", "#1") == 6
    assert "context prod is protected" in capsys.readouterr().err
    typed = io.StringIO("staging\n")
    typed.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", typed)
    assert world.run("incident", "resolve", "#1") == 6
    assert world.pager.sent == []
    typed = io.StringIO("prod\n")
    typed.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", typed)
    assert world.run("incident", "resolve", "#1") == 0
    assert world.run("incident", "resolve", "#2", "--yes") == 0


def test_an_untrusted_journal_is_said_and_is_not_an_empty_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("not a folder")
    world = World(tmp_path / "state")
    assert world.run("incident", "ls") == 5
    assert "cannot be written" in capsys.readouterr().err
    assert world.run("incident", "ack", "#1") == 5


def test_timeline_tells_what_happened_and_why_not_explains_a_minute(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run("incident", "timeline", "--since", "1h") == 0
    lines = [line.split("\t") for line in out(capsys).splitlines()]
    assert lines[0] == ["time", "incident", "rule", "what", "by", "text"]
    assert [line[1:4] for line in lines if line[3] == "opened"] == [
        ["#1", "RedeemBudgetBurn", "opened"],
        ["#2", "PaySuccessBudgetBurn", "opened"],
        ["#3", "ChatLatencyBudgetBurn", "opened"],
    ]
    assert world.run("incident", "timeline", "#1", "--json") == 0
    told = json.loads(out(capsys))
    assert told["schema"] == "opsctl/incident/timeline/v1"
    assert {one["incident"] for one in told["moments"]} == {"#1"}
    assert world.run("incident", "why-not", "--at", "1m", "--json") == 3, "no verdict is in this journal"
    body = json.loads(out(capsys))
    assert body["schema"] == "opsctl/incident/why-not/v1"
    redeem = next(one for one in body["rules"] if one["rule_uid"] == "redeem")
    assert (redeem["breached"]["answer"], redeem["paged"]["answer"]) == ("not judged", "no")
    assert redeem["stopped"] == "decided and written down, not sent yet; the run did not live to send it"
    assert world.run("incident", "why-not", "reedem", "--at", "1m") == 2
    assert "did you mean redeem" in capsys.readouterr().err
    assert world.run("incident", "why-not", "--at", "2999-01-01T00:00:00Z") == 2
    assert "still to come" in capsys.readouterr().err
