"""What feeds have in common: one thread of their own that posts news, woken when somebody asks or looks elsewhere.

Must never touch a widget.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from opsctl.loop import Waiter
from opsctl.tui.reporting import Post


@dataclass
class Feeding(ABC):
    """One thread; `_at` is the time that is looked at (None: now), `_wanted` that news are asked for."""

    _waiter: Waiter = field(default_factory=Waiter, kw_only=True)
    _thread: threading.Thread | None = field(default=None, kw_only=True)
    _stopping: bool = field(default=False, kw_only=True)
    _at: datetime | None = field(default=None, kw_only=True)
    _window: timedelta = field(default=timedelta(hours=1), kw_only=True)
    _wanted: bool = field(default=True, kw_only=True)

    @abstractmethod
    def _run(self, post: Post) -> None:
        """Post news until it is to stop."""

    def start(self, post: Post) -> None:
        """Begin with news at once."""
        self._thread = threading.Thread(target=self._run, args=(post,), daemon=True, name="feed")
        self._thread.start()

    def refresh(self) -> None:
        """News now."""
        self._wanted = True
        self._waiter.wake()

    def look_at(self, at: datetime | None, window: timedelta) -> None:
        """News of another time, or of now again."""
        if (at, window) == (self._at, self._window):
            return
        self._at, self._window = at, window
        self.refresh()

    def stop(self, seconds: float) -> None:
        """End; waits so long for what is under way."""
        self._stopping = True
        self._waiter.wake()
        if self._thread is not None:
            self._thread.join(seconds)
