"""One run of one host, in a forked process: the shipped `run_once`, the shipped sink and reader, a real journal.

Everything that the oracle believes of a run is in its ledger: a line when a commit is on disk, and one when the run has
said what it says. Must never write there what is only planned.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sqlite3
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsctl.adapters.journal import SqliteJournal
from opsctl.adapters.sinks.pagerduty_parts import open_parts
from opsctl.core.catalogue import Catalogue
from opsctl.core.commands import Cycle, Trigger
from opsctl.core.routing import Routing
from opsctl.core.signals import Signal
from opsctl.errors import ActionError, ExitCode, Refused
from opsctl.files.context import PagerDuty, Rest, Secret
from opsctl.ports import Committed, IncidentReader, Sinks
from opsctl.schedule import Once, World, finish, heard, run_once
from tests.soak.carriers import CARRIERS
from tests.soak.clock import BASE, HostClock, SharedTime
from tests.soak.crash import Counters, MortalReader, MortalSink, Points
from tests.soak.far_side import KEYS, PERSON, TOKEN
from tests.soak.settings import POLICY
from tests.soak.truth import Bad, TruthSource

CRASHED = 99
REFUSED = 6
_SAID = re.compile(r"^NOT (?:DELIVERED|VISIBLE): (?:trigger of )?#(\d+)")


@dataclass(frozen=True)
class Orders:
    """What one run is to do, and what is to happen to it."""

    step: int
    host: int
    attempt: int = 0
    deadly: tuple[str, int] | None = None
    also: str | None = None  # a point that struck seldom so far, deadly the first time
    full_after: int | None = None  # bytes that any file may have; None: the disk has room
    pages: bool = False  # SQLite's own limit instead: the file may not grow by a page
    blind: bool = False  # the backend does not answer
    scope: frozenset[int] | None = None  # numbers of the rules that are evaluated; None: all
    gone: frozenset[int] = frozenset()  # numbers of the rules that are in no file any more
    wrong_seconds: float = 0.0
    routing: Routing = Routing()

    @property
    def name(self) -> str:
        """For its ledger."""
        return f"{self.step:04d}-{self.host}-{self.attempt}"


@dataclass(frozen=True)
class Place:
    """Where a world's runs happen."""

    folder: Path
    namespace: str
    truth: Sequence[Bad]
    shared: SharedTime
    counters: Counters
    address: str
    hosts: int  # 1: every runner has the same state directory
    rest: bool
    carrier: str = "outbox"

    def state(self, host: int) -> Path:
        """The state directory of a runner."""
        return self.folder / f"host-{host if self.hosts > 1 else 0}"


def start(place: Place, orders: Orders) -> int:
    """Fork the run; its pid."""
    child = os.fork()
    if child:
        return child
    code = CRASHED
    try:
        code = _Run(place, orders).go()
    except BaseException:  # noqa: BLE001 - the parent reads what went wrong
        (place.folder / f"crashed-{orders.name}").write_text(traceback.format_exc())
    finally:
        os._exit(code)


class _Run:
    def __init__(self, place: Place, orders: Orders) -> None:
        self.place, self.orders = place, orders
        self.points = Points(place.counters, orders.deadly, orders.also)
        self.clock = HostClock(place.shared, orders.wrong_seconds)
        self.ledger = os.open(place.folder / "ledger" / orders.name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def go(self) -> int:
        if self.orders.full_after is not None and not self.orders.pages:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.orders.full_after, self.orders.full_after))
        try:
            return self._once()
        except (Refused, ActionError) as busy:
            self._write({"k": "refused", "why": str(busy)})
            return REFUSED

    def _once(self) -> int:
        self.journal = CARRIERS[self.place.carrier](
            self.place.state(self.orders.host), self.place.namespace, self.clock.now
        )
        self.journal.points = self.points
        self.journal.decided = self._decided
        if self.orders.full_after is not None and self.orders.pages:
            self._no_more_pages(self.journal)
        world = self._world(self.journal)
        self.points("evaluate.before")
        chosen = [one for one in world.rules if self._in_scope(one.uid)]
        full = len(chosen) == len(world.rules)
        once = run_once(world, chosen, full=full, notify=True)
        finish(world, once, ExitCode.ACTION if once.action_failed else ExitCode.FINDING)
        self._say(once)
        heard(self.journal, once)
        self.journal.close()
        return 0

    def _no_more_pages(self, journal: SqliteJournal) -> None:
        db = journal._db
        count = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {count}")

    def _in_scope(self, uid: str) -> bool:
        return self.orders.scope is None or int(uid.removeprefix("rule-")) in self.orders.scope

    def _world(self, journal: SqliteJournal) -> World:
        passed = [0]

        def asked() -> None:
            passed[0] += 1
            if passed[0] % 50 == 1:
                self.points("evaluate.inside")

        source = TruthSource(self.place.truth, self.orders.wrong_seconds, fails=self.orders.blind, asked=asked)
        rules = tuple(bad.rule() for bad in self.place.truth if bad.number not in self.orders.gone)
        return World(
            rules=rules,
            catalogue=Catalogue({}),
            sources={Signal.METRICS: source},
            journal=journal,
            sinks=self._sinks,
            routing=lambda: self.orders.routing,
            clock=self.clock,
            policy=POLICY,
            runner=self.orders.host,
        )

    def _sinks(self) -> Sinks:
        self.points("evaluate.after")
        keys = {name: Secret("env", name) for name in KEYS}
        rest = Rest(Secret("env", "rest"), PERSON) if self.place.rest else None
        settings = PagerDuty(keys, self.place.address, self.place.address, rest)
        secrets = {**KEYS, "rest": TOKEN}
        (real,), shipped = open_parts(settings, lambda secret: secrets[secret.reference], self.clock.now)
        sink = MortalSink(real, self.points)
        readers: tuple[IncidentReader, ...] = tuple(MortalReader(one, self.points) for one in shipped)
        bind = getattr(self.journal, "bind", None)
        if bind is not None:
            bind(sink)
        return Sinks({sink.name: sink}, ("pagerduty/fallback",), readers)

    # -- the ledger

    def _decided(self, committed: Committed, cycle: Cycle | None) -> None:
        if cycle is None or committed.plan is None:
            return
        triggers = [one.key for one in committed.plan.commands if isinstance(one, Trigger) and not one.repeat]
        self._write(
            {
                "k": "commit",
                "host": self.orders.host,
                "t": self.place.shared.seconds(),
                "at": cycle.at.timestamp(),
                "minute": (cycle.at.timestamp() - self.orders.wrong_seconds - BASE.timestamp()) // 60,
                "disk": self.orders.full_after is not None,  # it may also fill up while events are sent
                "memory": self.journal.path == ":memory:",
                "problem": self.journal.problem or "",
                "fresh": not self.orders.blind,
                "looked": bool(cycle.seen) and all(one.problem is None for one in cycle.seen.values()),
                "scope": sorted(self.orders.scope) if self.orders.scope is not None else None,
                "gone": sorted(self.orders.gone),
                "triggers": triggers,
            }
        )

    def _say(self, once: Once) -> None:
        lines = [line for line in (*once.problems, *once.warnings)]
        keys: set[str] = set()
        for line in lines:
            found = _SAID.match(line)
            if found:
                keys.update(self._key(int(found[1])))
        self._write({"k": "said", "t": self.place.shared.seconds(), "keys": sorted(keys), "lines": lines[:20]})

    def _key(self, episode: int) -> list[str]:
        def work(db: sqlite3.Connection) -> list[str]:
            rows = db.execute("SELECT key FROM episodes WHERE episode = ?", (episode,)).fetchall()
            return [row["key"] for row in rows]

        return self.journal.read(work)

    def _write(self, line: Mapping[str, Any]) -> None:
        os.write(self.ledger, json.dumps(line).encode() + b"\n")


def warm_up() -> None:
    """Import what a run imports, once, before the forks."""
    import httpcore2  # noqa: F401
    import httpx2  # noqa: F401
    import pagerduty  # noqa: F401

    import opsctl.adapters.sinks.pagerduty_notes
    import opsctl.adapters.sinks.pagerduty_reader
    import opsctl.core.planning
    import opsctl.looking
    import opsctl.sender  # noqa: F401
