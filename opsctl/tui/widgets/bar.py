"""One line at the bottom where a person types: a filter, a command, a time. It remembers what was typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding
from textual.widgets import Input

from opsctl.render.text import clean

Take = Callable[[str], str]
"""Takes what was typed; one line that says what is wrong with it, or ""."""


class Bar(Input):
    """Hidden until something is asked."""

    BINDINGS: ClassVar[list[Binding]] = [  # type: ignore[assignment]
        Binding("up", "older", "older", show=False, id="bar.older"),
        Binding("down", "newer", "newer", show=False, id="bar.newer"),
        Binding("escape", "close", "close", show=False, id="bar.close"),
    ]

    def __init__(self) -> None:
        super().__init__(id="bar", compact=True, select_on_focus=False)
        self._take: Take | None = None
        self._prompt = ""
        self._past: dict[str, list[str]] = {}
        self._place = 0

    def ask(self, prompt: str, text: str, take: Take) -> None:
        """Let a person type; `prompt` says what, and has a history of its own."""
        self._take, self._prompt = take, prompt
        self._place = len(self._past.get(prompt, []))
        self.placeholder = {"/": "filter", ":": "command", "t": "time: 15m, 03:02, 2026-05-01T03:02:00Z"}.get(
            prompt, prompt
        )
        self.display = True
        self.value = text
        self.cursor_position = len(text)
        self.border_title = None
        self.focus()

    def action_close(self) -> None:
        """Nothing is taken."""
        self.close()

    def close(self) -> None:
        """Hide it, and give the focus back."""
        if not self.display:
            return
        self.display = False
        self._take = None
        app = self.app
        pane = getattr(app, "pane", None)
        if pane is not None:
            app._focus_first(pane)  # type: ignore[attr-defined]

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        take, text = self._take, event.value
        past = self._past.setdefault(self._prompt, [])
        if text and (not past or past[-1] != text):
            past.append(text)
        if take is None:
            return
        wrong = take(text)
        if wrong:
            self.app.say(clean(wrong), bad=True)  # type: ignore[attr-defined]
            return
        self.close()

    def action_older(self) -> None:
        """What was typed before."""
        self._recall(-1)

    def action_newer(self) -> None:
        """What was typed after that."""
        self._recall(1)

    def _recall(self, by: int) -> None:
        past = self._past.get(self._prompt, [])
        self._place = min(max(0, self._place + by), len(past))
        self.value = past[self._place] if self._place < len(past) else ""
        self.cursor_position = len(self.value)
