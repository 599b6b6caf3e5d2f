"""The desk: what may be done when, whoever asks; and that a plan's command does what the desk does."""

from __future__ import annotations

import io
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsctl.actions import (
    Acknowledge,
    Action,
    Desk,
    EndSilence,
    MakeSilence,
    Nobody,
    Resolve,
    ResumeRun,
    Risk,
    StartRun,
    WriteNote,
    ended,
    new_silence,
)
from opsctl.errors import Refused, UsageError
from tests.unit.actions.world import World, Yes, me
from tests.unit.paging.world import LOST, REFUSED, T0, alert, cycle, minutes, run_record

QUARTER = timedelta(minutes=15)


def silence(world: World, matcher: str = 'service="promo"', **more: str) -> MakeSilence:
    now = world.clock.now()
    return MakeSilence(new_silence(now, [matcher], timedelta(hours=2), "CHG-7: move", more.pop("owner", me()), **more))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "one")


def every_action(world: World) -> list[Action]:
    """One of each kind that changes something."""
    made = silence(world)
    world.new_desk().apply(made)
    run = world.new_desk().run(StartRun("Sample"), Nobody()).run.run
    world.clock.sleep(90)
    others = [
        Acknowledge(1),
        Resolve(1),
        WriteNote(1, "hello"),
        StartRun("Sample"),
        ResumeRun(run),
        ResumeRun(run, True),
    ]
    return [silence(world, 'service="chat"'), EndSilence(made.silence.id), *others]


# -- read-only


def test_read_only_refuses_every_action_in_the_layer_and_nothing_is_written(world: World) -> None:
    actions = every_action(world)
    desk, before = world.new_desk(read_only="--read-only"), world.trace()
    for action in actions:
        with pytest.raises(Refused, match="--read-only"):
            desk.apply(action)
    with pytest.raises(Refused):
        desk.run(StartRun("Sample"), Yes())
    with pytest.raises(Refused):
        desk.allow(QUARTER)
    assert world.trace() == before
    assert (desk.read_only, desk.writable_until) == ("--read-only", None)


def test_why_a_desk_is_read_only_is_said_in_its_own_words(world: World) -> None:
    desk = world.new_desk(read_only="this is a recorded session")
    with pytest.raises(Refused) as refused:
        desk.apply(Acknowledge(1))
    assert str(refused.value) == "read-only (this is a recorded session): not done: acknowledging #1"


def test_read_only_plans_and_runs_what_changes_nothing(world: World) -> None:
    actions = every_action(world)
    desk = world.new_desk(read_only="--read-only")
    assert all(desk.plan(action).command for action in actions)
    assert desk.run(StartRun("Looking"), Nobody()).state == "ok"
    assert world.steps.ran[-1] == "look"


def test_a_protected_context_is_read_only_until_it_is_allowed_and_again_afterwards(tmp_path: Path) -> None:
    world = World(tmp_path, protected=True)
    desk = world.new_desk()
    assert desk.read_only == "context prod is protected"
    with pytest.raises(Refused, match="context prod is protected"):
        desk.apply(Acknowledge(1))
    desk.allow()
    assert (desk.read_only, desk.writable_until) == ("", world.clock.now() + QUARTER)
    assert desk.apply(Acknowledge(1)).changed
    world.clock.sleep(QUARTER.total_seconds() - 1)
    assert desk.apply(Acknowledge(2)).changed
    world.clock.sleep(1)
    assert (desk.read_only, desk.writable_until) == ("context prod is protected", None)
    with pytest.raises(Refused):
        desk.apply(Resolve(1))
    with pytest.raises(Refused):
        desk.run(StartRun("Sample"), Yes())
    assert world.steps.ran == []


def test_a_clock_that_is_set_back_allows_nothing_more_and_nothing_is_allowed_for_no_time(tmp_path: Path) -> None:
    world = World(tmp_path, protected=True)
    desk = world.new_desk()
    desk.allow(QUARTER)
    world.clock.at = T0
    assert desk.read_only
    world.clock.at = T0 + minutes(5)
    assert not desk.read_only
    desk.allow(timedelta(0))
    assert desk.read_only


def test_what_is_not_protected_needs_no_leave(world: World) -> None:
    desk = world.new_desk()
    desk.allow(QUARTER)
    assert (desk.read_only, desk.writable_until) == ("", None)


# -- plans


def test_risk_is_low_for_taking_medium_for_quieting_high_for_changing(world: World) -> None:
    desk = world.new_desk()
    planned = {type(action).__name__: desk.plan(action) for action in every_action(world)}
    found = {name: (one.risk, one.confirm) for name, one in planned.items()}
    assert found["WriteNote"] == found["Acknowledge"] == (Risk.LOW, "")
    assert found["MakeSilence"] == found["EndSilence"] == found["Resolve"] == (Risk.MEDIUM, "")
    assert found["StartRun"] == found["ResumeRun"] == (Risk.HIGH, "Sample")
    looking = desk.plan(StartRun("Looking"))
    assert (looking.risk, looking.confirm) == (Risk.MEDIUM, "")


def test_in_a_protected_context_everything_is_high_and_wants_its_name(tmp_path: Path) -> None:
    world = World(tmp_path, protected=True)
    desk = world.new_desk()
    for action in (Acknowledge(1), Resolve(1), WriteNote(1, "x"), silence(world), StartRun("Sample")):
        planned = desk.plan(action)
        assert (planned.risk, planned.confirm) == (Risk.HIGH, "prod")


def test_plans_of_incidents_say_whom_they_reach(world: World) -> None:
    desk = world.new_desk()
    ack = desk.plan(Acknowledge(1))
    assert ack.title == "Acknowledge #1 RedeemBudgetBurn"
    assert ack.command == ("incident", "ack", "#1")
    assert "pagerduty/money stops notifying; the alert goes on" in ack.lines
    assert any("nobody was told" in line for line in desk.plan(Acknowledge(3)).lines)
    resolve = desk.plan(Resolve(1))
    assert "closes it at pagerduty/money" in resolve.lines
    assert "its alert fires: while it does, another incident opens, after 15m at the earliest" in resolve.lines
    note = desk.plan(WriteNote(1, " restarted it \n"))
    assert (note.command, "restarted it" in note.lines) == (("incident", "note", "#1", "restarted it"), True)
    desk.apply(Resolve(1))
    assert any("resolved already" in line for line in desk.plan(Acknowledge(1)).lines)
    assert any("resolved already" in line for line in desk.plan(Resolve(1)).lines)


def test_the_plan_of_a_silence_names_what_would_not_be_told_and_counts_the_pages(world: World) -> None:
    lines = world.new_desk().plan(silence(world, 'service=~"promo|wallet|chat"')).lines
    assert "3 of 3 alerts would be silenced now:" in lines
    assert "2 of them are pages" in lines
    assert any(line.startswith("  #1 RedeemBudgetBurn on promo: pagerduty/money was told") for line in lines)
    assert "0 of 3 alerts would be silenced now" in world.new_desk().plan(silence(world, 'service="other"')).lines


def test_the_plan_of_a_run_names_each_write_what_it_changes_and_what_undoes_it(world: World) -> None:
    lines = world.new_desk().plan(StartRun("Sample", {"region": "us-1"}, episode=1)).lines
    assert lines[:3] == (
        "for incident #1",
        "with admin = http://127.0.0.1:9, region = us-1",
        "steps: 1 read, 1 approval, 1 write",
    )
    assert "shed changes chat, after approval go; undone by unshed" in lines
    assert "  PUT http://127.0.0.1:9/v1/shed" in lines
    assert "it changes nothing" in world.new_desk().plan(StartRun("Looking")).lines
    run = world.new_desk().run(StartRun("Sample"), Yes()).run.run
    assert "shed: unshed undoes it: unshed" in world.new_desk().plan(ResumeRun(run, undo=True)).lines
    with pytest.raises(UsageError, match="nothing to resume"):
        world.new_desk().plan(ResumeRun(run))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Acknowledge(9), "no such incident: #9"),
        (WriteNote(1, "  "), "the note is empty"),
        (WriteNote(1, "-"), "the note is empty"),
        (WriteNote(1, "x" * 2001), "at most 1,9"),
        (EndSilence("s-00000000"), "no such silence"),
        (StartRun("Sampel"), "did you mean Sample"),
        (StartRun("Sample", {"admin": "ftp://x"}), "parameter admin"),
        (StartRun("Sample", episode=9), "no open incident 9"),
        (StartRun("Sample", approve=("look",)), "has no such approval step; it has: go"),
        (ResumeRun("r9"), "no such run: r9"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(world: World, action: Action, words: str) -> None:
    before = world.trace()
    with pytest.raises(UsageError) as wrong:
        world.new_desk().apply(action)
    assert words in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert world.trace() == before


def test_commands_name_the_context_that_they_are_for(world: World) -> None:
    desk = Desk(world, flags=("--context", "prod"))
    assert desk.plan(Acknowledge(1)).command == ("--context", "prod", "incident", "ack", "#1")
    assert desk.resume_words("r1") == ("--context", "prod", "runbook", "resume", "r1")


# -- doing it


def test_what_was_done_is_said_and_what_was_done_before_changes_nothing(world: World) -> None:
    desk = world.new_desk()
    assert desk.apply(Acknowledge(1)).said == ("acknowledged #1 RedeemBudgetBurn",)
    again = desk.apply(Acknowledge(1))
    assert (again.said, again.changed) == (("#1 RedeemBudgetBurn is acknowledged already",), False)
    assert desk.apply(Resolve(1)).changed
    assert desk.apply(Acknowledge(1)).said == ("#1 RedeemBudgetBurn is resolved already",)
    with pytest.raises(UsageError, match="is resolved"):
        desk.apply(WriteNote(1, "late"))
    assert world.pager.actions().count("acknowledge") == 1
    ticket = desk.apply(Resolve(3))
    assert ticket.changed
    assert "nobody was told of it" in ticket.beside[0]


def test_what_does_not_get_through_is_a_problem_and_stays_written_down(world: World) -> None:
    desk = world.new_desk()
    desk.apply(Acknowledge(1))
    world.pager.answers = [LOST] * 99
    lost = desk.apply(Acknowledge(2))
    assert (lost.said, lost.changed) == ((), True)
    assert lost.problem == "acknowledge of #2 is written down but did not reach pagerduty/money"
    assert "check --notify" in lost.hint
    world.pager.answers = [REFUSED] * 9
    refused = desk.apply(WriteNote(1, "hello"))
    assert "HTTP 400" in refused.problem
    assert world.journal().incidents()[-1].acknowledged is not None


def test_a_refusal_that_another_sender_met_is_not_called_delivered(world: World) -> None:
    """While this desk waits for its turn, somebody else sends the event and is refused for good."""
    desk = world.new_desk()
    desk.apply(Acknowledge(1))
    other = world.new_desk()
    real, journal = type(world.journal()).resolve, world.journal()

    def overtaken(episode: int, *more: object) -> bool:
        done = real(journal, episode, *more)  # type: ignore[arg-type]
        world.pager.answers = [REFUSED] * 9
        other._incidents.sending._drain(journal)
        return done

    journal.resolve = overtaken  # type: ignore[method-assign]
    done = desk.apply(Resolve(1))
    assert done.problem == "resolve of #1 is written down but did not reach pagerduty/money"


def test_two_at_once_both_happen_and_each_is_sent_once(world: World) -> None:
    desk = world.new_desk()
    start, done = threading.Barrier(4), []
    actions = [Acknowledge(1), Acknowledge(2), WriteNote(1, "one"), silence(world)]

    def act(action: Action) -> None:
        start.wait()
        done.append(desk.apply(action))

    threads = [threading.Thread(target=act, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [one.problem for one in done] == [""] * 4
    assert sorted(world.pager.actions()) == ["acknowledge", "acknowledge", "note", "trigger", "trigger"]
    assert len({id(one) for one in world.pager.sent}) == 5
    assert "CHG-7" in world.silences()


def test_actions_and_a_thread_that_runs_cycles_share_one_journal(world: World) -> None:
    desk, journal, broken = world.new_desk(), world.journal(), []
    stop = threading.Event()

    def cycles() -> None:
        try:
            while not stop.is_set():
                journal.commit(run_record(T0), (), cycle(T0, [alert("redeem")], fresh=("redeem",)))
                journal.incidents(include_resolved=True)
        except Exception as wrong:  # noqa: BLE001  an assertion in a thread is lost
            broken.append(wrong)

    thread = threading.Thread(target=cycles)
    thread.start()
    try:
        for number in range(20):
            assert desk.apply(WriteNote(1, f"line {number}")).problem == ""
            desk.plan(Resolve(1))
        assert desk.apply(Acknowledge(1)).changed
    finally:
        stop.set()
        thread.join(20)
    assert broken == []
    notes = [one for one in journal.timeline(1) if one.kind == "note"]
    assert len(notes) == world.pager.actions().count("note") == 20


def test_a_sender_that_is_busy_elsewhere_leaves_the_event_to_the_next_run(world: World) -> None:
    context = world.context
    brief = replace(context, limits=replace(context.limits, send=timedelta(seconds=0.2)))
    world.settings = replace(world.settings, contexts={"prod": brief})
    with world.journal().lock("send", 1):
        done = world.new_desk().apply(Acknowledge(1))
    assert done.problem == "acknowledge of #1 is written down but did not reach pagerduty/money"
    assert any("holds the send lock" in line for line in done.warnings)
    assert world.new_desk().apply(WriteNote(1, "later")).problem == ""
    assert world.pager.actions() == ["trigger", "trigger", "acknowledge", "note"]


def test_a_run_asks_its_person_tells_each_step_and_its_id_first(world: World) -> None:
    told: list[object] = []
    report = world.new_desk().run(
        StartRun("Sample", episode=2), Yes(), lambda event: told.append((event.kind, event.step.id)), told.append
    )
    assert told[0] == report.run.run
    assert told[1:3] == [("begin", "look"), ("end", "look")]
    assert (report.state, world.steps.ran) == ("ok", ["look", "shed"])
    assert report.run.incident_key == world.journal().incidents()[1].key
    assert ended(report, ()).said == (f"run {report.run.run} ok: every step is done",)


def test_a_run_without_a_person_waits_and_names_the_command_that_goes_on(world: World) -> None:
    desk = world.new_desk()
    done = desk.apply(StartRun("Sample"))
    run = world.journal().runbooks.runs()[0].run
    assert done.problem == f"run {run} waits: step go needs an approval"
    assert done.hint == f"opsctl runbook resume {run}"
    assert desk.run(ResumeRun(run), Yes()).state == "ok"
    assert desk.apply(ResumeRun(run, undo=True)).said == (f"run {run} undone: every mutation is undone",)
    assert world.steps.ran == ["look", "shed", "unshed"]


# -- the command of a plan does the same


def prepared(world: World, what: str) -> Action:
    """What each case needs done before, and its action."""
    match what:
        case "end":
            made = silence(world)
            world.new_desk().apply(made)
            world.clock.sleep(90)
            return EndSilence(made.silence.id)
        case "resume" | "undo":
            run = world.new_desk().run(StartRun("Sample"), Yes() if what == "undo" else Nobody())
            return ResumeRun(run.run.run, undo=what == "undo", approve=("go",) if what == "resume" else ())
        case "later":
            starts = world.clock.now() + timedelta(days=1)
            made = new_silence(
                world.clock.now(),
                ['service="promo"', 'alertname=~"Redeem.*|it\'s \\"x\\""'],
                timedelta(hours=1, minutes=30),
                "-- a 'reason' of $HOME",
                "ana",
                starts=starts,
                hours="Sat 02:00-04:00 Europe/Berlin",
            )
            return MakeSilence(made)
    return {
        "ack": Acknowledge(1),
        "resolve": Resolve(2),
        "ticket": Resolve(3),
        "note": WriteNote(1, "line one\nline two"),
        "dash": WriteNote(3, "--yes -n"),
        "silence": silence(world),
        "run": StartRun("Sample", {"region": "us-1"}, episode=1, approve=("go",)),
        "auto": StartRun("Sample", auto=True),
        "look": StartRun("Looking", episode=2),
    }[what]


CASES = ("ack", "resolve", "ticket", "note", "dash", "silence", "later", "end", "run", "auto", "look", "resume", "undo")


@pytest.mark.parametrize("what", CASES)
def test_the_command_of_a_plan_does_what_the_desk_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    one, two = World(tmp_path / "one"), World(tmp_path / "two")
    by_hand, by_desk = prepared(one, what), prepared(two, what)
    assert one.trace() == two.trace()
    before = one.trace()
    planned = one.new_desk().plan(by_hand)
    assert one.trace() == before, "a plan changes nothing"
    code = one.opsctl(*planned.command)
    done = two.new_desk().apply(by_desk)
    assert (code == 0) == (not done.problem), capsys.readouterr().err
    assert one.trace() == two.trace()
    assert one.trace() != before
