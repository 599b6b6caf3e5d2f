"""A context's PagerDuty: the sink, and with a REST token its notes and its reader, which share keys and connections."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from opsctl.adapters.sinks.pagerduty import PagerDuty, open_pagerduty, routing_keys
from opsctl.ports import IncidentReader

if TYPE_CHECKING:
    from opsctl.files import context as files


def open_parts(
    settings: files.PagerDuty, resolve: Callable[[files.Secret], str], now: Callable[[], datetime]
) -> tuple[tuple[PagerDuty, ...], tuple[IncidentReader, ...]]:
    """The sink, and the reader where there is a token."""
    keys = routing_keys(settings, resolve)
    if settings.rest is None:
        return (open_pagerduty(settings, resolve, keys),), ()
    from opsctl.adapters.sinks.pagerduty_notes import RestNotes
    from opsctl.adapters.sinks.pagerduty_reader import PagerDutyReader
    from opsctl.adapters.sinks.pagerduty_rest import open_rest
    from opsctl.adapters.sinks.pagerduty_services import Services

    rest = open_rest(settings.rest, settings.rest_url, resolve)
    sink = open_pagerduty(settings, resolve, keys, RestNotes(rest))
    return (sink,), (PagerDutyReader(rest, Services(rest, keys), now),)
