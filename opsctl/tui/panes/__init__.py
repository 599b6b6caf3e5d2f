"""The screens, one module each, found by name: nothing of a screen is imported before it is looked at."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from opsctl.core.frozen import dataclass

if TYPE_CHECKING:
    from opsctl.tui.pane import Pane


@dataclass(frozen=True, slots=True)
class Entry:
    """One screen: the digit that opens it, its name, and where its class is."""

    key: str
    name: str
    title: str
    where: str  # module:class


PANES = (
    Entry("1", "board", "Board", "opsctl.tui.panes.board:Board"),
    Entry("2", "service", "Service", "opsctl.tui.panes.service:ServicePane"),
    Entry("3", "alerts", "Alerts", "opsctl.tui.panes.alerts:Alerts"),
    Entry("4", "incidents", "Incidents", "opsctl.tui.panes.incidents:Incidents"),
    Entry("5", "traces", "Traces", "opsctl.tui.panes.traces:Traces"),
    Entry("6", "logs", "Logs", "opsctl.tui.panes.logs:Logs"),
    Entry("8", "runbooks", "Runbooks", "opsctl.tui.panes.runbooks:Runbooks"),
    Entry("0", "backends", "Backends", "opsctl.tui.panes.backends:Backends"),
)
BY_NAME = {entry.name: entry for entry in PANES}


def pane_class(name: str) -> type[Pane]:
    """The class of a screen, imported now."""
    module, _, attribute = BY_NAME[name].where.partition(":")
    found: type[Pane] = getattr(import_module(module), attribute)
    return found
