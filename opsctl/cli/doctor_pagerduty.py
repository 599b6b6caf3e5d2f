"""What `opsctl doctor` says of PagerDuty: does it answer, does it know us, and where do our routing keys lead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from opsctl.cli.doctor_checks import Finding, asked, fail, ok, some, warn
from opsctl.errors import ExitCode

if TYPE_CHECKING:
    from opsctl.app import Composition
    from opsctl.files.context import PagerDuty
    from opsctl.ports.account import AccountState

_REST = "pagerduty rest"


def pagerduty_findings(composition: Composition, settings: PagerDuty, timeout_seconds: float) -> Iterator[Finding]:
    """Every finding."""
    from opsctl.adapters.probe import probe
    from opsctl.adapters.sinks.pagerduty import EVENTS_URL
    from opsctl.http import Endpoint

    now = composition.clock.now
    events = Endpoint(settings.events_url or EVENTS_URL)
    yield from asked("pagerduty events", lambda: probe("pagerduty", events, timeout_seconds, now))
    account = composition.account()
    if account is None:
        yield warn(_REST, "no REST token: the journal is all we know of incidents", "add rest to pagerduty")
        return
    try:
        state = account.examine(timeout_seconds)
    finally:
        account.close()
    yield from _account(state)
    if settings.rest is not None:
        yield from _sender(state, settings.rest.from_)
    yield from _services(state)


def _account(state: AccountState) -> Iterator[Finding]:
    if state.problem is None:
        yield ok(_REST, "the token is accepted: incidents are read back before each plan")
    elif state.refused:
        yield fail(_REST, ExitCode.AUTH, state.problem, "pages go out, and nothing is read back: renew the token")
    else:
        yield fail(_REST, ExitCode.UNKNOWN, state.problem, "is pagerduty.rest_url right, and does PagerDuty answer?")


def _sender(state: AccountState, address: str) -> Iterator[Finding]:
    if state.sender:
        yield ok("pagerduty notes", f"are written as {state.sender}")
    elif state.sender == "":
        what = f"{address} is the address of no user, so notes will be refused"
        yield warn("pagerduty notes", what, "correct pagerduty.rest.from")


def _services(state: AccountState) -> Iterator[Finding]:
    found = [f"{key} leads to {service}" for key, service in state.services.items() if service]
    missing = [key for key, service in state.services.items() if not service]
    if found:
        yield ok("pagerduty services", some(found))
    if missing:
        what = f"no service has the routing key of {some(missing)}: maintenance windows are not seen for it"
        yield warn("pagerduty services", what, "fine for the key of an event orchestration; else check the key")
    for warning in state.warnings:
        yield warn("pagerduty services", warning, "change the service's settings at PagerDuty")
    for key, window in state.maintenance.items():
        yield warn("pagerduty services", f"{key}: {window}", "nobody is paged until then")
