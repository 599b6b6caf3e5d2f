"""One line over time as a picture of characters, with a title above it and marks below it.

Drawn anew for each size and each other content, never for each paint. Must never draw what was not measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Series
from opsctl.tui.widgets.lines import Lines, Piece
from opsctl.views.chart import Mark, chart, mark_row
from opsctl.views.rates import Points

_LEAST = 4  # lines that a picture needs
_LEAST_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn: `at_least` are values that the axis has in any case."""

    title: tuple[Piece, ...]
    points: Points
    start: datetime
    end: datetime
    step: timedelta
    unit: str = ""
    at_least: tuple[float, float] = (0.0, 0.0)
    marks: Sequence[Mark] = ()
    utc: bool = True
    tone: str = "accent"
    nothing: str = "not measured in this window"


class ChartView(Lines):
    """A picture that fills its place; it has no cursor."""

    pinned = 1
    show_cursor = False
    DEFAULT_CSS = "ChartView { overflow: hidden; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.can_focus = False
        self._picture: Picture | None = None
        self._rows: list[tuple[Piece, ...]] = []
        self._made: tuple[Picture | None, int, int] = (None, 0, 0)

    def show(self, picture: Picture) -> None:
        """Another picture."""
        self._picture = picture
        self._make()

    def on_resize(self) -> None:
        """Another place for it."""
        super().on_resize()
        self._make()

    def _make(self) -> None:
        picture, width, height = self._picture, self.size.width, self.size.height - self.pinned
        if picture is None or width <= 0 or (picture, width, height) == self._made:
            return
        self._made = (picture, width, height)
        self._rows = rows(picture, width, height)
        self.resized(len(self._rows))

    def pinned_pieces(self, index: int, width: int) -> Iterable[Piece]:
        """The title."""
        return self._picture.title if self._picture is not None else ()

    def pieces(self, index: int, width: int) -> Iterable[Piece]:
        """One line of the picture."""
        return self._rows[index]


def rows(picture: Picture, width: int, height: int) -> list[tuple[Piece, ...]]:
    """The picture in so many cells; its last line has the marks."""
    from opsctl.render.chart import draw, inner_width

    zone = UTC if picture.utc else None
    series = Series((), picture.points)
    made = chart(
        [series], picture.start, picture.end, picture.step, picture.unit, zone, inner_width(width),
        at_least=picture.at_least,
    )  # fmt: skip
    if made is None:
        return [((picture.nothing, "dim"),)]
    if width < _LEAST_WIDTH or height < _LEAST:
        return [(("no room for the picture", "dim"),)]
    lines = draw(made, width, height - 1, color=False, unicode=True).splitlines()
    first, last = frame(lines)
    out: list[tuple[Piece, ...]] = []
    for line in lines:
        inside = first >= 0 and len(line) > last and line[first] in "│┤"
        parts = (line[: first + 1], line[first + 1 : last], line[last:]) if inside else (line, "", "")
        out.append(((parts[0], "dim"), (parts[1], picture.tone), (parts[2], "dim")))
    if first >= 0:
        below = mark_row(picture.marks, made.start, made.end, last - first - 1)
        out.append(((" " * (first + 1), ""), (below, "warn")))
    return out


def frame(lines: Sequence[str]) -> tuple[int, int]:
    """The columns of the picture's left and right frame; −1 where it has none."""
    top = next((line for line in lines if "┌" in line and "┐" in line), None)
    return (top.index("┌"), top.rindex("┐")) if top is not None else (-1, -1)
