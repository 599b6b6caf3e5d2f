"""A chart as lines of text, drawn by plotext: the one module that knows it.

Colour is never needed: several series have a glyph each, and the legend is the table below.
"""

from __future__ import annotations

from itertools import groupby

from opsctl.views.chart import Chart

GLYPHS = "●×○▲+■"
PLAIN_GLYPHS = "ox*^+#"
_COLORS = ("34", "33", "36", "35", "32", "31")
_PLAIN_FRAME = str.maketrans("┌┐└┘─│┤┬", "++++-|++")
_MARGIN = 14  # what the labels and the frame take


def draw(chart: Chart, width: int, height: int, *, color: bool, unicode: bool) -> str:
    """The picture, `width` × `height` characters at most, each line ended."""
    import plotext

    glyphs = glyphs_of(chart, unicode=unicode)
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.theme("clear")
    plotext.plotsize(width, height)
    for line, glyph in zip(chart.lines, glyphs, strict=True):
        marker = glyph or ("braille" if unicode else "*")
        plotext.plot([at for at, _ in line.points], [value for _, value in line.points], marker=marker)
    plotext.xlim(chart.start, chart.end)
    plotext.ylim(chart.low, chart.high)
    plotext.xticks([at for at, _ in chart.across], [text for _, text in chart.across])
    plotext.yticks([value for value, _ in chart.up], [text for _, text in chart.up])
    text = plotext.uncolorize(plotext.build())
    lines = [line.rstrip() for line in text.splitlines()]
    if not unicode:
        lines = [line.translate(_PLAIN_FRAME) for line in lines]
    elif color:
        lines = [_painted(line, glyphs) for line in lines]
    return "".join(f"{line}\n" for line in lines)


def glyphs_of(chart: Chart, *, unicode: bool) -> tuple[str, ...]:
    """What each line is drawn with; a single one needs no glyph."""
    if len(chart.lines) == 1:
        return ("",)
    return tuple((GLYPHS if unicode else PLAIN_GLYPHS)[: len(chart.lines)])


def inner_width(width: int) -> int:
    """About how many columns are left for the picture itself."""
    return max(10, width - _MARGIN)


def _painted(line: str, glyphs: tuple[str, ...]) -> str:
    """The glyphs in their colours; labels, left of the frame, are left alone."""
    label, bar, picture = line.partition("┤") if "┤" in line else line.partition("│")
    if not bar:
        return line
    codes = dict(zip(glyphs, _COLORS, strict=False))
    runs = (("".join(run), codes.get(ch)) for ch, run in groupby(picture))
    return label + bar + "".join(f"\x1b[{code}m{run}\x1b[39m" if code else run for run, code in runs)
