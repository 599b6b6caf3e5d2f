"""Parts of the log screen: the question that is asked and followed, counts over time, patterns.

Each asks through the question service in workers of the screen. Must never go on asking while the screen is not seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.core.logs import LogCounts, LogQuery, LogRecord
from opsctl.core.signals import Absent, Failed, Measured
from opsctl.promql.errors import PromqlError
from opsctl.series.log_matching import tests_of
from opsctl.tui.log_patterns import BEFORE_PAGES, COLUMNS, SHOWN, Mined, mine, rows_of
from opsctl.tui.log_question import Asked, Question, query_of, question_of
from opsctl.tui.log_ring import CAPACITY, Gap, Picked, Ring, Test, gently, pick
from opsctl.tui.log_rows import Lane, Piece, lane_pieces, lanes_of, step_floor
from opsctl.tui.log_stream import PAGE, Stream
from opsctl.views.log_filter import pattern_words
from opsctl.views.logs import step_for, step_words
from opsctl.views.words import clock_time

if TYPE_CHECKING:
    from opsctl.tui.panes.logs import Logs

HERE_AT_ONCE = 10_000  # lines that are filtered in the loop's own thread
WEIGHT_AT_ONCE = 2_000_000  # characters of them
PAGES_TO_PLACE = 5  # that are read to stay at a line
PAINT_SECONDS = 5.0
COUNT_SECONDS = 10.0
RESIZED_SECONDS = 2.0
TALL = 26  # rows of the screen that all bars are shown on
BESIDE_BARS = 20  # cells of words
HOUR = timedelta(hours=1)


class Flow:
    """What is asked, the stream of its lines, and older ones."""

    capacity = CAPACITY  # lines that are kept

    def __init__(self, pane: Logs) -> None:
        self._pane = pane
        self.asked: Asked | None = None
        self.question: Question | None = None  # None until the first answer of `asked` is here
        self.stream: Stream | None = None

    def look(self, asked: Asked) -> None:
        """Another question, or on with the same."""
        pane = self._pane
        if asked == self.asked and self.question is not None and self.stream is not None:
            pane.run_worker(_work(self._follow, self.stream), group="logs", exclusive=True)
            return
        if asked != self.asked:
            self.asked, self.question = asked, None
            self._at_once(asked)
        pane.run_worker(_work(self._open, asked), group="logs", exclusive=True)

    def _at_once(self, asked: Asked) -> None:
        """Of the lines that are here, those that fit; the backend's answer takes their place."""
        try:
            test = self._local_test(asked)
        except PromqlError:
            return  # the backend says so
        ring = self._pane.lines.picked.ring
        if len(ring) <= HERE_AT_ONCE and ring.weight <= WEIGHT_AT_ONCE:
            self._pane.replace(Picked(ring, test))
        else:
            self._pane.run_worker(_work(self._sift, asked, ring, test), group="log-sift", exclusive=True)

    def _local_test(self, asked: Asked) -> Test:
        ops = self._pane.ops
        query = query_of(asked, ops.now, ops.composition.catalogue.services)
        tests = tests_of(query)
        if asked.filter.trace_id:  # its time is known to the trace only
            return lambda record: all(test(record) for test in tests)
        start, end = query.start, None if asked.window.live else query.end

        def fits(record: LogRecord) -> bool:
            return record.at >= start and (end is None or record.at < end) and all(test(record) for test in tests)

        return fits

    async def _sift(self, asked: Asked, ring: Ring, test: Test) -> None:
        first, end = ring.first, ring.end
        numbers = await asyncio.to_thread(pick, gently(ring.snapshot(first, end)), first, test)
        if self.asked == asked and self.question is None and self._pane.lines.picked.ring is ring:
            self._pane.replace(Picked(ring, test, known=(first, end, numbers)))

    async def _open(self, asked: Asked) -> None:
        """Ask until the first answer is here, then follow."""
        pane, ops = self._pane, self._pane.ops
        question = await question_of(asked, ops.now, ops.composition.catalogue.services, ops.queries)
        stream = Stream(ops.queries, lambda: ops.now, question.query, live=question.live, ring=Ring(self.capacity))
        stream.good_at = self.stream.good_at if self.stream is not None else None
        while True:
            await stream.open()
            self.stream = stream
            if stream.started:
                break
            pane.tell()
            await asyncio.sleep(stream.pause_seconds)
        await self._reach(stream, pane.lines.record)
        self.question = question
        pane.replace(Picked(stream.ring))
        pane.counts.begin(question)
        await self._follow(stream)

    async def _reach(self, stream: Stream, keep: LogRecord | None) -> None:
        """Read on to the line that a person was reading, if it is not far."""
        if keep is None or self._pane.lines.following:
            return
        ring = stream.ring
        for _ in range(PAGES_TO_PLACE):
            if not stream.has_older or not len(ring) or ring[ring.first].at <= keep.at:
                return
            await stream.older()

    async def _follow(self, stream: Stream) -> None:
        """What is new, each second; the next is asked for when this one is on the screen."""
        while stream.live:
            self._pane.counts.look()
            await asyncio.sleep(stream.pause_seconds)
            await stream.poll()
            self._pane.came()
            await self._painted()

    async def _painted(self) -> None:
        shown = asyncio.Event()
        self._pane.call_after_refresh(shown.set)
        try:
            await asyncio.wait_for(shown.wait(), PAINT_SECONDS)
        except TimeoutError:
            return

    def older(self) -> None:
        """One page of older lines, unless one is under way."""
        stream, pane = self.stream, self._pane
        if stream is None or not stream.has_older or self.question is None:
            return
        if not any(one.group == "logs-older" and not one.is_finished and one.node is pane for one in pane.workers):
            pane.run_worker(_work(self._older, stream), group="logs-older")

    async def _older(self, stream: Stream) -> None:
        await stream.older()
        if stream is self.stream:
            self._pane.came()


class Counts:
    """Lines over time by severity, asked for each ten seconds at most."""

    def __init__(self, pane: Logs) -> None:
        self._pane = pane
        self._question: Question | None = None
        self._asked_at = float("-inf")
        self._asked_columns = 0
        self._lanes: tuple[Lane, ...] = ()
        self._span: tuple[datetime, datetime, timedelta] | None = None
        self._problem = ""

    def begin(self, question: Question) -> None:
        """Count other lines."""
        self._question, self._asked_at, self._lanes, self._problem = question, float("-inf"), (), ""
        self.look()

    @property
    def _rows(self) -> int:
        return 3 if self._pane.size.height >= TALL else 2

    @property
    def _columns(self) -> int:
        return max(10, self._pane.size.width - BESIDE_BARS)

    def look(self) -> None:
        """Count, where the last time is long enough ago."""
        question = self._question
        if question is None or self._pane.ops.pane is not self._pane or not self._pane.size.width:
            return
        since = asyncio.get_running_loop().time() - self._asked_at
        resized = self._columns != self._asked_columns and since >= RESIZED_SECONDS
        if not resized and since < COUNT_SECONDS:
            return
        if not (question.live or resized or self._problem or self._span is None or not self._lanes):
            return
        self._asked_columns = self._columns
        self._asked_at = asyncio.get_running_loop().time()
        self._pane.run_worker(_work(self._count, question), group="log-counts", exclusive=True)

    async def _count(self, question: Question) -> None:
        ops, query = self._pane.ops, question.query
        end = ops.now if question.live else query.end
        length = query.end - query.start
        step = step_for(end - length, end, self._columns - 1)
        start = step_floor(end - length, step)
        end = max(end, start + step)
        reading = await ops.queries.log_counts(
            msgspec.structs.replace(query, start=start, end=end), step, ("log.level",)
        )
        match reading:
            case Measured():
                self._lanes, self._problem = lanes_of(reading.data, start, end, self._rows), ""
            case Absent():
                self._lanes, self._problem = lanes_of(LogCounts(step, ()), start, end, self._rows), ""
            case Failed(partial=counts) if counts is not None:
                self._lanes = lanes_of(counts, start, end, self._rows)
                self._problem = f"partial: {reading.message}"
            case Failed():
                self._problem = f"no counts over time: {reading.message}"
        if not isinstance(reading, Failed) or reading.partial is not None:
            self._span = (start, end, step)
        self.draw()

    def draw(self) -> None:
        """Bars, their times, and what is wrong with them."""
        pane = self._pane
        rows: list[list[Piece]] = []
        if self._lanes and self._span is not None:
            marked = None
            record, (start, _, step) = pane.lines.record, self._span
            if record is not None and not pane.lines.following:
                marked = (record.at - start) // step
            rows = [lane_pieces(one, pane.size.width, marked, stale=bool(self._problem)) for one in self._lanes]
            if self._rows == 3:
                rows.append(self._axis())
        if self._problem:
            rows.append([(self._problem, "warn")])
        pane.bars.show(rows)

    def _axis(self) -> list[Piece]:
        assert self._span is not None
        start, end, step = self._span
        utc = self._pane.ops.options.utc
        first, last = clock_time(start, utc=utc), clock_time(end, utc=utc)
        size = len(self._lanes[0].counts)
        words = f"  severity over time, {step_words(step)}"
        room = max(1, size - len(first) - len(last))
        middle = words if len(words) <= room else ""
        return [(" " * 9 + first + middle + " " * (room - len(middle)) + last, "dim")]


class Patterns:
    """Groups of the lines that are here."""

    def __init__(self, pane: Logs) -> None:
        self._pane = pane
        self.said = ""

    def open(self) -> None:
        """Mine the lines that are here now."""
        self.said = "grouping lines …"
        self._pane.grid.empty = "grouping lines …"
        self._pane.grid.show(COLUMNS, ())
        self._pane.run_worker(_work(self._mine), group="log-patterns", exclusive=True)

    def close(self) -> None:
        """Nothing more is said of them."""
        self.said = ""
        self._pane.workers.cancel_group(self._pane, "log-patterns")

    async def _mine(self) -> None:
        pane, picked = self._pane, self._pane.lines.picked
        records = picked.newest(len(picked))
        before, said = await self._before(records)
        mined = await asyncio.to_thread(mine, records, before)
        self._pane.grid.empty = "no line, no pattern"
        self._pane.grid.show(COLUMNS, rows_of(mined))
        self.said = _mined_words(mined, said)
        pane.tell()

    async def _before(self, records: list[LogRecord]) -> tuple[list[LogRecord] | None, str]:
        """Lines of the hour before, and what is not whole about them."""
        times = [record.at for record in records if not isinstance(record, Gap)]
        flow = self._pane.flow
        if not times or flow.question is None:
            return None, "new is not known"
        start = min(times)
        query: LogQuery = msgspec.structs.replace(flow.question.query, start=start - HOUR, end=start)
        found: list[LogRecord] = []
        cursor = ""
        for _ in range(BEFORE_PAGES):
            reading = await self._pane.ops.queries.logs(query, limit=PAGE, cursor=cursor)
            if isinstance(reading, Failed):
                return None, f"new is not known: {reading.message}"
            if not isinstance(reading, Measured):
                break
            found += reading.data.records
            cursor = reading.data.cursor
            if not cursor:
                break
        return found, f"new: not in the {'newest ' if cursor else ''}{len(found):,} lines of the hour before"

    def follow(self) -> tuple[str, ...]:
        """The words of the pattern that the cursor is on."""
        return pattern_words(self._pane.grid.key)


def _mined_words(mined: Mined, said: str) -> str:
    count = len(mined.patterns)
    most = f" (the {SHOWN:,} most frequent)" if count > SHOWN else ""
    return f"{count:,} pattern{'' if count == 1 else 's'}{most} of {mined.lines:,} lines; {said}"


def _work(work: Callable[..., Coroutine[Any, Any, None]], *given: Any) -> Any:
    """For a worker: nothing is made that is not begun."""
    return partial(work, *given)
