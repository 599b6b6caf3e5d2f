"""Follows a log: asks every second for what is new, and lives through a backend that is away for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta

import msgspec

from opsctl.cli.frame import Frame
from opsctl.cli.log import write_records
from opsctl.cli.log_query import check_services
from opsctl.cli.metric import finish
from opsctl.core.log_tail import Tail
from opsctl.core.logs import LogPage, LogQuery, LogRecord
from opsctl.core.signals import Failed, Reading, Reason, came
from opsctl.errors import UsageError
from opsctl.render.text import clean

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
        query = msgspec.structs.replace(self._query, end=now + AHEAD)
        for reading in self._pages(msgspec.structs.replace(query, start=self._tail.start)):
            self._tail.fresh(self._records(reading))  # they are there already: not new, whether they are shown or not
        if lines:
            reading = self._search(query, limit=lines)
            records = self._records(reading)[::-1]
            self._doubt(reading, query)
            self._tail.fresh(records)
            self._show(records)
        self._tail.advance(now)

    def _doubt(self, reading: Reading[LogPage], query: LogQuery) -> None:
        """A service that nobody knows may be new; who misspelt it would wait for ever."""
        try:
            check_services(self._run, reading, query, self._timeout)
        except UsageError as wrong:
            self._run.warn(clean(f"{wrong}; waiting for its first line"))

    def ask(self) -> None:
        """Everything that came since, page by page."""
        now = self._run.composition.clock.now()
        query = msgspec.structs.replace(self._query, start=self._tail.start, end=now + AHEAD)
        for reading in self._pages(query):
            page = came(reading)
            if page is None and isinstance(reading, Failed):
                self._gone(reading)
                return
            self._show(self._tail.fresh(page.records if page is not None else ()))
        self._back(reading)
        if not isinstance(reading, Failed):  # a part that is missing may still come
            self._tail.advance(now)

    def _pages(self, query: LogQuery) -> Iterator[Reading[LogPage]]:
        """Answer by answer, oldest first; at least one."""
        cursor = ""
        while True:
            reading = self._search(query, limit=PAGE, cursor=cursor, oldest_first=True)
            yield reading
            page = came(reading)
            cursor = page.cursor if page is not None else ""
            if not cursor:
                return

    def _records(self, reading: Reading[LogPage]) -> tuple[LogRecord, ...]:
        """What came; a failure without anything ends the command."""
        page = came(reading)
        if page is None and isinstance(reading, Failed):
            finish(reading)
        return page.records if page is not None else ()

    def _search(self, query: LogQuery, *, limit: int, cursor: str = "", oldest_first: bool = False) -> Reading[LogPage]:
        logs = self._run.composition.logs
        return logs.search(query, self._timeout, limit=limit, cursor=cursor, oldest_first=oldest_first)

    def _show(self, records: Sequence[LogRecord]) -> None:
        if records:
            self._service = max(self._service, *(len(record.service) for record in records))
            write_records(self._run, records, self._form, header=self._header, service=self._service)
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
            self._run.warn(clean(line))
        self._said = line
