"""Where events go: one module a kind of sink, imported on use. `open_sinks` makes those of a context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from opsctl.ports import IncidentReader, Sink, Sinks

if TYPE_CHECKING:
    from opsctl.files.context import ContextSettings, Secret

FALLBACK = "fallback"


def open_sinks(context: ContextSettings, env: Mapping[str, str], now: Callable[[], datetime]) -> Sinks:
    """Every sink that the context configures; a secret is read when the first event needs it."""
    from opsctl.files.secrets import resolve

    def secret(one: Secret) -> str:
        return resolve(one, env)

    sinks: list[Sink] = []
    readers: list[IncidentReader] = []
    fallbacks: list[str] = []
    if context.pagerduty is not None:
        from opsctl.adapters.sinks.pagerduty import open_pagerduty

        sinks.append(open_pagerduty(context.pagerduty, secret))
        if FALLBACK in context.pagerduty.routing_keys:
            fallbacks.append(f"pagerduty/{FALLBACK}")
    return Sinks({one.name: one for one in sinks}, tuple(fallbacks), tuple(readers))
