"""Compressed time: one clock for a world, shared by every process of it, and each host's own reading of it.

A sleep moves the shared time instead of waiting. Must never go back by itself; a host's clock may be wrong, the
world's is not.
"""

from __future__ import annotations

import mmap
import struct
import time
from datetime import UTC, datetime, timedelta

BASE = datetime(2026, 5, 1, tzinfo=UTC)
STEP = timedelta(minutes=1)


class SharedTime:
    """Seconds since `BASE`: real time and an offset that all forked processes share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)
        self.reach(0.0)

    def seconds(self) -> float:
        """Of the world."""
        return time.monotonic() + float(struct.unpack("d", self._memory[:8])[0])

    def now(self) -> datetime:
        """The world's time of day."""
        return BASE + timedelta(seconds=self.seconds())

    def advance(self, seconds: float) -> None:
        """Somebody sleeps."""
        self._memory[:8] = struct.pack("d", struct.unpack("d", self._memory[:8])[0] + seconds)

    def reach(self, seconds: float) -> None:
        """Be that late, unless it is later already."""
        now = self.seconds()
        if seconds > now:
            self.advance(seconds - now)

    def start(self) -> None:
        """A new world begins."""
        self._memory[:8] = struct.pack("d", -time.monotonic())


class HostClock:
    """`opsctl.ports.Clock` of one process; `wrong_seconds` is how much its host's clock is ahead."""

    def __init__(self, shared: SharedTime, wrong_seconds: float = 0.0) -> None:
        self._shared = shared
        self._wrong = timedelta(seconds=wrong_seconds)
        self._slept = 0.0

    def now(self) -> datetime:
        """The time of day as this host believes it."""
        return self._shared.now() + self._wrong

    def monotonic(self) -> float:
        """Real seconds, and those slept."""
        return time.monotonic() + self._slept

    def sleep(self, seconds: float) -> None:
        """Step."""
        self._slept += seconds
        self._shared.advance(seconds)
