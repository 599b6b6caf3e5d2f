"""One line at the bottom where a person types: a filter, a command, a time. It remembers what was typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding
from textual.widgets import Input

from opsctl.render.text import clean

Take = Callable[[str], str]
"""Takes what was typed; one line that says what is wrong with it, or ""."""
Complete = Callable[[str], Sequence[str]]
"""Every whole line that what was typed may be the beginning of."""


class Bar(Input):
    """Hidden until something is asked."""

    BINDINGS: ClassVar[list[Binding]] = [  # type: ignore[assignment]
        Binding("up", "older", "older", show=False, id="bar.older"),
        Binding("down", "newer", "newer", show=False, id="bar.newer"),
        Binding("tab", "complete", "complete", show=False, id="bar.complete"),
        Binding("escape", "close", "close", show=False, id="bar.close"),
    ]

    def __init__(self) -> None:
        super().__init__(id="bar", compact=True, select_on_focus=False)
        self._take: Take | None = None
        self._complete: Complete | None = None
        self._turn: tuple[str, ...] = ()  # completions that further tabs go through
        self._prompt = ""
        self._past: dict[str, list[str]] = {}
        self._place = 0

    def ask(self, prompt: str, text: str, take: Take, complete: Complete | None = None) -> None:
        """Let a person type; `prompt` says what, and has a history of its own. Tab asks `complete`."""
        self._take, self._prompt, self._complete, self._turn = take, prompt, complete, ()
        self._place = len(self._past.get(prompt, []))
        self.placeholder = {"/": "filter", ":": "command", "t": "time: 15m, 03:02, 2026-05-01T03:02:00Z"}.get(
            prompt, prompt
        )
        self.display = True
        self.value = text
        self.cursor_position = len(text)
        self.border_title = None
        self.screen.set_focus(self)  # at once: the next key is typed into it

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
        if self._take is take:  # else it asked for something more
            self.close()

    def past(self, prompt: str) -> list[str]:
        """What was typed behind a prompt, the newest last."""
        return list(self._past.get(prompt, ()))

    def action_complete(self) -> None:
        """As far as it is clear; then the next tab goes through what there is."""
        if self._complete is None:
            return
        if self.value in self._turn:
            turn = self._turn
            self._put(turn[(turn.index(self.value) + 1) % len(turn)])
            return
        found = tuple(self._complete(self.value))
        if not found:
            return
        shared = _shared(found)
        if len(found) > 1 and len(shared) <= len(self.value):
            self._turn = found
            self._put(found[0])
        else:
            self._put(shared + (" " if len(found) == 1 else ""))

    def _put(self, text: str) -> None:
        self.value = text
        self.cursor_position = len(text)

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


def _shared(texts: Sequence[str]) -> str:
    """The beginning that all of them have."""
    first, last = min(texts), max(texts)
    length = next((i for i, ch in enumerate(first) if last[i : i + 1] != ch), len(first))
    return first[:length]
