"""One line a service, worst first; below, why the selected one is red."""

from __future__ import annotations

from textual.app import ComposeResult

from opsctl.tui.pane import Pane
from opsctl.tui.report import Report
from opsctl.tui.tones import TONE_OF
from opsctl.tui.widgets.grid import Column, Grid, Row
from opsctl.views.check import service_lines

COLUMNS = (Column("state"), Column("service", "service"), Column("why", "why", grow=True, least=20))


class Board(Pane):
    """The first screen."""

    def compose(self) -> ComposeResult:
        """The table."""
        yield Grid(id="board-grid", empty="no rule is about any service")

    def update_report(self, report: Report) -> None:
        """Rows of the report."""
        rows = [
            Row(one.service, ((one.words, TONE_OF[one.state]), one.service, one.headline))
            for one in service_lines(report.verdicts)
        ]
        self.query_one(Grid).show(COLUMNS, rows)
