"""One service: its requests as charts, its objectives, who it needs and who needs it, and its newest error lines."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal

from opsctl.core.logs import LogPage
from opsctl.core.signals import Reading, came
from opsctl.core.traces import Edge
from opsctl.tui import about
from opsctl.tui.focus import Focus
from opsctl.tui.rates import step_of
from opsctl.tui.report import Report
from opsctl.tui.service_rows import (
    CHANGE,
    OPENED,
    head,
    line_cells,
    lines_note,
    neighbour_cells,
    now_of,
    rule_cells,
    traces_note,
)
from opsctl.tui.why import Paragraph
from opsctl.tui.widgets.chart import ChartView, Picture
from opsctl.tui.widgets.grid import Column, Grid, LazyRows
from opsctl.tui.widgets.grid import Row as GridRow
from opsctl.tui.widgets.lines import Lines
from opsctl.tui.widgets.prose import Prose, wrapped
from opsctl.views.board import Row, Scene, Standing, row, standings
from opsctl.views.chart import Mark, mark_row
from opsctl.views.neighbours import neighbours
from opsctl.views.rates import Figure, Points, amount, length, share, spark
from opsctl.views.services import trace_kind

REST_SECONDS = 0.3
LINES = 100
_WIDE, _HIGH = 96, 24  # cells that pictures need; below, there are lines of blocks
_RULES = (
    Column("state", "", least=9, most=18),
    Column("rule", "objective", least=10, most=34),
    Column("target", "target", priority=4),
    Column("budget", "budget", right=True),
    Column("bar", "", priority=5),
    Column("windows", "worst windows", most=44),
    Column("alert", "alert", priority=2),
)
_AROUND = (
    Column("way", "", least=9),
    Column("service", "dependency", least=8, most=30),
    Column("state", "state", least=9, most=22),
    Column("calls", "calls", right=True, priority=3),
    Column("failed", "failed", right=True, priority=4),
    Column("seen", "", priority=5),
)
_LINES = (
    Column("age", "ago", right=True, least=4),
    Column("level", "", least=5, most=8),
    Column("message", "newest error lines", grow=True, least=10),
)


@dataclass
class _Asked:
    """What was asked on demand; None is still asked for."""

    edges: Reading[tuple[Edge, ...]] | None = None
    traced: Reading[tuple[str, ...]] | None = None
    lines: Reading[LogPage] | None = None


class ServicePane(about.AboutService):
    """The second screen."""

    DEFAULT_CSS = """
    ServicePane #service-head { height: 3; max-height: 5; }
    ServicePane #service-charts { height: 30%; min-height: 8; }
    ServicePane #service-charts ChartView { width: 1fr; height: 1fr; }
    ServicePane #service-sparks { height: 4; }
    ServicePane #service-rules { height: auto; max-height: 30%; min-height: 2; border-top: solid $secondary; }
    ServicePane #service-lower { height: 1fr; border-top: solid $secondary; }
    ServicePane #service-around { width: 46%; }
    ServicePane #service-lines { width: 1fr; border-left: solid $secondary; padding-left: 1; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("d", "logs", "logs", id="service.logs"),
        Binding("T", "traces", "traces", id="service.traces"),
        Binding("i", "incident", "incident", id="service.incident"),
        Binding("R", "runbook", "runbook", id="service.runbook"),
        Binding("tab", "app.focus_next", "next part", id="service.next-part"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._report: Report | None = None
        self._standings: dict[str, Standing] = {}
        self._key: Hashable = None  # of what is shown in `_asked`
        self._asked = _Asked()
        self._shown: Hashable = None

    def compose(self) -> ComposeResult:
        """From who it is to what it says."""
        yield Prose(id="service-head")
        with Horizontal(id="service-charts"):
            for name in ("rate", "errors", "duration"):
                yield ChartView(id=f"service-{name}")
        yield Prose(id="service-sparks")
        yield Grid(id="service-rules", empty="no rule is about this service: nobody can say how it does")
        with Horizontal(id="service-lower"):
            yield Grid(id="service-around", empty="the catalogue names no dependency")
            yield Grid(id="service-lines")

    def _grid(self, name: str) -> Grid:
        return self.query_one(f"#service-{name}", Grid)

    # -- snapshots

    def update_report(self, report: Report) -> None:
        """All of it, of that report."""
        if report is not self._report:
            self._report = report
            found = standings(report.verdicts, report.stale, self.ops.composition.catalogue)
            self._standings = {one.service: one for one in found}
        self._show()

    def focus_on(self, focus: Focus) -> None:
        """Another service, or another time."""
        self._show()

    def hidden(self) -> None:
        """Ask nothing more."""
        self._stop()
        self.workers.cancel_group(self, "service")

    @property
    def service(self) -> str:
        """The one that is looked at; the worst one where none is."""
        return self.spot.service or next((name for name in self._standings if name != "-"), "")

    def _row(self) -> Row | None:
        report, name = self._report, self.service
        if report is None or not name:
            return None
        return row(self._standing(name), self._scene(report))

    def _standing(self, name: str) -> Standing:
        return self._standings.get(name) or Standing(name, None, "not in the catalogue", "", 3, ())

    def _scene(self, report: Report) -> Scene:
        return about.scene_of(report, self.spot.window.length)

    def _show(self) -> None:
        report, found = self._report, self._row()
        if report is None or found is None:
            self._grid("rules").empty = "no service is known yet" if report is None else "the catalogue is empty"
            return
        name = found.standing.service
        if not self.spot.service:
            self.ops.set_quietly(service=name)
        scene = self._scene(report)
        entry = self.ops.composition.catalogue.get(name)
        prose = self.query_one("#service-head", Prose)
        lines = head(found, entry, report.at, scene.incidents.get(name, ()))
        prose.styles.height = sum(len(wrapped(one, max(20, self.size.width - 1))) for one in lines)
        prose.show(_dimmed(lines) if report.old else lines)
        self._charts(report, found, scene)
        rules = [
            GridRow(one.rule.uid, rule_cells(one, report.at), "stale" if report.old else "")
            for one in found.standing.verdicts
        ]
        self._grid("rules").show(_RULES, rules)
        self._need(report, name)
        self._show_asked(report, name)

    # -- pictures

    def _charts(self, report: Report, found: Row, scene: Scene) -> None:
        wide = self.size.width >= _WIDE and self.size.height >= _HIGH
        self.query_one("#service-charts").display = wide
        self.query_one("#service-sparks").display = not wide
        rates, end = report.rates.get(found.standing.service), report.at
        start = end - self.spot.window.length
        none: Points = ()
        marks = self._marks(found, scene)
        failed = bool(report.rates_problem)
        parts = (
            ("rate", "requests/s", found.rps, rates.requests if rates else none, amount, "", (0.0, 0.001)),
            ("errors", "errors %", found.errors, rates.errors if rates else none, share, "ratio", (0.0, 0.001)),
            ("duration", "p99", found.latency, rates.p99 if rates else none, length, "seconds", (0.0, 0.001)),
        )
        sparks: list[Paragraph] = []
        room = max(10, self.size.width - 34)
        for part, title, figure, points, words, unit, at_least in parts:
            value = now_of(figure, words(figure.value) if figure.value is not None else "", failed=failed)
            of_slo = found.of_objective and part != "duration"
            note = ("  of its objective's events", "dim") if of_slo else ("", "")
            if wide:
                picture = Picture(
                    ((f"{title}  ", "head"), value, note), points, start, end, step_of(end - start), unit, at_least,
                    marks, self.ops.options.utc, "stale" if report.old else _tone(figure),
                )  # fmt: skip
                self.query_one(f"#service-{part}", ChartView).show(picture)
            line = (spark(points, start, end, room), "stale" if report.old else _tone(figure))
            sparks.append(((f"{title:<11}", "head"), (f"{value[0]:<16.16} ", value[1]), line))
        if not wide:
            below = mark_row(marks, start.timestamp(), end.timestamp(), room)
            sparks.append(((" " * 28, ""), (below, "warn")))
            self.query_one("#service-sparks", Prose).show(sparks)

    def _marks(self, found: Row, scene: Scene) -> tuple[Mark, ...]:
        name = found.standing.service
        marks = [Mark(one.opened.timestamp(), OPENED) for one in scene.incidents.get(name, ())]
        if found.change is not None:
            marks.append(Mark(found.change.at.timestamp(), CHANGE))
        return tuple(marks)

    # -- what is asked on demand

    def _need(self, report: Report, name: str) -> None:
        """Ask when one stays with a service; what is known of it is shown meanwhile."""
        key = (name, self.spot.window, report.number)
        if key == self._key:
            return
        if self._shown != (name, self.spot.window):
            self._asked = _Asked()
        self._key, self._shown = key, (name, self.spot.window)
        self._stop()
        self._timer = self.set_timer(REST_SECONDS, self._rested)

    def _rested(self) -> None:
        self.run_worker(self._ask(), group="service", exclusive=True, exit_on_error=False)

    async def _ask(self) -> None:
        report, name, key = self._report, self.service, self._key
        if report is None or not name:
            return
        composition, queries, end = self.ops.composition, self.ops.queries, report.at
        window = self.spot.window.length
        lines = about.log_query(composition, name, end - window, end)

        async def ask_lines() -> None:
            self._came(key, lines=await queries.logs(lines, limit=LINES))

        async def ask_edges() -> None:
            edges, traced = await asyncio.gather(queries.dependencies(end, window), queries.trace_services())
            self._came(key, edges=edges, traced=traced)

        await asyncio.gather(ask_lines(), ask_edges())

    def _came(self, key: Hashable, **readings: Any) -> None:
        report = self._report
        if key != self._key or report is None:
            return
        for name, reading in readings.items():
            setattr(self._asked, name, reading)
        self._show_asked(report, self.service)

    def _show_asked(self, report: Report, name: str) -> None:
        asked, composition = self._asked, self.ops.composition
        edges, traced = came(asked.edges), came(asked.traced)
        kind = trace_kind(composition.context)
        found = neighbours(composition.catalogue, name, self._standings, edges, traced or (), kind)
        rows = [GridRow(one.service, neighbour_cells(one), "stale" if report.old else "") for one in found]
        note = traces_note(asked.edges)
        if note:
            rows.append(GridRow("", ((("", ""),), ((f"~ {note}", "dim"),))))
        self._grid("around").show(_AROUND, rows)
        page = came(asked.lines)
        records = page.records if page is not None else ()
        grid = self._grid("lines")
        grid.empty = lines_note(asked.lines)
        grid.show(
            _LINES,
            LazyRows(
                [one.id or str(place) for place, one in enumerate(records)],
                lambda place: GridRow(records[place].id or str(place), line_cells(records[place], report.at)),
            ),
        )

    def on_resize(self) -> None:
        """Pictures, or lines of blocks."""
        self._show()

    # -- keys

    def on_lines_moved(self, message: Lines.Moved) -> None:
        """Nothing depends on the cursor here."""
        message.stop()

    async def on_lines_opened(self, message: Lines.Opened) -> None:
        """Enter: that service, the trace of that line, the alert of that rule."""
        message.stop()
        if message.lines is self._grid("around"):
            if self._grid("around").key:
                self.ops.look(service=self._grid("around").key)
        elif message.lines is self._grid("lines"):
            page = came(self._asked.lines)
            trace = page.records[message.lines.cursor].trace_id if page is not None else ""
            if trace:
                await self.ops.go("traces", trace_id=trace, span_id="", subtree=False)
            else:
                await self.action_logs()
        elif message.lines is self._grid("rules"):
            await self.ops.go("alerts", service=self.service, rule_uid=self._grid("rules").key)

    # -- what the app asks

    def command(self) -> tuple[str, ...]:
        """The same in a terminal."""
        return ("service", "show", self.service) if self.service else ("service", "ls")

    def export(self) -> list[list[str]]:
        """Its objectives, its dependencies, its error lines, one below the other."""
        out: list[list[str]] = [["service", self.service]]
        for name in ("rules", "around", "lines"):
            out += self._grid(name).as_text()
        return out

    def under_cursor(self) -> str:
        """What the focused part's cursor is on: a dependency, a line, a rule; else the service."""
        focused = self.app.focused
        page = came(self._asked.lines)
        if focused is self._grid("lines") and page is not None and page.records:
            return str(page.records[self._grid("lines").cursor].message)
        if focused is self._grid("around") and self._grid("around").key:
            return self._grid("around").key
        return self.service


def _tone(figure: Figure) -> str:
    return "stale" if figure.age is not None else "accent"


def _dimmed(lines: Sequence[Paragraph]) -> list[Paragraph]:
    return [tuple((text, "stale") for text, _ in line) for line in lines]
