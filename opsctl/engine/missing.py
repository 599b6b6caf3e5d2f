"""Who answers for a signal that no backend answers for: every question fails with one clear line.

So that such a rule is unknown like any other without an answer. Must never answer that there is nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from opsctl.core.signals import Failed, Matrix, Reading, Reason, Vector
from opsctl.ports import Probe


class Missing:
    """A stand-in behind the contract of a source; opsctl raises no stale alert for it: nothing broke."""

    concurrency = 1
    query_bytes = 0

    def __init__(self, name: str, message: str) -> None:
        """`name` is the signal's, `message` says what to configure."""
        self.name = name
        self.message = message

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        """It fails."""
        return Failed(Reason.UNSUPPORTED, self.message, self.name)

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        """It fails."""
        return Failed(Reason.UNSUPPORTED, self.message, self.name)

    def probe(self, timeout_seconds: float) -> Probe:
        """It is not there."""
        return Probe(self.name, self.name, False, False, self.message)

    def close(self) -> None:
        """There is nothing to close."""
