"""Every alert that is pending or firing: its value against its line, since when, who is told; below, its evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding

from opsctl.core.routing import Routing
from opsctl.tui.alert_lines import COLUMNS, SORTS, Shown, Values, active_of, alert_row, fact_lines, heading
from opsctl.tui.focus import Focus
from opsctl.tui.incident_offers import incident_offers, silence_offer
from opsctl.tui.pane import Offer
from opsctl.tui.panes.sifted import SiftedPane
from opsctl.tui.report import Report
from opsctl.tui.widgets.grid import Grid, LazyRows, Row
from opsctl.tui.widgets.lines import Lines
from opsctl.tui.widgets.prose import Paragraph, Prose
from opsctl.tui.widgets.said import Said
from opsctl.views.active_alerts import ActiveAlert
from opsctl.views.alert_values import details
from opsctl.views.word_filter import parse_filter
from opsctl.views.words import clock_time


class Alerts(SiftedPane):
    """A row an alert; below, what the selected one was judged from and who is told of it."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("d", "logs", "logs", id="alerts.logs"),
        Binding("T", "traces", "traces", id="alerts.traces"),
        Binding("z", "faults", "only firing", id="alerts.faults"),
        Binding("s", "sort(1)", "sort", show=False, id="alerts.sort"),
        Binding("S", "sort_backwards", "other way", show=False, id="alerts.sort-backwards"),
        Binding("J,shift+down", "below(3)", "evidence down", show=False, id="alerts.evidence-down"),
        Binding("K,shift+up", "below(-3)", "evidence up", show=False, id="alerts.evidence-up"),
    ]
    ORDERS = tuple(SORTS)
    DEFAULT_CSS = """
    Alerts #alerts-grid { height: 4; }
    Alerts #alerts-evidence { height: 1fr; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._found: list[ActiveAlert] = []
        self._shown: list[ActiveAlert] = []
        self._by_key: dict[str, ActiveAlert] = {}
        self._how: Shown = Shown()
        self._filter = ""
        self._values = Values()
        self._routing: Routing | None = None
        self._noted = ""  # the key that other screens were told of
        self._evidence: tuple[str, list[Paragraph]] = ("", [])

    def compose(self) -> ComposeResult:
        """How many, the table, the evidence."""
        yield Said(id="alerts-said", most=3)
        yield Grid(id="alerts-grid", empty="no alert is pending or firing")
        yield Said(id="alerts-head", most=1)
        yield Prose(id="alerts-evidence")

    # -- what is shown

    def update_report(self, report: Report) -> None:
        """Join what was judged with the journal."""
        self._join(report)
        self.run_worker(self._read_routing(report), group="routing", exclusive=True, exit_on_error=False)

    async def _read_routing(self, report: Report) -> None:
        """Who would be told of what the journal does not have: the files of routes and silences as they are now."""
        composition = self.ops.composition
        try:
            found = await self.ops.queries.journal(lambda journal: composition.routing, "routing")
        except Exception:  # noqa: BLE001  the report's problems say what is wrong with the files
            return
        if found != self._routing and self.ops.report is report:
            self._routing = found
            self._join(report)

    def _join(self, report: Report) -> None:
        self._found = active_of(report, self.ops.composition.context.namespace, self._routing)
        self._by_key = {one.key: one for one in self._found}
        self._values.take(self._found, report.at)
        self._show()

    def _show(self) -> None:
        report = self.ops.report
        if report is None or not self.is_mounted:
            return
        self._shown = self._how.of(self._found)
        shown, now, utc = self._shown, report.at, self.ops.options.utc

        def made(index: int) -> Row:
            one = shown[index]
            return alert_row(one, self._values.line(one), now, utc=utc, old=report.old)

        grid = self.query_one(Grid)
        grid.empty = "no alert passes the filter" if self._found else "no alert is pending or firing"
        grid.styles.height = min(len(shown) + 1, max(4, self.size.height // 2)) if shown else 4
        grid.show(COLUMNS, LazyRows([one.key for one in shown], made))
        said = [heading(self._found, shown, self._how, self._filter)]
        if not report.live:
            said.append(((f"as judged at {clock_time(report.at, utc=utc)}: who was told is not shown", "warn"),))
        self.query_one("#alerts-said", Said).show(said)
        self._show_evidence()

    @property
    def selected(self) -> ActiveAlert | None:
        """What the cursor is on."""
        return self._by_key.get(self.query_one(Grid).key)

    def _show_evidence(self) -> None:
        one, report = self.selected, self.ops.report
        head, prose = self.query_one("#alerts-head", Said), self.query_one(Prose)
        if one is None or report is None:
            head.show([])
            prose.show([])
            self._evidence = ("", [])
            return
        on = f" on {one.alert.service}" if one.alert.service else ""
        head.show([((f"─ {one.alert.rule_name}{on}", "head"), ("   J K scroll", "dim"))])
        lines = fact_lines(details(one, report.at))
        if (one.key, lines) == self._evidence:
            return
        prose.show(lines)
        if one.key != self._evidence[0]:
            prose.scroll_to(y=0, animate=False)
        self._evidence = (one.key, lines)

    # -- the cursor and the focus

    def focus_on(self, focus: Focus) -> None:
        """Be on what the other screens look at."""
        for match in _matches(focus):
            one = self.selected
            found = one if one is not None and match(one) else next((two for two in self._shown if match(two)), None)
            if found is not None:
                self.query_one(Grid).go_to(found.key)
                self._note(found)
                return

    def _note(self, one: ActiveAlert) -> None:
        """The other screens look at it too."""
        self._noted = one.key
        self.ops.set_quietly(**_focus(one))

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Another alert: the other screens look at it too."""
        if event.lines is not self.query_one(Grid):
            return
        one = self.selected
        if one is not None and one.key != self._noted:
            self._note(one)
        self._show_evidence()

    def on_lines_opened(self, event: Lines.Opened) -> None:
        """Its incident, or its service."""
        one = self.selected
        if one is None or event.lines is not self.query_one(Grid):
            return
        if one.incident is not None:
            self._go("incidents")
        elif one.alert.service:
            self._go("service")
        else:
            self.ops.say("this alert has no incident and names no service")

    def _go(self, screen: str, **more: Any) -> None:
        one = self.selected
        if one is not None:
            self.run_worker(self.ops.go(screen, **(_focus(one) | more)), group="go", exit_on_error=False)

    def _look_at_service(self, screen: str) -> None:
        one = self.selected
        if one is None:
            return
        if not one.alert.service:
            self.ops.say("this alert names no service")
            return
        self._go(screen)

    def action_logs(self) -> None:
        """The logs of its service."""
        self._look_at_service("logs")

    def action_traces(self) -> None:
        """The traces of its service."""
        self._look_at_service("traces")

    # -- filter and order

    def filter_text(self) -> str | None:
        """The filter that is on."""
        return self._filter

    def set_filter(self, text: str) -> str:
        """Words and `label=value`."""
        try:
            made = parse_filter(text)
        except ValueError as wrong:
            return str(wrong)
        self._filter, self._how = text.strip(), replace(self._how, filter=made)
        self._show()
        return ""

    # -- for the frame

    def offers(self) -> Sequence[Offer]:
        """Silence it, and what its incident takes."""
        one = self.selected
        if one is None:
            return ()
        name = one.alert.rule_name + (f" on {one.alert.service}" if one.alert.service else "")
        found = [silence_offer(self.ops, name, one.labels, dict(one.alert.identity))]
        return [*found, *(incident_offers(self.ops, one.incident) if one.incident is not None else ())]

    def command(self) -> tuple[str, ...]:
        """The same in a terminal."""
        return ("alert", "ls")

    def export(self) -> list[list[str]]:
        """The table, and the evidence of the selected one."""
        return [*self.query_one(Grid).as_text(), [], *self.query_one(Prose).as_text()]

    def under_cursor(self) -> str:
        """The alert in one line."""
        one = self.selected
        return f"{one.state} {one.alert.rule_name}: {one.alert.summary}" if one is not None else ""

    def link(self) -> str:
        """Its incident's page."""
        one = self.selected
        return one.incident.remote_url if one is not None and one.incident is not None else ""


def _focus(one: ActiveAlert) -> dict[str, Any]:
    """What other screens look at, with this alert; what it does not name stays as it is."""
    found: dict[str, Any] = {"rule_uid": one.alert.rule_uid}
    if one.alert.service:
        found["service"] = one.alert.service
    if one.alert.runbook:
        found["runbook"] = one.alert.runbook
    found["incident"] = one.incident.episode if one.incident is not None else None
    return found


def _matches(focus: Focus) -> tuple[Callable[[ActiveAlert], bool], ...]:
    """What the alert that is looked at has, the surest first: its rule and service, its incident, its service."""
    return (
        lambda one: one.alert.rule_uid == focus.rule_uid and one.alert.service in ("", focus.service),
        lambda one: one.incident is not None and one.incident.episode == focus.incident,
        lambda one: bool(focus.service) and one.alert.service == focus.service,
    )
