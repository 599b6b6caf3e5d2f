"""One question's lines: opened at their end, followed there, and read backwards page by page.

No textual. Must never show a line twice, ask faster than its share of the budget, or fall minutes behind in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from opsctl.core.frozen import dataclass
from opsctl.core.log_tail import Tail
from opsctl.core.logs import LogCounts, LogPage, LogQuery, LogRecord
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.tui.log_ring import Gap, Ring
from opsctl.views.words import ago

PAGE = 1_000  # lines at once
EACH_SECONDS = 1.0
AWAY_SECONDS = 5.0  # between questions to a backend that did not answer
REFUSED_SECONDS = 30.0  # to one that said no
PAGES = 2  # of what is new, in one second: 120 requests a minute of a budget of 240
LATE_PAGES = 4  # of what may have come late, each LATE_EACH: 24 a minute
LATE_EACH = timedelta(seconds=10)
LATE_POLLS = 3  # that reading late ones may take, before it is too much
OVERLAP = timedelta(seconds=90)  # lines that come later than this are not seen
NEAR = timedelta(seconds=2)  # what is read again each second
AHEAD = timedelta(minutes=1)  # of clocks that are not ours
BEHIND_MOST = timedelta(seconds=20)
_REFUSED = frozenset({Reason.AUTH, Reason.REJECTED, Reason.UNSUPPORTED})


class AskLogs(Protocol):
    """The question service, as far as lines go."""

    async def logs(
        self, query: LogQuery, *, limit: int = 500, cursor: str = "", oldest_first: bool = False
    ) -> Reading[LogPage]:
        """A page of lines."""
        ...

    async def log_counts(self, query: LogQuery, step: timedelta, by: Sequence[str]) -> Reading[LogCounts]:
        """Lines by time and fields."""
        ...


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the last answer; `whole` is true where nothing came at all."""

    text: str
    whole: bool
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How far back is read again, so that a minute of following stays within the budget."""

    rate: float = 0.0  # lines a second, of the last seconds

    def seen(self, lines: int, seconds: float) -> Pace:
        """After so many new lines in so many seconds."""
        if seconds <= 0:
            return self
        return Pace(0.7 * self.rate + 0.3 * lines / seconds)

    @property
    def near(self) -> timedelta:
        """Read again each second: less where a page would not hold it."""
        return min(NEAR, max(timedelta(seconds=0.2), self._holds(PAGE * 0.9) - timedelta(seconds=EACH_SECONDS)))

    @property
    def late(self) -> timedelta:
        """Read again each LATE_EACH."""
        return min(OVERLAP, self._holds(PAGE * LATE_PAGES))

    def _holds(self, lines: float) -> timedelta:
        return timedelta(seconds=lines / self.rate) if self.rate > 0.01 else OVERLAP


class Stream:
    """`ring` holds what came; `started` says that the first answer is here."""

    def __init__(self, ask: AskLogs, now: Callable[[], datetime], query: LogQuery, *, live: bool, ring: Ring) -> None:
        """Lines of `query`; a live one moves on with the clock, its `end` is where it begins to follow."""
        self._ask = ask
        self._now = now
        self.query = query
        self.live = live
        self.ring = ring
        self.started = False
        self.reached_start = False  # there is no older line
        self.good_at: datetime | None = None  # the last whole answer
        self.trouble: Trouble | None = None
        self.notes: tuple[str, ...] = ()
        self.backend = ""
        self.behind = timedelta(0)
        self.skipped = 0  # lines that were not read; at least, where they could not be counted
        self.skips = 0  # how often
        self.pace = Pace()
        self._tail = Tail(query.end, OVERLAP)
        self._read_until = query.end
        self._late_at = query.end
        self._cursor = ""  # of the pass that is under way
        self._pass_at = query.end  # when it began
        self._pass_is_late = False
        self._pass_start = query.end
        self._pass_polls = 0
        self._polled_at = query.end
        self._floor = query.start  # lines before it are not read any more: they were counted as skipped
        self._last_at = query.end  # of the newest line that was read
        self._older_cursor = ""
        self._opened = query  # that the older cursor is of

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next question."""
        if self.trouble is None or not self.trouble.whole:
            return EACH_SECONDS
        return REFUSED_SECONDS if self.trouble.refused else AWAY_SECONDS

    # -- the end of the log

    async def open(self) -> None:
        """The last page."""
        now = self._now()
        query = self.query
        if self.live:
            query = msgspec.structs.replace(query, end=now + AHEAD)
        self._opened = query
        reading = await self._ask.logs(query, limit=PAGE)
        page = self._taken(reading)
        if page is None and self.trouble is not None:
            return
        records = page.records[::-1] if page is not None else ()
        self._older_cursor = page.cursor if page is not None else ""
        self.reached_start = not self._older_cursor and self.trouble is None
        self.ring.append(self._tail.fresh(records))
        self._follow_from(now)
        self._polled_at = now
        self._last_at = records[-1].at if records else now
        self.started = True

    def _follow_from(self, now: datetime) -> None:
        self._read_until, self._late_at, self._cursor = now, now, ""
        self._tail.advance(now)
        self.behind = timedelta(0)

    async def poll(self) -> int:
        """What came since the last time, at most a few pages; how many lines are new."""
        if not self.started:
            await self.open()
            return len(self.ring)
        before, new = self._now(), 0
        since, self._polled_at = (before - self._polled_at).total_seconds(), before
        if not self._cursor:
            self._begin_pass(before)
        for _ in range(LATE_PAGES if self._pass_is_late else PAGES):
            reading = await self._ask.logs(self._pass_query(), limit=PAGE, cursor=self._cursor, oldest_first=True)
            page = self._taken(reading)
            if page is None and self.trouble is not None:
                return new
            new += self._arrived(page.records if page is not None else ())
            self._cursor = page.cursor if page is not None else ""
            if not self._cursor:
                self._end_pass()
                break
        self.pace = self.pace.seen(new, since)
        self._pass_polls += 1
        await self._catch_up()
        return new

    def _begin_pass(self, now: datetime) -> None:
        late = now - self._late_at >= LATE_EACH
        back = self.pace.late if late else self.pace.near
        self._pass_at, self._pass_is_late, self._pass_polls = now, late, 0
        self._pass_start = max(self._tail.start, self._read_until - back)

    def _pass_query(self) -> LogQuery:
        start = max(self._pass_start, self._floor)
        return msgspec.structs.replace(self.query, start=start, end=self._pass_at + AHEAD)

    def _arrived(self, records: Sequence[LogRecord]) -> int:
        fresh = self._tail.fresh(records)
        self.ring.append(fresh)
        if records:
            self._last_at = max(self._last_at, records[-1].at)  # late ones are no way back
        return len(fresh)

    def _end_pass(self) -> None:
        self.behind = timedelta(0)
        if self.trouble is not None:  # a part that is missing may still come
            return
        self._read_until = max(self._read_until, self._pass_at)
        if self._pass_is_late:
            self._late_at = self._pass_at
            self._tail.advance(self._pass_at)

    async def _catch_up(self) -> None:
        """Jump to the end where more comes than can be read."""
        if not self._cursor or (self._pass_is_late and self._pass_polls < LATE_POLLS):
            return
        now = self._now()
        self.behind = max(timedelta(0), now - self._last_at)
        if self.behind < BEHIND_MOST:
            return
        page = self._taken(await self._ask.logs(msgspec.structs.replace(self.query, end=now + AHEAD), limit=PAGE))
        if page is None or not page.records:
            return
        records = page.records[::-1]
        behind, until = self.behind, records[0].at
        fresh = self._tail.fresh(records)
        if until > self._last_at:
            count = await self._between(self._last_at, until)
            many = f"{count:,} lines" if count is not None else "an unknown number of lines"
            self.skipped += count or 0
            self.skips += 1
            self.ring.append(
                [Gap(at=until, message=f"behind by {ago(behind)}: {many} skipped", id=f"gap {self.skips}")]
            )
        self.ring.append(fresh)
        self._last_at, self._floor = records[-1].at, until
        self._follow_from(now)

    async def _between(self, start: datetime, end: datetime) -> int | None:
        query = msgspec.structs.replace(self.query, start=start, end=end)
        reading = await self._ask.log_counts(query, max(end - start, timedelta(milliseconds=1)), ())
        if not isinstance(reading, Measured):
            return None
        return sum(count for bucket in reading.data.buckets for _, count in bucket.points)

    # -- older lines

    @property
    def has_older(self) -> bool:
        """Whether older lines can be read and have a place."""
        return bool(self._older_cursor) and not self.ring.full

    @property
    def more_than_room(self) -> bool:
        """Whether older lines could be read and have no place."""
        return bool(self._older_cursor) and self.ring.full

    async def older(self) -> int:
        """One page more at the beginning; how many lines were taken."""
        if not self.has_older:
            return 0
        reading = await self._ask.logs(self._opened, limit=PAGE, cursor=self._older_cursor)
        page = self._taken(reading)
        if page is None:
            if isinstance(reading, Absent):
                self._older_cursor, self.reached_start = "", True
            return 0
        self._older_cursor = page.cursor
        self.reached_start = not page.cursor and self.trouble is None
        return self.ring.prepend(page.records[::-1])

    # -- answers

    def _taken(self, reading: Reading[LogPage]) -> LogPage | None:
        self.backend = reading.backend
        match reading:
            case Failed():
                self.trouble = Trouble(reading.message, reading.partial is None, reading.reason in _REFUSED)
                return reading.partial
            case Measured():
                page: LogPage | None = reading.data
            case Absent():
                page = None
        self.trouble, self.notes, self.good_at = None, reading.notes, self._now()
        return page
