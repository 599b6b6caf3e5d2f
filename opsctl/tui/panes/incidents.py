"""Incidents, open ones first: whose they are, what became of the page, who acknowledged them; below, everything of one.

The journal's word stands beside what the far side shows, which is looked at now and then while this screen is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.timer import Timer

from opsctl.ports import Incident, Moment
from opsctl.tui.alert_lines import active_of
from opsctl.tui.focus import Focus
from opsctl.tui.glances import Glances
from opsctl.tui.incident_lines import (
    SORTS,
    TABS,
    Known,
    Looked,
    Shown,
    asked_about,
    columns,
    draft,
    heading,
    incident_row,
    keys_line,
    nothing,
    tab_lines,
)
from opsctl.tui.incident_offers import incident_offers, silence_offer
from opsctl.tui.incident_reading import read_incident, who_took
from opsctl.tui.pane import Offer
from opsctl.tui.panes.sifted import SiftedPane
from opsctl.tui.report import Report
from opsctl.tui.widgets.choices import Choices, TabbedGrid
from opsctl.tui.widgets.grid import LazyRows, Row
from opsctl.tui.widgets.lines import Lines
from opsctl.tui.widgets.prose import Paragraph, Prose
from opsctl.tui.widgets.said import Said
from opsctl.views.active_alerts import ActiveAlert
from opsctl.views.incident_rows import around, next_scope, ordered, taken_by
from opsctl.views.word_filter import parse_filter

LOOK_SECONDS = 5.0
"""So often it is seen whether another look at the far side is due."""


class Incidents(SiftedPane):
    """A row an incident; below, the tabs of the selected one."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("m", "scope", "mine / team / all", id="incidents.scope"),
        Binding("tab", "tab(1)", "next tab", id="incidents.next-tab"),
        Binding("shift+tab", "tab(-1)", "tab before", show=False, id="incidents.previous-tab"),
        Binding("d", "logs", "logs", id="incidents.logs"),
        Binding("T", "traces", "traces", id="incidents.traces"),
        Binding("R", "runbook", "runbook", id="incidents.runbook"),
        Binding("z", "faults", "only open", show=False, id="incidents.faults"),
        Binding("s", "sort(1)", "sort", show=False, id="incidents.sort"),
        Binding("S", "sort_backwards", "other way", show=False, id="incidents.sort-backwards"),
        Binding("J,shift+down", "below(3)", "lower half down", show=False, id="incidents.below-down"),
        Binding("K,shift+up", "below(-3)", "lower half up", show=False, id="incidents.below-up"),
    ]
    ORDERS = tuple(SORTS)
    DEFAULT_CSS = """
    Incidents #incidents-grid { height: 4; }
    Incidents #incidents-below { height: 1fr; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._all: list[Incident] = []
        self._by_episode: dict[str, Incident] = {}
        self._how: Shown = Shown()
        self._glances = Glances()
        self._took: dict[int, tuple[Moment, ...]] = {}
        self._looked: dict[int, Looked] = {}
        self._alerts: tuple[int, list[ActiveAlert]] = (-1, [])  # of the report of that number
        self._noted: str = ""
        self._below: tuple[object, list[Paragraph]] = (None, [])
        self._poll: Timer | None = None

    def compose(self) -> ComposeResult:
        """Whose, the table, the tabs, what the tab says."""
        yield Said(id="incidents-said", most=3)
        yield TabbedGrid(id="incidents-grid", empty="no incident is open, and none was resolved in the last day")
        yield Said(id="incidents-keys", most=1)
        yield Choices(TABS, id="incidents-tabs")
        yield Prose(id="incidents-below")

    # -- seen or not

    def focus_on(self, focus: Focus) -> None:
        """Be on what the other screens look at, and look at the far side while this one is seen."""
        if self._poll is None:
            self._poll = self.set_interval(LOOK_SECONDS, self._look)
        self._find(focus)

    def hidden(self) -> None:
        """Look no more."""
        if self._poll is not None:
            self._poll.stop()
            self._poll = None

    def update_report(self, report: Report) -> None:
        """The journal's incidents."""
        first = not self._all
        self._all = ordered(report.incidents)
        self._by_episode = {str(one.episode): one for one in self._all}
        for known in (self._looked, self._took):
            for gone in [number for number in known if str(number) not in self._by_episode]:
                del known[gone]
        self._show()
        if first:
            self._find(self.spot)
        self._read(anew=True)
        self._look()

    def _find(self, focus: Focus) -> None:
        if focus.incident is not None:
            hidden = all(two.episode != focus.incident for two in self._passing())
            if hidden and str(focus.incident) in self._by_episode:
                self._how = Shown()  # what hides it is taken away
                self._show()
            self._put(str(focus.incident))
            return
        of_service = [two for two in self._passing() if focus.service and two.service == focus.service]
        if of_service:  # the loudest of those that are still open
            one = min(of_service, key=lambda two: (two.resolved is not None, two.severity != "page"))
            self._put(str(one.episode))

    def _put(self, key: str) -> None:
        if self.query_one(TabbedGrid).go_to(key):
            self._noted = key
            self.ops.set_quietly(**_focus(self._by_episode[key]))

    # -- what is read

    def _look(self) -> None:
        """At the far side, where that is due."""
        app, report = self.ops, self.ops.report
        if report is None or not report.live or report.old or app.on_hold or self._poll is None:
            return
        asked = asked_about(self._all, app.now)
        if self._glances.due(asked, app.now):
            self.run_worker(self._glance(asked), group="glance", exit_on_error=False)

    async def _glance(self, asked: list[Incident]) -> None:
        await self._glances.look(self.ops.composition, self.ops.queries, asked)
        self._show()

    def _read(self, *, anew: bool = False) -> None:
        one = self.selected
        if one is None or (not anew and one.episode in self._looked):
            return
        self.run_worker(self._read_one(one), group="incident", exclusive=True, exit_on_error=False)

    async def _read_one(self, one: Incident) -> None:
        now, taken = self.ops.now, [two for two in self._all if two.acknowledged and two.episode not in self._took]
        try:
            looked = await self.ops.queries.journal(lambda journal: read_incident(journal, one, now))
            self._took.update(await self.ops.queries.journal(lambda journal: who_took(journal, taken)))
        except Exception as wrong:  # noqa: BLE001  a journal that cannot be opened
            looked = Looked(one.episode, problem=str(wrong))
        self._looked[one.episode] = looked
        if self.is_mounted:
            (self._show if taken else self._show_below)()

    # -- what is shown

    def _taken(self, one: Incident) -> str:
        return taken_by(one, self._took.get(one.episode, ()), self._glances.last)

    def _me(self) -> set[str]:
        desk, pagerduty = self.ops.desk, self.ops.composition.context.pagerduty
        address = pagerduty.rest.from_ if pagerduty is not None and pagerduty.rest is not None else ""
        return {desk.who, address, address.partition("@")[0]}

    def _passing(self) -> list[Incident]:
        return self._how.of(self._all, self._taken, self._me())

    def _now(self, report: Report) -> datetime:
        """Ages go on while the last report is of now."""
        return max(report.at, self.ops.now) if report.live and not report.old else report.at

    def _show(self) -> None:
        report = self.ops.report
        if report is None or not self.is_mounted:
            return
        shown, glance, now, utc = self._passing(), self._glances.last, self._now(report), self.ops.options.utc

        def made(index: int) -> Row:
            one = shown[index]
            return incident_row(one, glance, self._taken(one), now, utc=utc, old=report.old)

        grid = self.query_one(TabbedGrid)
        grid.empty = nothing(self._how, self._all, self.ops.desk.who)
        grid.styles.height = min(len(shown) + 1, max(4, self.size.height // 2)) if shown else 4
        grid.show(columns(glance, self._all), LazyRows([str(one.episode) for one in shown], made))
        lines = heading(self._how, self._all, len(shown), glance, self._glances.at, now)
        if not report.live:
            lines.append((("the journal's word of now, whatever time the other screens look at", "warn"),))
        self.query_one("#incidents-said", Said).show(lines)
        self._show_below()

    @property
    def selected(self) -> Incident | None:
        """What the cursor is on."""
        return self._by_episode.get(self.query_one(TabbedGrid).key)

    def _known(self) -> Known | None:
        one, report = self.selected, self.ops.report
        if one is None or report is None:
            return None
        alerts = tuple(a for a in self._active(report) if a.incident is not None and a.incident.episode == one.episode)
        looked, utc = self._looked.get(one.episode), self.ops.options.utc
        return Known(one, self._glances.last, self._taken(one), self._now(report), looked, alerts, utc)

    def _active(self, report: Report) -> list[ActiveAlert]:
        if self._alerts[0] != report.number:
            found = active_of(report, self.ops.composition.context.namespace)
            self._alerts = (report.number, found)
        return self._alerts[1]

    def _show_below(self) -> None:
        known, tab = self._known(), self.query_one(Choices).active
        keys = keys_line(known)
        self.query_one("#incidents-keys", Said).show([tuple(keys)] if keys else [])
        prose = self.query_one(Prose)
        place = (tab, known.incident.episode if known is not None else None)
        lines = tab_lines(tab, known) if known is not None else []
        if (place, lines) == self._below:
            return
        prose.show(lines)
        if place != self._below[0]:
            prose.scroll_to(y=0, animate=False)
        self._below = (place, lines)

    # -- keys and mouse

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Another incident: the other screens look at it too."""
        if event.lines is not self.query_one(TabbedGrid):
            return
        one = self.selected
        if one is not None and str(one.episode) != self._noted:
            self._noted = str(one.episode)
            self.ops.set_quietly(**_focus(one))
        self._show_below()
        self._read()

    def on_lines_opened(self, event: Lines.Opened) -> None:
        """Its service."""
        if event.lines is self.query_one(TabbedGrid):
            self._go("service")

    def _go(self, screen: str) -> None:
        one = self.selected
        if one is None:
            return
        if not one.service and screen != "runbooks":
            self.ops.say(f"#{one.episode} names no service")
            return
        changes = _focus(one)
        if screen in ("logs", "traces"):
            window = self.spot.window
            end = around(window.length, one.opened, one.resolved, self.ops.now)
            if window.end is None or not window.end - window.length <= one.opened <= window.end:
                changes["window"] = replace(window, end=end)
        self.run_worker(self.ops.go(screen, **changes), group="go", exit_on_error=False)

    def action_logs(self) -> None:
        """The logs of its service, around its time."""
        self._go("logs")

    def action_traces(self) -> None:
        """The traces of its service, around its time."""
        self._go("traces")

    def action_runbook(self) -> None:
        """Its runbook."""
        one = self.selected
        if one is not None and not one.runbook:
            self.ops.say(f"the rule of #{one.episode} names no runbook")
        elif one is not None:
            self._go("runbooks")

    def action_scope(self) -> None:
        """Mine, a team's, all."""
        self._how = replace(self._how, scope=next_scope(self._how.scope, self._all))
        self._show()
        self._read()

    def action_tab(self, by: int) -> None:
        """Another tab."""
        self._turn(self.query_one(Choices).turned(by))

    def on_tabbed_grid_turned(self, event: TabbedGrid.Turned) -> None:
        """Left or right in the table."""
        event.stop()
        self.action_tab(event.by)

    def on_choices_chosen(self, event: Choices.Chosen) -> None:
        """A click on a tab."""
        event.stop()
        self._turn(event.name)

    def _turn(self, name: str) -> None:
        self.query_one(Choices).choose(name)
        self._show_below()
        self._read()

    def filter_text(self) -> str | None:
        """The filter that is on."""
        return self._how.filter

    def set_filter(self, text: str) -> str:
        """Words and `label=value`."""
        try:
            terms = parse_filter(text)
        except ValueError as wrong:
            return str(wrong)
        self._how = replace(self._how, filter=text.strip(), terms=terms)
        self._show()
        return ""

    # -- for the frame

    def offers(self) -> Sequence[Offer]:
        """Acknowledge, note, resolve, silence."""
        one, known = self.selected, self._known()
        if one is None or known is None or one.resolved is not None:
            return ()
        alert = known.alerts[0] if known.alerts else None
        labels = alert.labels if alert is not None else {"alertname": one.rule_name, "service": one.service}
        identity = dict(alert.alert.identity) if alert is not None else {}
        return [*incident_offers(self.ops, one), silence_offer(self.ops, one.rule_name, labels, identity)]

    def command(self) -> tuple[str, ...]:
        """The same in a terminal."""
        one = self.selected
        if one is None:
            return ("incident", "ls")
        timeline = self.query_one(Choices).active == "timeline"
        return ("incident", "timeline" if timeline else "show", f"#{one.episode}")

    def export(self) -> list[list[str]]:
        """The postmortem alone where its tab is on, else the table and the tab."""
        known = self._known()
        if known is not None and self.query_one(Choices).active == "postmortem":
            return [[line] for line in draft(known)]
        return [*self.query_one(TabbedGrid).as_text(), [], *self.query_one(Prose).as_text()]

    def under_cursor(self) -> str:
        """The incident in one line."""
        one = self.selected
        return f"#{one.episode} {one.rule_name} {one.service}: {one.summary}" if one is not None else ""

    def link(self) -> str:
        """Its page on the far side."""
        one = self.selected
        seen = self._glances.last.shown.get(one.episode) if one is not None else None
        return (one.remote_url if one is not None else "") or (seen.url if seen is not None else "")


def _focus(one: Incident) -> dict[str, Any]:
    """What other screens look at, with this incident."""
    found: dict[str, Any] = {"incident": one.episode, "rule_uid": one.rule_uid, "runbook": one.runbook or ""}
    if one.service:
        found["service"] = one.service
    return found
