"""A list of any length with a cursor: only the lines that are on the screen are made.

Text is drawn as segments, which nothing parses as markup; what comes from outside is cleaned here. Must never measure
or make a line that is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from opsctl.render.text import clean
from opsctl.tui.tones import style

Piece = tuple[str, str]
"""A text (from anywhere) and its tone."""
_KEPT_LINES = 512


class Lines(ScrollView, can_focus=True):
    """`count` lines; a subclass says what a line is made of, and may pin `pinned` lines on top."""

    DEFAULT_CSS = """
    Lines { background: $background; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; height: 1fr; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("j,down", "move(1)", "down", show=False, id="list.down"),
        Binding("k,up", "move(-1)", "up", show=False, id="list.up"),
        Binding("g,home", "to_start", "first", show=False, id="list.first"),
        Binding("G,end", "to_end", "last", show=False, id="list.last"),
        Binding("ctrl+d,pagedown", "page(1)", "page down", show=False, id="list.page-down"),
        Binding("ctrl+u,pageup", "page(-1)", "page up", show=False, id="list.page-up"),
        Binding("h,left", "sideways(-8)", "left", show=False, id="list.left"),
        Binding("l,right", "sideways(8)", "right", show=False, id="list.right"),
        Binding("enter", "open", "open", id="list.open"),
    ]
    cursor: reactive[int] = reactive(0, repaint=False)
    pinned = 0
    show_cursor = True

    class Moved(Message):
        """The cursor is on another line."""

        def __init__(self, lines: Lines) -> None:
            super().__init__()
            self.lines = lines

        @property
        def control(self) -> Lines:
            """The list."""
            return self.lines

        def can_replace(self, message: Message) -> bool:
            """Of several moves only the last one matters."""
            return isinstance(message, Lines.Moved) and message.lines is self.lines

    class Opened(Message):
        """Enter, or a click on the line that the cursor is on."""

        def __init__(self, lines: Lines) -> None:
            super().__init__()
            self.lines = lines

        @property
        def control(self) -> Lines:
            """The list."""
            return self.lines

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.count = 0
        self._drawn: LRUCache[tuple[int, int, int], Strip] = LRUCache(_KEPT_LINES)

    # -- what a subclass says

    def pieces(self, index: int, width: int) -> Iterable[Piece]:
        """What line `index` is made of, in a window `width` cells wide."""
        raise NotImplementedError

    def pinned_pieces(self, index: int, width: int) -> Iterable[Piece]:
        """What a pinned line is made of."""
        return ()

    # -- changing

    def resized(self, count: int, cursor: int | None = None, *, wide: int = 0) -> None:
        """There are so many lines now, `wide` cells the widest (0: as wide as the window); all are drawn anew."""
        self.count = count
        self.redraw()
        self.virtual_size = Size(wide or self.scrollable_content_region.width, count + self.pinned)
        self.cursor = min(max(0, self.cursor if cursor is None else cursor), max(0, count - 1))
        self.refresh()

    def redraw(self) -> None:
        """What lines are made of has changed."""
        self._drawn.clear()
        self.refresh()

    def watch_cursor(self, before: int, after: int) -> None:
        """Keep the cursor in sight."""
        if not self.is_mounted:
            return
        for index in (before, after):
            self._refresh_line(index)
        self.see(after)
        self.post_message(self.Moved(self))

    def see(self, index: int) -> None:
        """Scroll as little as it takes to show a line."""
        top, height = round(self.scroll_offset.y), self._room
        if index < top:
            self.scroll_to(y=index, animate=False)
        elif index >= top + height:
            self.scroll_to(y=index - height + 1, animate=False)

    @property
    def _room(self) -> int:
        return max(1, self.scrollable_content_region.height - self.pinned)

    def _refresh_line(self, index: int) -> None:
        y = index - round(self.scroll_offset.y) + self.pinned
        if self.pinned <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    # -- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the window."""
        width = self.size.width
        theme = self.app.theme
        if y < self.pinned:
            return self._strip(self.pinned_pieces(y, width), width, theme, style(theme, "head"), 0)
        index = round(self.scroll_offset.y) + y - self.pinned
        if not 0 <= index < self.count:
            return Strip.blank(width, self.rich_style)
        at = self.show_cursor and index == self.cursor
        key = (index, width, round(self.scroll_offset.x) * 4 + at * 2 + self.has_focus)
        drawn = self._drawn.get(key)
        if drawn is None:
            extra = style(theme, "cursor") if at else Style.null()
            drawn = self._strip(self.pieces(index, width), width, theme, extra, round(self.scroll_offset.x))
            self._drawn[key] = drawn
        return drawn

    def _strip(self, pieces: Iterable[Piece], width: int, theme: str, extra: Style, left: int) -> Strip:
        base = self.rich_style
        segments = [Segment(clean(text), base + style(theme, tone) + extra) for text, tone in pieces if text]
        strip = Strip(segments)
        return strip.crop_extend(left, left + width, base + extra)

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        self._drawn.clear()

    # -- keys and mouse

    def action_move(self, by: int) -> None:
        """Up or down."""
        self.cursor = min(max(0, self.cursor + by), max(0, self.count - 1))

    def action_page(self, by: int) -> None:
        """A window up or down."""
        self.action_move(by * max(1, self._room - 1))

    def action_to_start(self) -> None:
        """The first line."""
        self.cursor = 0

    def action_to_end(self) -> None:
        """The last line."""
        self.cursor = max(0, self.count - 1)

    def action_sideways(self, by: int) -> None:
        """Left or right, where lines are wider than the window."""
        self.scroll_to(x=max(0, round(self.scroll_offset.x) + by), animate=False)

    def action_open(self) -> None:
        """What the cursor is on."""
        if self.count:
            self.post_message(self.Opened(self))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; a second click opens."""
        index = round(self.scroll_offset.y) + event.y - self.pinned
        if event.y < self.pinned or not 0 <= index < self.count:
            return
        if index == self.cursor and event.chain > 1:
            self.action_open()
        self.cursor = index

    def on_resize(self) -> None:
        """Lines have another width."""
        self._drawn.clear()
        self.see(self.cursor)
