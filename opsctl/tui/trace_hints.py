"""What a trace backend has, where it has nothing of what was asked: a typing error must not look like silence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opsctl.app import Composition
from opsctl.core.signals import Absent, Measured, Reading, came
from opsctl.core.traces import TracePage
from opsctl.tui.queries import Queries
from opsctl.tui.trace_filter import TraceFilter
from opsctl.views.services import names_by_selector, trace_kind

_NEAR = 5  # names that a hint has


async def hint_for(queries: Queries, reading: Reading[TracePage], name: str, wanted: TraceFilter) -> str:
    """One line, or ""; `name` is the service's at the backend."""
    if not isinstance(reading, Absent):
        return ""
    services = await queries.trace_services()
    known = came(services) or ()
    if isinstance(services, Measured) and name not in known and name.lower() not in known:
        return f"it has no spans of {name} at all; it has {_few(known)} (c chooses)"
    if not wanted.operation:
        return "a longer window ( - ) or another filter ( / ) may find some"
    names = sorted({one.name for one in came(await queries.operations(name)) or ()})
    if names and wanted.operation not in names:
        return f"it has no operation {wanted.operation}; it has {_few(names)}"
    return "the operation is there, but not so, or not in this time"


def our_names(composition: Composition, names: Iterable[str]) -> list[str]:
    """Names of the backend's as the catalogue has them, sorted; spans without a service cannot be searched for."""
    known = names_by_selector(composition.catalogue, trace_kind(composition.context))
    return sorted({known.get(name, name) for name in names if name})


def _few(names: Sequence[str]) -> str:
    few = ", ".join(names[:_NEAR])
    return f"{few} and {len(names) - _NEAR} more" if len(names) > _NEAR else few or "none"
