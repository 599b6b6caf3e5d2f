"""Whatever happens, in whatever order: no page is lost, none wakes twice, nothing stays open.

Two hosts (each a journal of its own) and a second process on the first one, kills at every commit and request, lost
requests and replies, 429 and 503, a person in PagerDuty, clocks that jump, routes that change, rules that go.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from opsctl.adapters.journal import SqliteJournal
from opsctl.core.commands import Watched
from opsctl.core.keys import key_of
from opsctl.core.policy import Policy
from opsctl.core.routing import Matcher, Route, Routing
from opsctl.looking import look
from opsctl.ports import Sinks
from opsctl.sender import drain
from tests.unit.paging.far_side import FarReader, FarSide, FaultySink, Killed, RemoteIncident
from tests.unit.paging.world import T0, SteppedClock, alert, cycle, minutes, run_record

UIDS = ("redeem", "pay", "chat")
NAMESPACE = "prod-eu"
KEYS = {uid: key_of(NAMESPACE, alert(uid)) for uid in UIDS}
POLICY = Policy()
FAULTS = ("fine", "lost request", "lost reply", "429", "503", "killed before", "killed after")
ROUTES = (
    (),
    (Route("pagerduty", (Matcher("service", "=", "promo"),), "money"),),
    (Route("pagerduty", (), "platform"),),
)


@dataclass(frozen=True)
class Run:
    """What one committed run saw."""

    at: datetime
    host: int
    firing: frozenset[str]
    loaded: frozenset[str]
    blind: bool


def _count(journal: SqliteJournal) -> int:
    db = sqlite3.connect(journal.path)
    try:
        return int(db.execute("SELECT count(*) FROM runs").fetchone()[0])
    finally:
        db.close()


class MortalJournal(SqliteJournal):
    """Dies before or after one of its commits."""

    deadly: int = -1
    after: bool = False

    def _once(self, work: Callable[[sqlite3.Connection], Any], begin: str) -> Any:
        if begin == "BEGIN":
            return super()._once(work, begin)
        self.deadly -= 1
        if self.deadly == 0 and not self.after:
            raise Killed("before a commit")
        answer = super()._once(work, begin)
        if self.deadly == 0:
            raise Killed("after a commit")
        return answer


class Delivering(RuleBasedStateMachine):
    """Rules are what happens; the checks are the contract."""

    rest = False
    hosts = 1

    def __init__(self) -> None:
        super().__init__()
        self.clock = SteppedClock()
        self.far = FarSide(self.clock)
        self.folder = Path(tempfile.mkdtemp(prefix="opsctl-machine-"))
        self.firing: set[str] = set()
        self.loaded = set(UIDS)
        self.routes: tuple[Route, ...] = ()
        self.runs: list[Run] = []  # every run that committed
        self.jumped = False  # the clock went back or far ahead: spans of time mean nothing

    def teardown(self) -> None:
        try:
            self.end_well()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- what happens

    @initialize(uids=st.sets(st.sampled_from(UIDS)))
    def begin(self, uids: set[str]) -> None:
        self.firing = set(uids)

    @rule(uid=st.sampled_from(UIDS))
    def turn(self, uid: str) -> None:
        """A rule's data crosses the line."""
        self.firing ^= {uid}

    @rule(
        host=st.integers(0, 1),
        faults=st.lists(st.sampled_from(FAULTS), max_size=4),
        deadly=st.integers(-1, 8),
        after=st.booleans(),
        blind=st.booleans(),
        wait=st.sampled_from((1.0, 1.0, 1.0, 3.0, 16.0)),
    )
    def run(self, host: int, faults: list[str], deadly: int, after: bool, blind: bool, wait: float) -> None:
        """One run of cron, with everything that may go wrong in it."""
        self.clock.at += minutes(wait)
        self.one_run(host % self.hosts, faults, deadly, after, blind)

    @rule(minutes_=st.sampled_from((-30, -1, 20, 90)))
    def clock_jumps(self, minutes_: int) -> None:
        self.clock.at += minutes(minutes_)
        self.jumped = True

    @rule(uid=st.sampled_from(UIDS), status=st.sampled_from(("acknowledged", "resolved")))
    def person(self, uid: str, status: Any) -> None:
        """Somebody acts in PagerDuty itself."""
        self.far.person(KEYS[uid], status)

    @rule(routes=st.sampled_from(ROUTES))
    def routes_change(self, routes: tuple[Route, ...]) -> None:
        self.routes = routes

    @rule(uid=st.sampled_from(UIDS))
    def rule_goes_or_comes(self, uid: str) -> None:
        self.loaded ^= {uid}

    @precondition(lambda self: self.far.incidents)
    @rule()
    def nothing(self) -> None:
        self.clock.at += minutes(1)

    # -- one run

    def one_run(self, host: int, faults: list[str], deadly: int = -1, after: bool = False, blind: bool = False) -> None:
        journal = MortalJournal(self.folder / str(host), NAMESPACE, self.clock.now)
        journal.deadly, journal.after = deadly, after
        sink, reader = FaultySink(self.far, list(faults)), self.reader(blind)
        sinks = Sinks({"pagerduty": sink}, (), (reader,) if self.rest else ())
        opened, closed = len(self.far.incidents), {one.id for one in self.far.incidents if not one.is_open}
        number, at = _count(journal), self.clock.now()
        try:
            self._evaluate_and_send(journal, sinks)
        except Killed:
            pass
        finally:
            journal._db.close()
        if _count(MortalJournal(self.folder / str(host), NAMESPACE, self.clock.now)) > number:
            self.runs.append(Run(at, host, frozenset(self.firing & self.loaded), frozenset(self.loaded), blind))
        for one in self.far.incidents[:opened]:
            if not one.is_open and one.id not in closed:
                self.judge_closed(one)
        for one in self.far.incidents[opened:]:
            self.judge_opened(one)

    def reader(self, blind: bool) -> FarReader:
        return FarReader(self.far, blind)

    def _evaluate_and_send(self, journal: SqliteJournal, sinks: Sinks) -> None:
        at = self.clock.now()
        uids = sorted(self.loaded)
        firing = [alert(uid, since=T0) for uid in uids if uid in self.firing]
        healthy = tuple(Watched(uid, uid, "money", ()) for uid in uids if uid not in self.firing)
        made = replace(
            cycle(at, firing, fresh=uids, healthy=healthy), routing=Routing(NAMESPACE, self.routes), policy=POLICY
        )
        with journal.lock("evaluate", 1):
            looked = look(sinks.readers, journal, made, self.clock)
            journal.commit(run_record(at), looked.facts, replace(made, seen=looked.seen))
        drain(journal, sinks, self.clock, chance=lambda: 0.1)

    # -- the contract

    def judge_opened(self, one: RemoteIncident) -> None:
        """A new incident wakes somebody: of a key whose last one a person closed, only after a rest."""
        uid = next(uid for uid, key in KEYS.items() if key == one.key)
        past = [other for other in self.far.incidents if other.key == one.key and other.id != one.id]
        assert any(uid in run.firing for run in self.runs), "paged what never fired"
        if not past or self.jumped or self.hosts > 1 or not past[-1].by_person:
            return
        last = past[-1]
        between = [run for run in self.runs if last.created <= run.at <= one.created]
        new_episode = any(uid not in run.firing for run in between)
        saw = [run for run in between if run.at > last.changed and not run.blind] if self.rest else []
        if saw and not new_episode:
            assert one.created - last.changed >= POLICY.reopen_after, "woken again too soon after a person closed it"
            assert one.created - last.created >= POLICY.repeat_interval, "woken twice within an hour"

    def judge_closed(self, one: RemoteIncident) -> None:
        """We closed it: then the host that did saw it under the line for `hold_open`, or its rule gone three times."""
        uid = next(uid for uid, key in KEYS.items() if key == one.key)
        if self.jumped or self.hosts > 1:
            return
        runs = [run for run in self.runs if run.at <= one.changed]
        over = [run for run in runs if uid in run.firing]
        under = [run for run in runs if not over or run.at > over[-1].at]
        # A resolve that was decided before the last firing run may go out after it, before the new trigger.
        assert self._was_over(uid, runs), f"closed while it fires: {under}"

    def _was_over(self, uid: str, runs: list[Run]) -> bool:
        """Whether at some time since the incident there was a span without it that closes an incident."""
        span: list[Run] = []
        for run in runs:
            if uid in run.firing:
                span = []
                continue
            span.append(run)
            gone = [one for one in span if uid not in one.loaded]
            if run.at - span[0].at >= POLICY.hold_open or len(gone) >= 3 or len(runs) == 1:
                return True
        return False

    @invariant()
    def one_incident_a_key(self) -> None:
        open_ = [one.key for one in self.far.all_open()]
        assert len(open_) == len(set(open_)), "one incident a key"

    def end_well(self) -> None:
        """Quiet runs without faults: what fires is told, then everything is healthy and nothing stays open."""
        self.clock.at += minutes(5)
        for _ in range(3):
            for host in range(self.hosts):
                self.clock.at += minutes(61)
                self.one_run(host, [])
        for uid in self.firing & self.loaded:
            assert self.far.open(KEYS[uid]) is not None, f"lost: {uid} fires and nobody is told"
        self.firing = set()
        for _ in range(9):
            for host in range(self.hosts):
                self.clock.at += minutes(2)
                self.one_run(host, [])
        assert [one.key for one in self.far.all_open()] == [], "stuck"


class WithRest(Delivering):
    rest = True


class TwoHosts(Delivering):
    hosts = 2


class TwoHostsWithRest(Delivering):
    hosts = 2
    rest = True


@pytest.mark.parametrize("machine", [Delivering, WithRest, TwoHosts, TwoHostsWithRest])
def test_the_contract_holds(machine: type[Delivering]) -> None:
    case = machine.TestCase
    case.settings = settings(
        max_examples=int(os.environ.get("OPSCTL_MACHINE_EXAMPLES", "60")),
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    case("runTest").runTest()
