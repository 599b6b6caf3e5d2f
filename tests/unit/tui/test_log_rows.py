"""Lines, records, bars and the state above them as pieces: what fits, what is cut, and that nothing costs its size."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from opsctl.core.logs import Bucket, LogCounts, LogRecord
from opsctl.tui.log_patterns import mine, rows_of
from opsctl.tui.log_record import record_rows
from opsctl.tui.log_ring import Gap
from opsctl.tui.log_rows import (
    Look,
    head_pieces,
    lane_pieces,
    lanes_of,
    line_pieces,
    marked,
    matching,
    phrases_of,
    step_floor,
    time_cell,
    wrapped_rows,
)
from opsctl.tui.log_state import Standing, chip_row, row_text, standing_rows
from opsctl.tui.log_stream import Trouble
from opsctl.views.log_filter import parse_filter

AT = datetime(2026, 5, 14, 18, 2, 3, 456_000, tzinfo=UTC)
LOOK = Look(today=AT.toordinal(), year=2026)
UNSAFE = "\x1b\x00\x07\r\n‮⁦"


def text_of(pieces: list[tuple[str, str]]) -> str:
    return "".join(text for text, _ in pieces)


def test_a_line_has_time_severity_with_glyph_service_and_message_under_their_heads() -> None:
    shown = text_of(line_pieces(LogRecord(AT, "lock timeout", "ERROR", "wallet"), LOOK, 80))
    assert shown == "18:02:03.456  ✖ ERROR   wallet    lock timeout"
    head = text_of(head_pieces(LOOK))
    assert [head.index(name) for name in ("severity", "service", "message")] == [14, 24, 34]


@pytest.mark.parametrize(
    ("at", "day", "shown"),
    [
        (AT, False, "18:02:03.456"),
        (AT - timedelta(days=1), False, "2026-05-13"),
        (AT - timedelta(days=1), True, "05-13 18:02:03.456"),
        (AT - timedelta(days=400), True, "2025-04-09 18:02"),
        (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), True, "9999-12-31 23:59"),
        (datetime(1, 1, 1, tzinfo=UTC), False, "0001-01-01"),
    ],
)
def test_a_time_says_its_day_where_it_is_another(at: datetime, day: bool, shown: str) -> None:
    assert time_cell(at, Look(today=AT.toordinal(), year=2026, day=day)) == shown
    assert time_cell(at, Look(utc=False, today=AT.toordinal(), year=2026, day=day))


RECORDS = st.builds(
    LogRecord,
    st.datetimes(timezones=st.just(UTC)),
    st.text(max_size=200),
    st.one_of(st.sampled_from(["INFO", "ERROR", ""]), st.text(max_size=20)),
    st.text(max_size=40),
    fields=st.dictionaries(
        st.text(max_size=20), st.one_of(st.text(max_size=50), st.none(), st.lists(st.text(max_size=5)))
    ),
)


@given(RECORDS, st.integers(1, 150), st.integers(0, 50))
def test_any_record_fits_its_room_and_has_no_control_character(record: LogRecord, width: int, sideways: int) -> None:
    look = Look(today=AT.toordinal(), year=2026, phrases=("a", "é"), sideways=sideways)
    lines = [line_pieces(record, look, width), *wrapped_rows(record, look, width, 5)]
    for pieces in lines:
        shown = text_of(pieces)
        assert not any(character in shown for character in UNSAFE)
        assert cell_len(shown) <= max(width, look.before + 8) + 2
    assert len(lines) <= 6
    for row in record_rows(record, max(20, width), frozenset(), utc=True, phrases=("a",)):
        assert not any(character in text_of(list(row.pieces)) for character in UNSAFE)


def test_a_huge_message_costs_what_is_seen_of_it() -> None:
    huge = LogRecord(AT, "宽\x1b" * 5_000_000, "INFO", "x" * 1_000_000)
    begun = time.perf_counter()
    for _ in range(20):
        line_pieces(huge, LOOK, 120)
        wrapped_rows(huge, LOOK, 120, 12)
    assert time.perf_counter() - begun < 1.0
    assert "more characters; y copies all of it" in text_of(
        list(record_rows(huge, 100, frozenset(), utc=True)[-1].pieces)
    )


def test_matches_are_marked_whatever_their_case_and_a_longer_lower_case_is_left_alone() -> None:
    assert marked("Lock a LOCK", phrases_of("lock"), "") == [("Lock", "match"), (" a ", ""), ("LOCK", "match")]
    assert marked("İ lock", ("lock",), "") == [("İ lock", "")]
    assert matching(phrases_of('"lock timeout" late'))(LogRecord(AT, "a Lock Timeout"))


def test_a_message_wider_than_its_room_ends_in_dots_and_moves_sideways() -> None:
    record = LogRecord(AT, "abcdefghijklmnopqrstuvwxyz")
    assert text_of(line_pieces(record, LOOK, 44)).endswith("abcdefghi…")
    moved = Look(today=AT.toordinal(), sideways=16)
    assert text_of(line_pieces(record, moved, 80)).endswith("…rstuvwxyz")


def test_a_gap_is_a_line_of_its_own() -> None:
    gap = Gap(at=AT, message="behind by 2m: 70,000 lines skipped")
    assert "behind by 2m: 70,000 lines skipped" in text_of(line_pieces(gap, LOOK, 80))
    assert len(wrapped_rows(gap, LOOK, 80, 12)) == 1
    assert mine([gap], []).lines == 0


def test_json_in_a_message_is_taken_apart_and_folds_to_one_row() -> None:
    record = LogRecord(AT, '{"a": {"b": [1, 2]}}', fields={"deep": "[" * 100_000})
    rows = [row for row in record_rows(record, 80, frozenset(), utc=True) if row.field == "message"]
    assert [text_of(list(row.pieces)).strip() for row in rows][1:3] == ['"a": {', '"b": [']
    assert all(row.folds for row in rows)
    folded = [row for row in record_rows(record, 80, frozenset({"message"}), utc=True) if row.field == "message"]
    assert len(folded) == 1


def counts(**of: int) -> LogCounts:
    first = AT.timestamp()
    buckets = tuple(Bucket((("log_level", level),), ((first, count),)) for level, count in of.items())
    return LogCounts(timedelta(minutes=1), buckets)


def test_counts_are_told_apart_by_severity_also_without_colour() -> None:
    found = counts(ERROR=2, FATAL=1, WARN=5, INFO=90, warning=1)
    three = lanes_of(found, AT, AT + timedelta(minutes=3), 3)
    assert [(one.name, one.total, one.bars) for one in three] == [
        ("✖ error", 3, "█··"),
        ("! warn", 6, "█··"),
        ("· other", 90, "█··"),
    ]
    two = lanes_of(found, AT, AT + timedelta(minutes=3), 2)
    assert [(one.name, one.total) for one in two] == [("✖ error", 3), ("· other", 96)]
    assert lane_pieces(three[0], 80, 1, stale=False)[2] == ("·", "cursor")


def test_bars_do_not_shake_with_the_clock() -> None:
    step = timedelta(minutes=1)
    assert step_floor(AT, step) == step_floor(AT + timedelta(seconds=30), step) == AT.replace(second=0, microsecond=0)


STATES = [
    (Standing(opening=True), "… asking"),
    (Standing(opening=True, lines=3), "3 lines that are here already"),
    (Standing(lines=1), "▸ following  1 line"),
    (Standing(lines=5, rate=12.4), "▸ following  5 lines  12/s"),
    (Standing(paused=True, waiting=1_234, lines=5), "‖ paused +1,234"),
    (Standing(following=False, lines=5), "▲ not following"),
    (Standing(live=False, lines=5), "■ past  5 lines"),
    (Standing(lines=5, dropped=12_345), "12,345 older lines dropped"),
    (Standing(lines=5, full=True), "no room for them"),
    (Standing(lines=5, skips=1, skipped=70_000), "70,000 lines skipped"),
    (Standing(lines=5, behind=timedelta(seconds=12)), "behind by 12s"),
    (Standing(lines=5, trouble=Trouble("1 of 3 shards", False)), "! partial: 1 of 3 shards"),
    (Standing(lines=5, trouble=Trouble("refused", True), age=timedelta(minutes=2)), "✖ refused; the lines are 2m old"),
    (Standing(lines=5, notes=("compared by words",)), "note: compared by words"),
    (Standing(lines=5, remarks=("the trace's time ± 5m instead of the window",)), "instead of the window"),
]


@pytest.mark.parametrize(("now", "said"), STATES)
def test_what_goes_on_and_what_is_missing_is_said_above_the_lines(now: Standing, said: str) -> None:
    rows = standing_rows(now)
    assert said in row_text(rows)
    assert len(rows) <= 3


def test_conditions_that_have_no_room_are_counted() -> None:
    found = parse_filter(" ".join(f"field{number}=value{number}" for number in range(9)))
    shown = row_text([chip_row(found, 60)])
    assert len(shown) <= 64
    assert "[field0=value0] [field1=value1] [field2=value2] +6 / filters" in shown


def test_patterns_are_rows_with_share_and_what_is_new() -> None:
    lines = [LogRecord(AT, f"order {number} accepted", "INFO", "pay") for number in range(3)]
    lines.append(LogRecord(AT, "wallet lock timeout", "ERROR", "wallet"))
    known = mine(lines, [LogRecord(AT, "order 9 accepted")])
    assert [row.cells[:3] for row in rows_of(known)] == [("3", "75 %", ""), ("1", "25 %", ("new", "warn"))]
    unknown = mine(lines, None)
    assert all(row.cells[2] == "" for row in rows_of(unknown))
