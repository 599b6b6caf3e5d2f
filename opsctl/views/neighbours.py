"""Who a service needs and who needs it: as the catalogue declares it, and as traces show it where they were asked.

Must never call a dependency unseen when nobody could look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from opsctl.core.catalogue import Catalogue
from opsctl.core.frozen import dataclass
from opsctl.core.traces import Edge
from opsctl.views.board import Standing, worst_first
from opsctl.views.services import Seen, dependencies


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One service beside another: `needed` says that the other needs it, else it needs the other.

    `seen` is None where traces were not asked, or did not answer; counts are None where they are not known.
    """

    service: str
    needed: bool
    standing: Standing | None
    seen: Seen | None = None
    calls: int | None = None
    errors: int | None = None


def neighbours(
    catalogue: Catalogue,
    service: str,
    standings: Mapping[str, Standing],
    edges: Sequence[Edge] | None = None,
    traced: Iterable[str] = (),
    backend: str = "",
) -> tuple[Neighbour, ...]:
    """Both ways, what it needs first, the worst first; `edges` None: only what is declared."""
    if edges is None:
        found = _declared(catalogue, service, standings)
    else:
        found = [
            Neighbour(
                one.child if one.parent == service else one.parent,
                one.parent == service,
                standings.get(one.child if one.parent == service else one.parent),
                one.seen,
                one.calls,
                one.errors,
            )
            for one in dependencies(catalogue, edges, traced, backend=backend, service=service)
            if one.parent != one.child
        ]
    return tuple(sorted(found, key=_order))


def _declared(catalogue: Catalogue, service: str, standings: Mapping[str, Standing]) -> list[Neighbour]:
    entry = catalogue.get(service)
    needs = entry.depends_on if entry is not None else ()
    needed_by = [one.name for one in catalogue.services.values() if service in one.depends_on]
    out = [Neighbour(name, True, standings.get(name)) for name in dict.fromkeys(needs)]
    return out + [Neighbour(name, False, standings.get(name)) for name in needed_by]


def _order(one: Neighbour) -> tuple[bool, bool, tuple[int, int, int, int, str], str]:
    standing = one.standing
    return not one.needed, standing is None, worst_first(standing) if standing else (0, 0, 0, 0, ""), one.service
