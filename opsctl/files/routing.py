"""Who is told of what: the routes of a context, its silences, and which service needs which."""

from __future__ import annotations

from opsctl.core.catalogue import Catalogue
from opsctl.core.routing import Routing
from opsctl.files.context import ContextSettings


def load_routing(context: ContextSettings, catalogue: Catalogue) -> Routing:
    """Everything that decides who is told."""
    sinks = context.sinks()
    return Routing(
        namespace=context.namespace,
        routes=context.routes,
        silences=(),
        default=sinks[0] if sinks else "pagerduty",
        inhibit=context.paging.inhibit,
        dependencies=_dependencies(catalogue),
    )


def _dependencies(catalogue: Catalogue) -> dict[str, frozenset[str]]:
    """Service → every service that it needs, directly or not; never itself."""
    found: dict[str, frozenset[str]] = {}
    for name in catalogue.services:
        needed: set[str] = set()
        rest = list(catalogue.services[name].depends_on)
        while rest:
            one = rest.pop()
            if one not in needed and one != name:
                needed.add(one)
                rest.extend(catalogue.services[one].depends_on if one in catalogue.services else ())
        found[name] = frozenset(needed)
    return found
