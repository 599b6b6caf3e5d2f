"""From one service to what is known of it elsewhere: its lines, its traces, its incident, its runbook.

Shared by the screens that show services. Must never ask a backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from textual.timer import Timer

from opsctl.actions import Acknowledge, Resolve
from opsctl.core.logs import LogQuery
from opsctl.ports.traces import TraceQuery
from opsctl.tui.pane import Offer, Pane
from opsctl.views.board import Row, Scene, runbook_of, scene
from opsctl.views.log_filter import names_in_logs
from opsctl.views.services import name_in_traces

if TYPE_CHECKING:
    from opsctl.app import Composition
    from opsctl.tui.report import Report

NO_STEP = timedelta(0)
TRACES = 40
LINES = 500


def scene_of(report: Report, window: timedelta) -> Scene:
    """What rows are made of."""
    from opsctl.tui.rates import step_of

    return scene(
        report.at,
        live=report.live,
        step=step_of(window),
        rates=report.rates,
        rates_problem=report.rates_problem,
        incidents=report.incidents,
        changes=report.changes,
    )


def log_query(composition: Composition, service: str, start: datetime, end: datetime) -> LogQuery:
    """The error lines of a service."""
    services, matchers = names_in_logs(service, composition.catalogue.get(service))
    return LogQuery(start=start, end=end, services=services, matchers=matchers, severity="ERROR")


def trace_query(composition: Composition, service: str, start: datetime, end: datetime) -> TraceQuery:
    """The newest traces of a service."""
    name = name_in_traces(composition.catalogue, composition.context, service)
    return TraceQuery(name, start, end, limit=TRACES)


class AboutService(Pane):
    """A screen that is about one service at a time: the ways from it, and what can be done about its incident."""

    _timer: Timer | None = None  # until the cursor has rested

    @property
    def service(self) -> str:
        """The one that is looked at; "" where there is none."""
        raise NotImplementedError

    def _row(self) -> Row | None:
        """What the board says of it."""
        raise NotImplementedError

    def _stop(self) -> None:
        """The cursor goes on."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    async def action_logs(self) -> None:
        """Its error lines."""
        if self.service:
            await self.ops.go(
                "logs", service=self.service, severity="ERROR", words="", trace_id="", span_id="", subtree=False
            )

    async def action_traces(self) -> None:
        """Its traces that failed."""
        if self.service:
            await self.ops.go("traces", service=self.service, errors_only=True, trace_id="", span_id="", subtree=False)

    async def action_incident(self) -> None:
        """The incident that is open for it."""
        found = self._row()
        if found is None or found.incident is None:
            self.ops.say("no incident is open for this service")
            return
        one = found.incident
        await self.ops.go("incidents", service=one.service, incident=one.episode, rule_uid=one.rule_uid)

    async def action_runbook(self) -> None:
        """What to run about it."""
        found = self._row()
        book = runbook_of(found.standing, found.incident) if found is not None else ""
        if found is None or not book:
            self.ops.say("no runbook is named by what is wrong with this service")
            return
        episode = found.incident.episode if found.incident is not None else None
        await self.ops.go("runbooks", service=found.standing.service, runbook=book, incident=episode)

    def offers(self) -> Sequence[Offer]:
        """What can be done about its incident."""
        found = self._row()
        one = found.incident if found is not None else None
        if one is None:
            return ()
        episode = one.episode
        taken = () if one.acknowledged else (Offer("a", f"acknowledge #{episode}", lambda: Acknowledge(episode)),)
        return (*taken, Offer("r", f"resolve #{episode}", lambda: Resolve(episode)))

    def link(self) -> str:
        """Its first link."""
        entry = self.ops.composition.catalogue.get(self.service)
        return next(iter(entry.links.values()), "") if entry is not None else ""
