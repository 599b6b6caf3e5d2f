"""Why an alert goes where it goes: the route that takes it, and what each route before it lacked.

Pure; agrees with `routing.route_of`, which decides. Must never decide by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from opsctl.core.frozen import dataclass
from opsctl.core.routing import NOWHERE, Hours, Matcher, Route, Routing, target
from opsctl.core.slo import Severity

_ANYTHING = (".*", "(?s).*", "(?s:.*)")


@dataclass(frozen=True, slots=True)
class Passed:
    """A route that did not take the alert: which matchers do not hold, and whether its hours were not."""

    route: Route
    missed: tuple[Matcher, ...] = ()
    outside: bool = False

    def words(self, labels: Mapping[str, str]) -> str:
        """What it lacked, matcher by matcher."""
        parts = [f"{one}: it is {labels.get(one.name, '')!r}" for one in self.missed]
        return "; ".join([*parts, f"outside {self.route.hours}"] if self.outside else parts)


@dataclass(frozen=True, slots=True)
class Choice:
    """Where labels go (`pagerduty/money`, "" for nowhere); `route` is None where the default says so."""

    to: str
    route: Route | None
    passed: tuple[Passed, ...]


def choose(labels: Mapping[str, str], routing: Routing, at: datetime) -> Choice:
    """The choice for an alert with these labels (`routing.labels_of`) at a time."""
    passed: list[Passed] = []
    for route in routing.routes:
        missed = tuple(one for one in route.matchers if not one.holds(labels))
        outside = route.hours is not None and not route.hours.holds(at)
        if not missed and not outside:
            to = "" if route.sink == NOWHERE else target(route.sink, route.key or labels.get("team", ""))
            return Choice(to, route, tuple(passed))
        passed.append(Passed(route, missed, outside))
    paged = labels.get("severity") == Severity.PAGE
    return Choice(target(routing.default, labels.get("team", "")) if paged else "", None, tuple(passed))


def never_reached(routes: Sequence[Route]) -> list[tuple[Route, tuple[Route, ...]]]:
    """Routes that can take no alert, each with the earlier ones that take all of theirs.

    Sees what the texts say: the same matchers or fewer, or wider ones (`=~` that fits an `=`), no hours or the same.
    """
    found = []
    for index, route in enumerate(routes):
        rest, severities = _parts(route)
        before = [one for one in routes[:index] if _wider(one, rest, route.hours)]
        takers = [one for one in before if _parts(one)[1] & severities]
        taken = frozenset[Severity]().union(*(_parts(one)[1] for one in takers)) if takers else frozenset()
        if takers and severities <= taken:
            whole = [one for one in takers if severities <= _parts(one)[1]]
            found.append((route, tuple(whole[:1] or takers)))
    return found


def _parts(route: Route) -> tuple[frozenset[Matcher], frozenset[Severity]]:
    """What it asks of other labels than severity, and the severities that it takes."""
    rest = frozenset(one for one in route.matchers if one.name != "severity" and not _always(one))
    return rest, frozenset(one for one in Severity if _takes(route.matchers, one))


def _takes(matchers: Iterable[Matcher], severity: Severity) -> bool:
    return all(one.holds({"severity": severity.value}) for one in matchers if one.name == "severity")


def _always(matcher: Matcher) -> bool:
    return matcher.comparison == "=~" and matcher.value in _ANYTHING


def _wider(route: Route, rest: frozenset[Matcher], hours: Hours | None) -> bool:
    implied = all(_follows(one, rest) for one in _parts(route)[0])
    return implied and (route.hours is None or route.hours == hours)


def _follows(matcher: Matcher, rest: frozenset[Matcher]) -> bool:
    """Whether whoever fulfils the rest fulfils the matcher."""
    said = [one.value for one in rest if one.name == matcher.name and one.comparison == "="]
    return matcher in rest or any(matcher.holds({matcher.name: value}) for value in said)
