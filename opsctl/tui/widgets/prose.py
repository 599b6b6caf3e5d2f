"""Lines of any text that fit the window by wrapping: evidence, details, a plan. Scrolled, never parsed as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, chop_cells

from opsctl.render.text import clean
from opsctl.tui.widgets.lines import Lines, Piece

Paragraph = tuple[Piece, ...]


class Prose(Lines):
    """Paragraphs; a long one goes on below, moved to the right."""

    DEFAULT_CSS = "Prose { scrollbar-gutter: stable; }"  # what is wrapped has room beside a bar that comes later

    def __init__(self, *, id: str | None = None, cursor: bool = False) -> None:
        super().__init__(id=id)
        self.can_focus = self.show_cursor = cursor
        self._paragraphs: Sequence[Paragraph] = ()
        self._rows: list[Paragraph] = []
        self._wrapped_at = 0

    def show(self, paragraphs: Iterable[Paragraph | str]) -> None:
        """Other text."""
        self._paragraphs = [((one, ""),) if isinstance(one, str) else one for one in paragraphs]
        self._wrapped_at = 0
        self._wrap()

    def _wrap(self) -> None:
        width = self.scrollable_content_region.width or self.size.width
        if width <= 0 or width == self._wrapped_at:
            return
        self._wrapped_at = width
        self._rows = [row for one in self._paragraphs for row in wrapped(one, width)]
        self.resized(len(self._rows))

    def on_resize(self) -> None:
        """Wrap anew."""
        super().on_resize()
        self._wrap()

    def pieces(self, index: int, width: int) -> Iterable[Piece]:
        """One row."""
        return self._rows[index]

    def as_text(self) -> list[list[str]]:
        """Every paragraph, cleaned."""
        return [["".join(clean(text) for text, _ in one)] for one in self._paragraphs]


def wrapped(paragraph: Paragraph, width: int, indent: int = 2) -> list[Paragraph]:
    """A paragraph in rows of at most so many cells, broken at spaces where that can be."""
    rows: list[list[Piece]] = [[]]
    room = width
    for text, tone in paragraph:
        for word in _words(clean(text)):
            size = cell_len(word)
            if size > room and rows[-1]:
                rows.append([(" " * indent, "")])
                room = width - indent
                word = word.lstrip(" ")
                size = cell_len(word)
            while size > room > 0:  # longer than a whole row
                # No more than it takes, since a word may be very long; and no less than one, however narrow it is.
                first = next((part for part in chop_cells(word[:room], room) if part), word[:1])
                rows[-1].append((first, tone))
                rows.append([(" " * indent, "")])
                word, size = word[len(first) :], size - cell_len(first)
                room = max(1, width - indent)
            rows[-1].append((word, tone))
            room -= size
    return [tuple(row) for row in rows]


def _words(text: str) -> list[str]:
    """The text in parts that each begin with the spaces before them."""
    out: list[str] = []
    start = 0
    for i in range(1, len(text)):
        if text[i] == " " and text[i - 1] != " ":
            out.append(text[start:i])
            start = i
    out.append(text[start:])
    return out
