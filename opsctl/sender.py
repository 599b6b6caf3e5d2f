"""What is due goes out: the outbox's rows, one request at a time, under a lock of its own.

Must never lose a row (an attempt is on disk before its request), never send two events of one key out of order, and
never raise for what PagerDuty does. The decisions are in `core/outbox.py`; a run that ends early leaves its rows to
the next one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field, replace
from datetime import datetime, timedelta
from types import FrameType

from opsctl.core.events import encode, minimal
from opsctl.core.frozen import dataclass
from opsctl.core.lanes import Lanes
from opsctl.core.outbox import Dropped, OutboxRow, Priority, RowState, due_at, heads, next_row, triage, wait_seconds
from opsctl.core.planning import REFUSED_AGAIN
from opsctl.core.routing import split_target
from opsctl.errors import Refused
from opsctl.ports import Clock, Delivery, Outbox, Sink, SinkEvent, Sinks

REQUEST_SECONDS = 5.0
_SHORTEST_REQUEST_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 1.0
_NOW_SECONDS = 0.001  # what is due within it is due: a float is no reason to wait
_SLOW_SECONDS = 1.0
_THROTTLED = 429


@dataclass(frozen=True, slots=True)
class SendReport:
    """What one drain did; `problems` are lines for stderr."""

    accepted: tuple[OutboxRow, ...] = ()
    left: tuple[OutboxRow, ...] = ()  # still to be sent, due for the next run
    dead: tuple[OutboxRow, ...] = ()  # refused for good
    never_delivered: tuple[OutboxRow, ...] = ()
    problems: tuple[str, ...] = ()
    refused_notes: tuple[OutboxRow, ...] = ()  # no page depends on them

    @property
    def failed(self) -> bool:
        """Whether a page, a resolve or an acknowledgement did not get through: exit 5."""
        return bool(self.dead or self.never_delivered or any(row.priority == Priority.FIRST for row in self.left))


def drain(
    outbox: Outbox,
    sinks: Sinks,
    clock: Clock,
    budget_seconds: float = 15.0,
    *,
    chance: Callable[[], float] = random.random,
) -> SendReport:
    """Send what is due for at most `budget_seconds`, the wait for another sender included."""
    deadline = clock.monotonic() + budget_seconds
    rows = outbox.unfinished()
    if not rows:
        return SendReport()
    if not sinks.by_name:
        problem = f"{len(rows)} events are due and the context has no sink: add [contexts.NAME.pagerduty]"
        return SendReport(left=rows, problems=(problem,))
    try:
        with outbox.lock("send", budget_seconds):
            return _Drain(outbox, sinks, clock, deadline, chance).run()
    except Refused as busy:
        left = outbox.unfinished()
        return SendReport(left=left, problems=(str(busy),) if left else ())


_Rows = dict[tuple[str, int, str, int], OutboxRow]  # by identity


@dataclass
class _Drain:
    """One drain while it runs."""

    outbox: Outbox
    sinks: Sinks
    clock: Clock
    deadline: float
    chance: Callable[[], float]
    accepted: list[OutboxRow] = field(default_factory=list)
    dead: list[OutboxRow] = field(default_factory=list)
    never_delivered: list[OutboxRow] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    refused_notes: list[OutboxRow] = field(default_factory=list)
    lanes: Lanes = field(default_factory=Lanes)
    channels: dict[str, str] = field(default_factory=dict)  # of each route that is in use
    looked: float = float("-inf")

    def run(self) -> SendReport:
        rows: _Rows = {}
        while True:
            self._look(rows)
            if not rows or not self._step(rows):
                break
        return self._report(tuple(rows.values()))

    def _look(self, rows: _Rows) -> None:
        """What was decided meanwhile goes too: a new page must not wait until a storm is over."""
        at = self.clock.monotonic()
        if rows and at - self.looked < _LOOK_AGAIN_SECONDS:
            return
        self.looked = at
        found, now = self.outbox.unfinished(), self.clock.now()
        for row in found:
            if row.identity not in rows:
                self._remember(row, now)
            rows[row.identity] = row
        for drop in triage(found, now):
            self._drop(drop, now)
            rows.pop(drop.row.identity, None)

    def _remember(self, row: OutboxRow, now: datetime) -> None:
        """A far side that asked an earlier run to leave it alone is left alone."""
        if row.last_status == _THROTTLED and (sink := self._sink(row)[0]) is not None:
            seconds = (due_at(row, now) - now) / timedelta(seconds=1)
            if seconds > 0:
                self.lanes.rest(self._lane(sink, row), self.clock.monotonic(), seconds)

    def _drop(self, drop: Dropped, now: datetime) -> None:
        self.outbox.drop(drop.row, drop.state, drop.reason, now)
        if drop.loud:
            (self.dead if drop.state is RowState.DEAD else self.never_delivered).append(drop.row)
            self.problems.append(f"NOT DELIVERED: {_name(drop.row)}: {drop.reason}")

    def _step(self, rows: _Rows) -> bool:
        """Send one row, or wait for the first that is due; false when the time is up."""
        now, at = self.clock.now(), self.clock.monotonic()
        left = self.deadline - at
        if left <= 0:
            return False
        firsts = heads(rows.values(), self._place)
        waits = [self._wait(first.row, now, at) for first in firsts]
        ready = [first for first, wait in zip(firsts, waits, strict=True) if wait <= _NOW_SECONDS]
        if not ready:
            if min(waits) >= left:
                return False
            self.clock.sleep(min(waits))
            return True
        answering = [first for first in ready if not self.lanes.is_slow(self._server(first.row), at)]
        row = next_row(answering or ready, self._was_tried)
        self._send(rows, rows[row.identity], min(REQUEST_SECONDS, max(left, _SHORTEST_REQUEST_SECONDS)))
        return True

    def _wait(self, row: OutboxRow, now: datetime, at: float) -> float:
        """Seconds until the row may go."""
        wait = (due_at(row, now) - now) / timedelta(seconds=1)
        sink, _ = self._sink(row)
        return wait if sink is None else max(wait, self.lanes.wait(self._lane(sink, row), at))

    def _was_tried(self, row: OutboxRow) -> bool:
        sink, _ = self._sink(row)
        return sink is not None and self.lanes.was_tried(self._lane(sink, row), row.id)

    def _server(self, row: OutboxRow) -> str:
        """What answers or does not, for all of a sink's lanes; notes have a way of their own."""
        name, _ = split_target(row.via or row.route)
        return f"{name} notes" if row.action == "note" else name

    def _lane(self, sink: Sink, row: OutboxRow) -> str:
        """What rests together: a channel, or all of a sink that has none."""
        lane = self._channel(sink, row) or sink.name
        return f"{lane} notes" if row.action == "note" else lane

    def _channel(self, sink: Sink, row: OutboxRow, *, its_turn: bool = False) -> str:
        """Asked once for a route: its key may have to be fetched by a command, and that may hang.

        Then the sink's other keys wait for their turn, and go by the names of their routes until then.
        """
        route, server, at = row.via or row.route, self._server(row), self.clock.monotonic()
        if route not in self.channels:
            if not its_turn and self.lanes.is_slow(server, at):
                return route
            self.channels[route] = _channel_of(sink, split_target(route)[1])
            took = self.clock.monotonic() - at
            if took >= _SLOW_SECONDS:
                self.lanes.took(server, at + took, took)
        return self.channels[route]

    def _place(self, row: OutboxRow) -> str:
        """What knows an incident by its key: a routing key, an account, a receiver."""
        sink, key = self._sink(row)
        return (row.via or row.route) if sink is None else self._channel(sink, row) or f"{sink.name}/{key}"

    def _sink(self, row: OutboxRow) -> tuple[Sink | None, str]:
        name, key = split_target(row.via or row.route)
        return self.sinks.by_name.get(name), key

    def _send(self, rows: _Rows, row: OutboxRow, timeout_seconds: float) -> None:
        now = self.clock.now()
        sink, key = self._sink(row)
        if sink is None:
            self._nowhere(rows, row, now)
            return
        channel, lane = self._channel(sink, row, its_turn=True), self._lane(sink, row)
        wait = self.outbox.take_token(channel, now) if channel else 0.0
        if wait > 0:
            self.lanes.rest(lane, self.clock.monotonic(), wait)
            return
        with _signals_wait():
            begun_row = self.outbox.attempt(row, row.via or row.route, now)
            if begun_row is None:  # a look showed meanwhile that it must not go
                del rows[row.identity]
                return
            row, begun = begun_row, self.clock.monotonic()
            delivery = _sent(sink, key, row, timeout_seconds)
            self._learn(lane, row, delivery, begun)
            at = self.clock.now()
            after = self._after(row, delivery, at)
            self.outbox.settle(after, delivery, at)
        self._next(rows, after)

    def _learn(self, lane: str, row: OutboxRow, delivery: Delivery, begun: float) -> None:
        """What one answer says about the next request there."""
        at = self.clock.monotonic()
        if delivery.outcome != "retry":
            self.lanes.passed(lane)
            return
        self.lanes.took(self._server(row), at, at - begun)
        if delivery.status == _THROTTLED or delivery.retry_after_seconds:
            self.lanes.throttled(lane, row.id, at, self.chance(), delivery.retry_after_seconds)
        else:
            self.lanes.failed(lane, row.id, at, self.chance())

    def _nowhere(self, rows: _Rows, row: OutboxRow, now: datetime) -> None:
        """The configuration has no such sink any more."""
        name = split_target(row.via or row.route)[0]
        gone = Delivery("permanent", None, f"the context has no sink {name} any more")
        begun = self.outbox.attempt(row, row.via or row.route, now)
        if begun is None:
            del rows[row.identity]
            return
        after = self._elsewhere(replace(begun, last_error=gone.message), now)
        self.outbox.settle(after, gone, now)
        self._next(rows, after)

    def _next(self, rows: _Rows, after: OutboxRow) -> None:
        if after.state is RowState.ATTEMPTED:
            rows[after.identity] = after
        else:
            del rows[after.identity]
        if after.state is RowState.ACCEPTED and after.via != after.route:
            self.looked = float("-inf")  # what belongs to it goes to the fallback too
        self._count(after)

    def _after(self, row: OutboxRow, delivery: Delivery, at: datetime) -> OutboxRow:
        row = replace(row, last_status=delivery.status, last_error=delivery.message)
        match delivery.outcome:
            case "accepted" | "permanent" if row.priority == Priority.SWEEP:
                return self._swept(row, delivery, at)
            case "accepted":
                return replace(row, state=RowState.ACCEPTED, via=row.via or row.route, last_error="")
            case "retry":
                wait = wait_seconds(row.attempts, self.chance(), delivery.retry_after_seconds)
                return replace(row, due=at + timedelta(seconds=wait))
            case "permanent" if row.action == "trigger" and not row.minimal:
                return replace(row, minimal=True, due=at)
            case "permanent":
                return self._elsewhere(row, at)

    def _swept(self, row: OutboxRow, delivery: Delivery, at: datetime) -> OutboxRow:
        """A new journal does not know where an incident went: its sweep asks every fallback, and again if refused."""
        if delivery.outcome == "permanent":
            return replace(row, due=at + REFUSED_AGAIN)
        later = self._fallbacks_after(row)
        if later:
            return replace(row, via=later[0], due=at)
        return replace(row, state=RowState.ACCEPTED, via=row.via or row.route, last_error="")

    def _fallbacks_after(self, row: OutboxRow) -> list[str]:
        route = row.via or row.route
        chain = [one for one in self.sinks.fallbacks if one != row.route]
        return chain[chain.index(route) + 1 :] if route in chain else chain

    def _elsewhere(self, row: OutboxRow, at: datetime) -> OutboxRow:
        """The next fallback, in full again; dead when there is none. Only a trigger has another place than its own:

        elsewhere nobody knows the incident that a resolve is about, and it would be accepted and close nothing.
        """
        route = row.via or row.route
        if row.action == "note":
            return replace(row, state=RowState.DEAD)
        if row.repeat and row.action == "trigger" and row.told:  # elsewhere it would wake somebody for what was told
            return replace(row, state=RowState.SUPERSEDED)
        self.problems.append(f"{route.rstrip('/')} refused {_name(row)}: {row.last_error}")
        if row.action != "trigger":
            return replace(row, state=RowState.DEAD)
        later = self._fallbacks_after(row)
        if not later:
            return replace(row, state=RowState.DEAD)
        return replace(row, via=later[0], minimal=False, due=at)

    def _count(self, row: OutboxRow) -> None:
        if row.state is RowState.ACCEPTED:
            self.accepted.append(row)
        elif row.state is RowState.DEAD and row.action == "note":
            self.refused_notes.append(row)
        elif row.state is RowState.DEAD:
            self.dead.append(row)
            self.problems.append(f"NOT DELIVERED: {_name(row)}: refused for good; tell the on-call engineer yourself")

    def _report(self, left: tuple[OutboxRow, ...]) -> SendReport:
        urgent = [row for row in left if row.priority == Priority.FIRST]
        if urgent:
            why = f": {urgent[0].last_error}" if urgent[0].last_error else ""
            self.problems.append(f"{len(left)} events are left for the next run, the first is {_name(urgent[0])}{why}")
        return SendReport(
            tuple(self.accepted),
            left,
            tuple(self.dead),
            tuple(self.never_delivered),
            tuple(self.problems),
            tuple(self.refused_notes),
        )


def _sent(sink: Sink, key: str, row: OutboxRow, timeout_seconds: float) -> Delivery:
    """One request. A sink that breaks its contract must not take the other rows with it."""
    try:
        body = encode(minimal(json.loads(row.body))) if row.minimal else row.body
        event = SinkEvent(key, body, "/".join(map(str, row.identity)))
        return sink.send(event, timeout_seconds)
    except Exception as bug:  # noqa: BLE001  its text may hold anything, a secret too
        return Delivery("retry", None, f"{type(bug).__name__} in the sink {sink.name}: a bug")


def _channel_of(sink: Sink, key: str) -> str:
    try:
        return sink.channel(key)
    except Exception:  # noqa: BLE001  the request will say what is wrong
        return ""


def _name(row: OutboxRow) -> str:
    number = f" of #{row.episode}" if row.episode else ""
    return f"{row.action}{number} ({row.rule_name})"


@contextmanager
def _signals_wait() -> Iterator[None]:
    """SIGTERM and SIGINT wait for the request in flight and its result on disk; they are delivered after it.

    A second one does not wait: it ends the process as `kill -9` would, and what is on disk is enough to go on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(signum: int, _stack: FrameType | None) -> None:
        if came:
            os._exit(128 + signum)
        came.append(signum)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in dict.fromkeys(came):
            os.kill(os.getpid(), late)
