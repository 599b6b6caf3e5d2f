"""Details on demand: one question service for all screens, with deduplication, cancellation and a budget a backend.

Blocking sources are asked in daemon threads of their own; who stops waiting for an answer (its task is cancelled) never
sees it. Must never ask a backend more often in a minute than its budget says, or raise for what a backend does.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from opsctl.app import Composition
from opsctl.core.frozen import dataclass as frozen
from opsctl.core.logs import LogCounts, LogPage, LogQuery
from opsctl.core.signals import Failed, Matrix, Reading, Reason, Vector
from opsctl.core.traces import Edge, Operation, Trace, TracePage
from opsctl.errors import OpsctlError
from opsctl.files.secrets import hide
from opsctl.ports import Journal, Probe
from opsctl.ports.traces import TraceQuery

T = TypeVar("T")
BUDGET = 240
"""Requests a minute to one backend that looking at details may cost; the cycle's own are not counted."""
MINUTE_SECONDS = 60.0
LOCAL = "journal"


@frozen(frozen=True, slots=True)
class Use:
    """What details cost a backend."""

    last_minute: int
    budget: int
    waiting: int
    asked: int  # since the beginning
    failed: int
    last_seconds: float | None = None  # how long the last answer took
    last_good: datetime | None = None
    last_error: str = ""


@dataclass
class _Lane:
    """One backend's."""

    begun: deque[float] = field(default_factory=deque)
    waiting: int = 0
    asked: int = 0
    failed: int = 0
    last_seconds: float | None = None
    last_good: datetime | None = None
    last_error: str = ""


Observer = Callable[[str, Hashable, Any], None]
"""Is told what each question was answered: backend, key, reading."""


class Queries:
    """Asks the sources of a composition; every method must be awaited on the app's loop."""

    def __init__(self, composition: Composition, *, budget: int = BUDGET, observe: Observer | None = None) -> None:
        self._composition = composition
        self._budget = budget
        self._observe = observe
        self._lanes: dict[str, _Lane] = {}
        self._under_way: dict[Hashable, asyncio.Future[Any]] = {}

    # -- what screens ask

    async def trace(self, trace_id: str) -> Reading[Trace]:
        """One trace."""
        return await self._reading("traces", ("trace", trace_id), lambda c, t: c.traces.trace(trace_id, t))

    async def traces(self, query: TraceQuery) -> Reading[TracePage]:
        """A search."""
        key = ("traces", replace(query, attributes=None), tuple(sorted((query.attributes or {}).items())))  # hashable
        return await self._reading("traces", key, lambda c, t: c.traces.search(query, t))

    async def trace_services(self) -> Reading[tuple[str, ...]]:
        """Every service that has spans."""
        return await self._reading("traces", ("trace-services",), lambda c, t: c.traces.services(t))

    async def operations(self, service: str) -> Reading[tuple[Operation, ...]]:
        """Span names of a service."""
        return await self._reading("traces", ("operations", service), lambda c, t: c.traces.operations(service, t))

    async def dependencies(self, end: datetime, lookback: timedelta) -> Reading[tuple[Edge, ...]]:
        """Who calls whom."""
        key = ("dependencies", end, lookback)
        return await self._reading("traces", key, lambda c, t: c.traces.dependencies(end, lookback, t))

    async def logs(
        self, query: LogQuery, *, limit: int = 500, cursor: str = "", oldest_first: bool = False
    ) -> Reading[LogPage]:
        """A page of lines."""

        def ask(c: Composition, t: float) -> Reading[LogPage]:
            return c.logs.search(query, t, limit=limit, cursor=cursor, oldest_first=oldest_first)

        return await self._reading("logs", ("logs", query, limit, cursor, oldest_first), ask)

    async def log_counts(self, query: LogQuery, step: timedelta, by: Sequence[str]) -> Reading[LogCounts]:
        """Lines by time and fields."""
        key = ("log-counts", query, step, tuple(by))
        return await self._reading("logs", key, lambda c, t: c.logs.count(query, step, by, t))

    async def instant(self, expression: str, at: datetime) -> Reading[Vector]:
        """PromQL at one time."""
        return await self._reading(
            "metrics", ("instant", expression, at), lambda c, t: c.promql.instant(expression, at, t)
        )

    async def range(self, expression: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
        """PromQL over time."""
        key = ("range", expression, start, end, step)
        return await self._reading("metrics", key, lambda c, t: c.promql.range(expression, start, end, step, t))

    async def probe(self, kind: str) -> Probe:
        """Whether a backend (`metrics`, `logs`, `traces`) is there."""

        def ask() -> Probe:
            source = getattr(self._composition, kind)
            found: Probe = source.probe(self._timeout)
            return found

        try:
            return await self.ask(kind, ("probe", kind), ask)
        except OpsctlError as wrong:
            return Probe(kind, "", False, False, str(wrong))

    async def journal(self, read: Callable[[Journal], T], key: Hashable = None) -> T:
        """Something of the journal; raises what reading it raises. Equal keys share one answer."""
        return await self.ask(
            LOCAL, ("journal", key) if key is not None else object(), lambda: read(self._composition.journal())
        )

    @property
    def under_way(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._under_way)

    def use(self) -> Mapping[str, Use]:
        """What each backend was asked for details."""
        now = self._composition.clock.monotonic()
        return {name: self._used(lane, now) for name, lane in self._lanes.items()}

    # -- inside

    @property
    def _timeout(self) -> float:
        return self._composition.context.limits.request.total_seconds()

    async def _reading(
        self, backend: str, key: Hashable, ask: Callable[[Composition, float], Reading[T]]
    ) -> Reading[T]:
        lane = self._lane(backend)

        def once() -> Reading[T]:
            try:
                return ask(self._composition, self._timeout)
            except OpsctlError as wrong:  # not configured, or a secret that cannot be read
                return Failed(Reason.UNSUPPORTED, str(wrong), backend)
            except Exception as wrong:  # noqa: BLE001  one answer is lost, the screen says so
                said = hide(f"a bug in opsctl: {type(wrong).__name__}: {wrong}")
                return Failed(Reason.MALFORMED, said, backend)

        reading = await self.ask(backend, (backend, key), once)
        if isinstance(reading, Failed):
            lane.failed += 1
            lane.last_error = reading.message
        else:
            lane.last_good = self._composition.clock.now()
        if self._observe is not None:
            self._observe(backend, key, reading)
        return reading

    async def ask(self, backend: str, key: Hashable, call: Callable[[], T]) -> T:
        """Call once in a thread, however many wait for the same key; when the backend's budget allows it."""
        known = self._under_way.get(key)
        if known is None:
            known = asyncio.ensure_future(self._asked(backend, call))
            self._under_way[key] = known
            known.add_done_callback(lambda done: self._forget(key, done))
        answer: T = await asyncio.shield(known)
        return answer

    def _forget(self, key: Hashable, done: asyncio.Future[Any]) -> None:
        self._under_way.pop(key, None)
        if not done.cancelled():
            done.exception()  # somebody looked at it

    async def _asked(self, backend: str, call: Callable[[], T]) -> T:
        lane = self._lane(backend)
        await self._room(lane, backend)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        monotonic = self._composition.clock.monotonic
        begun = monotonic()
        threading.Thread(target=_carry, args=(call, loop, future), daemon=True, name=f"ask {backend}").start()
        answer = await future
        lane.last_seconds = monotonic() - begun
        return answer

    async def _room(self, lane: _Lane, backend: str) -> None:
        """Wait until one request more is within the budget."""
        if backend == LOCAL:
            lane.asked += 1
            return
        lane.waiting += 1
        try:
            while True:
                now = self._composition.clock.monotonic()
                while lane.begun and now - lane.begun[0] > MINUTE_SECONDS:
                    lane.begun.popleft()
                if len(lane.begun) < self._budget:
                    lane.begun.append(now)
                    lane.asked += 1
                    return
                await asyncio.sleep(0.1)
        finally:
            lane.waiting -= 1

    def _lane(self, backend: str) -> _Lane:
        return self._lanes.setdefault(backend, _Lane())

    def _used(self, lane: _Lane, now: float) -> Use:
        recent = sum(now - at <= MINUTE_SECONDS for at in lane.begun)
        return Use(
            recent,
            self._budget,
            lane.waiting,
            lane.asked,
            lane.failed,
            lane.last_seconds,
            lane.last_good,
            lane.last_error,
        )


def _carry(call: Callable[[], T], loop: asyncio.AbstractEventLoop, future: asyncio.Future[T]) -> None:
    """Make the call, and hand what came of it to the loop, if that is still there."""
    try:
        answer = call()
    except BaseException as wrong:  # noqa: BLE001  it is raised where it is waited for
        found: tuple[Any, BaseException | None] = (None, wrong)
    else:
        found = (answer, None)

    def settle() -> None:
        if future.done():
            return
        if found[1] is not None:
            future.set_exception(found[1])
        else:
            future.set_result(found[0])

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:  # the app is gone
        return
