"""One whole record: every field, JSON folded or unfolded; and the table of patterns. Both are closed with esc."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.binding import Binding
from textual.message import Message

from opsctl.core.logs import LogRecord
from opsctl.render.text import clean
from opsctl.tui.log_record import RecordRow, record_rows
from opsctl.tui.widgets.grid import Grid
from opsctl.tui.widgets.lines import Lines, Piece


class Closed(Message):
    """What lay over the lines goes away."""


class RecordView(Lines):
    """The fields of one line."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape", "close", "back to the lines", id="logs.close-record"),
        Binding("z", "fold", "fold / unfold", id="logs.fold"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.record: LogRecord | None = None
        self._rows: list[RecordRow] = []
        self._folded: frozenset[str] = frozenset()
        self._utc = True
        self._phrases: tuple[str, ...] = ()

    def show(self, record: LogRecord, *, utc: bool, phrases: tuple[str, ...]) -> None:
        """Another record; the message is unfolded, all other JSON is folded."""
        self.record, self._utc, self._phrases = record, utc, phrases
        self._folded = frozenset(record.fields)
        self._lay(0)

    def _lay(self, cursor: int) -> None:
        if self.record is None:
            return
        width = self.scrollable_content_region.width or self.size.width or 80
        self._rows = record_rows(self.record, width, self._folded, utc=self._utc, phrases=self._phrases)
        self.resized(len(self._rows), cursor)

    def on_resize(self) -> None:
        """Wrap anew."""
        super().on_resize()
        self._lay(self.cursor)

    def pieces(self, index: int, width: int) -> Iterable[Piece]:
        """One row."""
        return self._rows[index].pieces

    @property
    def row(self) -> RecordRow | None:
        """What the cursor is on."""
        return self._rows[self.cursor] if self.cursor < len(self._rows) else None

    def as_text(self) -> list[list[str]]:
        """Every row, cleaned."""
        return [["".join(clean(text) for text, _ in row.pieces)] for row in self._rows]

    def action_fold(self) -> None:
        """Fold or unfold the JSON that the cursor is on."""
        row = self.row
        if row is None or not row.folds:
            return
        self._folded = self._folded ^ {row.field}
        first = next(i for i, one in enumerate(self._rows) if one.field == row.field)
        self._lay(first)

    def action_open(self) -> None:
        """The same with enter."""
        self.action_fold()

    def action_close(self) -> None:
        """Back to the lines."""
        self.post_message(Closed())


class PatternGrid(Grid):
    """Patterns; enter follows one."""

    BINDINGS: ClassVar[list[Any]] = [Binding("escape", "close", "back to the lines", id="logs.close-patterns")]

    def action_close(self) -> None:
        """Back to the lines."""
        self.post_message(Closed())
