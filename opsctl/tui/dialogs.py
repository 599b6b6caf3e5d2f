"""Dialogs that ask for more before there is an action: a few fields, what is wrong with them, and two buttons.

Must never act: what comes out is an action, which is planned and asked about like any other. Text from outside stands
in fields only when it is clean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Union, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from opsctl.actions import Action
from opsctl.core.frozen import dataclass
from opsctl.errors import OpsctlError
from opsctl.files.secrets import hide
from opsctl.render.text import clean
from opsctl.tui.widgets.prose import Paragraph, Prose

if TYPE_CHECKING:
    from opsctl.tui.app import OpsctlApp

Values = Mapping[str, str]
Make = Callable[[Values], Action]
"""An action from what was typed; OpsctlError or ValueError says what is wrong with it."""
EDGES = 2  # rows of a dialog's border


def wrong_words(wrong: Exception) -> str:
    """One line of what went wrong; a bug says that it is one, without secrets."""
    if isinstance(wrong, OpsctlError):
        return f"{wrong}" + (f" ({wrong.hint})" if wrong.hint else "")
    if isinstance(wrong, ValueError):
        return str(wrong)
    return hide(f"a bug in opsctl: {type(wrong).__name__}: {wrong}")


class Fitted(Prose):
    """Text as high as it is, but for `most` rows, and then scrolled."""

    DEFAULT_CSS = "Fitted { height: 1; }"

    def __init__(self, *, id: str | None = None, most: int = 20) -> None:
        super().__init__(id=id)
        self._most = most

    def at_most(self, rows: int) -> None:
        """There is room for so many."""
        self._most = max(1, rows)
        self._fit()

    def _wrap(self) -> None:
        super()._wrap()
        self._fit()

    def _fit(self) -> None:
        self.styles.height = max(1, min(self._most, len(self._rows)))


class Dialog(ModalScreen[Any]):
    """What dialogs have in common: a frame, as much text as there is room for, arrows that scroll it."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape", "leave", "cancel", show=False),
        Binding("down", "scroll_text(1)", "down", show=False),
        Binding("up", "scroll_text(-1)", "up", show=False),
        Binding("pagedown,ctrl+d", "scroll_text(8)", "page down", show=False),
        Binding("pageup,ctrl+u", "scroll_text(-8)", "page up", show=False),
    ]
    DEFAULT_CSS = """
    Dialog .buttons { height: 1; align-horizontal: right; }
    Dialog .buttons Button { margin-left: 1; min-width: 10; }
    Dialog Input { height: 1; }
    Dialog .field { height: 1; }
    Dialog .field Static { width: 12; color: $secondary; }
    Dialog .field Input { width: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._answered = False

    @property
    def ops(self) -> OpsctlApp:
        """The app."""
        return cast("OpsctlApp", self.app)

    def answer(self, result: Any) -> None:
        """Close with this answer; the second one, of a key that was pressed twice, is none."""
        if not self._answered:
            self._answered = True
            self.dismiss(result)

    def action_leave(self) -> None:
        """Nothing is done."""
        self.answer(None)

    def action_scroll_text(self, rows: int) -> None:
        """More of the text."""
        self.query(Fitted).first().scroll_relative(y=rows, animate=False)

    def other_rows(self) -> int:
        """Rows that are not the text's."""
        return 1

    def on_resize(self) -> None:
        """The text gets what is left."""
        room = int(self.app.size.height * 0.9) - EDGES - self.other_rows()
        self.query(Fitted).first().at_most(room)


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to type; `label` and `example` are ours, `value` may be from outside."""

    key: str
    label: str
    value: str = ""
    example: str = ""


class FormDialog(Dialog):
    """Fields that make an action; what is wrong with them is said, and they stay as they were typed."""

    def __init__(self, title: Sequence[Paragraph], fields: Sequence[Field], make: Make) -> None:
        super().__init__()
        self._title, self._fields, self._make = title, tuple(fields), make
        self._checking = False

    def compose(self) -> ComposeResult:
        """What is asked, the fields, what is wrong, the buttons."""
        with Vertical(classes="dialog"):
            yield Fitted(id="asked")
            for field in self._fields:
                with Horizontal(classes="field"):
                    yield Static(field.label, markup=False)
                    yield Input(clean(field.value), field.example, id=f"field-{field.key}", compact=True)
            yield Fitted(id="wrong", most=4)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                yield Button("Go on", id="do", compact=True)

    def on_mount(self) -> None:
        """The first empty field is typed into."""
        self.query_one("#asked", Fitted).show(self._title)
        self._say("")
        for field in self.query(Input):
            field.cursor_position = 0  # the beginning says what it is
        empty = [one for one in self._fields if not one.value] or list(self._fields)
        self.query_one(f"#field-{empty[0].key}", Input).focus()

    def other_rows(self) -> int:
        """The fields, an error, the buttons."""
        return len(self._fields) + 3

    def _say(self, text: str, tone: str = "fail") -> None:
        wrong = self.query_one("#wrong", Fitted)
        wrong.display = bool(text)
        wrong.show([((text, tone),)])

    def on_input_changed(self, event: Input.Changed) -> None:
        """What was wrong may not be any more."""
        event.stop()
        self._say("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter: the next field, and behind the last one on."""
        event.stop()
        names = [f"field-{one.key}" for one in self._fields]
        place = names.index(event.input.id or "") + 1
        if place < len(names):
            self.query_one(f"#{names[place]}", Input).focus()
        else:
            self._go_on()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Cancel, or on."""
        event.stop()
        if event.button.id == "do":
            self._go_on()
        else:
            self.answer(None)

    def _go_on(self) -> None:
        if self._checking or self._answered:
            return
        self._checking = True
        values = {one.key: self.query_one(f"#field-{one.key}", Input).value for one in self._fields}
        self.run_worker(self._check(values), exit_on_error=False)

    async def _check(self, values: Values) -> None:
        """Make the action and let the desk plan it: what it refuses is said here."""

        def planned() -> Action:
            action = self._make(values)
            self.ops.desk.plan(action)
            return action

        try:
            action = await asyncio.to_thread(planned)
        except Exception as wrong:  # noqa: BLE001  whatever it is stays in the dialog
            self._checking = False
            if self.is_attached:
                self._say(f"✖ {wrong_words(wrong)}")
            return
        self.answer(action)


def ask(app: OpsctlApp, title: Sequence[Paragraph], fields: Sequence[Field], make: Make) -> None:
    """Ask for these fields, and propose the action that they make; where nothing may be changed, say so instead."""
    from opsctl.tui.leader import why_refused

    if why := why_refused(app):
        app.say(why, bad=True)
        return

    def taken(action: Union[Action, None]) -> None:
        if action is not None:
            app.propose(action)

    app.push_screen(FormDialog(title, fields, make), taken)
