"""Incidents as the rows of their screen, and what its lower half says of one.

Pure: no textual, nothing is asked. Text from outside goes into cells as it is: who draws them cleans it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from opsctl.core.frozen import dataclass
from opsctl.core.slo import Severity
from opsctl.ports import Incident, Moment
from opsctl.ports.runbooks import RunbookRun, RunbookStep
from opsctl.render.postmortem import Told, postmortem
from opsctl.tui.alert_lines import STATES, fact_lines
from opsctl.tui.widgets.grid import Cell, Column, Row
from opsctl.tui.widgets.lines import Piece
from opsctl.tui.widgets.prose import Paragraph
from opsctl.views.active_alerts import ActiveAlert
from opsctl.views.alert_values import against
from opsctl.views.far_side import Glance
from opsctl.views.incident_rows import (
    GLYPHS,
    MINE,
    Scope,
    details,
    in_scope,
    labels_of,
    notes_of,
    page_words,
    troubled,
    words_of,
)
from opsctl.views.why_not import WhyNot
from opsctl.views.word_filter import WordFilter
from opsctl.views.words import ago, clock_time

TABS = ("details", "alerts", "notes", "timeline", "runbook", "postmortem")
MOMENTS = 500  # of a timeline that are shown
JUST = timedelta(minutes=15)
"""So long after it was closed here it is looked whether it is closed there too."""
_COLUMNS = (
    Column("state", "state"),
    Column("number", "no", right=True),
    Column("rule", "rule", grow=True, least=12),
    Column("service", "service", most=24),
    Column("sev", "sev", priority=3),
    Column("opened", "opened", priority=2, right=True),
    Column("age", "age", right=True),
    Column("page", "page", priority=1, most=30),
    Column("taken", "acknowledged by", most=24),
)
_PAGE = 7
_TONES = {"firing": "fail", "held": "dim", "pending": "warn", "resolved": "dim"}
_LOUD = [one.value for one in Severity]
SORTS: dict[str, Callable[[Incident], Any]] = {
    "state": lambda one: 0,
    "opened": lambda one: -one.opened.timestamp(),
    "service": lambda one: (one.service, -one.episode),
    "rule": lambda one: (one.rule_name, -one.episode),
    "sev": lambda one: _LOUD.index(one.severity) if one.severity in _LOUD else len(_LOUD),
}
"""Orders by name; `state` is open first, newest first."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Whose are shown, which of them, and in which order."""

    scope: Scope = Scope()
    filter: str = ""
    terms: WordFilter = WordFilter()
    sort: str = "state"
    backwards: bool = False
    faults: bool = False  # only open ones

    def of(
        self, incidents: Iterable[Incident], taken: Callable[[Incident], str], me: Collection[str]
    ) -> list[Incident]:
        """Those that pass, in order; `taken` says who acknowledged one, `me` are the names that I go by."""
        found = [one for one in incidents if self._passes(one, taken(one), me)]
        found.sort(key=SORTS[self.sort])
        return found[::-1] if self.backwards else found

    def _passes(self, one: Incident, taken: str, me: Collection[str]) -> bool:
        if (self.faults and one.resolved is not None) or not in_scope(one, self.scope, taken, me):
            return False
        return not self.terms.terms or self.terms.holds(labels_of(one, taken), words_of(one, taken))


@dataclass(frozen=True, slots=True)
class Looked:
    """What was read of one incident when somebody looked at it; `problem` says why it was not."""

    episode: int = 0
    moments: tuple[Moment, ...] = ()
    stopped: WhyNot | None = None
    runs: tuple[RunbookRun, ...] = ()
    steps: Mapping[str, tuple[RunbookStep, ...]] = field(default_factory=lambda: MappingProxyType({}))
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that the lower half is made from; `looked` is of the same incident, or nothing is known yet."""

    incident: Incident
    glance: Glance
    taken: str
    now: datetime
    looked: Looked | None = None
    alerts: tuple[ActiveAlert, ...] = ()
    utc: bool = True


def columns(glance: Glance, incidents: Sequence[Incident]) -> tuple[Column, ...]:
    """The columns; that of the page is named after the far side where that is what it shows."""
    named = glance.heading(incidents) if glance.sources else "page"
    return (*_COLUMNS[:_PAGE], replace(_COLUMNS[_PAGE], title=named), *_COLUMNS[_PAGE + 1 :])


def incident_row(one: Incident, glance: Glance, taken: str, now: datetime, *, utc: bool, old: bool) -> Row:
    """One incident."""
    tone = "stale" if old else "dim" if one.resolved is not None else ""
    state: tuple[Piece, ...] = ((GLYPHS.get(one.state, f"? {one.state}"), tone or _TONES.get(one.state, "unknown")),)
    if one.frozen and one.resolved is None:
        state = (*state, (" ~frozen", "stale"))
    page = page_words(one, glance)
    cells: tuple[Cell, ...] = (
        state,
        f"#{one.episode}",
        one.rule_name,
        one.service or "-",
        one.severity,
        clock_time(one.opened, utc=utc),
        ago(now - one.opened),
        (f"✖ {page}", "fail") if troubled(one, glance) else page,
        _taken(one, taken, now),
    )
    return Row(str(one.episode), cells, tone)


def _taken(one: Incident, taken: str, now: datetime) -> str:
    if not taken:
        return "nobody" if one.resolved is None else ""
    return f"{taken} {ago(now - one.acknowledged)} ago" if one.acknowledged is not None else taken


# -- the lower half


def tab_lines(tab: str, known: Known) -> list[Paragraph]:
    """What one tab says."""
    made: dict[str, Callable[[Known], list[Paragraph]]] = {
        "details": _details,
        "alerts": _alerts,
        "notes": _notes,
        "timeline": _timeline,
        "runbook": _runbook,
        "postmortem": _postmortem,
    }
    return made[tab](known)


def _details(known: Known) -> list[Paragraph]:
    stopped = known.looked.stopped if known.looked is not None else None
    return fact_lines(details(known.incident, known.glance, known.taken, stopped, known.now), 14)


def _alerts(known: Known) -> list[Paragraph]:
    if not known.alerts:
        return [(("no alert of it was pending or firing in the last cycle", "dim"),)]
    out: list[Paragraph] = []
    for one in known.alerts:
        value, (word, tone) = against(one.alert, one.verdict), STATES.get(one.state, (one.state, "unknown"))
        labels = ", ".join(f"{name}={text}" for name, text in one.alert.identity)
        line = f"  {value.value or 'no value'}" + (f" against {value.line}" if value.line else "")
        out.append(((word, tone), (f" {one.alert.rule_name} ", "strong"), (labels, "dim"), (line, "")))
        frozen = f"kept, not measured: {one.alert.frozen}" if one.alert.frozen else ""
        out += fact_lines([(n, t) for n, t in (("", one.aside), ("", frozen), ("", one.alert.summary)) if t], 4)
    return out


def _unread(known: Known) -> list[Paragraph] | None:
    if known.looked is None:
        return [(("the journal is being read …", "dim"),)]
    return [((f"✖ {known.looked.problem}", "fail"),)] if known.looked.problem else None


def _notes(known: Known) -> list[Paragraph]:
    unread = _unread(known)
    if unread is not None or known.looked is None:
        return unread or []
    notes = notes_of(known.looked.moments)
    if not notes:
        return [(("no note; x n writes one", "dim"),)]
    return [_moment(one, utc=known.utc) for one in notes]


def _moment(one: Moment, *, utc: bool) -> Paragraph:
    who = f"{one.who}: " if one.who else ""
    text = " ".join(one.text.split())
    return ((f"{clock_time(one.at, utc=utc)} ", "dim"), (f"{one.kind}  ", "strong"), (who, "accent"), (text, ""))


def _timeline(known: Known) -> list[Paragraph]:
    unread = _unread(known)
    if unread is not None or known.looked is None:
        return unread or []
    moments = known.looked.moments
    out = [_moment(one, utc=known.utc) for one in moments[-MOMENTS:]]
    if len(moments) > MOMENTS:
        told = f"{len(moments) - MOMENTS} earlier ones: opsctl incident timeline '#{known.incident.episode}'"
        out.insert(0, ((told, "dim"),))
    if not moments:
        out.append((("nothing is written down of it", "dim"),))
    why = known.looked.stopped
    if why is not None:
        out.append((("", ""),))
        asked = (
            ("breached?", why.breached, why.breach),
            ("paged?", why.paged, why.page),
            ("seen?", why.seen, why.sight),
        )
        out += [((f"{name:<11}", "dim"), (f"{answer}  ", "strong"), (words, "")) for name, answer, words in asked]
        out.append((("stopped by ", "dim"), (why.stopped or "nothing", "warn" if why.stopped else "")))
    return out


def _runbook(known: Known) -> list[Paragraph]:
    one = known.incident
    if not one.runbook:
        out: list[Paragraph] = [(("its rule names no runbook", "dim"),)]
    else:
        command = f"opsctl runbook run {one.runbook} --incident '#{one.episode}'"
        out = [
            ((one.runbook, "strong"), ("   R opens it", "dim")),
            (("the same in a terminal: ", "dim"), (command, "accent")),
        ]
    unread = _unread(known)
    if unread is not None or known.looked is None:
        return out + (unread or [])
    if not known.looked.runs:
        return [*out, (("not run for this incident yet", "dim"),)]
    return out + [_run(run, utc=known.utc) for run in known.looked.runs]


def _run(run: RunbookRun, *, utc: bool) -> Paragraph:
    glyph, tone = {
        "ok": ("✔", "ok"),
        "failed": ("✖", "fail"),
        "running": ("▸", "accent"),
        "waiting": ("!", "warn"),
    }.get(run.state, ("~", "dim"))
    ended = f" to {clock_time(run.ended, utc=utc)}" if run.ended else ""
    who = f" by {run.who}" if run.who else ""
    note = f": {run.note}" if run.note else ""
    when = f"  {clock_time(run.started, utc=utc)}{ended}{who}"
    return ((f"{glyph} {run.state}", tone), (f"  {run.run}  {run.runbook}", ""), (when, "dim"), (note, ""))


def _postmortem(known: Known) -> list[Paragraph]:
    unread = _unread(known)
    if unread is not None:
        return unread
    return [((line, "head" if line.startswith("#") else ""),) for line in draft(known)]


def draft(known: Known) -> list[str]:
    """The postmortem's Markdown."""
    looked = known.looked or Looked()
    evidence: Iterable[str] = (line for one in known.alerts for line in (one.alert.summary, *one.alert.evidence))
    told = Told(known.incident, looked.moments, known.taken, tuple(dict.fromkeys(evidence)), looked.runs, looked.steps)
    return postmortem(told, known.now)


# -- the line above


def heading(
    how: Shown, incidents: Sequence[Incident], shown: int, glance: Glance, glanced: datetime | None, now: datetime
) -> list[Paragraph]:
    """Whose, how many, what hides some; and what the far side could not say."""
    closed = sum(1 for one in incidents if one.resolved is not None)
    still = len(incidents) - closed
    pieces: list[Piece] = [
        (how.scope.words, "accent"),
        (" (m)  ", "dim"),
        (f"{still} open", "fail" if still else "dim"),
        (f"  {closed} resolved in the last day", "dim"),
    ]
    if how.faults:
        pieces.append(("  only open ones (z)", "accent"))
    if how.filter:
        pieces.append((f"  / {how.filter}", "accent"))
    if shown != len(incidents):
        pieces.append((f"  {shown} of {len(incidents)} shown", "accent"))
    if how.sort != "state" or how.backwards:
        pieces.append((f"  by {how.sort}{' backwards' if how.backwards else ''} (s, S)", "dim"))
    if glance.sources and glanced is not None:
        pieces.append((f"  {glance.source} seen {ago(now - glanced)} ago", "dim"))
    return [
        tuple(pieces),
        *(((f"! {problem}; the rest is the journal's word", "warn"),) for problem in glance.problems),
    ]


def nothing(how: Shown, incidents: Sequence[Incident], who: str) -> str:
    """What is said where none is shown."""
    if not incidents:
        return "no incident is open, and none was resolved in the last day (nothing to acknowledge)"
    if how.scope.kind == MINE:
        return f"none is acknowledged by {who}; m shows those of a team, and all"
    return "no incident passes; m and / say which are shown"


def asked_about(incidents: Iterable[Incident], now: datetime) -> list[Incident]:
    """Those that the far side is asked for: open ones, and those that were just closed here."""
    return [one for one in incidents if one.resolved is None or now - one.resolved < JUST]


def keys_line(known: Known | None) -> Sequence[Piece]:
    """What the leader key does to the selected one."""
    if known is None or known.incident.resolved is not None:
        return ()
    return (("x", "accent"), (" then a acknowledge  n note  r resolve  s silence", "dim"))
