"""The paging of half an hour as the power loss test plays it, what it promises, and who notices a broken promise.

The journal and the sender are the shipped ones; PagerDuty is a list that never loses power.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from opsctl.adapters.journal import SqliteJournal
from opsctl.adapters.journal.rows import alert_json, insert, micros
from opsctl.adapters.journal.schema import BASE, MIGRATIONS
from opsctl.core.keys import key_of
from opsctl.core.outbox import OutboxRow
from opsctl.ports import Delivery, SinkEvent, Sinks
from opsctl.ports.runbooks import RunbookRun, RunbookStep
from opsctl.sender import SendReport, drain
from tests.e2e.kill_launcher import MINUTES, UIDS, firing
from tests.unit.paging.world import ACCEPTED, LOST, T0, SteppedClock, alert, cycle, minutes, run_record

NAMESPACE = "production"
KEYS = frozenset(key_of(NAMESPACE, alert(uid)) for uid in UIDS)
UNAVAILABLE = Delivery("retry", 503, "HTTP 503")

Dump = frozenset[tuple[Any, ...]]
Told = tuple[str, str]  # the action and the dedup key of one event to PagerDuty


# -- what the world outside the disk is told


@dataclass(frozen=True)
class Minute:
    """Cron starts a run."""

    minute: int


@dataclass(frozen=True)
class Committed:
    """A transaction of the journal has returned; `rows` are all the journal's rows then."""

    rows: Dump


@dataclass(frozen=True)
class Begun:
    """A request is on the wire."""

    event: Told


@dataclass(frozen=True)
class Arrived:
    """PagerDuty has it."""

    event: Told


@dataclass(frozen=True)
class Settled:
    """`settle` has returned for a row that PagerDuty accepted."""

    event: Told


@dataclass(frozen=True)
class StepRan:
    """A runbook's step had its effect."""

    step: str


@dataclass(frozen=True)
class Printed:
    """The run has said which incidents are open, and how it ended."""

    run: int
    exit_code: int
    incidents: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Acknowledged:
    """`incident ack` has said that it worked."""

    episode: int


# -- the story


class ToldJournal(SqliteJournal):
    """Says what it holds after each transaction."""

    say: Callable[[Any], None]

    def telling(self, say: Callable[[Any], None]) -> ToldJournal:
        """This journal; from now on it says it there."""
        self.say = say
        return self

    def _once(self, work: Callable[[sqlite3.Connection], Any], begin: str) -> Any:
        answer = super()._once(work, begin)
        if begin != "BEGIN":
            self.say(Committed(dump(self._db)))
        return answer

    def settle(self, row: OutboxRow, delivery: Delivery, *more: Any, **named: Any) -> None:
        super().settle(row, delivery, *more, **named)
        if delivery.outcome == "accepted":
            self.say(Settled((row.action, row.key)))


class ForgetfulJournal(ToldJournal):
    """Lets the request go before its attempt is written: the mistake that (b) is about."""

    def attempt(self, row: OutboxRow, *_rest: Any, **_named: Any) -> OutboxRow:
        return row


class SplitJournal(ToldJournal):
    """Writes the alerts in one transaction and what must be sent in another."""

    def commit(self, *args: Any, **named: Any) -> Any:
        self._later: list[tuple[Any, ...]] = []
        committed = super().commit(*args, **named)
        for later in self._later:
            self.write(lambda db, later=later: SqliteJournal._record(self, db, *later))  # type: ignore[misc]
        return committed

    def _record(self, db: sqlite3.Connection, *rest: Any) -> None:
        self._later.append(rest)


class Remote:
    """PagerDuty, which has power; the replies of some requests get lost, and one request."""

    name = "pagerduty"

    def __init__(self, say: Callable[[Any], None], arrived: Sequence[Told] = (), faults: bool = False) -> None:
        self.say = say
        self.arrived = list(arrived)
        self.answers = [LOST, ACCEPTED, UNAVAILABLE, ACCEPTED, LOST] if faults else []

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        body = json.loads(event.body)
        told = (body["event_action"], body["dedup_key"])
        self.say(Begun(told))
        answer = self.answers.pop(0) if self.answers else ACCEPTED
        if answer is not UNAVAILABLE:
            self.arrived.append(told)
            self.say(Arrived(told))
        return answer

    def channel(self, key: str) -> str:
        return f"pagerduty/{key}"

    def close(self) -> None:
        pass


@dataclass
class Story:
    """Seven runs of cron, or the same in one process; a person acknowledges, a runbook runs."""

    opened: Callable[[SteppedClock], SqliteJournal]
    remote: Remote
    say: Callable[[Any], None]
    one_process: bool
    clock: SteppedClock = field(default_factory=SteppedClock)
    undelivered: set[str] = field(default_factory=set)  # keys of which a run said aloud that nobody was told

    def run(self, when: Sequence[int] = MINUTES) -> str | None:
        """At these minutes; what the journal says is wrong with it."""
        journal = self.opened(self.clock)
        for number, minute in enumerate(when):
            if number and not self.one_process:
                journal.close()
                journal = self.opened(self.clock)
            self.clock.at = max(self.clock.at, T0 + minutes(minute))
            self._minute(journal, minute)
            if minute == 1:
                self._runbook(journal)
            if minute == 2:
                self._acknowledge(journal)
        if self.one_process:
            journal.vacuum(T0 - timedelta(days=400))
        journal.close()
        return journal.problem

    def _minute(self, journal: SqliteJournal, minute: int) -> None:
        self.say(Minute(minute))
        at = self.clock.at
        with journal.lock("evaluate", 5):
            committed = journal.commit(run_record(at), (), cycle(at, firing(minute), fresh=UIDS))
        sent = self._send(journal)
        incidents = tuple((one.episode, one.key) for one in journal.incidents())
        code = 5 if sent.failed else 0
        journal.finish(committed.run, code, self.clock.now(), success=not code)
        self.say(Printed(committed.run, code, incidents))

    def _send(self, journal: SqliteJournal) -> SendReport:
        sent = drain(journal, Sinks({"pagerduty": self.remote}), self.clock, chance=lambda: 0.5)
        self.undelivered |= {row.key for row in (*sent.never_delivered, *sent.dead)}
        return sent

    def _acknowledge(self, journal: SqliteJournal) -> None:
        episode = min((one.episode for one in journal.incidents()), default=0)
        now = self.clock.now()
        if episode and journal.acknowledge(episode, "ada", now, now + timedelta(hours=1)):
            self.say(Acknowledged(episode))
        self._send(journal)

    def _runbook(self, journal: SqliteJournal) -> None:
        log, now = journal.runbooks, self.clock.now()
        if log.run_of("r1") is None:
            log.start(RunbookRun("r1", "redeem", "d", {}, now))
        if log.steps("r1"):
            return  # a person decides what a step did that nobody saw end
        step = RunbookStep("r1", "restart", 1, "running", now)
        log.step_before(step)
        self.say(StepRan("restart"))
        log.step_after(RunbookStep("r1", "restart", 1, "ok", now, now, "done", 0))
        log.finish("r1", "ok", now)


def write_first_journal(path: Path) -> None:
    """A journal as the first opsctl left it, in the middle of the story: `pay` has paged, two minutes ago."""
    one, at = alert("pay"), micros(T0 - minutes(2))
    key = key_of(NAMESPACE, one)
    named = {"key": key, "rule_uid": "pay", "severity": "page", "route": "money", "episode": 1, "opened": at}
    known = {"state": "firing", "triggers": 1, "triggered": at, "missing_runs": 0, "alert": alert_json(one), "at": at}
    told = {"rule_name": one.rule_name, "service": "promo", "team": "money", "cause": "burn", "summary": one.summary}
    sent = {"key": key, "episode": 1, "action": "trigger", "repeat": 0, "route": "money", "priority": 0, "body": "{}"}
    then = {"rule_name": one.rule_name, "created": at, "not_after": at, "due": at, "state": "accepted", "accepted": at}
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(BASE + MIGRATIONS[0])
        db.execute("INSERT INTO meta VALUES ('namespace', ?)", (NAMESPACE,))
        db.execute("INSERT INTO migrations VALUES (1, ?)", (at,))
        run = insert(db, "runs", dict.fromkeys(("started", "at", "full", "notify", "rules", "pid"), at) | {"host": "h"})
        insert(db, "alerts", named | known)
        insert(db, "episodes", named | told | {"since": at, "run": run})
        insert(db, "outbox", sent | then | {"attempts": 1, "via": "pagerduty", "ended": at})
        db.commit()


def dump(db: Any) -> Dump:
    """Every row of every table that says what was decided, sent or run."""
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return frozenset(
        (table, *((name, row[name]) for name in row.keys()))  # noqa: SIM118 - a row's iterator gives values
        for table in tables
        if table not in ("meta", "migrations", "sqlite_sequence")
        for row in db.execute(f"SELECT * FROM {table}")
    )


# -- the promises


@dataclass
class World:
    """What everybody knows at one moment."""

    states: list[Dump]  # after each transaction of the whole story; the first is the empty journal
    committed: int = 0
    minute: int = 0
    begun: Counter[Told] = field(default_factory=Counter)
    arrived: list[Told] = field(default_factory=list)
    settled: Counter[Told] = field(default_factory=Counter)
    steps: list[str] = field(default_factory=list)
    printed: list[Printed] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)

    def hear(self, what: Any) -> None:
        match what:
            case Minute(minute):
                self.minute = minute
            case Committed():
                self.committed += 1
            case Begun(event):
                self.begun[event] += 1
            case Arrived(event):
                self.arrived.append(event)
            case Settled(event):
                self.settled[event] += 1
            case StepRan(step):
                self.steps.append(step)
            case Printed():
                self.printed.append(what)
            case Acknowledged(episode):
                self.acknowledged.append(episode)

    def broken(self, rows: Dump) -> Iterator[str]:
        """What was promised and is not in these rows; the first word is the promise's name."""
        if rows not in self.states[self.committed : self.committed + 2]:
            yield f"commit: {self.committed} transactions had returned, and the journal is not as after them or one more"
        tables: dict[str, list[dict[str, Any]]] = {}
        for table, *values in rows:
            tables.setdefault(table, []).append(dict(values))
        outbox = {row["id"]: (row["action"], row["key"]) for row in tables.get("outbox", ())}
        attempts = Counter(outbox.get(row["outbox"]) for row in tables.get("deliveries", ()))
        yield from (f"attempt: {event} was begun {n} times" for event, n in self.begun.items() if attempts[event] < n)
        accepted = Counter(outbox[row["id"]] for row in tables.get("outbox", ()) if row["accepted"] is not None)
        yield from (f"accepted: {event} was settled" for event, n in self.settled.items() if accepted[event] < n)
        ran = {row["step"] for row in tables.get("runbook_steps", ())}
        yield from (f"step: {step} ran" for step in self.steps if step not in ran)
        episodes = {row["episode"]: row for row in tables.get("episodes", ())}
        runs = {row["id"]: row["exit_code"] for row in tables.get("runs", ())}
        for said in self.printed:
            lost = [number for number, key in said.incidents if episodes.get(number, {}).get("key") != key]
            if lost or runs.get(said.run) != said.exit_code:
                yield f"printed: run {said.run} said exit {said.exit_code} and incidents {said.incidents}"
        for number in self.acknowledged:
            if episodes.get(number, {}).get("acknowledged") is None:
                yield f"printed: #{number} was acknowledged"


def triggered(rows: Dump) -> set[str]:
    """The keys for which a page was decided."""
    outbox = (dict(values) for table, *values in rows if table == "outbox")
    return {row["key"] for row in outbox if row["action"] == "trigger"}


def wrongly_paged(arrived: Sequence[Told], expected: Set[str]) -> Iterator[str]:
    """What a person would complain of when it is all over; of the keys expected a page must have arrived."""
    for key in sorted(expected | {key for _, key in arrived}):
        actions = [action for action, one in arrived if one == key]
        if "trigger" not in actions:
            if key in expected:
                yield f"paging: {key} never paged"
        elif actions[-1] != "resolve":
            yield f"paging: {key} is left open"
        elif "trigger" in actions[actions.index("resolve") :]:
            yield f"paging: {key} paged again after its resolve"
