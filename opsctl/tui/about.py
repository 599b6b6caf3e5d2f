"""From one service to what is known of it elsewhere: its lines, its traces, its incident, its runbook.

Shared by the screens that show services. Must never ask a backend.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opsctl.actions import Acknowledge, Resolve
from opsctl.core.logs import LogQuery
from opsctl.ports.traces import TraceQuery
from opsctl.tui.pane import Offer
from opsctl.views.board import Row, Scene, Standing, row, runbook_of, scene, standings
from opsctl.views.log_filter import names_in_logs
from opsctl.views.services import name_in_traces

if TYPE_CHECKING:
    from opsctl.app import Composition
    from opsctl.tui.app import OpsctlApp
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


def standing_of(report: Report, composition: Composition, service: str) -> Standing:
    """Where one service stands."""
    verdicts = [one for one in report.verdicts if (one.rule.service or "-") == service]
    stale = [one for one in report.stale if (one.service or "-") == service]
    found = standings(verdicts, stale, composition.catalogue)
    return next(
        (one for one in found if one.service == service), Standing(service, None, "not in the catalogue", "", 3, ())
    )


def row_of(report: Report, composition: Composition, service: str, window: timedelta) -> Row:
    """Everything that the board says of one service."""
    return row(standing_of(report, composition, service), scene_of(report, window))


def log_query(composition: Composition, service: str, start: datetime, end: datetime) -> LogQuery:
    """The error lines of a service."""
    services, matchers = names_in_logs(service, composition.catalogue.get(service))
    return LogQuery(start=start, end=end, services=services, matchers=matchers, severity="ERROR")


def trace_query(composition: Composition, service: str, start: datetime, end: datetime) -> TraceQuery:
    """The newest traces of a service."""
    name = name_in_traces(composition.catalogue, composition.context, service)
    return TraceQuery(name, start, end, limit=TRACES)


async def go_to_logs(app: OpsctlApp, service: str) -> None:
    """Its error lines."""
    await app.go("logs", service=service, severity="ERROR", words="", trace_id="", span_id="", subtree=False)


async def go_to_traces(app: OpsctlApp, service: str) -> None:
    """Its traces that failed."""
    await app.go("traces", service=service, errors_only=True, trace_id="", span_id="", subtree=False)


async def go_to_incident(app: OpsctlApp, found: Row | None) -> None:
    """The incident that is open for it."""
    if found is None or found.incident is None:
        app.say("no incident is open for this service")
        return
    one = found.incident
    await app.go("incidents", service=one.service, incident=one.episode, rule_uid=one.rule_uid)


async def go_to_runbook(app: OpsctlApp, found: Row | None) -> None:
    """What to run about it."""
    book = runbook_of(found.standing, found.incident) if found is not None else ""
    if found is None or not book:
        app.say("no runbook is named by what is wrong with this service")
        return
    episode = found.incident.episode if found.incident is not None else None
    await app.go("runbooks", service=found.standing.service, runbook=book, incident=episode)


def offers_about(found: Row | None) -> tuple[Offer, ...]:
    """What can be done about its incident."""
    one = found.incident if found is not None else None
    if one is None:
        return ()
    episode = one.episode
    taken = () if one.acknowledged else (Offer("a", f"acknowledge #{episode}", lambda: Acknowledge(episode)),)
    return (*taken, Offer("r", f"resolve #{episode}", lambda: Resolve(episode)))
