"""A few lines that are as high as they are many: conditions, a state, bars. Drawn as pieces, never parsed as markup."""

from __future__ import annotations

from collections.abc import Sequence

from textual.strip import Strip
from textual.widget import Widget

from opsctl.tui.widgets.header import strip_of
from opsctl.tui.widgets.lines import Piece


class Rows(Widget):
    """Shows the lines that it is given; with none it takes no room."""

    DEFAULT_CSS = "Rows { height: auto; display: none; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: Sequence[Sequence[Piece]] = ()

    def show(self, lines: Sequence[Sequence[Piece]]) -> None:
        """Other lines; nothing is drawn where they are the same."""
        if lines == self.lines:
            return
        if len(lines) != len(self.lines):
            self.display = bool(lines)
            self.styles.height = len(lines) or 1
        self.lines = lines
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One of them, cut where there is no room."""
        if y >= len(self.lines):
            return Strip.blank(self.size.width, self.rich_style)
        return strip_of(self.lines[y], self.size.width, self.app.theme, self.rich_style)
