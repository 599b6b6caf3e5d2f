"""The board's rows: every service with the state of its worst rule, what its budget and requests say, and who is told.

A row is worked out in two parts: where a service stands, which sorting needs of all of them, and the rest, which is
made for rows that somebody looks at. Must never show UNKNOWN as healthy, or what was not measured as a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from opsctl.core.alerts import Alert, AlertState
from opsctl.core.catalogue import Catalogue
from opsctl.core.frozen import dataclass
from opsctl.core.rules import State, Verdict, WindowEvidence, state_of
from opsctl.core.slo import BurnRow, Severity, Slo
from opsctl.ports import Incident
from opsctl.views.changes import Change
from opsctl.views.rates import RECENT, Figure, Rates, figure
from opsctl.views.words import GLYPHS, WORST_FIRST, state_words

SORTS = ("state", "service", "budget", "burn", "rps", "errors", "latency", "change")
"""What rows can be sorted by; the worst, or the most, first."""
BUDGET_YOUNG = timedelta(minutes=20)
"""A budget is asked for every quarter of an hour; an older answer is shown with its age."""
NO_RULE = "no rule"
_LOUD = {Severity.PAGE: 0, Severity.TICKET: 1, Severity.SHOW: 2}
_RANK = {state: rank for rank, state in enumerate(WORST_FIRST)}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one service stands: `state` None means that no rule is about it."""

    service: str
    state: State | None
    words: str
    team: str
    tier: int
    verdicts: tuple[Verdict, ...]
    pages: int = 0  # firing alerts by severity
    tickets: int = 0
    shows: int = 0
    pending: int = 0

    @property
    def trouble(self) -> bool:
        """Whether it is anything but OK; nothing is said of what has no rule."""
        return self.state not in (None, State.OK)


@dataclass(frozen=True, slots=True)
class Burn:
    """The worst row of an objective: budgets a period over its long and its short window, and its line.

    None was not measured; `asked` says whether it could not be, rather than that there were no events.
    """

    slo: Slo
    row: BurnRow
    long: float | None
    short: float | None
    asked: bool

    @property
    def nearness(self) -> float:
        """How near both windows are to firing: 1 is the line; −1 where that is not known."""
        if self.long is None or self.short is None:
            return -1.0
        return min(self.long, self.short) / self.row.factor


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of an objective's budget, in [−∞, 1]; `age` where the answer is old."""

    left: float
    age: timedelta | None


@dataclass(frozen=True, slots=True)
class Row:
    """Everything that the board says of one service."""

    standing: Standing
    objective: Slo | None
    budget: Budget | None
    burn: Burn | None
    rps: Figure
    errors: Figure
    latency: Figure
    of_objective: bool  # rate and errors are its objective's events, for nothing else counts its requests
    unknown: bool  # what is missing could not be asked for
    incident: Incident | None
    acknowledged: bool
    more_incidents: int
    change: Change | None
    change_age: timedelta | None


@dataclass(frozen=True, slots=True)
class Scene:
    """What rows are made of besides verdicts; `live` is false for a look at another time."""

    at: datetime
    live: bool
    step: timedelta  # of the rates
    rates: Mapping[str, Rates]
    rates_failed: bool
    incidents: Mapping[str, tuple[Incident, ...]]  # open at that time, by service
    changes: Mapping[str, Change]  # the last one before it, by service


def scene(
    at: datetime,
    *,
    live: bool,
    step: timedelta,
    rates: Mapping[str, Rates],
    rates_problem: str,
    incidents: Iterable[Incident],
    changes: Iterable[Change],
) -> Scene:
    """A report's parts by service."""
    found: dict[str, list[Incident]] = {}
    for one in incidents:
        if open_at(one, at, live=live):
            found.setdefault(one.service, []).append(one)
    last: dict[str, Change] = {}
    for change in changes:
        known = last.get(change.service)
        if (live or change.at <= at) and (known is None or known.at < change.at):
            last[change.service] = change
    by_service = {name: tuple(sorted(some, key=_incident_order)) for name, some in found.items()}
    return Scene(at, live, step, rates, bool(rates_problem), by_service, last)


def open_at(incident: Incident, at: datetime, *, live: bool) -> bool:
    """Whether an incident is open: now, or as it was at a time."""
    if live:
        return incident.resolved is None
    return incident.opened <= at and (incident.resolved is None or incident.resolved > at)


def _incident_order(one: Incident) -> tuple[int, bool, float]:
    """Pages first, those that nobody has taken, the newest."""
    loud = 0 if one.severity == Severity.PAGE.value else 1
    return loud, one.acknowledged is not None, -one.opened.timestamp()


# -- where services stand ----------------------------------------------------------------------------------------------


def standings(verdicts: Iterable[Verdict], stale: Iterable[Alert], catalogue: Catalogue) -> list[Standing]:
    """One for each service that has rules or is in the catalogue, worst first."""
    by_service: dict[str, list[Verdict]] = {name: [] for name in catalogue.services}
    for verdict in verdicts:
        by_service.setdefault(verdict.rule.service or "-", []).append(verdict)
    kept: dict[str, list[Alert]] = {}
    for alert in stale:
        kept.setdefault(alert.service or "-", []).append(alert)
    found = [_standing(name, rules, kept.get(name, ()), catalogue) for name, rules in by_service.items()]
    return sorted(found, key=worst_first)


def worst_first(one: Standing) -> tuple[int, int, int, int, str]:
    """The board's own order."""
    rank = len(_RANK) if one.state is None else _RANK[one.state]
    return rank, -one.pages, -one.tickets, one.tier, one.service


def _standing(name: str, verdicts: Sequence[Verdict], stale: Sequence[Alert], catalogue: Catalogue) -> Standing:
    entry = catalogue.get(name)
    team = entry.team if entry is not None else next((one.rule.team for one in verdicts if one.rule.team), "")
    tier = entry.tier if entry is not None else 3
    if not verdicts:
        return Standing(name, None, NO_RULE, team, tier, ())
    ordered = sorted(verdicts, key=_verdict_order) if len(verdicts) > 1 else verdicts
    worst = ordered[0]
    state = state_of(worst)
    words = state_words(worst) if state is not State.OK else _calm_words(verdicts)
    counted = _counted(verdicts, stale)
    return Standing(name, state, words, team, tier, tuple(ordered), *counted)


def _verdict_order(verdict: Verdict) -> tuple[int, int, str]:
    loud = min((_LOUD[one.severity] for one in verdict.alerts), default=_LOUD[verdict.rule.severity])
    return _RANK[state_of(verdict)], loud, verdict.rule.name


def _calm_words(verdicts: Sequence[Verdict]) -> str:
    """A rule that is suppressed hides something: that is said where all others hold."""
    hidden = next((one for one in verdicts if one.hides is not None), None)
    return state_words(hidden) if hidden is not None else f"{GLYPHS[State.OK]} {State.OK}"


def _counted(verdicts: Sequence[Verdict], stale: Sequence[Alert]) -> tuple[int, int, int, int]:
    """Firing pages, tickets and others, and pending alerts."""
    firing, pending = [0, 0, 0], 0
    for alerts in (*(one.alerts for one in verdicts), stale):
        for alert in alerts:
            if alert.state is AlertState.FIRING:
                firing[_LOUD[alert.severity]] += 1
            elif alert.state is AlertState.PENDING:
                pending += 1
    return firing[0], firing[1], firing[2], pending


# -- the rest of a row -------------------------------------------------------------------------------------------------


def row(standing: Standing, around: Scene) -> Row:
    """Everything else about one service."""
    burn = worst_burn(standing.verdicts)
    verdict = next((one for one in standing.verdicts if burn is not None and one.rule is burn.slo), None)
    rates = around.rates.get(standing.service, Rates())
    rps, errors = figure(rates.requests, around.at, around.step), figure(rates.errors, around.at, around.step)
    from_slo = not rates.requests and not rates.errors
    if from_slo:
        rps, errors = _of_events(standing.verdicts, around.at)
    incidents = around.incidents.get(standing.service, ())
    first = incidents[0] if incidents else None
    change = around.changes.get(standing.service)
    return Row(
        standing=standing,
        objective=burn.slo if burn is not None else None,
        budget=budget_of(verdict, around.at) if verdict is not None else None,
        burn=burn,
        rps=rps,
        errors=errors,
        latency=figure(rates.p99, around.at, around.step),
        of_objective=from_slo and rps.value is not None,
        unknown=around.rates_failed,
        incident=first,
        acknowledged=first is not None and _taken(first, around),
        more_incidents=max(0, len(incidents) - 1),
        change=change,
        change_age=around.at - change.at if change is not None else None,
    )


def _taken(incident: Incident, around: Scene) -> bool:
    when = incident.acknowledged
    return when is not None and (around.live or when <= around.at)


def worst_burn(verdicts: Iterable[Verdict]) -> Burn | None:
    """Of the worst objective the row that is nearest to firing; None where there is no objective."""
    best: tuple[tuple[int, float], Burn] | None = None
    for verdict in verdicts:
        found = burn_of(verdict)
        if found is None:
            continue
        order = (_RANK[state_of(verdict)], -found.nearness)
        if best is None or order < best[0]:
            best = (order, found)
    return best[1] if best is not None else None


def burn_of(verdict: Verdict) -> Burn | None:
    """The row of an objective's evidence that is nearest to firing; rows without numbers come last."""
    slo = verdict.rule
    if not isinstance(slo, Slo) or not slo.burn.rows:
        return None
    rows = burns(slo, verdict.evidence.windows)
    return max(rows, key=lambda one: one.nearness)


def burns(slo: Slo, windows: Sequence[WindowEvidence]) -> list[Burn]:
    """One for each row of the objective's table."""
    out = []
    for i, row_ in enumerate(slo.burn.rows):
        pair = windows[2 * i : 2 * i + 2]
        long, short = pair if len(pair) == 2 else (None, None)
        asked = all(one is None or one.total is None for one in (long, short))
        out.append(Burn(slo, row_, _burned(long), _burned(short), asked))
    return out


def _burned(window: WindowEvidence | None) -> float | None:
    return window.burn if window is not None else None


def budget_of(verdict: Verdict, at: datetime) -> Budget | None:
    """What is left of an objective's budget; None where it was not measured."""
    known = verdict.evidence.budget
    if known is None:
        return None
    age = at - known.asked_at
    return Budget(known.remaining, age if age > BUDGET_YOUNG else None)


def _of_events(verdicts: Iterable[Verdict], at: datetime) -> tuple[Figure, Figure]:
    """Rate and errors of the objective with the most events, over its shortest window."""
    best: WindowEvidence | None = None
    for verdict in verdicts:
        slo = verdict.rule
        if not isinstance(slo, Slo) or slo.counts != "events" or at - verdict.evidence.at > RECENT:
            continue
        for window in sorted(verdict.evidence.windows, key=lambda one: one.window):
            if window.total is not None:
                if best is None or (best.total or 0.0) < window.total:
                    best = window
                break
    if best is None or best.total is None:
        return Figure(), Figure()
    return Figure(best.total / best.window.total_seconds()), Figure(best.ratio)


# -- order and choice --------------------------------------------------------------------------------------------------


def ordered(found: Sequence[Standing], by: str, around: Scene, *, reverse: bool = False) -> list[Standing]:
    """Sorted by one of `SORTS`; what has no value comes last either way."""
    if by == "state":
        return sorted(found, key=worst_first, reverse=reverse)
    if by == "service":
        return sorted(found, key=lambda one: one.service, reverse=reverse)
    value = _value_of(by, around)
    known = [(value(one), one) for one in found]
    have = [(key, one) for key, one in known if key is not None]
    have.sort(key=lambda pair: (pair[0], pair[1].service), reverse=reverse)
    return [one for _, one in have] + [one for key, one in known if key is None]


def _value_of(by: str, around: Scene) -> Callable[[Standing], float | None]:
    """What is compared, the worst smallest."""

    def of_budget(one: Standing) -> float | None:
        left = [known.remaining for verdict in one.verdicts if (known := verdict.evidence.budget) is not None]
        return min(left, default=None)

    def of_burn(one: Standing) -> float | None:
        burn = worst_burn(one.verdicts)
        return None if burn is None or burn.nearness < 0 else -burn.nearness

    def of_change(one: Standing) -> float | None:
        change = around.changes.get(one.service)
        return None if change is None else -change.at.timestamp()

    def of_rates(one: Standing) -> float | None:
        rates = around.rates.get(one.service)
        points = () if rates is None else {"rps": rates.requests, "errors": rates.errors}.get(by, rates.p99)
        last = points[-1][1] if points else math.nan
        return -last if math.isfinite(last) else None

    return {"budget": of_budget, "burn": of_burn, "change": of_change}.get(by, of_rates)


def chosen(found: Iterable[Standing], words: str, *, trouble: bool) -> list[Standing]:
    """Those that have every word in their service, team or state, in any case; with `trouble` only what is not OK."""
    wanted = words.lower().split()
    out = []
    for one in found:
        if trouble and not one.trouble:
            continue
        if wanted:
            text = f"{one.service} {one.team} {one.words} tier{one.tier}".lower()
            if not all(word in text for word in wanted):
                continue
        out.append(one)
    return out


def runbook_of(standing: Standing, incident: Incident | None) -> str:
    """What to run about a service: its incident's runbook, else that of its worst rule that is not OK; ""."""
    if incident is not None and incident.runbook:
        return incident.runbook
    for verdict in standing.verdicts:
        if state_of(verdict) is State.OK:
            continue
        found = next((one.runbook for one in verdict.alerts if one.runbook), None) or verdict.rule.runbook
        if found:
            return found
    return ""
