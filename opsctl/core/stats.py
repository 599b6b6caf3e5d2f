"""Exact binomial tails, for burn alerts at low traffic.

Must never approximate by a normal law: few events are what it is for. Counts are whole numbers of events.
"""

from __future__ import annotations

import math

_TINY = 1e-300
_STIRLING_EXACT = 16
_CLOSE = 1e-9  # of a bound, relative


def tail(bad: int, total: int, ratio: float) -> float:
    """P(X ≥ bad) for X binomial(total, ratio), by the incomplete beta function I_ratio(bad, total−bad+1)."""
    if bad <= 0:
        return 1.0
    if bad > total or ratio <= 0.0:
        return 0.0
    if ratio >= 1.0:
        return 1.0
    a, b = float(bad), float(total - bad + 1)
    if ratio < (a + 1.0) / (a + b + 2.0):
        return min(1.0, _mass(bad, total, ratio) * (1.0 - ratio) * _fraction(a, b, ratio))
    # I_x(a, b) = 1 − I_{1−x}(b, a): the fraction converges fast only on its own side of the mean.
    other = _mass(bad - 1, total, ratio) * ratio * _fraction(b, a, 1.0 - ratio)
    return max(0.0, 1.0 - other)


def surely_over(bad: int, total: int, ratio: float, confidence: float) -> bool:
    """Whether the one-sided Clopper–Pearson lower bound of bad / total is over `ratio`."""
    return total > 0 and tail(min(bad, total), total, ratio) < 1.0 - confidence


def lower_bound(bad: int, total: int, confidence: float) -> float:
    """The one-sided Clopper–Pearson lower bound: the ratio p where P(X ≥ bad | total, p) = 1 − confidence."""
    bad = min(bad, total)
    if bad <= 0 or total <= 0:
        return 0.0
    goal = 1.0 - confidence
    if bad == total:
        return float(goal ** (1.0 / total))
    low, high = 0.0, bad / total
    p = high - 1.7 * math.sqrt(high * (1.0 - high) / total)
    while high - low > _CLOSE * high:
        if not low < p < high:
            p = (low + high) / 2.0
        over = tail(bad, total, p) - goal
        low, high = (p, high) if over < 0.0 else (low, p)
        # Newton's step, inside what bisection leaves: d P(X ≥ bad) / dp = bad · P(X = bad) / p.
        slope = bad * _mass(bad, total, p) / p
        step = over / slope if slope > 0.0 else math.inf
        if abs(step) <= _CLOSE * p:
            return p
        p -= step
    return low


def _mass(k: int, n: int, p: float) -> float:
    """P(X = k) without cancellation at n = 10⁸ (Loader 2000, "saddle-point expansion")."""
    q = 1.0 - p
    if k == 0:
        return math.exp(n * math.log1p(-p))
    if k == n:
        return math.exp(n * math.log(p))
    lead = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    lead -= _deviance(k, n * p) + _deviance(n - k, n * q)
    return math.exp(lead) * math.sqrt(n / (2.0 * math.pi * k * (n - k)))


def _stirling_error(n: int) -> float:
    """ln n! − ln(√(2πn) (n/e)ⁿ)."""
    if n < _STIRLING_EXACT:
        return math.lgamma(n + 1.0) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2.0 * math.pi)
    square = float(n) * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / square) / square) / square) / n


def _deviance(x: float, mean: float) -> float:
    """x ln(x / mean) + mean − x, by a series where x is near the mean."""
    if abs(x - mean) >= 0.1 * (x + mean):
        return x * math.log(x / mean) + mean - x
    v = (x - mean) / (x + mean)
    total, term, j = (x - mean) * v, 2.0 * x * v, 1
    while True:
        term *= v * v
        following = total + term / (2 * j + 1)
        if following == total:
            return following
        total, j = following, j + 1


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    c, d = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1.0))
    out, m = d, 0
    while True:
        m += 1
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1.0 / _away(1.0 + even * d), _away(1.0 + even / c)
        out *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1.0 / _away(1.0 + odd * d), _away(1.0 + odd / c)
        step = d * c
        out *= step
        if abs(step - 1.0) < 1e-15 or m > 1_000_000:
            return out


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
