"""A table of any length: columns with priorities, the cursor kept by key, not by row number.

Rows are asked for when they are seen; widths are measured on a sample. Must never parse a cell as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Union, overload

from rich.cells import cell_len, set_cell_size

from opsctl.core.frozen import dataclass
from opsctl.render.text import clean
from opsctl.tui.widgets.lines import Lines, Piece

Cell = Union[str, Piece, tuple[Piece, ...]]
"""A text with the row's tone, one with its own, or several."""
_SAMPLE = 300  # rows that widths are measured on
_LAZY_SAMPLE = 40
_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `priority` 0 always stays; of the others the highest goes first where there is no room.

    `grow` takes what is left; `most` bounds the width; `least` holds it wide.
    """

    key: str
    title: str = ""
    right: bool = False
    priority: int = 0
    grow: bool = False
    most: int = 60
    least: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `cells` in the order of the columns, each a text or pieces with tones; `tone` is that of plain ones."""

    key: str
    cells: tuple[Cell, ...]
    tone: str = ""


class LazyRows(Sequence[Row]):
    """Rows that are made when somebody looks at them: thousands of them cost nothing."""

    def __init__(self, keys: Sequence[str], make: Callable[[int], Row]) -> None:
        self.keys = keys
        self._make = make
        self._made: dict[int, Row] = {}

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = self._made.get(index)
        if row is None:
            row = self._made[index] = self._make(range(len(self))[index])
        return row


class Grid(Lines):
    """Rows under a pinned head."""

    pinned = 1

    def __init__(self, *, id: str | None = None, empty: str = "") -> None:
        super().__init__(id=id)
        self.columns: tuple[Column, ...] = ()
        self.rows: Sequence[Row] = ()
        self.empty = empty  # what is said where there is no row
        self._widths: tuple[int, ...] = ()
        self._shown: tuple[int, ...] = ()  # columns that there is room for
        self._measured = 0  # the width that they were fitted into

    def show(self, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        """Other rows; the cursor stays on its key where that is still there."""
        key, place = self.key, self.cursor
        self.columns, self.rows = tuple(columns), rows
        self._widths = self._natural()
        self._measured = 0
        found = _place(rows, key) if key else None
        self.resized(len(rows), place if found is None else found)

    @property
    def key(self) -> str:
        """The key of the row that the cursor is on; "" where there is none."""
        return self.rows[self.cursor].key if 0 <= self.cursor < len(self.rows) else ""

    def go_to(self, key: str) -> bool:
        """Put the cursor on a row; false where there is no such row."""
        found = _place(self.rows, key)
        if found is not None:
            self.cursor = found
        return found is not None

    def pinned_pieces(self, index: int, width: int) -> Iterable[Piece]:
        """The head; what is said instead of rows stands below it."""
        if not self.rows and self.empty:
            return [(self.empty, "dim")]
        self._fit(width)
        return self._laid([[(column.title, "head")] for column in self.columns])

    def pieces(self, index: int, width: int) -> Iterable[Piece]:
        """One row."""
        self._fit(width)
        row = self.rows[index]
        return self._laid([_pieces(cell, row.tone) for cell in row.cells])

    def _laid(self, cells: Sequence[Sequence[Piece]]) -> list[Piece]:
        out: list[Piece] = []
        for place in self._shown:
            column, width = self.columns[place], self._widths_now[place]
            cell = cells[place] if place < len(cells) else ()
            out += fitted([(clean(text), tone) for text, tone in cell], width, column.right)
            out.append((" " * _GAP, ""))
        return out

    def _natural(self) -> tuple[int, ...]:
        sample = self._sample()
        out = []
        for place, column in enumerate(self.columns):
            widest = max((_wide(row.cells[place]) for row in sample if place < len(row.cells)), default=0)
            out.append(min(max(column.least, cell_len(column.title), widest), column.most))
        return tuple(out)

    def _sample(self) -> Sequence[Row]:
        """Rows that tell the widths; of lazy ones the first, which are seen, and a few of the others."""
        if isinstance(self.rows, LazyRows):
            return [*self.rows[:_LAZY_SAMPLE], *self.rows[_LAZY_SAMPLE :: max(1, len(self.rows) // _LAZY_SAMPLE)]]
        return self.rows[:: max(1, len(self.rows) // _SAMPLE)]

    def _fit(self, width: int) -> None:
        """Which columns there is room for, and how wide each is."""
        if self._measured == width:
            return
        self._measured = width
        shown = list(range(len(self.columns)))

        def needed() -> int:
            return sum((self.columns[i].least if self.columns[i].grow else self._widths[i]) + _GAP for i in shown)

        while len(shown) > 1 and needed() > width and any(self.columns[i].priority for i in shown):
            shown.remove(max(reversed(shown), key=lambda i: self.columns[i].priority))
        self._shown = tuple(shown)
        widths = list(self._widths)
        growing = [i for i in shown if self.columns[i].grow]
        fixed = sum(widths[i] + _GAP for i in shown if i not in growing)
        for i in growing:
            widths[i] = max(self.columns[i].least, (width - fixed) // len(growing) - _GAP)
        self._widths_now = tuple(widths)

    _widths_now: tuple[int, ...] = ()

    # -- for export and copying

    def as_text(self) -> list[list[str]]:
        """Head and every row, cleaned."""
        head = [column.title for column in self.columns]
        return [head, *([clean(_plain(cell)) for cell in row.cells] for row in self.rows)]


def _place(rows: Sequence[Row], key: str) -> int | None:
    """Where the row of that key is; no row is made to find it."""
    if isinstance(rows, LazyRows):
        return rows.keys.index(key) if key in rows.keys else None
    return next((i for i, row in enumerate(rows) if row.key == key), None)


def _pieces(cell: Cell, tone: str = "") -> list[Piece]:
    """What a cell is made of; a bare text has the row's tone."""
    if isinstance(cell, str):
        return [(cell, tone)]
    out: list[Piece] = []
    if len(cell) == 2 and isinstance(cell[0], str) and isinstance(cell[1], str):
        return [(cell[0], cell[1])]
    for piece in cell:
        if isinstance(piece, tuple):
            out.append(piece)
    return out


def _plain(cell: Cell) -> str:
    return "".join(text for text, _ in _pieces(cell))


def _wide(cell: Cell) -> int:
    return cell_len(clean(_plain(cell)))


def fitted(pieces: list[Piece], width: int, right: bool) -> list[Piece]:
    """Pieces in exactly so many cells; what is too long ends in `…`."""
    total = sum(cell_len(text) for text, _ in pieces)
    if total <= width:
        pad = (" " * (width - total), "")
        return [pad, *pieces] if right else [*pieces, pad]
    out: list[Piece] = []
    left = max(0, width - 1)
    for text, tone in pieces:
        size = cell_len(text)
        if size > left:
            out.append((set_cell_size(text, left) + "…", tone))
            break
        out.append((text, tone))
        left -= size
    else:
        out.append(("…", ""))
    return out
