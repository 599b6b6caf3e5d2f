"""Figures of the board: an old value has an age, a missing one is no zero, a gap is a gap."""

from __future__ import annotations

from datetime import timedelta
from math import nan

import pytest

from opsctl.views.rates import Figure, Points, amount, figure, length, ratio, share, spark
from tests.tui.reports import AT

NOW = AT.timestamp()


def points(*values: float, end: float = NOW) -> Points:
    """A value a minute, the last one at `end`."""
    return tuple((end - 60 * (len(values) - 1 - i), value) for i, value in enumerate(values))


def test_the_last_point_is_the_present_only_while_it_is_recent() -> None:
    assert figure(points(1.0, 2.0), AT) == Figure(2.0, None, points(1.0, 2.0))
    assert figure(points(1.0, 2.0, end=NOW - 600), AT).age == timedelta(minutes=10)
    assert figure(points(5.0, end=NOW - 600), AT, timedelta(minutes=15)).age is None, "one step of a long window"


@pytest.mark.parametrize("given", [(), points(nan), points(nan, nan)])
def test_what_was_not_measured_has_no_value(given: Points) -> None:
    assert figure(given, AT).value is None


def test_no_failures_of_some_requests_are_zero_and_no_requests_are_nothing() -> None:
    assert ratio((), ((1.0, 10.0), (2.0, 0.0))) == ((1.0, 0.0),)
    assert ratio(((1.0, 5.0),), ((1.0, 10.0),)) == ((1.0, 0.5),)


def test_a_line_has_its_width_and_gaps_where_nothing_was_measured() -> None:
    start = AT - timedelta(minutes=8)
    line = spark(points(1.0, 2.0), start, AT, 8)
    assert len(line) == 8
    assert line[:6].strip() == ""
    assert line[-1] != " "
    assert spark((), start, AT, 5) == " " * 5


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (amount(8200.0), "8.2k"),
        (amount(0.0), "0"),
        (amount(1e-9), "<0.01"),
        (share(0.021), "2.1"),
        (share(0.0), "0"),
        (share(1e-7), "<0.01"),
        (length(0.84), "840ms"),
        (length(2.1), "2.1s"),
        (length(8.5e-5), "85µs"),
    ],
)
def test_numbers_are_short_and_never_rounded_to_nothing(said: str, wanted: str) -> None:
    assert said == wanted
