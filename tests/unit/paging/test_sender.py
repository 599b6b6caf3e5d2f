"""The sender: every outcome of a request, in order, within its time, and on disk before and after."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.adapters.journal import SqliteJournal, open_journal
from opsctl.core.alerts import Alert
from opsctl.core.commands import Watched
from opsctl.core.outbox import RowState
from opsctl.core.routing import Matcher, Route, Routing
from opsctl.core.slo import Severity
from opsctl.ports import Delivery, SinkEvent
from opsctl.sender import SendReport, drain
from tests.unit.paging.world import (
    ACCEPTED,
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


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def journal(tmp_path: Path, clock: SteppedClock) -> SqliteJournal:
    return open_journal(tmp_path / "state", "prod-eu", clock)


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


# -- lanes: what one event's trouble means for the others


class KeyedSink(ScriptedSink):
    """Answers as `answer` says of the route's key; a request takes `seconds` of its key."""

    def __init__(
        self,
        clock: SteppedClock,
        answer: Callable[[str, dict[str, Any]], Delivery] = lambda _key, _event: ACCEPTED,
        seconds: float = 0.0,
        name: str = "pagerduty",
    ) -> None:
        super().__init__(name=name)
        self.clock, self.answer, self.seconds = clock, answer, seconds
        self.asked: list[str] = []

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        self.clock.at += timedelta(seconds=min(self.seconds, timeout_seconds))
        super().send(event)
        return self.answer(event.key, self.sent[-1])

    def channel(self, key: str) -> str:
        self.asked.append(key)
        return super().channel(key)


def storm(journal: SqliteJournal, *alerts: Alert, at: datetime = T0, routes: tuple[Route, ...] = ()) -> None:
    now = cycle(at, alerts, fresh=[one.rule_uid for one in alerts])
    journal.commit(run_record(at), (), replace(now, routing=Routing(routes=routes)))


def attempts(journal: SqliteJournal) -> int:
    return sum(count for _, _, count in states(journal))


def test_a_429_throttles_its_channel_and_not_its_row(journal: SqliteJournal, clock: SteppedClock) -> None:
    """The others do not find out for themselves."""
    fire(journal, "a", "b", "c")
    report = send(journal, clock, pager := ScriptedSink([THROTTLED]))
    assert clock.slept == [7.0]
    assert len(pager.sent) == 4
    assert attempts(journal) == 4
    assert not report.failed


def test_a_429_without_retry_after_makes_its_channel_wait_longer_each_time(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    fire(journal, *(f"rule-{number}" for number in range(50)))
    report = send(journal, clock, ScriptedSink([Delivery("retry", 429, "HTTP 429")] * 99), chance=0.99)
    assert attempts(journal) <= 4, "2, 4 and 8 s"
    assert len(report.left) == 50


def test_a_429_of_one_key_is_nothing_to_another(journal: SqliteJournal, clock: SteppedClock) -> None:
    storm(journal, *(alert(f"rule-{number}", team="money" if number % 2 else "chat") for number in range(20)))
    pager = KeyedSink(clock, lambda key, _: Delivery("retry", 429, "HTTP 429", 60.0) if key == "money" else ACCEPTED)
    report = send(journal, clock, pager)
    assert {row.route for row in report.accepted} == {"pagerduty/chat"}
    assert len(report.accepted) == 10
    assert [one["route"] for one in pager.sent].count("pagerduty/money") == 1


def test_the_next_run_still_obeys_retry_after(journal: SqliteJournal, clock: SteppedClock) -> None:
    """Cron starts another process a minute later."""
    fire(journal, "a", "b")
    throttled = Delivery("retry", 429, "HTTP 429", 90.0)
    assert send(journal, clock, ScriptedSink([throttled])).failed
    clock.at = T0 + minutes(1)
    assert send(journal, clock, pager := ScriptedSink()).failed
    assert pager.sent == []
    clock.at = T0 + minutes(1.5)
    assert not send(journal, clock, pager).failed
    assert len(pager.sent) == 2


def test_a_sink_that_does_not_answer_leaves_the_time_to_one_that_does(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    """Its pages are the most urgent and time out after 5 s each, under three keys; a run has 15 s."""
    pages = [alert(f"page-{number}", team=f"team-{number % 3}") for number in range(9)]
    tickets = [alert(f"ticket-{number}", severity=Severity.TICKET) for number in range(30)]
    routes = (Route("webhook/chat", (Matcher("severity", "=", "ticket"),)),)
    storm(journal, *pages, *tickets, routes=routes)
    dead, live = KeyedSink(clock, lambda *_: LOST, 5.0), KeyedSink(clock, seconds=0.05, name="webhook/chat")
    report = send(journal, clock, dead, live)
    assert len(live.sent) == 30
    assert 2 <= len(dead.sent) <= 3, "it is not forgotten either"
    assert clock.monotonic() <= 16
    assert len(report.left) == 9
    assert report.failed


def test_a_page_does_not_wait_longer_because_its_request_was_lost_slowly(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    fire(journal)
    answers = iter([LOST, ACCEPTED])
    report = send(journal, clock, KeyedSink(clock, lambda *_: next(answers), 5.0))
    assert not report.failed
    assert clock.slept == [1.0]


def test_an_outage_costs_a_few_requests_and_not_one_for_every_row(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal, *(f"rule-{number}" for number in range(200)))
    assert send(journal, clock, ScriptedSink([LOST] * 999)).failed
    assert 3 <= attempts(journal) <= 8
    clock.at += minutes(1)
    send(journal, clock, pager := ScriptedSink([LOST]))
    assert len(pager.sent) > 40, "one lost request is no outage"


def test_an_event_that_breaks_every_connection_holds_up_no_other(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal, *(f"rule-{number}" for number in range(15)))
    rows = journal.unfinished()
    bad = {rows[0].key, rows[1].key, rows[2].key}
    pager = KeyedSink(clock, lambda _, event: LOST if event["dedup_key"] in bad else ACCEPTED, 0.01)
    report = send(journal, clock, pager)
    assert {row.key for row in report.left} == bad
    assert len(report.accepted) == 12


def test_after_an_outage_the_oldest_goes_first_again(journal: SqliteJournal, clock: SteppedClock) -> None:
    fire(journal, *(f"rule-{number}" for number in range(9)))
    order = [row.key for row in journal.unfinished()]
    send(journal, clock, pager := ScriptedSink([LOST, LOST, LOST]), chance=0.5)
    sent = [one["dedup_key"] for one in pager.sent]
    assert sent[:4] == [order[0], order[1], order[2], order[3]], "another one is tried each time"
    assert sent[4:7] == order[:3], "something went through: the oldest are next"


def test_a_new_page_in_the_middle_of_a_storm_is_the_next_to_go(
    journal: SqliteJournal, clock: SteppedClock, tmp_path: Path
) -> None:
    """Another run decides it while this one sends resolves, repeats and tickets: they were there first."""
    tickets = [alert(f"ticket-{number}", severity=Severity.TICKET) for number in range(200)]
    old = [alert(f"old-{number}") for number in range(100)]
    routes = (Route("pagerduty", key="money"),)
    storm(journal, *old, routes=routes)
    for _ in range(10):
        send(journal, clock, ScriptedSink())
    assert not journal.unfinished()
    still = old[50:]
    for later in (2, 8):
        at = clock.at + minutes(later)
        now = cycle(at, still, fresh=[one.rule_uid for one in old])
        journal.commit(run_record(at), (), replace(now, routing=Routing(routes=routes)))
    clock.at += minutes(70)
    storm(journal, *still, *tickets, at=clock.at, routes=routes)
    waiting = journal.unfinished()
    assert {(row.action, row.priority) for row in waiting} == {("resolve", 0), ("trigger", 1), ("trigger", 2)}
    other = open_journal(journal.folder, "prod-eu", clock)
    sent_at: list[float] = []
    pager = ScriptedSink(before=lambda: sent_at.append(clock.monotonic()))

    def decide() -> None:
        sent_at.append(clock.monotonic())
        if len(sent_at) == 25:
            storm(other, alert("new"), *still, *tickets, at=clock.at, routes=routes)

    pager.before = decide
    send(journal, clock, pager)
    names = [one.get("payload", {}).get("class") for one in pager.sent]
    place = names.index("NewBudgetBurn")
    assert place <= 28
    assert sent_at[place] - sent_at[24] <= 2.0
    assert len(names) > 40, "and the storm went on"


def test_a_resolve_follows_its_trigger_to_the_fallback_within_one_run(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    fire(journal)
    send(journal, clock, ScriptedSink([LOST] * 99), chance=0.99)
    end(journal)
    clock.at += minutes(8)
    primary, spare = ScriptedSink([REFUSED, REFUSED]), ScriptedSink(name="alertmanager")
    assert not send(journal, clock, primary, spare).failed
    assert (primary.actions(), spare.actions()) == (["trigger", "trigger"], ["trigger", "resolve"])


def test_a_route_s_channel_is_asked_once_a_run(journal: SqliteJournal, clock: SteppedClock) -> None:
    """To know it, a key may have to be fetched by a command."""
    fire(journal, *(f"rule-{number}" for number in range(30)))
    send(journal, clock, pager := KeyedSink(clock))
    assert pager.asked == ["money"]


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


def test_a_clock_that_went_back_does_not_undo_a_rate_limit(journal: SqliteJournal, clock: SteppedClock) -> None:
    """A row from the future is due at once, and still waits for its token instead of asking for it again and again."""
    fire(journal, *(f"rule-{number}" for number in range(60)))
    monotonic = clock.monotonic()
    clock.at -= minutes(90)
    began = clock.monotonic()
    assert began < monotonic
    send(journal, clock, pager := ScriptedSink())
    assert len(pager.sent) <= 46
    assert len(clock.slept) <= 60
