"""A line of words of which one is on: the tabs of a half of a screen; a click chooses another, and so do h and l in the
table above it.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from opsctl.tui.tones import style
from opsctl.tui.widgets.grid import Grid


class TabbedGrid(Grid):
    """A table over tabs: its rows have no more to the side, so left and right turn the tabs."""

    class Turned(Message):
        """Left (-1) or right (1)."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    def action_sideways(self, by: int) -> None:
        """Another tab."""
        self.post_message(self.Turned(1 if by > 0 else -1))


class Choices(Widget):
    """Words of ours (nothing from outside), the one that is on reversed and in brackets."""

    DEFAULT_CSS = "Choices { height: 1; width: 1fr; }"

    class Chosen(Message):
        """A word was clicked on."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, names: Sequence[str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.names = tuple(names)
        self.active = self.names[0]

    def choose(self, name: str) -> None:
        """Another one is on."""
        self.active = name
        self.refresh()

    def turned(self, by: int) -> str:
        """The one so many further, from the last to the first."""
        return self.names[(self.names.index(self.active) + by) % len(self.names)]

    def _parts(self) -> list[tuple[str, str]]:
        return [(name, f"[{name}]" if name == self.active else f" {name} ") for name in self.names]

    def render_line(self, y: int) -> Strip:
        """All of them; where there is no room, from the one that is on."""
        base, theme = self.rich_style, self.app.theme
        segments = [
            Segment(text, base + style(theme, "strong") + Style(reverse=True) if name == self.active
                    else base + style(theme, "dim"))
            for name, text in self._visible()
        ]  # fmt: skip
        return Strip(segments).crop_extend(0, self.size.width, base)

    def _visible(self) -> list[tuple[str, str]]:
        parts = self._parts()
        while len(parts) > 1 and parts[0][0] != self.active and sum(cell_len(t) for _, t in parts) > self.size.width:
            parts.pop(0)
        return parts

    def on_click(self, event: events.Click) -> None:
        """Choose what was clicked on."""
        x = 0
        for name, text in self._visible():
            x += cell_len(text)
            if event.x < x:
                self.post_message(self.Chosen(name))
                return
