"""What every screen is: it is given snapshots, says what can be done on it, and how the same is typed.

Must never fetch by itself (it asks `app.queries` in a worker), and never change anything (it offers actions).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Union, cast

from textual.widget import Widget

from opsctl.core.frozen import dataclass
from opsctl.tui.focus import Focus
from opsctl.tui.report import Report

if TYPE_CHECKING:
    from opsctl.actions import Action
    from opsctl.tui.app import OpsctlApp


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing behind the leader key: `make` gives the action, or asks for more first and gives None."""

    key: str
    label: str
    make: Callable[[], Union[Action, None]]


class Pane(Widget):
    """One screen. `update_report` and `focus_on` are called when it is seen, and on every change while it is."""

    DEFAULT_CSS = "Pane { layout: vertical; height: 1fr; width: 1fr; }"

    @property
    def ops(self) -> OpsctlApp:
        """The app."""
        return cast("OpsctlApp", self.app)

    @property
    def spot(self) -> Focus:
        """What all screens look at."""
        return self.ops.spot

    def update_report(self, report: Report) -> None:
        """A new snapshot."""

    def focus_on(self, focus: Focus) -> None:
        """Service, window or trace changed, or the screen is seen again."""

    def hidden(self) -> None:
        """Another screen is seen now: stop polling."""

    def paused(self, on: bool) -> None:
        """Nothing new is shown, or it is again."""

    def busy(self) -> str:
        """What leaving opsctl now would cut short, in a few words; ""."""
        return ""

    def notices(self) -> Sequence[str]:
        """What somebody who looks at another screen has to know: it stands over that one."""
        return ()

    def left(self, seconds: float) -> Sequence[str]:
        """The app is over: stop within so long, and say what is to be read in the terminal."""
        return ()

    def offers(self) -> Sequence[Offer]:
        """What the leader key offers here, about what the cursor is on."""
        return ()

    def filter_text(self) -> str | None:
        """The filter that is on, for `/` to edit; None where this screen has none."""
        return None

    def set_filter(self, text: str) -> str:
        """Filter by this from here on; one line that says what is wrong with it, or ""."""
        return ""

    def command(self) -> tuple[str, ...]:
        """The words after `opsctl` that show the same in a terminal."""
        return ()

    def export(self) -> list[list[str]]:
        """The whole view as rows of clean text, the head first."""
        return []

    def under_cursor(self) -> str:
        """What `y` copies: the thing that the cursor is on, as one would paste it."""
        return ""

    def link(self) -> str:
        """What `o` opens in a browser; "" where there is nothing."""
        return ""
