"""The leader key's menu, and the dialog that stands between a plan and its doing.

Must never do anything by itself: it asks the desk for the plan, and the desk does it, or refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Union

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from opsctl.actions import READ_ONLY, Action, Done, Planned, ResumeRun, Risk, StartRun
from opsctl.render.text import clean
from opsctl.tui.dialogs import Dialog, Fitted, wrong_words
from opsctl.tui.pane import Offer
from opsctl.tui.widgets.lines import Lines, Piece
from opsctl.tui.widgets.prose import Paragraph

if TYPE_CHECKING:
    from opsctl.tui.hands import Hands

Make = Callable[[], Union[Action, None]]
_GLYPHS = {Risk.LOW: "", Risk.MEDIUM: "! ", Risk.HIGH: "✖ "}
_TONES = {Risk.LOW: "", Risk.MEDIUM: "warn", Risk.HIGH: "fail"}


class OfferList(Lines):
    """Each offer on a line with its key."""

    can_focus = False

    def __init__(self, offers: tuple[Offer, ...]) -> None:
        super().__init__(id="offers")
        self.can_focus = False
        self.offers = offers

    def pieces(self, index: int, width: int) -> Iterable[Piece]:
        """Key and label."""
        one = self.offers[index]
        return [(f" {one.key}  ", "accent"), (one.label, "")]

    def on_click(self, event: events.Click) -> None:
        """Take what was clicked on."""
        super().on_click(event)
        self.action_open()


class LeaderMenu(ModalScreen[Union[Make, None]]):
    """Which keys do what; any other key closes it."""

    BINDINGS: ClassVar[list[Any]] = [Binding("escape", "close", "close", show=False)]
    DEFAULT_CSS = "LeaderMenu .dialog { width: auto; min-width: 36; max-width: 90%; }"

    def __init__(self, offers: tuple[Offer, ...], refused: str = "") -> None:
        super().__init__()
        self._offers, self._refused = offers, refused
        self._answered = False

    def compose(self) -> ComposeResult:
        """The list, and whether anything may be changed."""
        with Vertical(classes="dialog"):
            yield OfferList(self._offers)
            yield Fitted(id="said")

    def on_mount(self) -> None:
        """Fill it."""
        widest = max(len(clean(one.label)) for one in self._offers) + 8
        width = min(max(34, widest), max(20, self.app.size.width - 6))
        offers, said = self.query_one(OfferList), self.query_one(Fitted)
        offers.styles.height = len(self._offers)
        offers.styles.width = said.styles.width = width
        offers.resized(len(self._offers))
        said.show([((self._refused, "warn"),)] if self._refused else [(("any other key closes this", "dim"),)])

    def on_key(self, event: events.Key) -> None:
        """Take the offer of that key, or the one that the cursor is on."""
        event.stop()
        offers = self.query_one(OfferList)
        taken = next((one for one in self._offers if one.key in (event.key, event.character)), None)
        if taken is None and event.key in ("up", "down"):
            offers.action_move(1 if event.key == "down" else -1)
            return
        if taken is None and event.key == "enter":
            taken = self._offers[offers.cursor]
        self._answer(taken)

    def on_lines_opened(self, event: Lines.Opened) -> None:
        """A click."""
        event.stop()
        self._answer(self._offers[event.lines.cursor])

    def on_click(self, event: events.Click) -> None:
        """Beside it: close."""
        if event.widget is self:
            self._answer(None)

    def action_close(self) -> None:
        """Nothing is taken."""
        self._answer(None)

    def _answer(self, taken: Offer | None) -> None:
        if not self._answered:
            self._answered = True
            self.dismiss(taken.make if taken is not None else None)


class PlanDialog(Dialog):
    """What would be done, the command that does the same, and Cancel, which has the focus where much is at stake."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("left,right,h,l", "other", "other button", show=False),
        Binding("y", "copy", "copy the command", show=False),
    ]

    def __init__(self, planned: Planned) -> None:
        super().__init__()
        self._planned = planned

    def compose(self) -> ComposeResult:
        """The plan, the word to type where there is one, the buttons."""
        with Vertical(classes="dialog"):
            yield Fitted(id="plan")
            if self._planned.confirm:
                yield Input(id="word", placeholder="the word above", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                yield Button("Do it", id="do", compact=True, disabled=bool(self._planned.confirm))

    def on_mount(self) -> None:
        """Fill it; the focus is on Cancel, but for what does little."""
        self.query_one("#plan", Fitted).show(plan_lines(self._planned))
        low = self._planned.risk is Risk.LOW and not self._planned.confirm
        self.query_one("#do" if low else "#cancel", Button).focus()

    def other_rows(self) -> int:
        """The word and the buttons."""
        return 2 if self._planned.confirm else 1

    def on_input_changed(self, event: Input.Changed) -> None:
        """The whole word opens the button."""
        self.query_one("#do", Button).disabled = event.value != self._planned.confirm

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter behind the whole word does it."""
        if event.value == self._planned.confirm:
            self.answer(True)

    def action_other(self) -> None:
        """The other button."""
        self.focus_next(Button)

    def action_copy(self) -> None:
        """The command that does the same."""
        self.ops.copy_text(command_words(self._planned))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Cancel, or do it."""
        self.answer(event.button.id == "do")


def plan_lines(plan: Planned) -> list[Paragraph]:
    """What the dialog says."""
    lines: list[Paragraph] = [((plan.title, "strong"),), *(((line, ""),) for line in plan.lines)]
    risk = f"{_GLYPHS[plan.risk]}{plan.risk.value}"
    lines.append((("risk ", "dim"), (risk, _TONES[plan.risk]), ("   y copies the command, esc cancels", "dim")))
    lines.append((("the same: ", "dim"), (command_words(plan), "accent")))
    if plan.confirm:
        lines.append((("tab, then type ", "warn"), (plan.confirm, "strong"), (" and enter", "warn")))
    return lines


def command_words(plan: Planned) -> str:
    """The equal command as one pastes it."""
    from shlex import join

    return join(["opsctl", *plan.command])


def why_refused(app: Hands) -> str:
    """Why nothing may be changed now, and how that is lifted; "" where something may be."""
    why = app.desk.read_only
    if not why:
        return ""
    if why == READ_ONLY:
        return f"read-only ({why}): start it without that to change something"
    if app.composition.context.protected and why.startswith("context "):
        return f"read-only ({why}): `:write` lifts it for 15 minutes"
    return f"read-only ({why})"


async def confirmed(app: Hands, action: Action) -> Planned | None:
    """Plan, and ask; None where it may not be, or a person does not mean it. For a worker."""
    is_run = isinstance(action, StartRun | ResumeRun)  # one that changes nothing is allowed: the desk knows which
    if not is_run and (why := why_refused(app)):
        app.say(why, bad=True)
        return None
    if action in app.under_way:
        app.say("that is under way already")
        return None
    app.under_way.append(action)
    try:
        planned = await asyncio.to_thread(app.desk.plan, action)
        return planned if await app.push_screen_wait(PlanDialog(planned)) else None
    except Exception as wrong:  # noqa: BLE001  whatever it is, it is said
        app.say(wrong_words(wrong), bad=True)
        return None
    finally:
        app.under_way.remove(action)


async def proposing(app: Hands, action: Action) -> None:
    """Plan, ask, do, say."""
    planned = await confirmed(app, action)
    if planned is None:
        return
    app.under_way.append(action)
    app.doing.append(planned.title)
    app.say(f"{planned.title}: under way …")
    try:
        done = await asyncio.to_thread(app.desk.apply, action)
    except Exception as wrong:  # noqa: BLE001  whatever it is, it is said
        done = Done((), wrong_words(wrong), False)
    finally:
        app.under_way.remove(action)
        app.doing.remove(planned.title)
    app.acted(done, command_words(planned))
