"""Following a log: no line twice, late ones once, a budget that is kept, and never minutes behind in silence."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.memory_logs import MemoryLogs
from opsctl.core.logs import LogCounts, LogPage, LogQuery, LogRecord
from opsctl.core.signals import Failed, Reading, Reason
from opsctl.tui.log_ring import Gap, Ring
from opsctl.tui.log_stream import AWAY_SECONDS, EACH_SECONDS, PAGE, REFUSED_SECONDS, Pace, Stream

AT = datetime(2026, 5, 14, 18, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Platform:
    """Lines come as the clock is moved; the questions are counted."""

    def __init__(self) -> None:
        self.now = AT
        self.logs = MemoryLogs(1_000_000)
        self.asked = 0
        self.failure: Failed[LogPage] | None = None
        self._made = 0

    def at(self) -> datetime:
        return self.now

    async def logs_asked(self, query: LogQuery, limit: int, cursor: str, oldest_first: bool) -> Reading[LogPage]:
        self.asked += 1
        if self.failure is not None:
            return self.failure
        return self.logs.search(query, 1, limit=limit, cursor=cursor, oldest_first=oldest_first)

    async def log_counts(self, query: LogQuery, step: timedelta, by: Sequence[str]) -> Reading[LogCounts]:
        self.asked += 1
        return self.logs.count(query, step, by, 1)

    def come(self, count: int, late: timedelta = timedelta(0)) -> None:
        """So many lines in one second."""
        self.now += SECOND
        records = []
        for number in range(count):
            self._made += 1
            at = self.now - SECOND + number * SECOND / max(1, count) - late
            records.append(LogRecord(at, f"line {self._made}", "INFO", "wallet", id=str(self._made)))
        self.logs.add(records)

    @property
    def made(self) -> int:
        return self._made


class Asking:
    """The platform as the question service."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.log_counts = platform.log_counts

    async def logs(
        self, query: LogQuery, *, limit: int = 500, cursor: str = "", oldest_first: bool = False
    ) -> Reading[LogPage]:
        return await self._platform.logs_asked(query, limit, cursor, oldest_first)


def opened(platform: Platform, *, live: bool = True, capacity: int = 100_000) -> Stream:
    query = LogQuery(start=platform.now - timedelta(hours=1), end=platform.now)
    return Stream(Asking(platform), platform.at, query, live=live, ring=Ring(capacity))


def run(story: Callable[[], Any]) -> None:
    asyncio.run(story())


def ids(stream: Stream) -> list[str]:
    ring = stream.ring
    return [ring[number].id for number in range(ring.first, ring.end)]


def test_it_opens_with_the_last_page_and_reads_older_ones_back_to_the_start() -> None:
    async def story() -> None:
        platform = Platform()
        for _ in range(5):
            platform.come(500)
        stream = opened(platform)
        await stream.open()
        assert ids(stream) == [str(number) for number in range(1_501, 2_501)]
        assert stream.has_older
        while stream.has_older:
            await stream.older()
        assert ids(stream) == [str(number) for number in range(1, 2_501)]
        assert stream.reached_start

    run(story)


@pytest.mark.parametrize("rate", [0, 1, 50, 500])
def test_a_minute_of_following_shows_every_line_once_and_leaves_half_of_the_budget(rate: int) -> None:
    async def story() -> None:
        platform = Platform()
        platform.come(10)
        stream = opened(platform)
        await stream.open()
        for second in range(120):
            platform.come(rate)
            if second == 60:
                platform.asked = 0
            await stream.poll()
        assert platform.asked <= 120
        platform.come(0)
        await stream.poll()  # what a second of reading late ones left
        assert Counter(ids(stream)) == Counter(str(number) for number in range(1, platform.made + 1))
        assert stream.skips == 0

    run(story)


def test_lines_that_come_a_minute_late_are_shown_once() -> None:
    async def story() -> None:
        platform = Platform()
        stream = opened(platform)
        await stream.open()
        for second in range(60):
            platform.come(5, late=timedelta(seconds=60) if second % 7 == 0 else timedelta(0))
            await stream.poll()
        for _ in range(11):
            platform.come(0)
            await stream.poll()
        assert Counter(ids(stream)) == Counter(str(number) for number in range(1, platform.made + 1))

    run(story)


def test_more_than_can_be_read_is_said_counted_and_jumped_over() -> None:
    async def story() -> None:
        platform = Platform()
        stream = opened(platform, capacity=1_000_000)
        await stream.open()
        worst = timedelta(0)
        for _ in range(60):
            platform.come(4_000)
            await stream.poll()
            worst = max(worst, stream.behind)
        assert stream.skips >= 1
        assert worst < timedelta(seconds=40)
        gaps = [stream.ring[n] for n in range(stream.ring.first, stream.ring.end) if isinstance(stream.ring[n], Gap)]
        assert len(gaps) == stream.skips
        assert gaps[0].message.startswith("behind by 2")
        assert gaps[0].message.endswith("lines skipped")
        newest = max(int(one) for one in ids(stream) if not one.startswith("gap"))
        assert platform.made - newest < 4_000 * 40
        shown = [one for one in ids(stream) if not one.startswith("gap")]
        assert len(shown) == len(set(shown))
        # what was counted and what was shown is everything up to the newest line, but for the edges of the gaps
        assert abs(stream.skipped + len(shown) - newest) <= 10 * stream.skips

    run(story)


def test_a_ten_minute_absence_of_a_quiet_service_is_read_without_a_gap_and_of_a_loud_one_with_one() -> None:
    async def story(rate: int) -> int:
        platform = Platform()
        stream = opened(platform)
        await stream.open()
        for _ in range(600):
            platform.come(rate)
        for _ in range(8):
            platform.now += SECOND
            await stream.poll()
        assert stream.behind == timedelta(0)
        return stream.skips

    assert asyncio.run(story(5)) == 0
    assert asyncio.run(story(200)) == 1


def test_a_backend_that_is_away_is_said_and_waited_for_and_nothing_is_lost_when_it_is_back() -> None:
    async def story() -> None:
        platform = Platform()
        stream = opened(platform)
        await stream.open()
        platform.come(5)
        await stream.poll()
        platform.failure = Failed(Reason.UNREACHABLE, "connection refused", "memory")
        for _ in range(20):
            platform.come(5)
            await stream.poll()
        assert stream.trouble is not None
        assert (stream.trouble.text, stream.trouble.whole) == ("connection refused", True)
        assert stream.pause_seconds == AWAY_SECONDS
        platform.failure = None
        platform.come(5)
        await stream.poll()
        assert stream.trouble is None
        assert stream.pause_seconds == EACH_SECONDS
        assert Counter(ids(stream)) == Counter(str(number) for number in range(1, platform.made + 1))

    run(story)


def test_a_backend_that_says_no_is_asked_seldom_and_one_that_answers_in_part_is_not_whole() -> None:
    async def story() -> None:
        platform = Platform()
        platform.failure = Failed(Reason.REJECTED, "no field x in the mapping", "memory")
        stream = opened(platform)
        await stream.open()
        assert not stream.started
        assert stream.pause_seconds == REFUSED_SECONDS
        part = LogPage((LogRecord(AT, "a part", id="1"),))
        platform.failure = Failed(Reason.PARTIAL, "1 of 3 shards", "memory", partial=part)
        await stream.open()
        assert stream.started
        assert ids(stream) == ["1"]
        assert stream.trouble is not None
        assert not stream.trouble.whole
        assert not stream.reached_start

    run(story)


@pytest.mark.parametrize("rate", [0.0, 1.0, 100.0, 500.0, 2_000.0, 1e6])
def test_what_is_read_again_fits_its_share(rate: float) -> None:
    pace = Pace(rate)
    assert timedelta(seconds=0.2) <= pace.near <= timedelta(seconds=2)
    assert rate * pace.late.total_seconds() <= 4 * PAGE + 1
