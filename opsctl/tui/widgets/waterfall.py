"""The waterfall of a trace: a line a row, drawn when it is seen, with its bar to scale over the trace's whole time.

`█` is where the trace waited for a span (its critical path), `░` where the span only ran; colour says the same again.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from opsctl.core.frozen import dataclass
from opsctl.render.text import clean, shortened
from opsctl.tui.tree import Tree
from opsctl.tui.widgets.grid import fitted
from opsctl.tui.widgets.lines import Lines, Piece
from opsctl.views.traces import WaterfallLine, bar, took

LEGEND: tuple[Piece, ...] = (("█ ", "accent"), ("critical path", ""), ("  ░ ran  ", "dim"))
_TIME = 8
_SERVICE = 16
_ROOMY = 92  # cells in which service and time on the path have columns of their own
_DEEPEST = 12  # levels that are drawn as an indent; the rest is said as a number
_NAME = 500  # characters of a name that are looked at
_BAR_OF_TEXT = 40


@dataclass(frozen=True, slots=True)
class Room:
    """How wide each part of a line is; a part without room is 0."""

    label: int
    service: int
    took: int
    path: int
    bar: int


def room_in(width: int) -> Room:
    """How a line so wide is divided."""
    service, path = (_SERVICE, _TIME) if width >= _ROOMY else (0, 0)
    rest = max(20, width - sum(part + 1 for part in (service, _TIME, path) if part) - 1)
    least = max(8, rest * 2 // 5)
    return Room(rest - least, service, _TIME, path, least)


def label_pieces(tree: Tree, place: int, line: WaterfallLine, room: Room) -> list[Piece]:
    """Indent, what is folded, glyph of an error, name, and what a folded line stands for."""
    levels = min(line.depth, _DEEPEST, max(2, room.label // 6))
    out: list[Piece] = [(" " * levels, "")]
    if line.depth > levels:
        out.append((f"{line.depth}› ", "dim"))
    hidden = line.spans - 1
    out.append(("▸ " if hidden else "", "accent"))
    if line.errors:
        out.append(("✖ ", "fail"))
    if not room.service and tree.enters(place):
        service = shortened(clean(line.service[:_NAME]), max(8, room.label // 3))
        out.append((f"{service or '(no service)'} ", "dim"))
    tone = "fail" if line.errors else "strong" if line.path_us else ""
    out.append((clean(line.name[:_NAME]) or "(no name)", tone))
    if line.count > 1:
        out.append((f" ×{line.count}", "accent"))
        out.append((f" {line.errors} failed" if line.errors else "", "fail"))
        out.append((f" p50 {took(line.median_us)} max {took(line.longest_us)}", "dim"))
    elif hidden:
        out.append((f" +{hidden}", "accent"))
    return out


def bar_pieces(line: WaterfallLine, total_us: int, width: int) -> list[Piece]:
    """The bar, each stretch with its tone."""
    tones = {"█": "fail" if line.errors else "accent", "░": "dim"}
    drawn = bar(line.stretches, total_us, width)
    return [("".join(cells), tones.get(glyph, "")) for glyph, cells in groupby(drawn)]


def ruler(total_us: int, width: int) -> str:
    """The trace's time over a bar of so many cells: its begin, its end, and what fits between."""
    cells = [" "] * width
    end = took(total_us)
    marks = [(0, "0"), (max(0, width - len(end)), end)] if width > len(end) + 1 else [(0, end[:width])]
    if total_us > 0:
        marks += [(width * part // 4, f"╵{took(total_us * part // 4)}") for part in (2, 1, 3)]
    for at, text in marks:
        fits = at + len(text) <= width and all(cell == " " for cell in cells[max(0, at - 1) : at + len(text) + 1])
        if fits:
            cells[at : at + len(text)] = text
    return "".join(cells)


class WaterfallLines(Lines):
    """Rows of a `Tree` under a ruler."""

    pinned = 1

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.shown: Tree | None = None
        self.made = 0  # lines that were laid out so far

    def show(self, tree: Tree | None, cursor: int = 0) -> None:
        """Another trace, or the same with other rows."""
        self.shown = tree
        self.resized(len(tree.rows) if tree else 0, cursor)
        self.see(self.cursor)

    def pinned_pieces(self, index: int, width: int) -> Iterable[Piece]:
        """What the columns are, and the time over the bars."""
        if self.shown is None:
            return ()
        room = room_in(width)
        out = fitted([("span", "head")], room.label, right=False)
        if room.service:
            out += [(" ", ""), *fitted([("service", "head")], room.service, right=False)]
        out += [(" ", ""), *fitted([("took", "head")], room.took, right=True)]
        if room.path:
            out += [(" ", ""), *fitted([("on path", "head")], room.path, right=True)]
        return [*out, (" ", ""), (ruler(self.shown.trace.duration_us, room.bar), "head")]

    def pieces(self, index: int, width: int) -> Iterable[Piece]:
        """One row."""
        if self.shown is None:
            return ()
        self.made += 1
        return row_pieces(self.shown, index, room_in(width))


def row_pieces(tree: Tree, place: int, room: Room) -> list[Piece]:
    """One row in exactly that room."""
    line = tree.line(place)
    out = fitted(label_pieces(tree, place, line, room), room.label, right=False)
    if room.service:
        out += [(" ", ""), *fitted([(clean(line.service[:_NAME]) or "(no service)", "dim")], room.service, right=False)]
    out += [(" ", ""), *fitted([(took(line.duration_us), "")], room.took, right=True)]
    if room.path:
        waited = took(line.path_us) if line.path_us else ""
        out += [(" ", ""), *fitted([(waited, "accent")], room.path, right=True)]
    return [*out, (" ", ""), *bar_pieces(line, tree.trace.duration_us, room.bar)]


def as_text(tree: Tree) -> list[list[str]]:
    """Head and every row as it is folded, for a file."""
    head = ["span", "service", "took", "on path", "spans", "errors", ruler(tree.trace.duration_us, _BAR_OF_TEXT)]
    out = [head]
    for place in range(len(tree.rows)):
        line = tree.line(place)
        label = label_pieces(tree, place, line, Room(200, _SERVICE, _TIME, _TIME, _BAR_OF_TEXT))
        out.append(
            [
                "".join(text for text, _ in label),
                clean(line.service),
                took(line.duration_us),
                took(line.path_us) if line.path_us else "",
                str(line.spans),
                str(line.errors),
                bar(line.stretches, tree.trace.duration_us, _BAR_OF_TEXT).rstrip(),
            ]
        )
    return out
