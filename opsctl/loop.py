"""The loop: a run at every point of a grid, never two at once, and what is due goes out in between.

Must never judge or send by itself, end because of an exception of a run, make up for points that it missed, or spin
while nothing is due.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Protocol

from opsctl.core.frozen import dataclass as frozen
from opsctl.errors import Refused
from opsctl.ports import Clock

LOOK_SECONDS = 5.0
"""So often the outbox is looked at for what other processes left in it, and the loop shows that it is alive."""
_SHORTEST_WAIT_SECONDS = 0.25
_LARGEST_SPLAY = timedelta(seconds=5)
_MS = timedelta(milliseconds=1)


@frozen(frozen=True, slots=True)
class Grid:
    """Points in time: multiples of `interval` since the epoch, each `splay` later."""

    interval: timedelta
    splay: timedelta = timedelta(0)

    def after(self, now: datetime) -> datetime:
        """The first point that is later than `now`."""
        return self._point(self._number(now) + 1)

    def passed(self, point: datetime, now: datetime) -> int:
        """How many points lie after `point` and not after `now`."""
        return max(0, self._number(now) - self._number(point))

    def _number(self, now: datetime) -> int:
        return (round(now.timestamp() * 1000) - self.splay // _MS) // (self.interval // _MS)

    def _point(self, number: int) -> datetime:
        return datetime.fromtimestamp((number * (self.interval // _MS) + self.splay // _MS) / 1000, UTC)


def splay_of(name: str, interval: timedelta) -> timedelta:
    """A fixed delay for this name, at most 5 s or a tenth of the interval, so that not all daemons run at :00."""
    share = int.from_bytes(sha256(name.encode()).digest()[:4], "big") / 2**32
    return min(_LARGEST_SPLAY, interval / 10) * share // _MS * _MS


class Waiter:
    """Waits, and can be woken from a signal handler: an Event cannot, its lock may be held by who is interrupted."""

    def __init__(self) -> None:
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until woken."""
        with suppress(queue.Empty):
            self._bell.get(timeout=max(0.0, seconds))

    def wake(self) -> None:
        """End the wait that goes on, or the next one."""
        self._bell.put(None)


class Turn(Protocol):
    """What the loop does again and again."""

    def run(self) -> None:
        """One run; `Refused` where another process does it."""
        ...

    def deliver(self, seconds: float) -> float:
        """Send what is due, for at most `seconds`; the seconds until something more is due."""
        ...

    def skipped(self, reason: str) -> None:
        """A run was left to another process."""
        ...

    def failed(self, wrong: Exception) -> None:
        """A run, or sending, ended with an exception."""
        ...

    def missed(self, points: int) -> None:
        """A run took so long that so many points of the grid passed."""
        ...


@dataclass
class Pulse:
    """Whether the loop lives, written by its thread and read by others; times are those of a monotonic clock."""

    ticked: float
    running_since: float | None = None
    failures: int = 0  # runs in a row that ended with an exception
    failure: str = ""  # the last of them, one line


@dataclass
class Loop:
    """Runs until it is told to stop; `wait` may return early."""

    grid: Grid
    clock: Clock
    turn: Turn
    pulse: Pulse
    wait: Callable[[float], None]
    stopping: Callable[[], bool] = field(default=lambda: False)

    def go(self, runs: int | None = None) -> None:
        """Run at each point after now; `runs` of them, or until it is told to stop."""
        point = self.grid.after(self.clock.now())
        while (runs is None or runs > 0) and self._reached(point):
            self._run()
            now = self.clock.now()
            missed = self.grid.passed(point, now)
            if missed:
                self.turn.missed(missed)
            point = self.grid.after(now)
            runs = None if runs is None else runs - 1

    def _run(self) -> None:
        pulse = self.pulse
        pulse.running_since = pulse.ticked = self.clock.monotonic()
        try:
            self.turn.run()
        except Refused as busy:
            pulse.failures = 0
            self.turn.skipped(str(busy))
        except Exception as wrong:  # noqa: BLE001  one run is lost, and the next one comes
            pulse.failures += 1
            pulse.failure = f"{type(wrong).__name__}: {wrong}"
            self.turn.failed(wrong)
        else:
            pulse.failures = 0
        finally:
            pulse.running_since = None
            pulse.ticked = self.clock.monotonic()

    def _reached(self, point: datetime) -> bool:
        """Send what is due until that time; false when the loop is to stop."""
        while not self.stopping():
            self.pulse.ticked = self.clock.monotonic()
            left = self._left(point)
            if left <= 0:
                return True
            if left > self.grid.interval.total_seconds():  # the clock was set back: an hour is not waited for
                point = self.grid.after(self.clock.now())
                continue
            due = self._deliver(left)
            left = self._left(point)
            if left > 0 and not self.stopping():
                self.wait(min(left, max(due, _SHORTEST_WAIT_SECONDS), LOOK_SECONDS))
        return False

    def _left(self, point: datetime) -> float:
        return (point - self.clock.now()).total_seconds()

    def _deliver(self, seconds: float) -> float:
        try:
            return self.turn.deliver(seconds)
        except Exception as wrong:  # noqa: BLE001  what could not be sent is still in the outbox
            self.turn.failed(wrong)
            return LOOK_SECONDS
