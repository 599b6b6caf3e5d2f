"""What all screens look at together: a service, a stretch of time, a trace; and the way back.

Pure: no textual. A focus is a value; the app holds the one that is on and those before it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from opsctl.core.frozen import dataclass

LENGTHS = tuple(timedelta(minutes=m) for m in (5, 15, 30, 60, 180, 360, 720, 1440, 2880, 10_080))


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time: the last `length` before `end`, or before now where `end` is None (live)."""

    length: timedelta = timedelta(hours=1)
    end: datetime | None = None

    @property
    def live(self) -> bool:
        """Whether it moves with the clock."""
        return self.end is None

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """Start and end, the end not after now."""
        end = min(self.end, now) if self.end is not None else now
        return end - self.length, end

    def shifted(self, steps: int, now: datetime) -> Window:
        """Half its length earlier (`steps` < 0) or later; what would end after now is live again."""
        end = self.bounds(now)[1] + steps * self.length / 2
        return replace(self, end=None if end >= now else end)

    def zoomed(self, steps: int) -> Window:
        """The next longer (`steps` > 0) or shorter length, with the same end."""
        known = sorted({*LENGTHS, self.length})
        place = min(max(known.index(self.length) + steps, 0), len(known) - 1)
        return replace(self, length=known[place])


@dataclass(frozen=True, slots=True)
class Focus:
    """What is looked at. "" and None are: nothing in particular."""

    service: str = ""
    window: Window = Window()
    trace_id: str = ""
    span_id: str = ""
    subtree: bool = False  # the span, and everything below it
    rule_uid: str = ""
    incident: int | None = None  # its episode
    runbook: str = ""
    words: str = ""  # of a log pattern that was followed
    severity: str = ""
    errors_only: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A screen and what was looked at on it."""

    screen: str
    focus: Focus
