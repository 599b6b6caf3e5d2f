"""Lines on a terminal: columns stay, nothing dangerous is printed, nothing is lost where it was asked to be whole."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from opsctl.core.logs import Bucket, LogCounts, LogRecord
from opsctl.render.logs import Look, cells, counts_line, fitted, head, look, shown, wrapped
from opsctl.views.logs import day_form, histogram, one_line, step_for, time_words, zone_of
from tests.contract.log_world import HOSTILE, STACK

AT = datetime(2026, 3, 1, 12, 0, 1, 5000, tzinfo=UTC)
WAY = Look(100, False, True)
MESSAGES = ("short", "x" * 500, STACK, HOSTILE, "购买完成 " * 40, "🗡️ " * 50, "a\tb", "")


def record(message: str, **more: str) -> LogRecord:
    """A line of a service with a long, wide name."""
    return LogRecord(AT, message, more.get("severity", "ERROR"), more.get("service", "商店服务-with-a-long-name"))


@pytest.mark.parametrize("width", [40, 50, 60, 80, 100, 200])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("message", MESSAGES)
def test_no_line_is_wider_than_the_terminal(message: str, wide: bool, width: int) -> None:
    """In every width from a split pane on, and only printable characters."""
    text = shown(record(message), Look(width, False, True, wide, service=12))
    for line in text.split("\n"):
        assert cells(line) <= width, line
        assert line.isprintable()


def test_columns_are_aligned() -> None:
    """Time, severity, service and message begin where their names do."""
    records = [record("first"), record("second", severity="INFO", service="a")]
    way = Look(120, False, True, service=12)
    lines = [head(way), *(shown(one, way) for one in records)]
    assert [
        cells(line[: line.index(word)]) for line, word in zip(lines, ("message", "first", "second"), strict=True)
    ] == [39] * 3


def test_wide_keeps_every_character() -> None:
    """Wrapped, not cut."""
    text = shown(record("y" * 500), Look(80, False, True, wide=True, service=8))
    assert text.count("y") == 500
    assert shown(record("y" * 500), Look(80, False, True, service=8)).endswith("…")


def test_narrow_terminals_have_the_message_below() -> None:
    """Less than a sentence's room beside the columns: it goes below them."""
    assert shown(record("hello"), Look(50, False, True, service=12)).split("\n")[1] == "    hello"


def test_colour_is_never_alone() -> None:
    """The severity's word is there with and without it."""
    assert "\x1b[31mERROR   \x1b[0m" in shown(record("m"), Look(100, True, True))
    assert "\x1b" not in shown(record("m"), WAY)


def test_one_line_escapes_line_ends() -> None:
    """As they are written in programs."""
    assert one_line("a\r\n\tb") == "a\\r\\n\\tb"
    assert one_line("ünïcode") == "ünïcode"


def test_fitted_is_exact() -> None:
    """Filled or cut, wide characters too."""
    for text in ("", "abc", "abcdefghij", "购买完成了吗", "a购买完成"):
        for width in (1, 2, 5, 8):
            assert cells(fitted(text, width)) == width, (text, width)
    assert "".join(wrapped("购买完成", 3)) == "购买完成"


@pytest.mark.parametrize(
    ("length", "step"),
    [
        (timedelta(seconds=30), 1),
        (timedelta(hours=1), 60),
        (timedelta(hours=24), 1800),
        (timedelta(days=365), 7 * 86400),
    ],
)
def test_steps_are_round(length: timedelta, step: float) -> None:
    """At most so many columns, of a length that people count in."""
    assert step_for(AT, AT + length, 60).total_seconds() == step


def test_a_histogram_has_every_step() -> None:
    """Also those without a line, which are dots; one line is seen beside a thousand."""
    start = AT.replace(microsecond=0)
    points = ((start.timestamp(), 1), (start.timestamp() + 120, 1000))
    counts = LogCounts(timedelta(minutes=1), (Bucket((), points),))
    found = histogram(counts, start, start + timedelta(minutes=3))
    assert found.counts == (1, 0, 1000)
    assert found.bars == "▁·█"
    assert counts_line(found, WAY) == "▁·█  1,001 lines, 1m a column"
    assert histogram(LogCounts(timedelta(minutes=1), ()), start, start + timedelta(seconds=90)).bars == "··"


def test_times_have_their_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Z` for UTC, else the offset of the local clock; a day where several are on the screen."""
    assert time_words(AT, utc=True, day="") == "12:00:01.005Z"
    assert time_words(AT, utc=True, day="%m-%d ") == "03-01 12:00:01.005Z"
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert time_words(AT, utc=False, day="") == "13:00:01.005+0100"
        assert zone_of([AT, AT + timedelta(hours=1)]) == "+0100"
        assert zone_of([AT, AT + timedelta(days=60)]) == ""
        late = look([], color=False, utc=False, day="%Y-%m-%d ")
        row = shown(record("m"), late)
        assert row.startswith("2026-03-01 13:00:01.005+0100  ")
        assert head(late).index("severity") == row.index("ERROR")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_days_are_written_where_they_differ() -> None:
    """With the year where that differs: 1970 is not this year's first of January."""
    assert day_form([AT, AT + timedelta(hours=1)], utc=True) == ""
    assert day_form([AT, AT + timedelta(days=1)], utc=True) == "%m-%d "
    assert day_form([AT, AT + timedelta(days=-400)], utc=True) == "%Y-%m-%d "


def test_the_service_column_has_a_limit() -> None:
    """One long name does not take the message's room."""
    assert look([record("m", service="s" * 90)], color=False, utc=True).service == 20
    assert "…" in shown(record("m", service="s" * 90), Look(100, False, True, service=20))
