"""Who is told of what: the routes of a context, its silences, and which service needs which.

Must never stop a page: silences that cannot be read silence nothing, and the problem is said.
"""

from __future__ import annotations

from opsctl.core.catalogue import Catalogue
from opsctl.core.routing import Routing, Silence
from opsctl.errors import ConfigErrors, OpsctlError
from opsctl.files.context import ContextSettings


def load_routing(context: ContextSettings, catalogue: Catalogue) -> Routing:
    """Everything that decides who is told; `problems` says what could not be read."""
    sinks = context.sinks()
    silences, problem = _silences(context, catalogue)
    return Routing(
        namespace=context.namespace,
        routes=context.routes,
        silences=silences,
        default=sinks[0] if sinks else "pagerduty",
        inhibit=context.paging.inhibit,
        dependencies=_dependencies(catalogue),
        problems=(problem,) if problem else (),
    )


def _silences(context: ContextSettings, catalogue: Catalogue) -> tuple[tuple[Silence, ...], str]:
    if context.silences is None:
        return (), ""
    from opsctl.files.silences import load_silences

    try:
        return load_silences(context.silences, context.namespace, catalogue), ""
    except ConfigErrors as several:
        words = f"{several.errors[0]}, and {len(several.errors) - 1} more"
    except OpsctlError as wrong:
        words = str(wrong)
    except Exception as wrong:  # noqa: BLE001 - whatever is wrong with the file, or with us, nobody may miss a page
        words = f"{context.silences}: {type(wrong).__name__}: {wrong}"
    line = " ".join(words.split())
    return (), f"NO SILENCE HOLDS: {line}; everybody is told, `opsctl config validate` names every wrong place"


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
