"""Binomial tails against exact sums, and the table of few events."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.core.stats import lower_bound, surely_over, tail

PAGE_LINE = 14.4 * 0.001


def exact_tail(bad: int, total: int, ratio: float) -> float:
    p = Fraction(ratio)
    return float(sum(math.comb(total, k) * p**k * (1 - p) ** (total - k) for k in range(bad, total + 1)))


@pytest.mark.parametrize(("total", "fewest"), [(10, 2), (30, 3), (60, 4), (100, 5), (300, 9)])
def test_fewest_bad_events_that_page(total: int, fewest: int) -> None:
    """The design's table for a target of 99.9 % and a factor of 14.4."""
    assert surely_over(fewest, total, PAGE_LINE, 0.95)
    assert not surely_over(fewest - 1, total, PAGE_LINE, 0.95) or fewest == 2


@pytest.mark.parametrize("total", [1, 2, 7, 70])
@pytest.mark.parametrize("ratio", [0.0005, 0.0144, 0.25, 0.5, 0.999])
def test_tail_is_the_exact_sum(total: int, ratio: float) -> None:
    for bad in range(total + 1):
        assert tail(bad, total, ratio) == pytest.approx(exact_tail(bad, total, ratio), rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("bad", [0, 1, 2, 1_000, 1_439_000, 1_440_000, 1_441_000, 50_000_000, 10**8 - 1, 10**8])
def test_finite_at_a_hundred_million_events(bad: int) -> None:
    found = tail(bad, 10**8, PAGE_LINE)
    assert 0.0 <= found <= 1.0
    bound = lower_bound(bad, 10**8, 0.95)
    assert 0.0 <= bound <= bad / 10**8 or bad == 0


def test_large_counts_agree_with_the_normal_law() -> None:
    """One standard deviation over the mean of 10⁸ events: P ≈ 0.1587, with the skew's and the step's correction."""
    n, p = 10**8, PAGE_LINE
    deviation = math.sqrt(n * p * (1 - p))
    bad = round(n * p + deviation)
    z = (bad - 0.5 - n * p) / deviation
    skew = (1 - 2 * p) / deviation / 6 * (z * z - 1)
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    assert tail(bad, n, p) == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)) + skew * density, rel=1e-6)


def test_the_edges() -> None:
    assert tail(0, 10, 0.5) == 1.0
    assert tail(11, 10, 0.5) == 0.0
    assert tail(5, 10, 0.0) == 0.0
    assert tail(5, 10, 1.0) == 1.0
    assert not surely_over(0, 0, 0.1, 0.95)
    assert lower_bound(0, 10, 0.95) == 0.0
    assert lower_bound(10, 10, 0.95) == pytest.approx(0.05 ** (1 / 10))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 100_000), st.data(), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_bound_is_where_the_tail_is_the_rest(total: int, data: st.DataObject, confidence: float) -> None:
    bad = data.draw(st.integers(1, total))
    bound = lower_bound(bad, total, confidence)
    assert 0.0 < bound <= bad / total
    assert tail(bad, total, bound) == pytest.approx(1 - confidence, rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 100_000), st.data())
def test_more_bad_events_are_never_less_sure(total: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(1, total - 1))
    assert tail(bad + 1, total, PAGE_LINE) <= tail(bad, total, PAGE_LINE) + 1e-14
