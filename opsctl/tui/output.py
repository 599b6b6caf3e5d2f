"""What a command printed that was typed behind `:`: scrolled, cleaned, with the code that it ended with."""

from __future__ import annotations

import asyncio
import shlex
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen

from opsctl.render.text import clean
from opsctl.tui.typed import CommandLine, Ran
from opsctl.tui.widgets.lines import Lines, Piece
from opsctl.tui.widgets.said import Said

if TYPE_CHECKING:
    from opsctl.tui.app import OpsctlApp

_EDGES = 4
_LONGEST_LINE = 4000


class Printed(Lines):
    """Lines as they were printed; wider ones are moved sideways."""

    def __init__(self) -> None:
        super().__init__(id="printed")
        self._lines: list[tuple[str, str]] = []

    def show(self, ran: Ran) -> None:
        """What was said, then the result; where it ended badly, why comes first."""
        talk = [(line, "warn") for line in ran.talk.splitlines()]
        self._lines = [(clean(line)[:_LONGEST_LINE], tone) for line, tone in [*talk, *_plain(ran.out)]]
        self.resized(len(self._lines), 0, wide=max((cell_len(line) for line, _ in self._lines), default=0))

    def pieces(self, index: int, width: int) -> Iterable[Piece]:
        """One line."""
        return [self._lines[index]]

    def as_text(self) -> str:
        """All of it."""
        return "\n".join(line for line, _ in self._lines)


def _plain(text: str) -> list[tuple[str, str]]:
    return [(line, "") for line in text.splitlines()]


class Output(ModalScreen[None]):
    """One command: it runs until it ends or this is closed."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape,q", "close", "close", show=False),
        Binding("y", "copy", "copy", show=False),
        Binding("colon", "again", "another command", show=False),
    ]
    DEFAULT_CSS = """
    Output #output { width: 100%; height: 90%; border: round $primary; background: $surface; padding: 0 1; }
    Output Printed { height: 1fr; }
    """

    def __init__(self, line: CommandLine, words: Sequence[str]) -> None:
        super().__init__()
        self._line, self._words = line, tuple(words)
        self._stop = threading.Event()

    def compose(self) -> ComposeResult:
        """The command, how it ended, what it printed."""
        with Vertical(id="output"):
            yield Said(id="command", most=2)
            yield Printed()
            yield Said(id="keys", most=1)

    def on_mount(self) -> None:
        """Run it."""
        self._head("… running", "dim")
        self.query_one("#keys", Said).show([(("esc closes, y copies, : another command", "dim"),)])
        self.query_one(Printed).focus()
        self.run_worker(self._run(), exit_on_error=False)

    def on_unmount(self) -> None:
        """Nobody looks any more."""
        self._stop.set()

    def _head(self, state: str, tone: str) -> None:
        command = shlex.join(["opsctl", *self._words])
        self.query_one("#command", Said).show([(("$ ", "dim"), (command, "accent"), (f"   {state}", tone))])

    async def _run(self) -> None:
        width = self.app.size.width - _EDGES
        try:
            ran = await asyncio.to_thread(self._line.run, self._words, width, self._stop)
        except Exception as wrong:  # noqa: BLE001  the board goes on
            from opsctl.files.secrets import hide

            ran = Ran(None, "", hide(f"a bug in opsctl: {type(wrong).__name__}: {wrong}"), "not run")
        if not self.is_attached:
            return
        self.query_one(Printed).show(ran)
        state = f"✖ {ran.cut}" if ran.cut else f"✔ exit {ran.code}" if ran.code == 0 else f"! exit {ran.code}"
        self._head(state, "ok" if ran.code == 0 and not ran.cut else "warn")

    def action_close(self) -> None:
        """Back to the board; a command that still runs is ended."""
        self._stop.set()
        self.dismiss(None)

    def action_copy(self) -> None:
        """All that was printed."""
        cast("OpsctlApp", self.app).copy_text(self.query_one(Printed).as_text())

    def action_again(self) -> None:
        """Another one."""
        self.action_close()
        self.app.call_later(cast("OpsctlApp", self.app).action_command)
