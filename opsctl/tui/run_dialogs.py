"""What a run of a runbook asks a person, and what it shows of one step: dialogs over the screen of runbooks.

Must never answer by itself: an approval wants its whole word, and leaving a dialog is "not now".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input

from opsctl.ports.runbooks import Question
from opsctl.render.text import clean
from opsctl.tui.dialogs import Dialog, Fitted
from opsctl.tui.widgets.lines import Lines, Piece
from opsctl.tui.widgets.prose import Paragraph

WORD = "approve"
_YES = {"approval": "Approve", "manual": "Done", "happened": "It happened"}
_NO = {"approval": "Refuse", "manual": "Not done", "happened": "It did not"}
_LONGEST_LINE = 4_000


class QuestionDialog(Dialog):
    """One question: its text, the evidence so far, what a yes opens; the focus is where nothing happens by accident."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("left", "other(-1)", "button before", show=False),
        Binding("right", "other(1)", "next button", show=False),
    ]

    def __init__(self, question: Question, of: str) -> None:
        super().__init__()
        self._question, self._of = question, of

    def compose(self) -> ComposeResult:
        """What is asked, the word where one is wanted, the buttons."""
        kind = self._question.kind
        with Vertical(classes="dialog"):
            yield Fitted(id="question")
            if kind == "approval":
                yield Input(id="word", placeholder=WORD, compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Not now", id="later", compact=True)
                yield Button(_NO[kind], id="no", compact=True)
                yield Button(_YES[kind], id="yes", variant="primary", compact=True)

    def on_mount(self) -> None:
        """Fill it."""
        self.query_one("#question", Fitted).show(question_lines(self._question, self._of))
        self.query_one("#word" if self._question.kind == "approval" else "#later").focus()

    def other_rows(self) -> int:
        """The word and the buttons."""
        return 2 if self._question.kind == "approval" else 1

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter behind the whole word approves; behind anything else it does nothing."""
        event.stop()
        if event.value.strip() == WORD:
            self.answer(True)

    def action_other(self, by: int) -> None:
        """Another button."""
        (self.focus_next if by > 0 else self.focus_previous)(Button)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """One of the three."""
        event.stop()
        self.answer({"yes": True, "no": False}.get(event.button.id or ""))


def question_lines(question: Question, of: str) -> list[Paragraph]:
    """What the dialog says."""
    head = {"approval": "asks for an approval", "manual": "is to be done by hand", "happened": "may have happened"}
    lines: list[Paragraph] = [((f"{of}: step {question.step.id} {head[question.kind]}", "strong"),)]
    lines += [((question.step.title, "head"),), *_block(question.text)]
    for fact in question.facts:
        lines += [((line, "" if i else "accent"),) for i, line in enumerate(fact.splitlines())]
    keys = f"type {WORD} and enter, or take a button" if question.kind == "approval" else "arrows and enter answer"
    return [*lines, ((f"{keys}; esc: not now, the run waits and can be resumed", "dim"),)]


def _block(text: str) -> list[Paragraph]:
    return [((line, ""),) for line in text.splitlines()]


class EditDialog(Dialog):
    """What was edited in a runbook since its run started, and whether the run goes on with it."""

    BINDINGS: ClassVar[list[Any]] = [Binding("left,right", "other", "other button", show=False)]

    def __init__(self, title: str, diff: Sequence[str]) -> None:
        super().__init__()
        self._title, self._diff = title, diff

    def compose(self) -> ComposeResult:
        """The diff and the buttons."""
        with Vertical(classes="dialog"):
            yield Fitted(id="diff")
            with Horizontal(classes="buttons"):
                yield Button("Leave it", id="later", compact=True)
                yield Button("Go on with it", id="yes", variant="primary", compact=True)

    def on_mount(self) -> None:
        """Fill it; the focus is on leaving it."""
        tones = {"+": "ok", "-": "fail", "@": "dim"}
        lines: list[Paragraph] = [((self._title, "strong"),)]
        lines += [((line[:_LONGEST_LINE], tones.get(line[:1], "")),) for line in self._diff]
        self.query_one("#diff", Fitted).show(lines)
        self.query_one("#later", Button).focus()

    def action_other(self) -> None:
        """The other button."""
        self.focus_next(Button)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """One of them."""
        event.stop()
        self.answer(event.button.id == "yes")


class TextLines(Lines):
    """Lines of any number, each made when it is seen; wider ones are moved sideways."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Piece] = ()

    def show(self, lines: Sequence[Piece]) -> None:
        """Other lines."""
        self._lines = lines
        self.resized(len(lines), 0, wide=max((cell_len(text) for text, _ in lines), default=0))

    def pieces(self, index: int, width: int) -> Iterable[Piece]:
        """One line."""
        return [self._lines[index]]


class StepView(Dialog):
    """Everything of one step: its terms, what it would send byte for byte, what came of it."""

    DEFAULT_CSS = """
    StepView .dialog { width: 96%; max-width: 200; height: 90%; }
    StepView TextLines { height: 1fr; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("q", "leave", "close", show=False),
        Binding("y", "copy", "copy", show=False),
    ]

    def __init__(self, lines: Sequence[Piece], copied: str) -> None:
        super().__init__()
        self._lines, self._copied = lines, copied

    def compose(self) -> ComposeResult:
        """The lines, and the keys."""
        with Vertical(classes="dialog"):
            yield TextLines(id="step-lines")
            yield Fitted(id="step-keys")

    def on_mount(self) -> None:
        """Fill it."""
        shown = self.query_one(TextLines)
        shown.show([(clean(text[:_LONGEST_LINE]), tone) for text, tone in self._lines])
        shown.focus()
        self.query_one("#step-keys", Fitted).show([(("esc closes, y copies, h l move sideways", "dim"),)])

    def action_copy(self) -> None:
        """The step's text."""
        self.ops.copy_text(self._copied)
