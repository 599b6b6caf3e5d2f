"""The feed before there is one: opening a context and importing the engine wait until the frame is painted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from opsctl.errors import ExitCode, OpsctlError
from opsctl.tui.report import Trouble
from opsctl.tui.reporting import Feed, Post


class LateFeed:
    """Makes the feed in a thread of its own when it is started; what was asked of it before is passed on then.

    A context that cannot be opened is a trouble that ends the board.
    """

    def __init__(self, make: Callable[[], Feed]) -> None:
        self._make = make
        self._feed: Feed | None = None
        self._wanted: tuple[datetime | None, timedelta] | None = None
        self._guard = threading.Lock()
        self._stopped = False

    def start(self, post: Post) -> None:
        """Make it and start it."""
        threading.Thread(target=self._begin, args=(post,), daemon=True, name="opening").start()

    def _begin(self, post: Post) -> None:
        try:
            feed = self._make()
        except OpsctlError as wrong:
            post(Trouble(datetime.now(UTC), str(wrong), ends=wrong.exit_code))
            return
        except Exception as wrong:  # noqa: BLE001  it is said, and the board ends
            from opsctl.files.secrets import hide

            said = hide(f"a bug in opsctl: {type(wrong).__name__}: {wrong}")
            post(Trouble(datetime.now(UTC), said, ends=ExitCode.BUG))
            return
        with self._guard:
            self._feed = feed
            if self._wanted is not None:
                feed.look_at(*self._wanted)
            if not self._stopped:
                feed.start(post)

    def refresh(self) -> None:
        """Another report now."""
        if self._feed is not None:
            self._feed.refresh()

    def look_at(self, at: datetime | None, window: timedelta) -> None:
        """Report on another time."""
        with self._guard:
            self._wanted = (at, window)
            if self._feed is not None:
                self._feed.look_at(at, window)

    def stop(self, seconds: float) -> None:
        """End."""
        with self._guard:
            self._stopped = True
        if self._feed is not None:
            self._feed.stop(seconds)
