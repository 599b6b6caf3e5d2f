"""The leader key's menu, and the dialog that stands between a plan and its doing.

Must never do anything by itself: it asks the desk for the plan, and the desk does it, or refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Union

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from opsctl.actions import Action, Done, Planned, Risk
from opsctl.errors import OpsctlError
from opsctl.tui.pane import Offer
from opsctl.tui.widgets.prose import Paragraph, Prose

if TYPE_CHECKING:
    from opsctl.tui.app import OpsctlApp

Make = Callable[[], Union[Action, None]]


class LeaderMenu(ModalScreen[Union[Make, None]]):
    """Each offer on a line with its key; any other key closes it."""

    BINDINGS: ClassVar[list[Any]] = [Binding("escape", "dismiss(None)", "close", show=False)]

    def __init__(self, offers: tuple[Offer, ...]) -> None:
        super().__init__()
        self._offers = offers

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(classes="dialog"):
            yield Prose(id="offers")

    def on_mount(self) -> None:
        """Fill it."""
        lines: list[Paragraph] = [(("x …", "head"),)]
        lines += [((f"  {one.key}  ", "accent"), (one.label, "")) for one in self._offers]
        prose = self.query_one(Prose)
        prose.styles.height = len(lines)
        prose.show(lines)

    def on_key(self, event: events.Key) -> None:
        """Take the offer of that key."""
        event.stop()
        taken = next((one for one in self._offers if one.key in (event.key, event.character)), None)
        self.dismiss(taken.make if taken is not None else None)


class PlanDialog(ModalScreen[bool]):
    """What would be done, the command that does the same, and Cancel, which has the focus where much is at stake."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape", "dismiss(False)", "cancel", show=False),
        Binding("left,right,h,l", "other", "other button", show=False),
    ]
    DEFAULT_CSS = """
    PlanDialog #plan { height: auto; max-height: 20; min-height: 3; }
    PlanDialog Horizontal { height: 3; align-horizontal: right; }
    PlanDialog Input { height: 3; }
    """

    def __init__(self, planned: Planned) -> None:
        super().__init__()
        self._planned = planned

    def compose(self) -> ComposeResult:
        """The plan, the word to type where there is one, the buttons."""
        with Vertical(classes="dialog"):
            yield Prose(id="plan")
            if self._planned.confirm:
                yield Input(id="word", placeholder="type the name above to go on")
            with Horizontal():
                yield Button("Cancel", id="cancel", variant="primary")
                yield Button("Do it", id="do", disabled=bool(self._planned.confirm))

    def on_mount(self) -> None:
        """Fill it; the focus is on Cancel, but for what does little."""
        from shlex import join

        plan = self._planned
        lines: list[Paragraph] = [((plan.title, "strong"),), *(((line, ""),) for line in plan.lines)]
        lines.append((("risk ", "dim"), (plan.risk.value, "warn")))
        lines.append((("the same in a terminal: ", "dim"), (join(["opsctl", *plan.command]), "accent")))
        if plan.confirm:
            lines.append((("type ", "dim"), (plan.confirm, "strong"), (" to go on", "dim")))
        prose = self.query_one("#plan", Prose)
        prose.styles.height = min(20, len(lines) + 2)
        prose.show(lines)
        low = plan.risk is Risk.LOW and not plan.confirm
        self.query_one("#do" if low else "#cancel", Button).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The whole word opens the button."""
        self.query_one("#do", Button).disabled = event.value != self._planned.confirm

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter behind the whole word does it."""
        if event.value == self._planned.confirm:
            self.dismiss(True)

    def action_other(self) -> None:
        """The other button."""
        self.focus_next(Button)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Cancel, or do it."""
        self.dismiss(event.button.id == "do")


async def proposing(app: OpsctlApp, action: Action) -> None:
    """Plan, ask, do, say."""
    try:
        planned = await asyncio.to_thread(app.desk.plan, action)
        if not await app.push_screen_wait(PlanDialog(planned)):
            return
        done = await asyncio.to_thread(app.desk.apply, action)
    except OpsctlError as wrong:
        done = Done((), str(wrong), False)
    app.acted(done)
