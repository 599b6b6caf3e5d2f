"""A range answer for a person: a chart with its legend, or a table with a sparkline a series; or plain points."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from opsctl.cli.frame import Frame
from opsctl.cli.metric import number_text, series_name
from opsctl.cli.streams import whole_unicode
from opsctl.core.frozen import dataclass
from opsctl.render.table import Column, write_rows

if TYPE_CHECKING:
    from opsctl.core.signals import Series
    from opsctl.views.chart import Chart

METADATA_SECONDS = 2.0  # a chart does not wait longer for its unit
_SMALLEST, _TALLEST = 8, 20  # lines


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked."""

    expression: str
    start: datetime
    end: datetime
    step: timedelta


def print_series(run: Frame, series: Sequence[Series], asked: Asked, form: str, *, drawn: bool) -> None:
    """Points as tab-separated lines, or a chart or a sparkline for each series."""
    if form == "plain":
        cells = [
            [series_name(s.labels), f"{t:.3f}".rstrip("0").rstrip("."), number_text(v)]
            for s in series
            for t, v in s.points
        ]
        write_rows(sys.stdout, [Column("series"), Column("time"), Column("value")], cells, table=False, color=False)
    elif not (drawn and series and _print_chart(run, series, asked)):
        _print_table(run, series)


def _print_table(run: Frame, series: Sequence[Series]) -> None:
    from opsctl.views.sparkline import sparkline

    names = ("first", "last", "min", "max")
    columns = [Column("series", wrap=True), *(Column(name, right=True) for name in names), Column("over time")]
    cells = [
        [
            series_name(s.labels),
            *_summary(s, lambda value: number_text(value, 6)),
            sparkline([v for _, v in s.points], 40),
        ]
        for s in series
    ]
    write_rows(sys.stdout, columns, cells, table=True, color=run.colored(sys.stdout))


def _print_chart(run: Frame, series: Sequence[Series], asked: Asked) -> bool:
    """Chart, then its legend; whether there was anything to draw."""
    from opsctl.render import chart as render
    from opsctl.views.chart import chart
    from opsctl.views.units import shown

    width, lines = shutil.get_terminal_size((100, 30))
    unit = _unit(run, asked.expression)
    zone: tzinfo | None = UTC if run.utc else None
    found = chart(series, asked.start, asked.end, asked.step, unit, zone, render.inner_width(width))
    if found is None:
        return False
    unicode, color = whole_unicode(sys.stdout), run.colored(sys.stdout)
    height = min(_TALLEST, max(_SMALLEST, lines - len(found.lines) - 5))
    sys.stdout.write(render.draw(found, width, height, color=color, unicode=unicode))
    glyphs = render.glyphs_of(found, unicode=unicode)
    cells = []
    for line, glyph in zip(found.lines, glyphs, strict=True):
        one = next(each for each in series if each.labels == line.labels)
        marked = [glyph] if glyph else []
        cells.append([*marked, *_summary(one, lambda value: shown(value, unit)), series_name(line.labels)])
    names = [Column(name, right=True) for name in ("first", "last", "min", "max")]
    columns = [*([Column("")] if len(cells) > 1 else []), *names, Column("series", wrap=True)]
    write_rows(sys.stdout, columns, cells, table=True, color=color)
    _print_rest(found)
    return True


def _print_rest(found: Chart) -> None:
    """What the picture leaves out."""
    if found.hidden:
        more = "1 more series is" if found.hidden == 1 else f"{found.hidden} more series are"
        sys.stdout.write(f"{more} not drawn: these are the highest by last value; --no-chart lists all\n")
    if found.beyond:
        one = "1 value is" if found.beyond == 1 else f"{found.beyond} values are"
        sys.stdout.write(f"{one} infinite or too large to be drawn\n")


def _summary(series: Series, form: Any) -> list[str]:
    """First, last, lowest and highest value; NaN is neither lowest nor highest."""
    values = [value for _, value in series.points]
    numbers = [value for value in values if not math.isnan(value)] or values
    return [form(value) for value in (values[0], values[-1], min(numbers), max(numbers))]


def _unit(run: Frame, expression: str) -> str:
    """The unit of the values: by name, else by what the server's targets say of that metric."""
    from opsctl.views.units import unit_of

    return unit_of(expression, lambda metric: _told_unit(run, metric))


def _told_unit(run: Frame, metric: str) -> str:
    from opsctl.core.exploring import family
    from opsctl.core.signals import Measured
    from opsctl.ports.metrics import MetricsExplorer

    source = run.composition.metrics
    if not metric or not isinstance(source, MetricsExplorer):
        return ""
    for name in family(metric):
        reading = source.metadata(name, METADATA_SECONDS)
        if isinstance(reading, Measured):
            return next((one.unit for one in reading.data.get(name, ()) if one.unit), "")
    return ""
