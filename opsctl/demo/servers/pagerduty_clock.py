"""The local PagerDuty's clock, which tests may move, and its limits of requests a minute.

Must never move by itself in any way but with the machine's time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """The time of day, moved by as much as a test wants."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._moved = timedelta()

    def now(self) -> datetime:
        """An aware time in UTC."""
        return self._now() + self._moved

    def advance(self, by: timedelta) -> None:
        """Move forward (or back)."""
        self._moved += by

    def set(self, at: datetime) -> None:
        """Be that time now; it goes on from there."""
        self._moved = at - self._now()


class MinuteLimit:
    """At most so many requests in any 60 s, counted back from now; for one key or token."""

    def __init__(self, most: int, clock: Clock) -> None:
        self.most = most
        self._clock = clock
        self._recent: deque[datetime] = deque()
        self._guard = threading.Lock()

    def take(self) -> tuple[bool, int, int]:
        """Whether one more may pass, how many are left after it, and in how many seconds the oldest is forgotten."""
        now, minute = self._clock.now(), timedelta(seconds=60)
        with self._guard:
            while self._recent and now - self._recent[0] >= minute:
                self._recent.popleft()
            passes = len(self._recent) < self.most
            if passes:
                self._recent.append(now)
            left = self.most - len(self._recent)
            reset = int((self._recent[0] + minute - now).total_seconds()) + 1 if self._recent else 60
            return passes, left, max(1, min(60, reset))
