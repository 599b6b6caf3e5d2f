"""Times as people write them: what each means, and what is said to one that means nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from opsctl.views.moments import clock_moment, read_moment

NOW = datetime(2026, 5, 14, 3, 30, 5, tzinfo=UTC)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock shows two hours more than UTC in May."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("15m", datetime(2026, 5, 14, 3, 15, 5, tzinfo=UTC)),
        ("1778724000", datetime(2026, 5, 14, 2, 0, tzinfo=UTC)),
        ("2026-05-14T05:00:00+02:00", datetime(2026, 5, 14, 3, 0, tzinfo=UTC)),
        ("03:02", datetime(2026, 5, 14, 3, 2, tzinfo=UTC)),
        (" 3:02 ", datetime(2026, 5, 14, 3, 2, tzinfo=UTC)),
        ("03:30:05", NOW),
        ("03:31", datetime(2026, 5, 13, 3, 31, tzinfo=UTC)),
        ("23:59", datetime(2026, 5, 13, 23, 59, tzinfo=UTC)),
    ],
)
def test_a_time_is_the_last_one_that_was_so(text: str, at: datetime) -> None:
    """A clock's hand is that of today where that is past, else of yesterday."""
    assert clock_moment(text, NOW, utc=True) == at


def test_a_clock_here_is_read_here(berlin: None) -> None:
    """Where local times are shown, local times are typed; a Z says UTC."""
    assert clock_moment("05:02", NOW, utc=False) == datetime(2026, 5, 14, 3, 2, tzinfo=UTC)
    assert clock_moment("03:02Z", NOW, utc=False) == datetime(2026, 5, 14, 3, 2, tzinfo=UTC)
    assert clock_moment("06:00", NOW, utc=False) == datetime(2026, 5, 13, 4, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected 2026"),
        ("25:00", "00:00 to 23:59"),
        ("03:60", "00:00 to 23:59"),
        ("tomorrow", "expected 2026"),
        ("2026-05-14T03:00:00", "which zone"),
        ("2099-01-01T00:00:00Z", "in the future"),
        ("9" * 400, "expected 2026"),
        ("99999999999d", "expected 2026"),
    ],
)
def test_what_is_no_time_is_said_so(text: str, words: str) -> None:
    """One line that says what was expected."""
    with pytest.raises(ValueError, match=words):
        clock_moment(text, NOW, utc=True)


def test_a_time_to_come_is_one_where_that_may_be() -> None:
    """`read_moment` is for silences too, which begin later."""
    assert read_moment("2099-01-01T00:00:00Z", NOW).year == 2099
