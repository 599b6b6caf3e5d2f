"""A service's requests over a window as figures: the value now, how old it is, and the line behind it.

Must never show an old value as the present one, or one that was not measured as zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from opsctl.core.frozen import dataclass
from opsctl.views.sparkline import sparkline

Points = tuple[tuple[float, float], ...]
"""(unix seconds, value), ascending; a step without a value is not there."""
RECENT = timedelta(seconds=90)
"""A point that is older than this at the end of the window is not the present any more."""


@dataclass(frozen=True, slots=True)
class Rates:
    """One service's rate, errors and duration over the window; what was not measured is empty, never zero."""

    requests: Points = ()  # a second
    errors: Points = ()  # share of requests that failed, in [0, 1]
    p99: Points = ()  # seconds


@dataclass(frozen=True, slots=True)
class Figure:
    """One number: `value` None was not measured; `age` is set where it is of an earlier time."""

    value: float | None = None
    age: timedelta | None = None
    points: Points = ()


def figure(points: Points, at: datetime, step: timedelta = RECENT) -> Figure:
    """The last number of a line as it stands at a time; one older than a step (at least `RECENT`) has an age."""
    last = next(((when, value) for when, value in reversed(points) if math.isfinite(value)), None)
    if last is None:
        return Figure(points=points)
    age = at - datetime.fromtimestamp(last[0], UTC)
    return Figure(last[1], age if age > max(step, RECENT) else None, points)


def ratio(part: Points, total: Points) -> Points:
    """part / total at each time that had a total; a time without a part had none of it."""
    parts = dict(part)
    return tuple((at, parts.get(at, 0.0) / value) for at, value in total if value > 0)


def within(points: Points, start: datetime, end: datetime) -> Points:
    """Those in [start, end]."""
    first, last = start.timestamp(), end.timestamp()
    if points and first <= points[0][0] and points[-1][0] <= last:
        return points
    return tuple(point for point in points if first <= point[0] <= last)


def spark(points: Points, start: datetime, end: datetime, width: int) -> str:
    """A line of `width` characters over the window; what was not measured is a gap."""
    if not points or width <= 0 or end <= start:
        return " " * max(0, width)
    return sparkline(_on_grid(points, start.timestamp(), end.timestamp(), width), width)


def _on_grid(points: Points, first: float, last: float, width: int) -> Sequence[float]:
    """The mean of each of so many equal parts of the window; NaN for one without a number."""
    sums, counts = [0.0] * width, [0] * width
    size = (last - first) / width
    for at, value in points:
        place = min(width - 1, int((at - first) / size))
        if place >= 0 and math.isfinite(value):
            sums[place] += value
            counts[place] += 1
    return [total / n if n else math.nan for total, n in zip(sums, counts, strict=True)]


def amount(value: float) -> str:
    """A number a second, short: `8.2k`, `310`, `0.25`."""
    for factor, word in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.3g}{word}"
    return f"{value:.3g}" if abs(value) >= 0.01 or value == 0 else "<0.01"


def share(value: float) -> str:
    """A ratio in percent without its sign, short: `2.1`, `0.05`, `0`."""
    percent = value * 100
    if percent == 0:
        return "0"
    return f"{float(f'{percent:.2g}'):g}" if percent >= 0.01 else "<0.01"


def length(seconds: float) -> str:
    """A duration, short: `840ms`, `2.1s`, `85µs`."""
    if seconds >= 0.9995:
        return f"{seconds:.3g}s" if seconds < 1000 else f"{seconds:.0f}s"
    if seconds >= 0.9995e-3:
        return f"{seconds * 1e3:.3g}ms"
    return f"{seconds * 1e6:.3g}µs"
