"""Follows a log: asks every second for what is new, and lives through a backend that is away for a while."""

from __future__ import annotations

import sys
from datetime import timedelta

import msgspec

from opsctl.cli.frame import Frame
from opsctl.cli.log import write_records
from opsctl.cli.metric import finish
from opsctl.core.log_tail import Tail
from opsctl.core.logs import LogPage, LogQuery, LogRecord
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason

PAGE = 1_000  # lines at once
EACH_SECONDS = 1.0
AWAY_SECONDS = 5.0  # between questions to a backend that did not answer
OVERLAP = timedelta(seconds=10)  # lines that come later than this are not seen
AHEAD = timedelta(minutes=1)  # of clocks that are not ours
_FOR_EVER = frozenset({Reason.AUTH, Reason.REJECTED, Reason.UNSUPPORTED})


def follow(
    run: Frame, query: LogQuery, lines: int, length: timedelta | None, timeout_seconds: float, form: str
) -> None:
    """Print the last lines and then every new one, until `length` is over or somebody stops it."""
    clock = run.composition.clock
    until = None if length is None else clock.monotonic() + length.total_seconds()
    following = _Following(run, query, timeout_seconds, form)
    following.begin(lines)
    while until is None or clock.monotonic() < until:
        pause = AWAY_SECONDS if following.away else EACH_SECONDS
        clock.sleep(pause if until is None else max(0.0, min(pause, until - clock.monotonic())))
        following.ask()


class _Following:
    def __init__(self, run: Frame, query: LogQuery, timeout_seconds: float, form: str) -> None:
        self._run = run
        self._query = query
        self._timeout = timeout_seconds
        self._form = form
        self._tail = Tail(run.composition.clock.now(), OVERLAP)
        self._header = True
        self._service = 12  # columns, so that they stay where they are
        self._said = ""  # the trouble that was told, so that it is told once
        self.away = False

    def begin(self, lines: int) -> None:
        """The last lines of the hour before; a backend that is not there now is an error."""
        now = self._run.composition.clock.now()
        reading = self._search(msgspec.structs.replace(self._query, end=now + AHEAD), limit=max(lines, 1))
        page = self._page(reading)
        if page is None and isinstance(reading, Failed):
            finish(reading)
        if not lines:
            # What is there already is not new, and no question was asked that would tell it apart: begin now.
            self._tail = Tail(now + OVERLAP, OVERLAP)
            return
        self._print(list(reversed(page.records if page is not None else ())))
        self._tail.advance(now)

    def ask(self) -> None:
        """Everything that came since, page by page."""
        now = self._run.composition.clock.now()
        query = msgspec.structs.replace(self._query, start=self._tail.start, end=now + AHEAD)
        cursor = ""
        while True:
            reading = self._search(query, limit=PAGE, cursor=cursor, oldest_first=True)
            page = self._page(reading)
            if page is None and isinstance(reading, Failed):
                self._gone(reading)
                return
            self._print(page.records if page is not None else ())
            cursor = page.cursor if page is not None else ""
            if not cursor:
                break
        self._back(reading)
        if not isinstance(reading, Failed):  # a part that is missing may still come
            self._tail.advance(now)

    def _search(self, query: LogQuery, *, limit: int, cursor: str = "", oldest_first: bool = False) -> Reading[LogPage]:
        logs = self._run.composition.logs
        return logs.search(query, self._timeout, limit=limit, cursor=cursor, oldest_first=oldest_first)

    def _page(self, reading: Reading[LogPage]) -> LogPage | None:
        match reading:
            case Measured():
                return reading.data
            case Absent():
                return None
            case Failed():
                return reading.partial

    def _print(self, records: tuple[LogRecord, ...] | list[LogRecord]) -> None:
        fresh = self._tail.fresh(records)
        if fresh:
            self._service = max(self._service, *(len(record.service) for record in fresh))
            write_records(self._run, fresh, self._form, header=self._header, service=self._service)
            sys.stdout.flush()
            self._header = False

    def _gone(self, reading: Failed[LogPage]) -> None:
        if reading.reason in _FOR_EVER:
            finish(reading)
        self.away = True
        self._tell(f"{reading.backend}: {reading.message}; waiting for it")

    def _back(self, reading: Reading[LogPage]) -> None:
        if isinstance(reading, Failed):
            self._tell(f"partial: {reading.message}")
        elif self._said:
            self._run.warn(f"{reading.backend}: answers again")
            self._said = ""
        self.away = False

    def _tell(self, line: str) -> None:
        if not self._said:
            self._run.warn(line)
        self._said = line
