"""Rows as people and programs read them: an aligned table on a terminal, tab-separated lines elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TextIO

from opsctl.core.frozen import dataclass
from opsctl.render.text import clean, shortened

_GAP = 2
_NARROW = 36  # columns; less than this is no place for a sentence
_BARELY = 8  # columns for a sentence, however narrow the terminal says it is
_BELOW = "    "
STYLES = {"✔": "green", "!": "yellow", "✖": "bold red", "?": "magenta", "~": "dim"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `right` aligns numbers, `wrap` lets the text take the room that is left.

    `most` is how many characters of a cell a table shows; 0 is all of them.
    """

    name: str
    right: bool = False
    wrap: bool = False
    most: int = 0


def write_rows(
    out: TextIO, columns: Sequence[Column], rows: Iterable[Sequence[str]], *, table: bool, color: bool
) -> None:
    """Write `rows` (text from anywhere; it is cleaned here) as a table or as tab-separated lines with a header."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if table:
        shown = [[_cut(cell, column) for cell, column in zip(row, columns, strict=True)] for row in cells]
        out.write(_table(columns, shown, color=color))
        return
    out.write("\t".join(column.name.lower().replace(" ", "_") for column in columns) + "\n")
    for row in cells:
        out.write("\t".join(row) + "\n")


def _cut(cell: str, column: Column) -> str:
    return shortened(cell, column.most) if column.most else cell


def _table(columns: Sequence[Column], rows: list[list[str]], *, color: bool) -> str:
    """As rich draws it; where the last, wrapping column would get too narrow it goes below its row instead."""
    from rich.cells import cell_len

    widest = [max([len(column.name), *(cell_len(row[i]) for row in rows)]) for i, column in enumerate(columns)]
    fixed = sum(width + _GAP for width, column in zip(widest, columns, strict=True) if not column.wrap)
    narrow = columns[-1].wrap and len(columns) > 2 and widest[-1] > _width() - fixed < _NARROW
    if not narrow:
        return _drawn(columns, rows, color=color)
    head, *lines = _drawn(columns[:-1], [row[:-1] for row in rows], color=color).splitlines()
    out = [head]
    for line, row in zip(lines, rows, strict=True):
        out.append(line)
        out += (_BELOW + part for part in _wrapped(row[-1], _width() - len(_BELOW)))
    return "\n".join(out) + "\n"


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most so many columns: a Chinese character takes two."""
    from rich.console import Console
    from rich.text import Text

    lines = Text(" ".join(text.split())).wrap(Console(file=io.StringIO()), max(width, _BARELY), overflow="fold")
    return [line.plain.rstrip() for line in lines if line.plain.strip()]


def _drawn(columns: Sequence[Column], rows: list[list[str]], *, color: bool) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            no_wrap=not column.wrap,
            overflow="fold" if column.wrap else "ellipsis",
        )
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell[:1], "")) for cell in row))
    buffer = io.StringIO()
    console = Console(
        file=buffer, force_terminal=color, color_system="standard" if color else None, highlight=False, width=_width()
    )
    console.print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((120, 40)).columns
