"""Pages that were refused or given up: said, tried again as pages, and closed wherever they may be open."""

from __future__ import annotations

from opsctl.adapters.journal import SqliteJournal
from opsctl.core.outbox import Priority
from opsctl.ports import Delivery
from opsctl.sender import SendReport, drain
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

BROKEN = Delivery("retry", 503, "HTTP 503")


def run(journal: SqliteJournal, clock: SteppedClock, minute: float, *, fires: bool = True) -> None:
    clock.at = T0 + minutes(minute)
    journal.commit(run_record(clock.at), (), cycle(clock.at, [alert()] if fires else []))


def send(journal: SqliteJournal, clock: SteppedClock, *sinks: ScriptedSink, chance: float = 0.1) -> SendReport:
    return drain(journal, sinks_of(*sinks), clock, chance=lambda: chance)


def test_the_next_try_of_a_refused_page_is_a_page(journal: SqliteJournal, clock: SteppedClock) -> None:
    """It is left for the next run: that run failed as the first one did, for nobody was told yet."""
    run(journal, clock, 0)
    assert send(journal, clock, ScriptedSink([REFUSED] * 2)).failed
    run(journal, clock, 5)
    report = send(journal, clock, ScriptedSink([BROKEN] * 99), chance=0.9)
    assert [(row.repeat, row.priority) for row in report.left] == [(1, Priority.FIRST)]
    assert report.failed
    run(journal, clock, 6)
    assert not send(journal, clock, ScriptedSink()).failed
    run(journal, clock, 66)
    send(journal, clock, ScriptedSink([BROKEN] * 99), chance=0.9)
    assert [row.priority for row in journal.unfinished()] == [Priority.REPEAT], "somebody was told: it can wait"


def test_a_page_that_was_given_up_while_it_was_held_open_goes_again_when_it_burns_again(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    """Where repeats are rarer than `not_after`, nobody would be told for hours."""
    from opsctl.core.policy import Policy

    rare = Policy(repeat_interval=minutes(240))

    def at(minute: float, *, fires: bool = True) -> None:
        clock.at = T0 + minutes(minute)
        journal.commit(run_record(clock.at), (), cycle(clock.at, [alert()] if fires else [], policy=rare))

    at(0)
    at(61, fires=False)
    assert [row.attempts for row in send(journal, clock, ScriptedSink()).never_delivered] == [0]
    at(62)
    send(journal, clock, pager := ScriptedSink())
    assert pager.actions() == ["trigger"]


def test_a_page_that_may_be_open_in_two_places_is_closed_in_both(journal: SqliteJournal, clock: SteppedClock) -> None:
    """The primary took it and the reply was lost; then it refused the repeat, and the fallback took it."""
    run(journal, clock, 0)
    primary, spare = ScriptedSink([LOST, REFUSED, REFUSED]), ScriptedSink(name="spare")
    send(journal, clock, primary, spare)
    assert (primary.actions(), spare.actions()) == (["trigger"] * 3, ["trigger"])
    run(journal, clock, 1, fires=False)
    run(journal, clock, 7, fires=False)
    send(journal, clock, primary, spare)
    assert (primary.actions()[3:], spare.actions()[1:]) == (["resolve"], ["resolve"])
    assert journal.unfinished() == ()


def test_what_was_only_refused_is_open_nowhere_else(journal: SqliteJournal, clock: SteppedClock) -> None:
    run(journal, clock, 0)
    throttled = Delivery("retry", 429, "HTTP 429")
    primary, spare = ScriptedSink([throttled, REFUSED, REFUSED]), ScriptedSink(name="spare")
    send(journal, clock, primary, spare)
    assert journal.resolve(1, "ann", clock.at, clock.at + minutes(60))
    send(journal, clock, primary, spare)
    assert (primary.actions()[3:], spare.actions()[1:]) == ([], ["resolve"])


def test_a_person_who_closes_it_closes_it_in_both_places(journal: SqliteJournal, clock: SteppedClock) -> None:
    run(journal, clock, 0)
    primary, spare = ScriptedSink([BROKEN, REFUSED, REFUSED]), ScriptedSink(name="spare")
    send(journal, clock, primary, spare)
    assert journal.resolve(1, "ann", clock.at, clock.at + minutes(60))
    send(journal, clock, primary, spare)
    assert (primary.actions()[3:], spare.actions()[1:]) == (["resolve"], ["resolve"])


def test_vacuum_keeps_what_an_open_incident_was_told_with(journal: SqliteJournal, clock: SteppedClock) -> None:
    """Its resolve carries the trigger's payload, for sinks that know an alert by its labels."""
    run(journal, clock, 0)
    send(journal, clock, ScriptedSink())
    assert journal.vacuum(T0 + minutes(60)) == 2, "the run and the bucket"
    run(journal, clock, 100, fires=False)
    run(journal, clock, 106, fires=False)
    send(journal, clock, pager := ScriptedSink())
    assert pager.sent[0]["payload"]["class"] == "RedeemBudgetBurn"


def test_a_refused_repeat_of_a_page_that_was_taken_wakes_nobody_else(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    """Found by the soak: the fallback opened a second incident, which nothing closed."""
    run(journal, clock, 0)
    send(journal, clock, ScriptedSink(), spare := ScriptedSink(name="spare"))
    run(journal, clock, 61)
    primary = ScriptedSink([REFUSED, REFUSED])
    report = send(journal, clock, primary, spare)
    assert (primary.actions(), spare.actions()) == (["trigger", "trigger"], [])
    assert (report.failed, report.problems, report.left) == (False, (), ())
    run(journal, clock, 70, fires=False)
    run(journal, clock, 76, fires=False)
    send(journal, clock, primary, spare)
    assert (primary.actions()[2:], spare.actions()) == (["resolve"], [])
