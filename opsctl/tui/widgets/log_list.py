"""The lines of a log as a list that follows its end, or stays where a person reads while more comes.

Costs what is seen and what is new, never what is kept. Must never move what a person reads because lines came or went.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from opsctl.core.logs import LogRecord
from opsctl.tui.log_ring import Picked, Ring, Test
from opsctl.tui.log_rows import COLUMNS, Look, head_pieces, line_pieces, wrapped_rows
from opsctl.tui.tones import style
from opsctl.tui.widgets.lines import Lines, Piece

WRAPPED_ROWS = 12  # of one line
NEAR_START = 200  # lines from the first one: more are asked for
SIDEWAYS = 16


class LogList(Lines):
    """Shows `picked`; `following` keeps the cursor on the newest line."""

    pinned = 1
    BINDINGS: ClassVar[list[Any]] = [
        Binding("h,left", "column(-1)", "left", show=False, id="list.left"),
        Binding("l,right", "column(1)", "right", show=False, id="list.right"),
    ]

    class NearStart(Message):
        """The cursor comes near the oldest line that is there."""

    class Followed(Message):
        """A person went away from the end, or came back to it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.picked = Picked(Ring(1))
        self.look = Look()
        self.following = True
        self.wrap = False
        self.frozen = False
        self.empty = ""  # what is said where there is no line
        self._number: int | None = None  # of the line that the cursor is on
        self._layout: list[tuple[int, list[Piece]]] = []  # wrapped: the line of each row of the window, and the row
        self._laid: tuple[int, int, int, int] | None = None

    # -- what it shows

    def show(self, picked: Picked, *, keep: LogRecord | None = None) -> None:
        """Other lines; the cursor goes on to the line `keep` where that is among them, else to the end."""
        same, self.picked = picked.ring is self.picked.ring, picked
        place = None
        if keep is not None and not self.following:
            place = self._place_of(keep, same)
            self.following = place is None
        self._number = picked.number(place) if place is not None else None
        self._settle(None)

    def _place_of(self, keep: LogRecord, same: bool) -> int | None:
        picked = self.picked
        if same and self._number is not None:
            place = picked.place(self._number)
            return place if place < len(picked) and picked.number(place) == self._number else None
        return picked.find(len(picked), -1, lambda record: record.id == keep.id)

    def grown(self) -> None:
        """The ring changed: show what is new, forget what is gone, stay where the person reads."""
        top = round(self.scroll_offset.y)
        before = self.picked.number(top) if 0 <= top < len(self.picked) else None
        self.picked.catch_up(newer=not self.frozen)
        self._settle(before)

    def _settle(self, top: int | None) -> None:
        """Cursor and window after a change; `top` is the number of the line that was first in the window."""
        count = len(self.picked)
        cursor = count - 1 if self.following or self._number is None else self.picked.place(self._number)
        self.count = count
        self.redraw()
        height = count + self.pinned + (max(0, self._room - 1) if self.wrap else 0)
        self.virtual_size = Size(self.scrollable_content_region.width, height)
        self.cursor = min(max(0, cursor), max(0, count - 1))
        self._note()
        if top is not None and not self.following:
            self.scroll_to(y=self.picked.place(top), animate=False)
        else:
            self.see(self.cursor)

    def _note(self) -> None:
        self._number = self.picked.number(self.cursor) if self.cursor < len(self.picked) else None

    def restyle(self, **changes: Any) -> None:
        """Another look; nothing is drawn where it is the same."""
        look = replace(self.look, **changes)
        if look != self.look:
            self.look = look
            self.redraw()

    @property
    def record(self) -> LogRecord | None:
        """The line that the cursor is on."""
        return self.picked[self.cursor] if self.cursor < len(self.picked) else None

    def go_to(self, test: Test, by: int) -> bool:
        """The next line forwards or backwards that fits; false where there is none."""
        place = self.picked.find(self.cursor, by, test)
        if place is None:
            return False
        self._moved_to(place)
        return True

    def turn_wrap(self) -> None:
        """Whole messages over several rows, or one row each."""
        self.wrap = not self.wrap
        self.look = replace(self.look, sideways=0)
        self._settle(None)

    # -- moving

    def watch_cursor(self, before: int, after: int) -> None:
        """The line is what is kept, not its place."""
        super().watch_cursor(before, after)
        self._note()

    def _moved_to(self, place: int) -> None:
        """A person's move: away from the end it stops following."""
        place = min(max(0, place), max(0, self.count - 1))
        self._follow(place >= self.count - 1)
        self.cursor = place
        self._note()
        if place < NEAR_START:
            self.post_message(self.NearStart())

    def _follow(self, on: bool) -> None:
        if on != self.following:
            self.following = on
            self.post_message(self.Followed())

    def action_move(self, by: int) -> None:
        """Up or down."""
        self._moved_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """A window up or down."""
        if not self.wrap:
            super().action_page(by)
            return
        rows = self._rows()
        self.action_move(by * max(1, rows[-1][0] - rows[0][0]) if rows else 0)

    def action_to_start(self) -> None:
        """The oldest line that is there."""
        self._moved_to(0)

    def action_to_end(self) -> None:
        """The newest line, and on with it."""
        self._moved_to(self.count - 1)
        self.see(self.cursor)

    def action_column(self, by: int) -> None:
        """The next column; in the message, to its left or right."""
        look = self.look
        if look.column == "message" and (by > 0 or look.sideways > 0):
            if not self.wrap:
                self.restyle(sideways=max(0, look.sideways + by * SIDEWAYS))
            return
        place = min(max(1, COLUMNS.index(look.column) + by), len(COLUMNS) - 1)
        self.restyle(column=COLUMNS[place])

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Reading what is above stops following."""
        self._follow(False)
        if round(self.scroll_offset.y) < NEAR_START:
            self.post_message(self.NearStart())

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; a second click opens."""
        index = self._index_at(event.y)
        if index is None:
            return
        if index == self.cursor and event.chain > 1:
            self.action_open()
        self._moved_to(index)

    # -- drawing

    def pinned_pieces(self, index: int, width: int) -> Iterable[Piece]:
        """The names of the columns; what is said instead of lines stands in their place."""
        if not self.count and self.empty:
            return [(self.empty, "dim")]
        return head_pieces(self.look)

    def pieces(self, index: int, width: int) -> Iterable[Piece]:
        """One line."""
        return line_pieces(self.picked[index], self.look, width)

    def render_line(self, y: int) -> Strip:
        """One row of the window."""
        if not self.wrap or y < self.pinned:
            return super().render_line(y)
        rows = self._rows()
        width = self.size.width
        if y - self.pinned >= len(rows):
            return Strip.blank(width, self.rich_style)
        index, row = rows[y - self.pinned]
        at = index == self.cursor
        theme = self.app.theme
        extra = style(theme, "cursor") if at else Style.null()
        return self._strip(row, width, theme, extra, 0)

    def _wrapped(self, index: int) -> list[list[Piece]]:
        most = max(1, min(WRAPPED_ROWS, self._room))
        return wrapped_rows(self.picked[index], self.look, self.size.width, most)

    def _rows(self) -> list[tuple[int, list[Piece]]]:
        """Which line each row of the window is of, and the row."""
        top = round(self.scroll_offset.y)
        laid = (top, self.size.width, self.size.height, self.count)
        if laid != self._laid:
            self._laid, self._layout = laid, []
            index = top
            while index < self.count and len(self._layout) < self._room:
                self._layout += [(index, row) for row in self._wrapped(index)]
                index += 1
        return self._layout

    def redraw(self) -> None:
        """What lines are made of has changed."""
        self._laid = None
        super().redraw()

    def see(self, index: int) -> None:
        """Scroll as little as it takes to show a line, wrapped or not."""
        if not self.wrap or not self.count:
            super().see(index)
            return
        top = round(self.scroll_offset.y)
        if index < top:
            self.scroll_to(y=index, animate=False)
            return
        left, first = self._room, index
        while first >= 0 and (left := left - len(self._wrapped(first))) >= 0 and first > top:
            first -= 1
        if first > top or left < 0:
            self.scroll_to(y=min(index, first + 1 if left < 0 else first), animate=False)

    def _refresh_line(self, index: int) -> None:
        if self.wrap:
            self.refresh()
        else:
            super()._refresh_line(index)

    def _index_at(self, y: int) -> int | None:
        """The line at a row of the window."""
        if y < self.pinned:
            return None
        if self.wrap:
            rows = self._rows()
            return rows[y - self.pinned][0] if y - self.pinned < len(rows) else None
        index = round(self.scroll_offset.y) + y - self.pinned
        return index if index < self.count else None
