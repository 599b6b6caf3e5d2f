"""Drives the platform on the wall clock: scrapes are computed as minutes end, spans and lines flow as they happen.

A trace is sent when its last span has ended, a line at its time. What a backend does never stops it.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from opsctl.core.logs import LogRecord
from opsctl.core.traces import Trace
from opsctl.demo.emit.exemplars import exemplars
from opsctl.demo.emit.exposition import Exposition
from opsctl.demo.platform import Platform
from opsctl.demo.telemetry.minutes import Telemetry

TICK_SECONDS = 1.0
_UNSEEN_MINUTES = 5  # that are made up for after a pause


class Traces(Protocol):
    """Where traces go."""

    def deliver(self, traces: Sequence[Trace]) -> None:
        """Takes them; never raises."""


class Lines(Protocol):
    """Where log lines go."""

    def deliver(self, records: Sequence[LogRecord]) -> None:
        """Takes them; never raises."""


@dataclass(slots=True)
class LivePlatform:
    """Steps a platform to the present; `now` is the wall clock."""

    platform: Platform
    telemetry: Telemetry
    exposition: Exposition
    traces: Traces | None
    lines: Lines | None
    now: Callable[[], datetime]
    _made: int | None = None  # the last minute whose telemetry was made
    _pending: list[Trace] = field(default_factory=list)  # by end
    _unsaid: list[LogRecord] = field(default_factory=list)  # by time

    def run(self, stop: threading.Event) -> None:
        """Step every second until told to stop."""
        while not stop.is_set():
            self.step()
            stop.wait(TICK_SECONDS)

    def step(self) -> None:
        """Everything that has happened by now."""
        at = self.now()
        self.platform.advance(at)
        self._make(int(at.timestamp() // 60) + 1)
        self._send(at)

    def catch_up(self, minutes: int) -> None:
        """Send the last minutes that are over, so that there is a recent past; stepping goes on from there."""
        over = int(self.now().timestamp() // 60)
        self.platform.advance(self.now())
        self.send_minutes(range(over - minutes + 1, over + 1))
        self._made = over

    def send_minutes(self, minutes: Sequence[int]) -> None:
        """Send whole minutes of the past, with their original times."""
        for minute in minutes:
            self._deliver(self.telemetry.traces(minute), self.telemetry.records(minute))

    def _make(self, current: int) -> None:
        """The telemetry of the minute that is under way, and of those that passed unseen."""
        first = current if self._made is None else max(self._made + 1, current - _UNSEEN_MINUTES)
        for minute in range(first, current + 1):
            self._pending = sorted([*self._pending, *self.telemetry.traces(minute)], key=_end)
            self._unsaid = sorted([*self._unsaid, *self.telemetry.records(minute)], key=_at)
        self._made = current

    def _send(self, at: datetime) -> None:
        ended = bisect_right(self._pending, at.timestamp() * 1e6, key=_end)
        said = bisect_right(self._unsaid, at, key=_at)
        traces, self._pending = self._pending[:ended], self._pending[ended:]
        records, self._unsaid = self._unsaid[:said], self._unsaid[said:]
        self._deliver(traces, records)
        self.exposition.note(exemplars(traces))

    def _deliver(self, traces: Sequence[Trace], records: Sequence[LogRecord]) -> None:
        if self.traces is not None and traces:
            self.traces.deliver(traces)
        if self.lines is not None and records:
            self.lines.deliver(records)


def _end(trace: Trace) -> int:
    return trace.start_us + trace.duration_us


def _at(record: LogRecord) -> datetime:
    return record.at
