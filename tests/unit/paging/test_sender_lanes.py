"""Lanes: what one event's trouble means for the others, and what a new page does in the middle of a storm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from opsctl.adapters.journal import SqliteJournal, open_journal
from opsctl.adapters.sinks.pagerduty import PagerDuty
from opsctl.core.alerts import Alert
from opsctl.core.routing import Matcher, Route, Routing
from opsctl.core.slo import Severity
from opsctl.errors import AuthError
from opsctl.ports import Delivery, SinkEvent, Sinks
from opsctl.sender import drain
from tests.unit.paging.test_sender import THROTTLED, fire, send, states
from tests.unit.paging.world import (
    ACCEPTED,
    LOST,
    T0,
    ScriptedSink,
    SteppedClock,
    alert,
    cycle,
    minutes,
    run_record,
)


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


def test_a_route_s_channel_is_asked_once_a_run(journal: SqliteJournal, clock: SteppedClock) -> None:
    """To know it, a key may have to be fetched by a command."""
    fire(journal, *(f"rule-{number}" for number in range(30)))
    send(journal, clock, pager := KeyedSink(clock))
    assert pager.asked == ["money"]


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


def test_a_key_that_cannot_be_had_is_asked_for_once_and_not_for_every_event(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    """Its command may hang for 10 s; a run has 15 s for everything."""
    asked: list[float] = []

    def hangs() -> str:
        asked.append(clock.monotonic())
        clock.at += timedelta(seconds=10)
        raise AuthError("secret command pass gave no answer in 10 s")

    routes = (Route("webhook/ops", (Matcher("team", "=", "ops"),)),)
    broken = [alert(f"rule-{number}", team="broken") for number in range(20)]
    storm(journal, *broken, *(alert(f"pay-{number}", team="ops") for number in range(20)), routes=routes)
    pager, live = PagerDuty({"broken": hangs}, "http://127.0.0.1:9"), KeyedSink(clock, seconds=0.05, name="webhook/ops")
    rows = drain(journal, Sinks({"pagerduty": pager, live.name: live}), clock, chance=lambda: 0.5).left
    assert len(asked) == 1
    assert len(live.sent) == 20
    assert "pass gave no answer" in rows[0].last_error


def test_keys_that_cannot_be_had_leave_the_time_to_the_other_sinks(journal: SqliteJournal, clock: SteppedClock) -> None:
    """Every team's key comes from one store of secrets, which hangs."""
    asked: list[float] = []

    def hangs() -> str:
        asked.append(clock.monotonic())
        clock.at += timedelta(seconds=10)
        raise AuthError("secret command pass gave no answer in 10 s")

    routes = (Route("webhook/ops", (Matcher("team", "=", "ops"),)),)
    broken = [alert(f"rule-{number}", team=f"team-{number}") for number in range(5)]
    storm(journal, *broken, *(alert(f"pay-{number}", team="ops") for number in range(20)), routes=routes)
    pager = PagerDuty({f"team-{number}": hangs for number in range(5)}, "http://127.0.0.1:9")
    live = KeyedSink(clock, seconds=0.05, name="webhook/ops")
    drain(journal, Sinks({"pagerduty": pager, live.name: live}), clock, chance=lambda: 0.5)
    assert len(live.sent) == 20
    assert len(asked) <= 2
