"""A clock that a story moves: nothing waits, every sleep is simulated time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta

_A_SECOND = 100  # has so many hundredths


class StoryClock:
    """Stands still until somebody sleeps or steps; `on_step` hears of each new time first."""

    def __init__(self, start: datetime, on_step: Callable[[datetime], None] | None = None) -> None:
        self._now = start
        self._slept = 0.0
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
        while self._now < end:
            minute = self._now.replace(second=0, microsecond=0) + timedelta(minutes=1)
            reached = min(minute, end)
            self._slept += (reached - self._now).total_seconds()
            self._now = reached
            if self.on_step is not None:
                self.on_step(reached)
            end = max(end, self._now)  # who heard of it may have slept past the end
