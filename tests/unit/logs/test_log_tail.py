"""Following: each line once, late ones within the overlap too, and no memory of what cannot come again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from opsctl.core.log_tail import Tail
from opsctl.core.logs import LogRecord

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OVERLAP = timedelta(seconds=10)


def line(second: float, name: str) -> LogRecord:
    """A line with an id."""
    return LogRecord(AT + timedelta(seconds=second), name, id=name)


def test_a_line_comes_once_and_a_late_one_too() -> None:
    """The window goes back by the overlap; what it brings again is not fresh."""
    tail = Tail(AT, OVERLAP)
    assert tail.start == AT - OVERLAP
    assert [r.id for r in tail.fresh([line(1, "a"), line(2, "b")])] == ["a", "b"]
    tail.advance(AT + timedelta(seconds=5))
    assert tail.start == AT - timedelta(seconds=5)
    assert [r.id for r in tail.fresh([line(-4, "late"), line(1, "a"), line(2, "b"), line(6, "c")])] == ["late", "c"]


def test_without_an_answer_the_place_stays() -> None:
    """A backend that is away moves nothing: what came meanwhile is asked for when it is back."""
    tail = Tail(AT, OVERLAP)
    tail.fresh([line(1, "a")])
    assert tail.start == AT - OVERLAP
    tail.advance(AT - timedelta(hours=1))  # a clock that went back
    assert tail.start == AT - OVERLAP


def test_what_cannot_come_again_is_forgotten() -> None:
    """Memory is the overlap's lines; one at the edge of the next question is still known."""
    tail = Tail(AT, OVERLAP)
    tail.fresh([line(second, str(second)) for second in range(100)])
    tail.advance(AT + timedelta(seconds=100))
    assert len(tail._seen) == 10
    assert tail.fresh([line(90, "90")]) == []
