"""Incidents as people read them: state, whose they are, what became of the page, everything about one.

Pure. Must never call one taken, told or closed that the journal and the far side do not both leave open to doubt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from opsctl.core.frozen import dataclass
from opsctl.ports import Incident, Moment
from opsctl.views.far_side import Glance
from opsctl.views.why_not import WhyNot
from opsctl.views.words import ago

GLYPHS = {"firing": "✖ firing", "held": "~ held", "pending": "! pending", "resolved": "✔ resolved"}
CAUSES = {"burn": "error budget", "rule": "alert rule", "no_data": "no data", "stale": "a backend is away"}
ALL, MINE = "all", "mine"
_TOLD = frozenset({"accepted", "visible", "acknowledged", "resolved"})
_NOTES = ("note", "note queued", "note accepted", "note permanent", "note dead", "note never delivered")

Fact = tuple[str, str]
"""A name and what is said of it, from anywhere and not cleaned."""


def state_words(one: Incident) -> str:
    """Glyph and word, and why the state is frozen where it is."""
    word = GLYPHS.get(one.state, f"? {one.state}")
    return f"{word}; frozen: {one.frozen}" if one.frozen and one.state != "resolved" else word


def ordered(incidents: Iterable[Incident]) -> list[Incident]:
    """Open ones first, of them the pages; newest first."""

    def place(one: Incident) -> tuple[bool, bool, float, int]:
        over = one.resolved is not None
        return over, not over and one.severity != "page", -one.opened.timestamp(), -one.episode

    return sorted(incidents, key=place)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose incidents are looked at: all of them, mine, or a team's."""

    kind: str = ALL  # all, mine, team
    team: str = ""

    @property
    def words(self) -> str:
        """Which is on."""
        return f"team {self.team}" if self.kind == "team" else self.kind


def scopes(incidents: Iterable[Incident]) -> list[Scope]:
    """All, mine, then each team that has one."""
    teams = sorted({one.team for one in incidents if one.team})
    return [Scope(), Scope(MINE), *(Scope("team", team) for team in teams)]


def next_scope(now: Scope, incidents: Iterable[Incident]) -> Scope:
    """The one after it, from the last to the first."""
    known = scopes(incidents)
    place = known.index(now) if now in known else -1
    return known[(place + 1) % len(known)]


def taken_by(one: Incident, moments: Sequence[Moment], glance: Glance) -> str:
    """Who acknowledged it, as far as somebody said so; "" where nobody did."""
    if one.acknowledged is None and "acknowledged" not in _remote(one, glance):
        return ""
    told = next((line.who for line in moments if line.kind == "acknowledged" and line.who), "")
    seen = glance.shown.get(one.episode)
    return told or (seen.who if seen is not None and seen.status == "acknowledged" else "") or "somebody"


def _remote(one: Incident, glance: Glance) -> str:
    seen = glance.shown.get(one.episode)
    return seen.status if seen is not None else ""


def in_scope(one: Incident, scope: Scope, taken: str, me: Collection[str]) -> bool:
    """Whether an incident is looked at; `me` are the names that I go by."""
    if scope.kind == "team":
        return one.team == scope.team
    if scope.kind == MINE:
        return bool(taken) and taken.casefold() in {name.casefold() for name in me if name}
    return True


def page_words(one: Incident, glance: Glance) -> str:
    """What became of the page, and what the far side shows of it now."""
    sent = "nobody told" if not one.route else one.delivery.replace("_", " ")
    seen = glance.words(one)
    if one.withheld and one.resolved is None and not seen:
        return "withheld"
    if not seen:
        return sent
    return seen if one.delivery in _TOLD else f"{sent}, {seen}"


def troubled(one: Incident, glance: Glance) -> bool:
    """Whether the page did not get where it should be."""
    seen = glance.shown.get(one.episode)
    lost = one.delivery.replace("_", " ") in ("dead", "never delivered", "refused")
    return lost or (seen is not None and bool(seen.mismatch))


def details(one: Incident, glance: Glance, taken: str, stopped: WhyNot | None, now: datetime) -> list[Fact]:
    """Everything about one."""
    facts: list[Fact] = [
        ("incident", f"#{one.episode}, {state_words(one)}"),
        ("says", one.summary),
        ("service", f"{one.service or '-'}, team {one.team or 'unknown'}"),
        ("rule", f"{one.rule_name} ({one.rule_uid}), {one.severity}, cause: {CAUSES.get(one.cause, one.cause)}"),
        ("opened", moment_words(one.opened, now)),
        ("acknowledged", _taken(one, taken, now)),
        ("resolved", f"{moment_words(one.resolved, now)}: {one.reason}" if one.resolved else ""),
        ("page", _page(one)),
        (glance.column if glance.shown.get(one.episode) else "far side", glance.sentence(one)),
        ("not told", one.withheld if one.resolved is None else ""),
        ("stopped by", stopped.stopped if stopped is not None else ""),
        ("runbook", one.runbook or ""),
        ("open at", one.remote_url),
        ("key", one.key),
    ]
    facts += [("!", problem) for problem in glance.problems]
    return [fact for fact in facts if fact[1]]


def _taken(one: Incident, taken: str, now: datetime) -> str:
    if one.acknowledged is not None:
        return f"by {taken or 'somebody'}, {moment_words(one.acknowledged, now)}"
    if taken:
        return f"by {taken}, as the far side shows"
    return "by nobody" if one.resolved is None else ""


def _page(one: Incident) -> str:
    if not one.route:
        return "nobody was told of it"
    tried = f", {one.attempts} attempts" if one.attempts > 1 else ""
    error = f": {one.last_error}" if one.last_error else ""
    return f"{one.delivery.replace('_', ' ')} by {one.route.rstrip('/')}{tried}{error}"


def moment_words(at: datetime, now: datetime) -> str:
    """A time and how long ago that is."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z, {ago(now - at)} ago"


def notes_of(moments: Iterable[Moment]) -> list[Moment]:
    """What people wrote, and what became of it on its way."""
    return [one for one in moments if one.kind in _NOTES or one.kind.startswith("note ")]


def words_of(one: Incident, taken: str) -> tuple[str, ...]:
    """What a filter's word may stand in."""
    number = f"#{one.episode}"
    return (number, one.rule_name, one.service, one.team, one.severity, one.state, one.summary, taken, one.route)


def labels_of(one: Incident, taken: str) -> Mapping[str, str]:
    """What a filter's `label=value` may ask for."""
    return {
        "incident": str(one.episode),
        "rule": one.rule_name,
        "alertname": one.rule_name,
        "rule_uid": one.rule_uid,
        "service": one.service,
        "team": one.team,
        "severity": one.severity,
        "cause": one.cause,
        "state": one.state,
        "to": one.route.rstrip("/"),
        "by": taken,
    }


def around(length: timedelta, opened: datetime, resolved: datetime | None, now: datetime) -> datetime | None:
    """The end of a window of this length that an incident lies in; None for now, where it goes on within it."""
    if resolved is None and now - opened < length:
        return None
    return min(opened + length / 2, now)
