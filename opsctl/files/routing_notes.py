"""What is odd about routes and silences and no error: routes that take nothing, names that nothing has.

Must never stop anything: these are words for a person who looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from opsctl.core.catalogue import Catalogue
from opsctl.core.route_choice import never_reached
from opsctl.core.routing import Matcher, Route, Silence
from opsctl.files.text import meant


def route_notes(routes: tuple[Route, ...], catalogue: Catalogue) -> tuple[str, ...]:
    """One line each."""
    return (*_unreached(routes), *_strangers(((one.origin, one.matchers) for one in routes), catalogue))


def silence_notes(silences: Iterable[Silence], catalogue: Catalogue) -> tuple[str, ...]:
    """One line each."""
    return tuple(_strangers(((one.origin, one.matchers) for one in silences), catalogue))


def _unreached(routes: tuple[Route, ...]) -> Iterator[str]:
    for route, takers in never_reached(routes):
        before = " and ".join(one.origin for one in takers)
        words = "takes" if len(takers) == 1 else "take"
        yield f"{route.origin}: no alert reaches this route to {route.sink}: {before} {words} all of its alerts"


def _strangers(placed: Iterable[tuple[str, tuple[Matcher, ...]]], catalogue: Catalogue) -> Iterator[str]:
    known = {
        "service": set(catalogue.services),
        "team": {one.team for one in catalogue.services.values()},
    }
    for origin, matchers in placed:
        for one in matchers:
            names = known.get(one.name)
            if names and one.comparison == "=" and one.value and one.value not in names:
                hint = meant(one.value, names)
                yield f"{origin}: {one}: the catalogue has no such {one.name} ({hint})"
