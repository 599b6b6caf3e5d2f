"""Clocks of the demo: one that a story moves, and one that runs on by itself, faster than the wall if wanted."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

_A_SECOND = 100  # has so many hundredths


class StoryClock:
    """Stands still until somebody sleeps or steps; `on_step` hears of each new time first. Any thread may do any of it.

    Who steps in another thread meanwhile moves it on as well; `on_step` is called without a lock.
    """

    def __init__(self, start: datetime, on_step: Callable[[datetime], None] | None = None) -> None:
        self._now = start
        self._slept = 0.0
        self._lock = threading.Lock()
        self.on_step = on_step

    def now(self) -> datetime:
        """The story's time."""
        return self._now

    def monotonic(self) -> float:
        """Real seconds plus those that the story slept, so deadlines hold in both."""
        return time.monotonic() + self._slept

    def sleep(self, seconds: float) -> None:
        """Move the story on, by whole hundredths: microseconds that really went by leave no trace in it."""
        self.step(timedelta(seconds=math.ceil(seconds * _A_SECOND) / _A_SECOND))

    def step(self, by: timedelta) -> None:
        """Move the story on by that much, stopping at each whole minute on the way."""
        end = self._now + by
        while (reached := self._move(end)) is not None:
            if self.on_step is not None:
                self.on_step(reached)
            end = max(end, self._now)  # who heard of it may have slept past the end

    def _move(self, end: datetime) -> datetime | None:
        """On to the next whole minute or the end; None where it is there already."""
        with self._lock:
            if self._now >= end:
                return None
            minute = self._now.replace(second=0, microsecond=0) + timedelta(minutes=1)
            reached = min(minute, end)
            self._slept += (reached - self._now).total_seconds()
            self._now = reached
            return reached


class FastClock(StoryClock):
    """A story's clock until `go`; from then on it runs, `speed` times as fast as the wall, and sleeps so much shorter.

    Everything that is measured on it is measured in its own seconds: ages, timeouts, the time that something took.
    """

    def __init__(
        self,
        start: datetime,
        wall: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(start)
        self._wall, self._wait = wall, wait
        self._speed = 0.0  # it stands
        self._went = (start, 0.0, 0.0)  # the story's time, its monotonic time and the wall's when it went

    def go(self, speed: float) -> None:
        """Run from here on."""
        self._went = (self._now, super().monotonic(), self._wall())
        self._speed = speed

    def now(self) -> datetime:
        """Its time."""
        return self._went[0] + timedelta(seconds=self._gone()) if self._speed else self._now

    def monotonic(self) -> float:
        """Its seconds, from anywhere."""
        return self._went[1] + self._gone() if self._speed else super().monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait so many of its seconds."""
        if not self._speed:
            super().sleep(seconds)
        elif seconds > 0:
            self._wait(seconds / self._speed)

    def step(self, by: timedelta) -> None:
        """A story's step; `RuntimeError` once it runs."""
        if self._speed:
            raise RuntimeError("a clock that runs is not stepped")
        super().step(by)

    def _gone(self) -> float:
        """Its seconds since it went."""
        return (self._wall() - self._went[2]) * self._speed
