"""One line a service, worst first; below, why the selected one is red.

What is asked about the selected service (patterns of its error lines, its slowest operations) is asked when the cursor
rests, never for each row that it passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal

from opsctl.core.logs import LogPage
from opsctl.core.signals import Reading
from opsctl.core.traces import TracePage
from opsctl.tui import about
from opsctl.tui.board_rows import cells, titles
from opsctl.tui.focus import Focus
from opsctl.tui.report import Report
from opsctl.tui.why import Paragraph, evidence, operation_lines, pattern_lines, reasons
from opsctl.tui.widgets.grid import Column, Grid, LazyRows
from opsctl.tui.widgets.grid import Row as GridRow
from opsctl.tui.widgets.lines import Lines
from opsctl.tui.widgets.prose import Prose
from opsctl.views.board import SORTS, Row, Standing, chosen, ordered, row, scene, standings
from opsctl.views.services import name_in_traces

REST_SECONDS = 0.3
"""The cursor rests after so long."""
_LEAST_HEIGHT = 14  # for the lower part
_WIDE = 100  # columns, for its two halves
_KEPT = 200  # services whose details are kept


@dataclass
class _Details:
    """What was asked about one service; None is still asked for."""

    lines: Reading[LogPage] | None = None
    traces: Reading[TracePage] | None = None


class Board(about.AboutService):
    """The first screen."""

    DEFAULT_CSS = """
    Board #board-grid { height: 1fr; }
    Board #board-lower { height: 45%; border-top: solid $secondary; }
    Board #board-why { width: 1fr; }
    Board #board-around { width: 42%; border-left: solid $secondary; padding-left: 1; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("d", "logs", "logs", id="board.logs"),
        Binding("T", "traces", "traces", id="board.traces"),
        Binding("i", "incident", "incident", id="board.incident"),
        Binding("R", "runbook", "runbook", id="board.runbook"),
        Binding("z", "trouble", "only faults", id="board.only-faults"),
        Binding("s", "sort(1)", "sort", id="board.sort"),
        Binding("S", "reverse", "reverse", show=False, id="board.reverse"),
        Binding("w", "why", "why", id="board.why"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._report: Report | None = None
        self._all: list[Standing] = []
        self._shown: list[Standing] = []
        self._scene = scene(
            datetime.min, live=True, step=about.NO_STEP, rates={}, rates_problem="", incidents=(), changes=()
        )
        self._sort, self._reverse, self._trouble, self._filter = SORTS[0], False, False, ""
        self._open = True  # the lower part, where there is room
        self._details: dict[Hashable, _Details] = {}

    def compose(self) -> ComposeResult:
        """The table, and why."""
        yield Grid(id="board-grid", empty="no service")
        with Horizontal(id="board-lower"):
            yield Prose(id="board-why", cursor=True)
            yield Prose(id="board-around", cursor=True)

    @property
    def grid(self) -> Grid:
        """The table."""
        return self.query_one("#board-grid", Grid)

    # -- snapshots

    def update_report(self, report: Report) -> None:
        """Rows of the report."""
        if report is not self._report:
            self._report = report
            self._all = standings(report.verdicts, report.stale, self.ops.composition.catalogue)
            self._scene = about.scene_of(report, self.spot.window.length)
        self._show()

    def focus_on(self, focus: Focus) -> None:
        """The cursor on what is looked at."""
        if focus.service and focus.service != self.grid.key:
            self.grid.go_to(focus.service)
        self._explain()

    def hidden(self) -> None:
        """Ask nothing more."""
        self._stop()
        self.workers.cancel_group(self, "why")

    def _show(self) -> None:
        report = self._report
        if report is None:
            return
        found = chosen(self._all, self._filter, trouble=self._trouble)
        if self._sort != SORTS[0] or self._reverse:
            found = ordered(found, self._sort, self._scene, reverse=self._reverse)
        self._shown = found
        end = report.at
        start = end - self.spot.window.length
        around, old = self._scene, report.old

        def make(index: int) -> GridRow:
            return GridRow(found[index].service, cells(found[index], around, start, end, old=old))

        grid = self.grid
        before = grid.key or self.spot.service
        grid.empty = self._nothing()
        grid.show(self._columns(), LazyRows([one.service for one in found], make))
        if before and grid.key != before:
            grid.go_to(before)
        self._note()
        self._explain()

    def _columns(self) -> Sequence[Column]:
        return [
            Column(one.key, title, one.right, one.priority, least=max(one.least, len(title)), most=one.most)
            for one, title in titles(self._sort, reverse=self._reverse)
        ]

    def _nothing(self) -> str:
        if self._all and (self._filter or self._trouble):
            said = f" that fits {self._filter!r}" if self._filter else ""
            return f"no service{said}{' and' if said and self._trouble else ''}{' is not OK' if self._trouble else ''}"
        return "no rule is about any service, and the catalogue is empty"

    # -- the cursor

    def on_lines_moved(self, message: Lines.Moved) -> None:
        """Another service."""
        message.stop()
        if message.lines is self.grid and self._report is not None:
            self._note()
            self._explain()

    async def on_lines_opened(self, message: Lines.Opened) -> None:
        """Enter."""
        message.stop()
        if self.service:
            await self.ops.go("service", service=self.service)

    @property
    def service(self) -> str:
        """What the cursor is on; "" where that is no service."""
        return self.grid.key.removeprefix("-") if self.grid.key == "-" else self.grid.key

    def _note(self) -> None:
        if self.grid.key:
            self.ops.set_quietly(service=self.service)

    def _standing(self) -> Standing | None:
        place = self.grid.cursor
        return self._shown[place] if 0 <= place < len(self._shown) else None

    def _row(self) -> Row | None:
        one = self._standing()
        return row(one, self._scene) if one is not None else None

    # -- why

    def _explain(self) -> None:
        """Say what the report says at once; ask for the rest when the cursor rests."""
        self._stop()
        lower = self.query_one("#board-lower", Horizontal)
        lower.display = self._open and self.size.height >= _LEAST_HEIGHT
        self.query_one("#board-around", Prose).display = self.size.width >= _WIDE
        one, report = self._standing(), self._report
        if one is None or report is None or not lower.display:
            for prose in lower.query(Prose):
                prose.show(())
            return
        self._paint(one, report)
        if self._key(one) not in self._details and self.service:
            self._timer = self.set_timer(REST_SECONDS, self._rested)

    def _paint(self, one: Standing, report: Report) -> None:
        head = (("why ", "head"), (one.service, "strong"), (f" is {one.words}", "head"))
        lines: list[Paragraph] = [head if one.trouble else (("about ", "head"), (one.service, "strong"))]
        wide = self.size.width >= _WIDE
        lines += reasons(one.verdicts, report.at, evidence=wide)
        if wide:
            self.query_one("#board-around", Prose).show(self._around(one))
        else:
            lines += [*self._around(one), *evidence(one.verdicts, report.at)]
        self.query_one("#board-why", Prose).show(lines)

    def _around(self, one: Standing) -> list[Paragraph]:
        """What its lines and traces say."""
        if not self.service:
            return []
        known = self._details.get(self._key(one), _Details())
        name = name_in_traces(self.ops.composition.catalogue, self.ops.composition.context, one.service)
        return [*pattern_lines(known.lines), *operation_lines(known.traces, name)]

    def _key(self, one: Standing) -> Hashable:
        return one.service, self.spot.window, self._report.number if self._report is not None else 0

    def _rested(self) -> None:
        self.run_worker(self._ask(), group="why", exclusive=True, exit_on_error=False)

    async def _ask(self) -> None:
        one, report = self._standing(), self._report
        if one is None or report is None:
            return
        key, found = self._key(one), _Details()
        composition, end = self.ops.composition, report.at
        start = end - self.spot.window.length
        lines = about.log_query(composition, one.service, start, end)
        traces = about.trace_query(composition, one.service, start, end)

        async def ask_lines() -> None:
            found.lines = await self.ops.queries.logs(lines, limit=about.LINES)
            self._came(key, found)

        async def ask_traces() -> None:
            found.traces = await self.ops.queries.traces(traces)
            self._came(key, found)

        await asyncio.gather(ask_lines(), ask_traces())

    def _came(self, key: Hashable, found: _Details) -> None:
        """Keep it, and show it where the cursor is there still."""
        while len(self._details) >= _KEPT:
            self._details.pop(next(iter(self._details)))
        self._details[key] = found
        one, report = self._standing(), self._report
        if one is not None and report is not None and self._key(one) == key:
            self._paint(one, report)

    def on_resize(self) -> None:
        """There may be room for more, or less."""
        self._explain()

    # -- keys

    def action_trouble(self) -> None:
        """Only what is not OK, or all of it again."""
        self._trouble = not self._trouble
        self._show()

    def action_sort(self, by: int) -> None:
        """By the next column."""
        self._sort = SORTS[(SORTS.index(self._sort) + by) % len(SORTS)]
        self._show()

    def action_reverse(self) -> None:
        """The other way round."""
        self._reverse = not self._reverse
        self._show()

    def action_why(self) -> None:
        """The lower part, or not."""
        self._open = not self._open
        self._explain()

    # -- what the app asks

    def filter_text(self) -> str | None:
        """Words of service, team and state."""
        return self._filter

    def set_filter(self, text: str) -> str:
        """Every word has to be there."""
        self._filter = text.strip()
        self._show()
        return ""

    def command(self) -> tuple[str, ...]:
        """The same in a terminal."""
        return ("status",)

    def export(self) -> list[list[str]]:
        """Every row."""
        return self.grid.as_text()

    def under_cursor(self) -> str:
        """The service."""
        return self.service
