"""Series over time as a picture shows them: the few that are drawn, on one grid, with gaps, and ticks for both axes.

Must never join what a gap separates, and never draw what is not a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, tzinfo

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Labels, Series
from opsctl.views.units import shown

DRAWN_MAX = 6
DRAWABLE = 1e300  # the distance of two such values is still a number
_ACROSS = 4  # values kept for each column of a chart: the lowest and the highest of each half

Point = tuple[float, float]
Tick = tuple[float, str]
_TIME_STEPS = tuple(
    timedelta(seconds=s)
    for s in (1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
)


@dataclass(frozen=True, slots=True)
class Line:
    """One series to draw: NaN is a gap."""

    labels: Labels
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn and what is not; `hidden` series have smaller last values, `beyond` counts enormous points."""

    lines: tuple[Line, ...]
    start: float
    end: float
    low: float
    high: float
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    hidden: int
    beyond: int


def chart(
    series: Sequence[Series],
    start: datetime,
    end: datetime,
    step: timedelta,
    unit: str,
    zone: tzinfo | None,
    width: int,
    *,
    at_least: tuple[float, float] | None = None,
) -> Chart | None:
    """The picture of a range answer, `width` characters wide; None where nothing in it can be drawn.

    `at_least` are values that the axis has in any case.
    """
    ranked = sorted(series, key=lambda one: (-_last(one), one.labels))
    finite = [one for one in ranked if any(_drawable(value) for _, value in one.points)]
    taken = sorted(finite[:DRAWN_MAX], key=series.index)
    if not taken:
        return None
    values = [value for one in taken for _, value in one.points if _drawable(value)]
    values += at_least or ()
    low, high = _room(min(values), max(values))
    beyond = sum(abs(value) > DRAWABLE for one in taken for _, value in one.points)
    first, last = start.timestamp(), end.timestamp()
    return Chart(
        lines=tuple(Line(one.labels, _thinned(_gapped(one.points, step.total_seconds()), width)) for one in taken),
        start=first,
        end=last if last > first else first + step.total_seconds(),
        low=low,
        high=high,
        across=_time_ticks(start, end, zone, max(2, width // 16)),
        up=_value_ticks(low, high, unit),
        hidden=len(series) - len(taken),
        beyond=beyond,
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a time (unix seconds), by its glyph."""

    at: float
    glyph: str


def mark_row(marks: Iterable[Mark], start: float, end: float, width: int) -> str:
    """A row of `width` characters below a picture, with each glyph at its time; the later one where two meet."""
    row = [" "] * max(0, width)
    for mark in sorted(marks, key=lambda one: one.at):
        if row and start <= mark.at <= end and end > start:
            row[round((mark.at - start) / (end - start) * (width - 1))] = mark.glyph
    return "".join(row)


def _last(series: Series) -> float:
    """The last value that can be drawn, for the order."""
    return next((value for _, value in reversed(series.points) if _drawable(value)), -math.inf)


def _drawable(value: float) -> bool:
    return abs(value) <= DRAWABLE  # NaN is not


def _room(low: float, high: float) -> tuple[float, float]:
    """Bounds with some distance: a level line is drawn in the middle."""
    if high > low:
        return low, high
    margin = abs(low) / 2 or 1.0
    return low - margin, high + margin


def _gapped(points: Sequence[Point], step: float) -> list[Point]:
    """The points with a NaN wherever a step is missing or has nothing to draw."""
    out: list[Point] = []
    for at, value in points:
        if out and at - out[-1][0] > step * 1.5:
            out.append((out[-1][0] + step, math.nan))
        out.append((at, value if _drawable(value) else math.nan))
    return out


def _thinned(points: list[Point], width: int) -> tuple[Point, ...]:
    """At most about four points for each column, so that no peak and no gap is lost."""
    most = width * _ACROSS
    if len(points) <= most:
        return tuple(points)
    size = len(points) / (most / 2)
    out: list[Point] = []
    for i in range(most // 2):
        bucket = points[int(i * size) : int((i + 1) * size)]
        there = [point for point in bucket if point[1] == point[1]]
        if there:
            out += sorted({min(there, key=_value), max(there, key=_value)})
        if len(there) < len(bucket):
            out.append((bucket[-1][0], math.nan))
    return tuple(out)


def _value(point: Point) -> float:
    return point[1]


def _value_ticks(low: float, high: float, unit: str) -> tuple[Tick, ...]:
    """Round values inside the bounds, four to eight of them."""
    raw = (high - low) / 5
    if not math.isfinite(raw) or raw <= 0:
        return ((low, shown(low, unit)), (high, shown(high, unit)))
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple((n * step, shown(n * step, unit, step)) for n in range(first, min(last, first + 20) + 1))


def _time_ticks(start: datetime, end: datetime, zone: tzinfo | None, most: int) -> tuple[Tick, ...]:
    """Round times of the zone (None: of this machine), at most `most`."""
    span = end - start
    step = next(
        (each for each in _TIME_STEPS if span / each <= most), timedelta(days=max(7, math.ceil(span.days / most)))
    )
    form = _form(span, step)
    local = start.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + step * math.ceil((local - midnight) / step)
    out = []
    while at <= end:
        out.append((at.timestamp(), form(at)))
        at += step
    return tuple(out) or ((start.timestamp(), form(local)),)


def _form(span: timedelta, step: timedelta) -> Callable[[datetime], str]:
    if step >= timedelta(days=1):
        return lambda at: f"{at:%b} {at.day}"
    if span > timedelta(days=1):
        return lambda at: f"{at:%b} {at.day} {at:%H:%M}"
    return lambda at: f"{at:%H:%M:%S}" if step < timedelta(minutes=1) else f"{at:%H:%M}"
