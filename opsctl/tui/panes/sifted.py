"""What screens with a filtered and ordered table have in common: which rows are shown, and in which order."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from opsctl.tui.pane import Pane
from opsctl.tui.widgets.prose import Prose


class SiftedPane(Pane):
    """`_how` is a frozen value with `faults`, `sort` and `backwards`; `ORDERS` are the names of its orders."""

    ORDERS: ClassVar[Sequence[str]] = ()
    _how: Any

    @abstractmethod
    def _show(self) -> None:
        """Draw what passes, in its order."""

    def action_faults(self) -> None:
        """Only what is wrong now, or everything."""
        self._how = replace(self._how, faults=not self._how.faults)
        self._show()

    def action_sort(self, by: int) -> None:
        """The next order."""
        names = self.ORDERS
        self._how = replace(self._how, sort=names[(names.index(self._how.sort) + by) % len(names)])
        self._show()

    def action_sort_backwards(self) -> None:
        """The other way round."""
        self._how = replace(self._how, backwards=not self._how.backwards)
        self._show()

    def action_below(self, rows: int) -> None:
        """More of the text below."""
        self.query_one(Prose).scroll_relative(y=rows, animate=False)

    def on_resize(self) -> None:
        """The table takes at most half."""
        self._show()
