"""What is said over everything where the terminal is too small to read anything else."""

from __future__ import annotations

from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from opsctl.tui.widgets.header import strip_of
from opsctl.tui.widgets.prose import wrapped

LEAST = Size(40, 10)
WANTED = "60×16"


class Small(Widget):
    """Covers the screen below 40×10."""

    DEFAULT_CSS = "Small { layer: above; width: 100%; height: 100%; display: none; background: $background; }"

    def __init__(self) -> None:
        super().__init__(id="too-small")

    def show(self, size: Size) -> None:
        """Whether it is."""
        self.display = size.width < LEAST.width or size.height < LEAST.height
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """What is needed; on the last line how to leave."""
        size = self.size
        text = f"{size.width} columns × {size.height} lines: opsctl needs {WANTED}"
        rows = wrapped(((text, "warn"),), max(1, size.width), indent=0)
        if y == size.height - 1 and y >= len(rows):
            rows = [*rows, *[()] * (y - len(rows)), (("q leaves", "dim"),)]
        return strip_of(rows[y] if y < len(rows) else (), size.width, self.app.theme, self.rich_style)
