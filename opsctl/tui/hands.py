"""The hands of the board: the leader key, proposals, and what is said once an action is through.

Must never change anything by itself: the desk plans, refuses and does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from opsctl.tui.shell import Shell
from opsctl.tui.widgets.header import Hint, Hints

if TYPE_CHECKING:
    from opsctl.actions import Action, Done, ResumeRun, StartRun
    from opsctl.tui.pane import Pane
    from opsctl.tui.reporting import Feed

_ALWAYS = frozenset({"app.help", "app.leader"})
"""What is hinted at in any width: from there all else can be found."""


class Hands(Shell):
    """What can be done, on every screen."""

    if TYPE_CHECKING:
        feed: Feed
        _panes: dict[str, Pane]

        async def open_screen(self, name: str, *, remember: bool = True) -> None: ...

    def __init__(self) -> None:
        super().__init__()
        self.under_way: list[Action] = []  # asked about, or being done: the same one is not begun twice
        self.doing: list[str] = []  # what is being done

    def action_leader(self) -> None:
        """What can be done about what the cursor is on."""
        from opsctl.tui.leader import LeaderMenu, why_refused

        offers = self.pane.offers() if self.pane is not None else ()
        if not offers:
            self.say("nothing can be done here; go to an alert, an incident or a runbook")
            return
        self.push_screen(LeaderMenu(tuple(offers), why_refused(self)), self._taken)

    def _taken(self, make: Callable[[], Action | None] | None) -> None:
        action = make() if make is not None else None
        if action is not None:
            self.propose(action)

    def propose(self, action: Action) -> None:
        """Show what an action would do, and do it where a person says so."""
        from opsctl.actions import ResumeRun, StartRun
        from opsctl.tui.leader import proposing

        if isinstance(action, StartRun | ResumeRun):  # it goes on, and asks, on the screen of runbooks
            self.run_worker(self._propose_run(action), group="act", exit_on_error=False)
            return
        self.run_worker(proposing(self, action), group="act", exit_on_error=False)

    async def _propose_run(self, action: StartRun | ResumeRun) -> None:
        from opsctl.tui.panes.runbooks import Runbooks

        await self.open_screen("runbooks")
        if isinstance(self.pane, Runbooks):
            self.pane.propose(action)

    def acted(self, done: Done, command: str = "") -> None:
        """An action is through: say what became of it and the command that does the same, and look again."""
        for line in (*done.said, *done.beside, *([] if done.changed or done.problem else ["nothing changed"])):
            self.say(line)
        for line in (done.problem + (f" ({done.hint})" if done.hint else ""), *done.warnings):
            if line:
                self.say(line, bad=True)
        if done.changed and command:
            self.say(f"the same in a terminal: {command}")
        self.feed.refresh()

    def busy(self) -> str:
        """What would be cut short; ""."""
        doing = f"{self.doing[0]}: under way" if self.doing else ""
        return doing or next((said for pane in self._panes.values() if (said := pane.busy())), "")

    def show_hints(self) -> None:
        """The keys that do something here, from the bindings."""
        if not self.query(Hints):
            return
        hints = []
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled and binding.description:
                hints.append(Hint(self.get_key_display(binding), binding.description, binding.id in _ALWAYS))
        self.query_one(Hints).show(tuple(hints))
