"""The newest lines of one question, and which of them are shown: both cost what is new, never what is kept.

Pure: no textual. Lines have numbers that never change: 0 is the first that came, older ones that are read later have
negative ones. Must never lose a line without counting it.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from opsctl.core.logs import LogRecord

CAPACITY = 100_000
CHARACTERS = 64 * 1024 * 1024
"""Of all messages together: a few huge lines must not take what a hundred thousand may."""
_LOOKED = 500  # lines at once, where one is looked for
_REST_SECONDS = 0.0005
_SPARE = 4_096  # places of lines that are gone, before the list is cut

Test = Callable[[LogRecord], bool]


class Gap(LogRecord, frozen=True):
    """Lines that were not read: stands in their place, and no filter takes it out. `message` says how many."""


class Ring:
    """Lines in the order in which they came; beyond the capacity the oldest go, and are counted."""

    def __init__(self, capacity: int = CAPACITY, characters: int = CHARACTERS) -> None:
        self.capacity = capacity
        self.dropped = 0
        self._characters = characters
        self._weight = 0
        self._older: list[LogRecord] = []  # number -1 first
        self._newer: list[LogRecord | None] = []
        self._base = 0  # the number of _newer[0]
        self._first = 0  # the smallest number that is kept

    @property
    def first(self) -> int:
        """The number of the oldest line that is kept."""
        return self._first

    @property
    def end(self) -> int:
        """One more than the number of the newest line."""
        return self._base + len(self._newer)

    def __len__(self) -> int:
        return self.end - self._first

    def __getitem__(self, number: int) -> LogRecord:
        """The line of a number; IndexError where it is gone or never was."""
        if not self._first <= number < self.end:
            raise IndexError(number)
        found = self._older[-1 - number] if number < 0 else self._newer[number - self._base]
        assert found is not None  # it is not before the first
        return found

    @property
    def full(self) -> bool:
        """Whether an older line has no place; after one was dropped none has, for those between are gone."""
        return self.dropped > 0 or len(self) >= self.capacity or self._weight >= self._characters

    def append(self, records: Iterable[LogRecord]) -> None:
        """Newer lines, oldest first."""
        for record in records:
            self._newer.append(record)
            self._weight += len(record.message)
        while len(self) > self.capacity or (self._weight > self._characters and len(self) > 1):
            self._drop()
        if self._first - self._base > max(_SPARE, len(self._newer) // 4):
            del self._newer[: self._first - self._base]
            self._base = self._first

    def prepend(self, records: Sequence[LogRecord]) -> int:
        """Older lines, oldest first; those that have no place are the oldest. How many were taken."""
        taken = 0
        for record in reversed(records):
            if self.full:
                break
            self._weight += len(record.message)
            self._older.append(record)
            self._first -= 1
            taken += 1
        return taken

    @property
    def weight(self) -> int:
        """Characters of all messages."""
        return self._weight

    def snapshot(self, first: int, end: int) -> list[LogRecord]:
        """The lines of these numbers that are still kept, for another thread."""
        first, end = max(first, self._first), min(end, self.end)
        if first >= end:
            return []
        older = self._older[max(0, -end) : -first][::-1] if first < 0 else []
        newer = self._newer[max(0, first - self._base) : end - self._base] if end > self._base else []
        return older + [record for record in newer if record is not None]

    def _drop(self) -> None:
        if self._older:
            gone: LogRecord | None = self._older.pop()
        else:
            gone = self._newer[self._first - self._base]
            self._newer[self._first - self._base] = None
        assert gone is not None
        self._weight -= len(gone.message)
        self._first += 1
        self.dropped += 1


def pick(records: Iterable[LogRecord], first: int, test: Test) -> array[int]:
    """The numbers of lines that fit; the first line has the number `first`."""
    found = array("q")
    for number, record in enumerate(records, first):
        if isinstance(record, Gap) or test(record):
            found.append(number)
    return found


def gently(records: Iterable[LogRecord]) -> Iterator[LogRecord]:
    """For a thread beside the screen's: gives way after each few hundred lines."""
    for number, record in enumerate(records):
        if number % _LOOKED == 0:
            time.sleep(_REST_SECONDS)
        yield record


class Picked:
    """The lines of a ring that fit a test, by their place; what was looked at once is not looked at again."""

    def __init__(
        self, ring: Ring, test: Test | None = None, *, known: tuple[int, int, array[int]] | None = None
    ) -> None:
        """`known` are the numbers that fit among those from the first to before the second."""
        self.ring = ring
        self.test = test
        first, self.until, numbers = known if known is not None else (ring.end, ring.end, array("q"))
        self._from = first
        self._numbers = numbers  # ascending
        self._gone = 0  # of _numbers, at its beginning
        self._older = array("q")  # descending
        if known is None:
            self._from = self.until = ring.first
        self.catch_up()

    def catch_up(self, *, newer: bool = True) -> None:
        """Look at lines that came, and forget those that are gone; without `newer` only older ones are added."""
        ring = self.ring
        if self.test is not None and self._from > ring.first:
            found = pick(ring.snapshot(ring.first, self._from), ring.first, self.test)
            self._older.extend(reversed(found))
        self._from = ring.first
        self.until = max(self.until, ring.first)
        if newer:
            if self.test is not None:
                self._numbers.extend(pick(ring.snapshot(self.until, ring.end), self.until, self.test))
            self.until = ring.end
        self._forget()

    def _forget(self) -> None:
        first = self.ring.first
        while self._older and self._older[-1] < first:
            self._older.pop()
        if self._gone < len(self._numbers) and self._numbers[self._gone] < first:
            self._gone = bisect_left(self._numbers, first, self._gone)
        if self._gone > max(_SPARE, len(self._numbers) // 4):
            del self._numbers[: self._gone]
            self._gone = 0

    @property
    def waiting(self) -> int:
        """Lines that came and were not looked at yet."""
        return self.ring.end - self.until

    def __len__(self) -> int:
        if self.test is None:
            return max(0, self.until - self.ring.first)
        return len(self._older) + len(self._numbers) - self._gone

    def number(self, place: int) -> int:
        """The number of the line at a place; IndexError where there is none."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        if self.test is None:
            return self.ring.first + place
        older = len(self._older)
        return self._older[older - 1 - place] if place < older else self._numbers[self._gone + place - older]

    def __getitem__(self, place: int) -> LogRecord:
        return self.ring[self.number(place)]

    def place(self, number: int) -> int:
        """The place of a line, or of the next one that fits."""
        if self.test is None:
            return min(max(0, number - self.ring.first), len(self))
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.number(middle) < number:
                low = middle + 1
            else:
                high = middle
        return low

    def part(self, start: int, end: int) -> list[LogRecord]:
        """The lines of these places."""
        start, end = max(0, start), min(end, len(self))
        if self.test is None:
            first = self.ring.first
            return self.ring.snapshot(first + start, first + end)
        ring = self.ring
        return [ring[self.number(place)] for place in range(start, end)]

    def find(self, start: int, by: int, test: Test) -> int | None:
        """The next place from `start` (not included) forwards or backwards whose line fits."""
        place = start + 1 if by > 0 else start
        while place > 0 if by < 0 else place < len(self):
            low, high = (place, place + _LOOKED) if by > 0 else (max(0, place - _LOOKED), place)
            records = self.part(low, high)
            found = [i for i, record in enumerate(records, low) if test(record)]
            if found:
                return found[0] if by > 0 else found[-1]
            place = high if by > 0 else low
        return None

    def newest(self, most: int) -> list[LogRecord]:
        """The last so many lines, oldest first."""
        return self.part(len(self) - most, len(self))
