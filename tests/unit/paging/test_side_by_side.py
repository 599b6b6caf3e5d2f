"""Two processes on one journal while one sends, places that do not know of each other, and parts that break."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from opsctl.adapters.journal import SqliteJournal, open_journal
from opsctl.core.keys import key_of
from opsctl.core.seen import Seen, SeenIncident
from opsctl.looking import look
from opsctl.ports import Delivery, SinkEvent
from opsctl.sender import drain
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

NAMESPACE = "prod-eu"
KEY = key_of(NAMESPACE, alert())
NO_KEY = Delivery("retry", None, "no request was made: no key for team money and no default")


def closed_by_a_person(journal: SqliteJournal) -> None:
    """Another run's look shows that the page got through, and that somebody closed its incident."""
    one = SeenIncident(KEY, "Q1", "resolved", T0, T0 + minutes(0.1), "ann", by_person=True)
    seen = {"pagerduty": Seen(T0 + minutes(0.2), {KEY: one}, complete=True)}
    journal.commit(run_record(T0), (), replace(cycle(T0 + minutes(0.2), [alert()]), seen=seen))


def states(journal: SqliteJournal) -> list[tuple[str, str, int]]:
    rows = journal._db.execute("SELECT action, state, attempts FROM outbox ORDER BY id")
    return [(row["action"], row["state"], row["attempts"]) for row in rows]


def test_what_another_run_ended_while_we_waited_is_not_sent(journal: SqliteJournal, clock: SteppedClock) -> None:
    """The reply was lost and a person has closed the incident: the repeat would wake them again."""
    journal.commit(run_record(T0), (), cycle(T0, [alert()]))
    pager = ScriptedSink([LOST])
    sleep, other = clock.sleep, open_journal(journal.folder, NAMESPACE, clock)

    def meanwhile(seconds: float) -> None:
        sleep(seconds)
        closed_by_a_person(other)

    clock.sleep = meanwhile  # type: ignore[method-assign]
    report = drain(journal, sinks_of(pager), clock, chance=lambda: 0.5)
    assert pager.actions() == ["trigger"]
    assert states(journal) == [("trigger", "superseded", 1)]
    assert not report.left


def test_what_a_look_ended_during_the_request_stays_ended(journal: SqliteJournal, clock: SteppedClock) -> None:
    journal.commit(run_record(T0), (), cycle(T0, [alert()]))
    other = open_journal(journal.folder, NAMESPACE, clock)
    pager = ScriptedSink([LOST, LOST], before=lambda: closed_by_a_person(other))
    drain(journal, sinks_of(pager), clock, chance=lambda: 0.5)
    assert pager.actions() == ["trigger"]
    assert states(journal) == [("trigger", "superseded", 1)]


def test_numbers_of_a_journal_that_is_gone_end_nothing_in_the_new_one(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    """Row 1 was `redeem` in the journal that broke; row 1 of the new one is `pay`, whose page is still to be sent."""
    journal.commit(run_record(T0), (), cycle(T0, [alert()]))

    def begun_anew() -> None:
        journal._db.close()
        for suffix in ("", "-wal", "-shm"):
            Path(journal.path + suffix).unlink(missing_ok=True)
        journal._db = journal._open_file()
        journal.commit(run_record(T0), (), cycle(T0, [alert("pay")], fresh=("pay", "redeem")))

    pager = ScriptedSink(before=begun_anew)
    sink = pager.send

    def once(event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        answer = sink(event, timeout_seconds)
        pager.before = lambda: None
        return answer

    pager.send = once  # type: ignore[method-assign]
    drain(journal, sinks_of(pager), clock)
    drain(journal, sinks_of(pager), clock)
    assert [one["payload"]["class"] for one in pager.sent] == ["RedeemBudgetBurn", "PayBudgetBurn"]


def test_a_resolve_that_can_no_longer_be_sent_holds_up_no_page_elsewhere(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    """The team is renamed and its routing key with it: the old incident's resolve has no key, the new page has."""
    journal.commit(run_record(T0), (), cycle(T0, [alert()]))
    drain(journal, sinks_of(pager := ScriptedSink()), clock)
    for minute in (1, 7):
        journal.commit(run_record(T0), (), cycle(T0 + minutes(minute)))
    clock.at = T0 + minutes(8)
    journal.commit(run_record(T0), (), cycle(T0 + minutes(8), [alert(team="payments")]))
    sink = pager.send
    pager.send = lambda event, timeout_seconds=5.0: (  # type: ignore[method-assign]
        NO_KEY if event.key == "money" else sink(event, timeout_seconds)
    )
    drain(journal, sinks_of(pager), clock)
    assert [(one["event_action"], one["route"]) for one in pager.sent] == [
        ("trigger", "pagerduty/money"),
        ("trigger", "pagerduty/payments"),
    ]


def test_a_resolve_does_not_overtake_its_own_trigger_on_its_way_to_a_fallback(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    journal.commit(run_record(T0), (), cycle(T0, [alert()]))
    primary, spare = ScriptedSink([LOST, REFUSED, REFUSED]), ScriptedSink([LOST] * 9, name="spare")
    drain(journal, sinks_of(primary, spare), clock, chance=lambda: 0.9)
    for minute in (1, 7):
        journal.commit(run_record(T0), (), cycle(T0 + minutes(minute)))
    clock.at = T0 + minutes(8)
    spare.answers = [LOST]
    spare.sent.clear()
    drain(journal, sinks_of(primary, spare), clock, chance=lambda: 0.1)
    assert spare.actions() == ["trigger", "trigger", "resolve"]


class Broken(ScriptedSink):
    """Breaks the contract of a sink for one key."""

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        if "PayBudgetBurn" in event.body:
            raise ValueError("R0UT1NGKEY is no number")
        return super().send(event, timeout_seconds)

    def channel(self, key: str) -> str:
        raise KeyError(key)


def test_a_sink_that_raises_takes_no_other_page_with_it(journal: SqliteJournal, clock: SteppedClock) -> None:
    journal.commit(run_record(T0), (), cycle(T0, [alert("pay"), alert()], fresh=("pay", "redeem")))
    report = drain(journal, sinks_of(pager := Broken()), clock)
    assert [one["payload"]["class"] for one in pager.sent] == ["RedeemBudgetBurn"]
    assert report.failed
    assert "ValueError in the sink pagerduty" in report.problems[-1]
    assert "R0UT1NGKEY" not in "".join(report.problems)


class Reader:
    """A reader that breaks its contract, or answers."""

    def __init__(self, name: str, answer: Callable[[], Seen]) -> None:
        self.name = name
        self.answer = answer

    def look(self, keys: Sequence[str], known: Mapping[str, str], timeout_seconds: float = 5.0) -> Seen:
        return self.answer()

    def close(self) -> None:
        """Nothing to drop."""


def test_a_reader_that_raises_is_a_look_that_failed_and_nothing_else(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    def raises() -> Seen:
        raise RuntimeError("secret in a bug")

    readers = (Reader("pagerduty", raises), Reader("opsgenie", lambda: Seen(T0, complete=True)))
    looked = look(readers, journal, cycle(T0, [alert()]), clock)
    assert looked.problems == ("pagerduty: RuntimeError while it was read: a bug",)
    assert looked.seen["opsgenie"].complete
    assert not looked.seen["pagerduty"].complete


def test_a_fact_that_another_version_wrote_is_asked_again(journal: SqliteJournal, clock: SteppedClock) -> None:
    journal.write(lambda db: db.execute("INSERT INTO facts VALUES ('remote_incident', 'pagerduty/Q1', '[\"k\",1]', 0)"))
    looked = look((Reader("pagerduty", lambda: Seen(T0, complete=True)),), journal, cycle(T0), clock)
    assert looked.problems == ()


def test_a_transaction_that_reads_first_is_not_overtaken_by_another_process(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    """Begun as a reader it would fail at its first write, whatever the timeout says."""
    other = open_journal(journal.folder, NAMESPACE, clock)
    count = "SELECT count(*) FROM runs"
    thread = threading.Thread(target=lambda: other.commit(run_record(T0), (), cycle(T0)))

    def work(db: sqlite3.Connection) -> int:
        before = db.execute(count).fetchone()[0]
        thread.start()
        thread.join(0.3)
        db.execute("INSERT INTO facts VALUES ('k', 's', '1', 0)")
        return int(db.execute(count).fetchone()[0] - before)

    assert journal.write(work) == 0
    thread.join(10)
    assert journal.read(lambda db: db.execute(count).fetchone()[0]) == 1
