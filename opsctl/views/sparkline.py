"""A line of block characters for a row of values."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int) -> str:
    """At most `width` characters from the lowest to the highest finite value; a gap is a space."""
    if not values:
        return ""
    if len(values) > width:
        size = len(values) / width
        values = [_mean(values[int(i * size) : max(int(i * size) + 1, int((i + 1) * size))]) for i in range(width)]
    finite = [v for v in values if _finite(v)]
    if not finite:
        return " " * len(values)
    low, high = min(finite) / 2, max(finite) / 2  # halves: between the largest floats there is no distance
    span = (high - low) or 1.0
    return "".join(BARS[min(7, int((v / 2 - low) / span * 8))] if _finite(v) else " " for v in values)


def _finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")


def _mean(values: Sequence[float]) -> float:
    finite = [v for v in values if _finite(v)]
    return sum(finite) / len(finite) if finite else float("nan")
