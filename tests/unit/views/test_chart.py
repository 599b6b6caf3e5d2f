"""What a chart takes from a range answer: the few that matter, on their grid, with gaps, and round ticks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf, isnan, nan

import pytest

from opsctl.core.signals import Series
from opsctl.views.chart import DRAWN_MAX, Chart, chart

START = datetime(2026, 5, 14, 18, 0, tzinfo=UTC)
STEP = timedelta(minutes=1)


def series(name: str, *values: float | None) -> Series:
    """A value a minute; None is a step that is not there."""
    first = START.timestamp()
    points = tuple((first + 60 * i, value) for i, value in enumerate(values) if value is not None)
    return Series((("n", name),), points)


def made(*of: Series, minutes: int = 10, unit: str = "", width: int = 80) -> Chart:
    """The chart; fails where there is nothing to draw."""
    found = chart(of, START, START + STEP * minutes, STEP, unit, UTC, width)
    assert found is not None
    return found


def names(of: Chart) -> list[str]:
    """The drawn series in their order."""
    return [line.labels[0][1] for line in of.lines]


def test_the_highest_by_last_value_are_drawn_and_the_rest_is_counted() -> None:
    """In the order of the answer, so that a legend is stable."""
    found = made(*(series(str(i), 100.0, float(i)) for i in range(9)))
    assert names(found) == [str(i) for i in range(9 - DRAWN_MAX, 9)]
    assert found.hidden == 3


def test_a_series_that_is_nan_at_its_end_is_ranked_by_its_last_number() -> None:
    """NaN is not a value to rank by."""
    others = [series(str(i), 1.0) for i in range(DRAWN_MAX)]
    assert "x" in names(made(*others, series("x", 5.0, nan)))


def test_a_missing_step_is_a_gap_and_not_a_line() -> None:
    """One NaN stands between what came before and after."""
    (line,) = made(series("a", 1.0, 2.0, None, None, 5.0)).lines
    assert [value for _, value in line.points][:2] == [1.0, 2.0]
    assert isnan(line.points[2][1])
    assert line.points[3][1] == 5.0


def test_nan_and_infinity_are_gaps_and_infinities_are_counted() -> None:
    """They never reach the scale."""
    found = made(series("a", 1.0, nan, inf, 2.0, -inf))
    assert (found.low, found.high, found.beyond) == (1.0, 2.0, 2)
    assert sum(isnan(value) for _, value in found.lines[0].points) == 3


@pytest.mark.parametrize("of", [[], [series("a")], [series("a", nan, inf, 1e308)]])
def test_nothing_finite_is_no_chart(of: list[Series]) -> None:
    """The table says what there is."""
    assert chart(of, START, START + STEP, STEP, "", UTC, 80) is None


def test_a_level_line_has_room_around_it() -> None:
    """Zero too."""
    assert (made(series("a", 5.0, 5.0)).low, made(series("a", 5.0, 5.0)).high) == (2.5, 7.5)
    assert (made(series("a", 0.0)).low, made(series("a", 0.0)).high) == (-1.0, 1.0)


def test_no_peak_is_lost_in_a_long_range() -> None:
    """10,000 points in 80 columns keep their one peak and their one gap."""
    values: list[float | None] = [1.0] * 10_000
    values[4_321], values[7_000] = 50.0, None
    (line,) = made(series("a", *values), minutes=10_000).lines
    assert len(line.points) <= 80 * 6
    assert max(value for _, value in line.points if not isnan(value)) == 50.0
    assert sum(isnan(value) for _, value in line.points) == 1
    assert [at for at, _ in line.points] == sorted(at for at, _ in line.points)


def test_ticks_are_round_and_inside() -> None:
    """Values in steps of 1, 2 or 5; times at round minutes of the zone."""
    found = made(series("a", 0.03, 0.97), minutes=60, unit="seconds")
    assert [text for _, text in found.up] == ["200 ms", "400 ms", "600 ms", "800 ms"]
    assert [text for _, text in found.across] == ["18:00", "18:15", "18:30", "18:45", "19:00"]
    assert all(found.start <= at <= found.end for at, _ in found.across)


@pytest.mark.parametrize(
    ("length", "first"),
    [(timedelta(seconds=30), "18:00:00"), (timedelta(days=2), "May 15 00:00"), (timedelta(days=60), "May 26")],
)
def test_time_ticks_say_as_much_as_the_span_needs(length: timedelta, first: str) -> None:
    """Seconds, days, or both."""
    found = chart([series("a", 1.0, 2.0)], START, START + length, STEP, "", UTC, 80)
    assert found is not None
    assert found.across[0][1] == first
    assert 1 <= len(found.across) <= 6


@pytest.mark.parametrize("values", [(1e300, -1e300), (1e-300, 2e-300), (-5.0, 5.0), (0.0, 5e-324)])
def test_extreme_values_have_ticks(values: tuple[float, float]) -> None:
    """No overflow and no endless list."""
    assert 2 <= len(made(series("a", *values)).up) <= 21


def test_one_instant_is_a_chart_too() -> None:
    """Start and end may be the same."""
    found = chart([series("a", 1.0)], START, START, STEP, "", UTC, 80)
    assert found is not None
    assert found.end > found.start
