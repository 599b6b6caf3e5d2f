"""The points at which a run is killed, each with a name, and the journal, sink and reader that have them.

The shipped code knows none of this: its classes are subclassed or wrapped. Must never change what they do.
"""

from __future__ import annotations

import mmap
import os
import signal
import sqlite3
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from opsctl.adapters.journal import SqliteJournal
from opsctl.adapters.sinks.pagerduty import PagerDuty
from opsctl.core.commands import Cycle
from opsctl.core.outbox import OutboxRow, RowState
from opsctl.core.seen import Seen
from opsctl.ports import Committed, Delivery, Fact, IncidentReader, RunRecord, SinkEvent

POINTS = (
    "evaluate.before", "evaluate.inside", "evaluate.after",
    "look.before", "look.inside", "look.after",
    "commit.before", "commit.inside", "commit.after",
    "token.before", "token.after",
    "attempt.before", "attempt.inside", "attempt.after",
    "request.before", "request.sent", "reply.before", "reply.after",
    "settle.inside", "settle.after",
    "drop.before", "drop.inside", "drop.after",
    "finish.before", "finish.inside", "finish.after",
)  # fmt: skip
"""`request.sent`: the request has left and nothing came back yet; `reply.before`: it came, and nobody read it."""
_NUMBER = {name: place for place, name in enumerate(POINTS)}


class Counters:
    """How often each point was passed, and how often it struck: in memory that outlives the processes."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16 * len(POINTS))

    def add(self, name: str, *, struck: bool) -> None:
        """One more; two processes that count at once may count one."""
        place = 16 * _NUMBER[name] + (8 if struck else 0)
        (count,) = struct.unpack("q", self._memory[place : place + 8])
        self._memory[place : place + 8] = struct.pack("q", count + 1)

    def shown(self) -> dict[str, tuple[int, int]]:
        """(passed, struck) of each point."""
        numbers = struct.unpack(f"{2 * len(POINTS)}q", self._memory[:])
        return {name: (numbers[2 * place], numbers[2 * place + 1]) for place, name in enumerate(POINTS)}


class Points:
    """Dies when one point is passed for the n-th time in this process, or `also` for the first; None: it lives."""

    def __init__(self, counters: Counters, deadly: tuple[str, int] | None, also: str | None = None) -> None:
        self._counters = counters
        self._deadly = {deadly, (also, 1)}
        self._passed: dict[str, int] = {}

    def __call__(self, name: str) -> None:
        self._counters.add(name, struck=False)
        self._passed[name] = self._passed.get(name, 0) + 1
        if (name, self._passed[name]) in self._deadly:
            self._counters.add(name, struck=True)
            os.kill(os.getpid(), signal.SIGKILL)


class MortalJournal(SqliteJournal):
    """Dies before, in and after its transactions; `decided` hears of a commit before anybody can die of it."""

    points: Callable[[str], None] = staticmethod(lambda name: None)
    decided: Callable[[Committed, Cycle | None], None] = staticmethod(lambda committed, cycle: None)
    _doing = ""

    def _once(self, work: Callable[[sqlite3.Connection], Any], begin: str) -> Any:
        inside = f"{self._doing}.inside"
        if begin == "BEGIN" or inside not in _NUMBER:
            return super()._once(work, begin)

        def mortal(db: sqlite3.Connection) -> Any:
            answer = work(db)
            self.points(inside)
            return answer

        return super()._once(mortal, begin)

    def _named(self, name: str, work: Callable[[], Any], after: str = "") -> Any:
        self._doing = name
        try:
            answer = work()
        finally:
            self._doing = ""
        self.points(after or f"{name}.after")
        return answer

    def commit(self, run: RunRecord, facts: Sequence[Fact] = (), cycle: Cycle | None = None) -> Committed:
        self.points("commit.before")

        def work() -> Committed:
            committed = SqliteJournal.commit(self, run, facts, cycle)
            self.decided(committed, cycle)
            return committed

        committed: Committed = self._named("commit", work)
        return committed

    def take_token(self, channel: str, at: datetime) -> float:
        self.points("token.before")
        wait: float = self._named("token", lambda: SqliteJournal.take_token(self, channel, at))
        return wait

    def attempt(self, row: OutboxRow, sink: str, at: datetime) -> Any:
        self.points("attempt.before")
        return self._named("attempt", lambda: SqliteJournal.attempt(self, row, sink, at))

    def settle(self, row: OutboxRow, delivery: Delivery, at: datetime) -> None:
        self._named("settle", lambda: SqliteJournal.settle(self, row, delivery, at))

    def drop(self, row: OutboxRow, state: RowState, reason: str, at: datetime) -> None:
        self.points("drop.before")
        self._named("drop", lambda: SqliteJournal.drop(self, row, state, reason, at))

    def finish(self, run: int, exit_code: int, at: datetime, **more: Any) -> None:
        self.points("finish.before")
        self._named("finish", lambda: SqliteJournal.finish(self, run, exit_code, at, **more))


class MortalSink:
    """The shipped sink; dies before a request, after it left, before its answer is read, and after.

    It waits `seconds` for an answer and not as long as it may: a lost one would cost the soak too much time.
    """

    seconds = 0.5

    def __init__(self, real: PagerDuty, points: Callable[[str], None]) -> None:
        self.name = real.name
        self._real = real
        self._points = points
        watch(real, {"send_request_body": "request.sent", "receive_response_headers": "reply.before"}, points)

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        """One request."""
        self._points("request.before")
        answer = self._real.send(event, self.seconds)
        self._points("reply.after")
        return answer

    def channel(self, key: str) -> str:
        """The real one's."""
        return self._real.channel(key)

    def close(self) -> None:
        """Drop connections."""
        self._real.close()


class MortalReader:
    """The shipped reader; dies before, in and after a look."""

    def __init__(self, real: Any, points: Callable[[str], None]) -> None:
        self.name = str(real.name)
        self._real: IncidentReader = real
        self._points = points
        watch(real._rest, {"receive_response_headers": "look.inside"}, points)

    def look(self, keys: Sequence[str], known: Mapping[str, str], timeout_seconds: float = 5.0) -> Seen:
        """The real one's look."""
        self._points("look.before")
        seen = self._real.look(keys, known, timeout_seconds)
        self._points("look.after")
        return seen

    def close(self) -> None:
        """Drop connections."""
        self._real.close()


def watch(owner: Any, at: Mapping[str, str], points: Callable[[str], None]) -> None:
    """Pass a point whenever the transport of a client has done one of these steps."""
    transport = owner._transport
    ready = transport._ready

    def trace(name: str, info: Mapping[str, Any]) -> None:
        step, _, state = name.rpartition(".")
        if state == "complete" and step.rpartition(".")[2] in at:
            points(at[step.rpartition(".")[2]])

    def hook(request: Any) -> None:
        request.extensions = {**request.extensions, "trace": trace}

    def watched(*arguments: Any) -> Any:
        client = ready(*arguments)
        if not client.event_hooks["request"]:
            client.event_hooks = {**client.event_hooks, "request": [hook]}
        return client

    transport._ready = watched
