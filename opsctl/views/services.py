"""Services as rows: which signals know them, and their dependencies as traces show them against the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from opsctl.core.catalogue import Catalogue, Service
from opsctl.core.frozen import dataclass
from opsctl.core.traces import Edge

if TYPE_CHECKING:
    from opsctl.files.context import ContextSettings


class Seen(StrEnum):
    """What traces say of a dependency."""

    DECLARED = "seen and declared"
    NOT_SEEN = "declared, not seen"
    NOT_DECLARED = "seen, not declared"
    NOT_TRACED = "declared, sends no spans"


FINDINGS = frozenset({Seen.NOT_SEEN, Seen.NOT_DECLARED})
GLYPHS = {Seen.DECLARED: "✔", Seen.NOT_SEEN: "!", Seen.NOT_DECLARED: "!", Seen.NOT_TRACED: "~"}
_WORST_FIRST = (Seen.NOT_DECLARED, Seen.NOT_SEEN, Seen.NOT_TRACED, Seen.DECLARED)


@dataclass(frozen=True, slots=True)
class Dependency:
    """One service needs another; counts are None where it was not seen, or errors are not counted."""

    parent: str
    child: str
    seen: Seen
    calls: int | None = None
    errors: int | None = None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Which services one signal knows; `problem` says in one line why that cannot be told."""

    signal: str
    backend: str
    status: str  # measured, absent, not_configured, or why it failed
    services: frozenset[str] = frozenset()
    problem: str = ""

    def of(self, service: str) -> bool | None:
        """Whether it knows a service; None where nobody can tell."""
        return None if self.problem else service in self.services


def selector_of(service: Service, backend: str) -> str | Mapping[str, str]:
    """How a backend knows a service: the catalogue's selector, else its name."""
    return service.selectors.get(backend) or service.name


def trace_kind(context: ContextSettings) -> str:
    """Which kind of backend has the traces of a context: its selectors of the catalogue count."""
    return "zipkin" if context.jaeger is None and context.zipkin is not None else "jaeger"


def name_in_traces(catalogue: Catalogue, context: ContextSettings, service: str) -> str:
    """The name under which the trace backend knows a service."""
    entry = catalogue.get(service)
    selector = entry.selectors.get(trace_kind(context)) if entry is not None else None
    return selector if isinstance(selector, str) and selector else service


def names_by_selector(catalogue: Catalogue, backend: str) -> Mapping[str, str]:
    """Names of the catalogue by the name that a backend has for them; Zipkin's are in lower case."""
    out = {}
    for service in catalogue.services.values():
        selector = selector_of(service, backend)
        name = selector if isinstance(selector, str) else service.name
        out[name.lower() if backend == "zipkin" else name] = service.name
    return out


def dependencies(
    catalogue: Catalogue, edges: Iterable[Edge], traced: Iterable[str], *, backend: str, service: str | None = None
) -> tuple[Dependency, ...]:
    """Every dependency that is declared or was seen, what does not agree first; `traced` are services with spans.

    A third party that sends no spans cannot be seen in traces: that is no disagreement.
    """
    ours = names_by_selector(catalogue, backend)
    seen = {(ours.get(edge.parent, edge.parent), ours.get(edge.child, edge.child)): edge for edge in edges}
    with_spans = {ours.get(name, name) for name in traced}
    declared = {(one.name, child) for one in catalogue.services.values() for child in one.depends_on}
    out = []
    for parent, child in seen.keys() | declared:
        if service is not None and service not in (parent, child):
            continue
        edge = seen.get((parent, child))
        if edge is not None:
            state = Seen.DECLARED if (parent, child) in declared else Seen.NOT_DECLARED
            out.append(Dependency(parent, child, state, edge.calls, edge.errors))
            continue
        entry = catalogue.get(child)
        third = entry is not None and entry.kind == "third_party" and child not in with_spans
        out.append(Dependency(parent, child, Seen.NOT_TRACED if third else Seen.NOT_SEEN))
    return tuple(sorted(out, key=lambda one: (_WORST_FIRST.index(one.seen), one.parent, one.child)))
