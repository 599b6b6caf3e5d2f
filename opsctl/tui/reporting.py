"""Where reports come from: a port, so that a schedule, a recorded session and a test are the same to the screens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from opsctl.tui.report import News

Post = Callable[[News], None]
"""Takes news, in whatever thread they come."""


class Feed(Protocol):
    """Where reports come from; `post` is called in a thread of the feed's own."""

    def start(self, post: Post) -> None:
        """Begin."""
        ...

    def refresh(self) -> None:
        """Another report now."""
        ...

    def look_at(self, at: datetime | None, window: timedelta) -> None:
        """Report on another time from here on, or on now."""
        ...

    def stop(self, seconds: float) -> None:
        """End; waits so long for a cycle that is under way."""
        ...
