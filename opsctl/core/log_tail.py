"""What a reader that follows a log has seen: no line twice, and late ones within the overlap still once.

Pure. Must never forget a line that the next question can bring again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from opsctl.core.logs import LogRecord


class Tail:
    """The place in a log up to which everything was read, at the time of the last whole answer."""

    def __init__(self, at: datetime, overlap: timedelta) -> None:
        self._read_until = at
        self._overlap = overlap
        self._seen: dict[str, datetime] = {}

    @property
    def start(self) -> datetime:
        """Where the next question begins: a little before what was read, for lines that come late."""
        return self._read_until - self._overlap

    def fresh(self, records: Iterable[LogRecord]) -> list[LogRecord]:
        """Those that were not seen before; they are now."""
        out = []
        for record in records:
            if record.id not in self._seen:
                self._seen[record.id] = record.at
                out.append(record)
        return out

    def advance(self, at: datetime) -> None:
        """Everything up to `at` was asked for and answered: what lies before the next start is forgotten."""
        self._read_until = max(self._read_until, at)
        start = self.start
        self._seen = {name: when for name, when in self._seen.items() if when >= start}
