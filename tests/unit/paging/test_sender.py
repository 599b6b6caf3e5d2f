"""The sender: every outcome of a request, in order, within its time, and on disk before and after."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from opsctl.adapters.journal import SqliteJournal, open_journal
from opsctl.core.commands import Watched
from opsctl.core.outbox import RowState
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

THROTTLED = Delivery("retry", 429, "HTTP 429", 7.0)


def fire(journal: SqliteJournal, *uids: str) -> None:
    names = uids or ("redeem",)
    journal.commit(run_record(T0), (), cycle(T0, [alert(uid) for uid in names], fresh=names))


def end(journal: SqliteJournal, *uids: str) -> None:
    names = uids or ("redeem",)
    for later in (1, 7):
        journal.commit(run_record(T0), (), cycle(T0 + minutes(later), fresh=names))


def send(journal: SqliteJournal, clock: SteppedClock, *pagers: ScriptedSink, chance: float = 0.5) -> SendReport:
    return drain(journal, sinks_of(*pagers), clock, chance=lambda: chance)


def states(journal: SqliteJournal) -> list[tuple[str, str, int]]:
    rows = journal._db.execute("SELECT action, state, attempts FROM outbox ORDER BY id")
    return [(row["action"], row["state"], row["attempts"]) for row in rows]


def test_nothing_due_asks_nobody(journal: SqliteJournal, clock: SteppedClock) -> None:
    assert send(journal, clock, ScriptedSink()) == SendReport()


def test_the_attempt_is_on_disk_before_the_request(journal: SqliteJournal, clock: SteppedClock) -> None:
    """A kill during the request leaves an attempt of unknown outcome, never a queued row."""
    fire(journal)
    seen: list[tuple[str, str, int]] = []
    send(journal, clock, ScriptedSink(before=lambda: seen.extend(states(journal))))
    assert seen == [("trigger", "attempted", 1)]
    assert states(journal) == [("trigger", "accepted", 1)]


def test_a_retry_waits_with_jitter_and_obeys_retry_after(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal)
    pager = ScriptedSink([LOST, THROTTLED])
    report = send(journal, clock, pager)
    assert clock.slept == [1.0, 7.0]
    assert len(report.accepted) == 1
    assert not report.failed


def test_a_run_ends_with_its_time_and_leaves_the_rest_due(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal)
    report = send(journal, clock, ScriptedSink([LOST] * 99), chance=0.99)
    assert (clock.at - T0).total_seconds() <= 15
    assert report.failed
    assert "left for the next run" in report.problems[-1]
    assert "timed out" in report.problems[-1]
    clock.at += minutes(1)
    later = send(journal, clock, pager := ScriptedSink())
    assert pager.actions() == ["trigger"]
    assert not later.failed


def test_a_refused_event_goes_once_more_in_minimal_form(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal)
    pager = ScriptedSink([REFUSED])
    report = send(journal, clock, pager)
    assert "custom_details" in pager.sent[0]["payload"]
    assert set(pager.sent[1]["payload"]) == {"summary", "source", "severity"}
    assert not report.failed
    assert [m.text for m in journal.timeline(1) if m.kind.startswith("trigger ")][-1] == "attempt 2 (minimal), HTTP 202"


def test_a_dead_letter_goes_to_the_fallback_and_so_does_its_resolve(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    fire(journal)
    spare = ScriptedSink(name="pagerduty fallback")
    report = send(journal, clock, ScriptedSink([REFUSED, REFUSED]), spare)
    assert not report.failed
    assert "refused" in report.problems[0]
    end(journal)
    send(journal, clock, primary := ScriptedSink(), spare)
    assert (primary.actions(), spare.actions()) == ([], ["trigger", "resolve"])


def test_a_refused_resolve_closes_nothing_at_the_fallback_and_is_tried_again_where_its_page_went(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    fire(journal)
    spare = ScriptedSink(name="pagerduty fallback")
    send(journal, clock, ScriptedSink(), spare)
    end(journal)
    report = send(journal, clock, ScriptedSink([REFUSED]), spare)
    assert report.failed
    assert spare.actions() == []
    clock.at += minutes(5)
    journal.commit(run_record(clock.at), (), cycle(clock.at))
    send(journal, clock, pager := ScriptedSink(), spare)
    assert (pager.actions(), spare.actions()) == (["resolve"], [])


def test_without_a_fallback_it_is_dead_and_loud_and_blocks_no_later_episode(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    fire(journal)
    report = send(journal, clock, ScriptedSink([REFUSED, REFUSED]))
    assert report.failed
    assert any(line.startswith("NOT DELIVERED: trigger of #1") for line in report.problems)
    end(journal)
    journal.commit(run_record(T0), (), cycle(T0 + minutes(9), [alert()]))
    send(journal, clock, pager := ScriptedSink())
    assert pager.actions() == ["resolve", "trigger"]


def test_over_before_the_first_attempt_is_reported_and_not_sent(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal)
    end(journal)
    report = send(journal, clock, pager := ScriptedSink())
    assert pager.sent == []
    assert report.failed
    assert [row.state for row in report.never_delivered] == [RowState.QUEUED]
    assert states(journal) == [("trigger", "never_delivered", 0), ("resolve", "superseded", 0)]


def test_an_unknown_outcome_sends_trigger_and_resolve(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal)
    send(journal, clock, ScriptedSink([LOST] * 99), chance=0.99)
    end(journal)
    clock.at += minutes(8)
    send(journal, clock, pager := ScriptedSink())
    assert pager.actions() == ["trigger", "resolve"]


def test_a_key_that_fails_does_not_hold_up_another(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal, "a", "b", "c")
    pager = ScriptedSink([LOST])
    report = send(journal, clock, pager)
    keys = [one["dedup_key"] for one in pager.sent]
    assert len(report.accepted) == 3
    assert keys[0] == keys[3]
    assert len(set(keys[:3])) == 3


def test_the_rate_limit_is_kept_between_runs(journal: SqliteJournal, clock: SteppedClock) -> None:
    uids = tuple(f"rule-{number}" for number in range(100))
    fire(journal, *uids)
    first = send(journal, clock, pager := ScriptedSink())
    assert 40 <= len(pager.sent) <= 46, "a burst of 20 and 100 a minute"
    assert len(first.left) == 100 - len(pager.sent)
    assert first.failed
    again = send(journal, clock, other := ScriptedSink())
    assert len(other.sent) <= 26, "the bucket is in the journal"
    assert {row.id for row in again.accepted}.isdisjoint(row.id for row in first.accepted)


def test_a_sweep_that_takes_several_runs_is_no_failure(journal: SqliteJournal, clock: SteppedClock) -> None:
    uids = [f"rule-{number}" for number in range(90)]
    healthy = tuple(Watched(uid, uid, "money", ()) for uid in uids)
    everything = cycle(T0, [alert()], fresh=(*uids, "redeem"), healthy=healthy)
    journal.commit(run_record(T0), (), everything)
    report = send(journal, clock, pager := ScriptedSink())
    assert pager.actions()[0] == "trigger", "the page goes before the sweep"
    assert report.left
    assert not report.failed
    assert report.problems == ()


def test_no_sink_is_said_and_nothing_is_lost(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal)
    report = send(journal, clock)
    assert report.failed
    assert "no sink" in report.problems[0]
    assert states(journal) == [("trigger", "queued", 0)]


def test_a_held_send_lock_leaves_the_page_and_says_who(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal)
    other = open_journal(journal.folder, "prod-eu", clock)
    with other.lock("send", 0):
        report = drain(journal, sinks_of(ScriptedSink()), clock, budget_seconds=0.1)
    assert report.failed
    assert f"pid {os.getpid()}" in report.problems[0]


def test_the_journal_breaking_during_a_drain_still_sends(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal)

    def ruin() -> None:
        journal._db.close()
        Path(journal.path).write_bytes(b"gone " * 4000)
        journal._db = journal._replace(OSError(28, "No space left on device"))

    pager = ScriptedSink(before=ruin)
    report = send(journal, clock, pager)
    assert pager.actions() == ["trigger"]
    assert len(report.accepted) == 1
    assert journal.problem


class Stopped(Exception):
    """What the test's SIGTERM handler raises."""


def test_sigterm_waits_for_the_request_in_flight(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal, "a", "b")

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        pager = ScriptedSink(before=lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped):
            send(journal, clock, pager)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(pager.sent) == 1
    assert states(journal) == [("trigger", "accepted", 1), ("trigger", "queued", 0)]


def test_it_sends_from_another_thread_too(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal)
    pager = ScriptedSink()
    thread = threading.Thread(target=lambda: send(journal, clock, pager))
    thread.start()
    thread.join(10)
    assert pager.actions() == ["trigger"]


def test_the_outbox_knows_the_event_without_its_key(journal: SqliteJournal) -> None:
    fire(journal)
    [row] = journal.unfinished()
    assert row.route == "pagerduty/money"
    assert "routing_key" not in row.body


def test_an_incident_is_where_a_fallback_took_it(journal: SqliteJournal, clock: SteppedClock) -> None:
    """Its repeats, its looks and its resolve go there: the primary never heard of it."""
    fire(journal)
    primary, spare = ScriptedSink([REFUSED, REFUSED]), ScriptedSink(name="alertmanager")
    send(journal, clock, primary, spare)
    assert [one.route for one in journal.alerts().values()] == ["alertmanager/"]
    assert [one.route for one in journal.incidents()] == ["alertmanager/"]
    journal.commit(run_record(T0), (), cycle(T0 + minutes(1), [alert()]))
    send(journal, clock, primary, spare)
    assert spare.actions() == ["trigger", "trigger"], "said again every minute, as Alertmanager wants it"
    end(journal)
    send(journal, clock, primary, spare)
    assert spare.actions()[-1] == "resolve"
    assert primary.actions() == ["trigger", "trigger"]


def test_a_resolve_follows_its_trigger_to_the_fallback_within_one_run(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    fire(journal)
    send(journal, clock, ScriptedSink([LOST] * 99), chance=0.99)
    end(journal)
    clock.at += minutes(8)
    primary, spare = ScriptedSink([REFUSED, REFUSED]), ScriptedSink(name="alertmanager")
    assert not send(journal, clock, primary, spare).failed
    assert spare.actions() == ["trigger", "resolve"]
    assert primary.actions() == ["trigger", "trigger", "resolve"], "the first run's replies were lost: it may be there"


def test_the_wait_for_another_sender_is_part_of_the_time(
    journal: SqliteJournal, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fire(journal)

    @contextmanager
    def slow(_name: str, _seconds: float) -> Iterator[None]:
        clock.at += timedelta(seconds=12)
        yield

    monkeypatch.setattr(journal, "lock", slow)
    assert send(journal, clock, ScriptedSink([LOST] * 99), chance=0.99).failed
    assert clock.monotonic() <= 15
