"""What opsctl itself leans on: backends, sinks, journal; what of it is reachable, how old, at what cost."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.timer import Timer

from opsctl.core.signals import Signal
from opsctl.ports import Probe
from opsctl.tui.backend_rows import COLUMNS, Known, backend_rows, details, sink_lines
from opsctl.tui.focus import Focus
from opsctl.tui.pane import Pane
from opsctl.tui.report import Report
from opsctl.tui.widgets.grid import Grid
from opsctl.tui.widgets.lines import Lines, Piece
from opsctl.tui.widgets.prose import Prose
from opsctl.views.words import ago

PROBE_SECONDS = 30.0
SHOW_SECONDS = 1.0


class Backends(Pane):
    """A row a signal; below, everything about the selected one, the sinks and the journal."""

    BINDINGS: ClassVar[list[Any]] = [Binding("p", "probe", "ask now", id="backends.probe")]
    DEFAULT_CSS = "Backends #backends-grid { height: 5; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._probes: dict[str, Probe | None] = dict.fromkeys(Signal)
        self._polls: tuple[Timer, ...] = ()
        self._journal: tuple[str, str] = ("", "")  # path and problem

    def compose(self) -> ComposeResult:
        """The table, and the rest."""
        yield Grid(id="backends-grid")
        yield Prose(id="backends-rest")

    # -- seen or not

    def focus_on(self, focus: Focus) -> None:
        """Ask, and go on asking while it is seen."""
        if not self._polls:
            self._polls = (
                self.set_interval(PROBE_SECONDS, self.action_probe),
                self.set_interval(SHOW_SECONDS, self._show),
            )
            self.action_probe()
        self._show()

    def hidden(self) -> None:
        """Ask no more."""
        for timer in self._polls:
            timer.stop()
        self._polls = ()

    def update_report(self, report: Report) -> None:
        """How the last cycle went."""
        self._show()

    def action_probe(self) -> None:
        """Ask every backend whether it is there."""
        for kind in Signal:
            if kind in self._configured():
                self.run_worker(self._ask(kind), group=f"probe-{kind}", exclusive=True, exit_on_error=False)
        self.run_worker(self._look_at_journal(), group="journal", exclusive=True, exit_on_error=False)

    async def _ask(self, kind: Signal) -> None:
        self._probes[kind] = await self.ops.queries.probe(kind)
        self._show()

    async def _look_at_journal(self) -> None:
        try:
            self._journal = await self.ops.queries.journal(lambda one: (one.path, one.problem or ""), "path")
        except Exception as wrong:  # noqa: BLE001  it is said, whatever it is
            self._journal = ("", str(wrong))
        self._show()

    # -- drawing

    def _configured(self) -> dict[str, str]:
        composition = self.ops.composition
        found = composition.context.backends()
        names = {
            Signal.METRICS: composition.source.name if composition.source else _first(found, "prometheus"),
            Signal.LOGS: composition.log_source.name if composition.log_source else _first(found, "elasticsearch"),
            Signal.TRACES: composition.trace_source.name
            if composition.trace_source
            else _first(found, "jaeger", "zipkin"),
        }
        return {kind: name for kind, name in names.items() if name}

    def _known(self) -> Known:
        app = self.ops
        return Known(app.report, self._probes, app.queries.use(), app.last_good, self._configured(), app.now)

    def _show(self) -> None:
        if not self.is_mounted:
            return
        known = self._known()
        self.query_one(Grid).show(COLUMNS, backend_rows(known))
        self._show_rest(known)

    def _show_rest(self, known: Known) -> None:
        grid, rest = self.query_one(Grid), self.query_one(Prose)
        lines: list[tuple[Piece, ...]] = details(Signal(grid.key), known) if grid.key else []
        lines.append((("", ""),))
        report = known.report
        lines += sink_lines(self.ops.composition.context.sinks(), report.incidents if report is not None else ())
        lines.append((("", ""),))
        lines += self._own_lines(known.now)
        rest.show(lines)

    def _own_lines(self, now: datetime) -> list[tuple[Piece, ...]]:
        """The journal, the verdicts' age, and what the last cycle found wrong."""
        app, (path, problem) = self.ops, self._journal
        journal: Piece = (f"✖ {problem}", "fail") if problem else (f"✔ {path}" if path else "? not read yet", "")
        lines: list[tuple[Piece, ...]] = [(("journal ", "strong"), journal)]
        if app.report is not None:
            one = app.report
            said = f"{len(one.verdicts)} rules judged at {one.at:%H:%M:%SZ}, {ago(now - one.made)} ago"
            lines.append((("verdicts ", "strong"), (said, ""), (f", in {one.took_seconds:.2f}s", "dim")))
            lines += [((f"✖ {text}", "fail"),) for text in one.problems]
            if one.rates_problem:
                lines.append(((f"! rates: {one.rates_problem}", "warn"),))
        if app.trouble is not None:
            lines.append(((f"✖ no new verdicts: {app.trouble.text}", "fail"),))
        return lines

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Another backend."""
        if event.lines is self.query_one(Grid):
            self._show_rest(self._known())

    # -- for the frame

    def command(self) -> tuple[str, ...]:
        """The same in a terminal."""
        return ("doctor",)

    def export(self) -> list[list[str]]:
        """The table, and the rest."""
        return [*self.query_one(Grid).as_text(), [], *self.query_one(Prose).as_text()]

    def under_cursor(self) -> str:
        """The backend's name."""
        return self._configured().get(self.query_one(Grid).key, "")


def _first(found: dict[str, Any], *kinds: str) -> str:
    return next((f"{kind} {found[kind].url}" for kind in kinds if kind in found), "")
