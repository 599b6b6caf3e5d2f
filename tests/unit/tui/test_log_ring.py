"""The ring and what is picked of it: checked against lists that keep everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.core.logs import LogRecord
from opsctl.tui.log_ring import Gap, Picked, Ring, pick

AT = datetime(2026, 5, 14, 18, tzinfo=UTC)


def line(number: int, severity: str = "INFO", size: int = 1) -> LogRecord:
    return LogRecord(AT + timedelta(seconds=number), "m" * size, severity, id=str(number))


def is_even(record: LogRecord) -> bool:
    return int(record.id) % 2 == 0


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 12)),
        st.tuples(st.just("prepend"), st.integers(0, 12)),
        st.tuples(st.just("look"), st.booleans()),
    ),
    max_size=40,
)


@given(MOVES, st.integers(1, 30), st.booleans())
@settings(max_examples=200, deadline=None)
def test_ring_and_picked_are_what_lists_that_keep_everything_say(
    moves: list[tuple[str, int]], capacity: int, sifted: bool
) -> None:
    ring = Ring(capacity)
    test = is_even if sifted else None
    picked = Picked(ring, test)
    kept: list[LogRecord] = []
    dropped, low, high, seen = 0, 0, 0, 0  # `seen`: one more than the newest number that was looked at
    for what, count in moves:
        if what == "append":
            records = [line(high + i) for i in range(count)]
            high += count
            ring.append(records)
            kept += records
            gone = max(0, len(kept) - capacity)
            dropped += gone
            kept = kept[gone:]
        elif what == "prepend":
            records = [line(low - count + i) for i in range(count)]
            room = 0 if dropped else max(0, capacity - len(kept))
            taken = ring.prepend(records)
            assert taken == min(room, count)
            kept = [*records[count - taken :], *kept]
            low -= taken
        else:
            picked.catch_up(newer=bool(count))
            seen = high if count else max(seen, ring.first)
            fits = [one for one in kept if int(one.id) < seen and (test is None or test(one))]
            assert [picked[i] for i in range(len(picked))] == fits
            assert picked.part(1, len(fits) - 1) == fits[1:-1]
            assert ring.snapshot(low + 1, high - 1) == [one for one in kept if low < int(one.id) < high - 1]
            assert picked.waiting == high - max(seen, ring.first)
            for place, one in enumerate(fits):
                assert picked.place(picked.number(place)) == place
                assert ring[picked.number(place)] is one
        assert [ring[number] for number in range(ring.first, ring.end)] == kept
        assert ring.dropped == dropped


def test_a_number_that_is_gone_or_never_was_is_an_index_error() -> None:
    ring = Ring(2)
    ring.append([line(i) for i in range(5)])
    assert [ring[3].id, ring[4].id, ring.dropped] == ["3", "4", 3]
    for number in (2, 5, -1):
        with pytest.raises(IndexError):
            ring[number]


def test_huge_messages_go_before_the_capacity_is_reached_and_are_counted() -> None:
    ring = Ring(1_000, characters=10_000)
    ring.append([line(i, size=4_000) for i in range(5)])
    assert (len(ring), ring.dropped) == (2, 3)
    ring.append([line(9, size=50_000)])
    assert (len(ring), ring.dropped) == (1, 5)  # the newest stays, whatever its size


def test_after_a_drop_no_older_line_is_taken_for_those_between_are_gone() -> None:
    ring = Ring(10, characters=1_000)
    ring.append([line(0, size=900), line(1, size=900)])
    assert ring.full
    assert ring.prepend([line(-1)]) == 0


def test_a_gap_is_picked_whatever_the_test_says() -> None:
    gap = Gap(at=AT, message="behind by 2m: 5 lines skipped", id="gap 1")
    assert list(pick([line(1), gap, line(3)], 10, lambda record: False)) == [11]


def test_numbers_that_were_found_in_a_thread_are_joined_with_what_came_meanwhile() -> None:
    ring = Ring(100)
    ring.append([line(i) for i in range(10)])
    numbers = pick(ring.snapshot(0, 10), 0, is_even)
    ring.append([line(i) for i in range(10, 14)])
    picked = Picked(ring, is_even, known=(0, 10, numbers))
    assert [one.id for one in picked.newest(99)] == ["0", "2", "4", "6", "8", "10", "12"]


def test_finding_goes_both_ways_and_says_where_there_is_none() -> None:
    ring = Ring(100)
    ring.append([line(i, "ERROR" if i in (3, 7) else "INFO") for i in range(10)])
    picked = Picked(ring)

    def error(record: LogRecord) -> bool:
        return record.severity == "ERROR"

    assert [picked.find(0, 1, error), picked.find(3, 1, error), picked.find(7, 1, error)] == [3, 7, None]
    assert [picked.find(9, -1, error), picked.find(3, -1, error)] == [7, None]
