"""A few lines above a list: what it is of, and what is wrong with it. Wrapped, as high as it needs to be, no keys."""

from __future__ import annotations

from collections.abc import Iterable

from textual.strip import Strip
from textual.widget import Widget

from opsctl.tui.widgets.grid import fitted
from opsctl.tui.widgets.header import strip_of
from opsctl.tui.widgets.prose import Paragraph, wrapped


class Said(Widget):
    """At most `most` lines, and a fifth of the terminal; nothing at all where nothing is said."""

    DEFAULT_CSS = "Said { height: 0; width: 1fr; }"

    def __init__(self, *, id: str | None = None, most: int = 4) -> None:
        super().__init__(id=id)
        self._most = most
        self._paragraphs: tuple[Paragraph, ...] = ()
        self._rows: list[Paragraph] = []

    def show(self, paragraphs: Iterable[Paragraph]) -> None:
        """Other lines."""
        paragraphs = tuple(one for one in paragraphs if one)
        if paragraphs != self._paragraphs:
            self._paragraphs = paragraphs
            self._wrap()

    def _wrap(self) -> None:
        width = max(10, self.size.width or self.app.size.width)
        most = min(self._most, max(1, self.app.size.height // 5))
        self._rows = [row for one in self._paragraphs for row in wrapped(one, width)]
        left_out = len(self._rows) - most
        if left_out > 0:
            more = f" (+{left_out} lines)"
            last = fitted(list(self._rows[most - 1]), width - len(more), right=False)
            self._rows[most - 1 :] = [(*last, (more, "dim"))]
        self.styles.height = len(self._rows)
        self.refresh()

    def on_resize(self) -> None:
        """Wrap anew."""
        if self._paragraphs:
            self._wrap()

    def render_line(self, y: int) -> Strip:
        """One of them."""
        row: Paragraph = self._rows[y] if y < len(self._rows) else ()
        return strip_of(row, self.size.width, self.app.theme, self.rich_style)

    def as_text(self) -> list[str]:
        """Every line."""
        return ["".join(text for text, _ in row) for row in self._rows]
