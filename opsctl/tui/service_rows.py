"""The Service screen's texts: its head, objectives, dependencies and newest error lines as cells with tones.

Pure: no textual. Text from outside goes into pieces as it is: who draws them cleans it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from opsctl.core.catalogue import Service
from opsctl.core.logs import LogPage, LogRecord
from opsctl.core.rules import AlertingRule, State, Verdict, state_of
from opsctl.core.signals import Absent, Failed, Measured, Reading
from opsctl.core.slo import Slo
from opsctl.core.traces import Edge
from opsctl.core.windows import format_duration
from opsctl.core.wording import times
from opsctl.ports import Incident
from opsctl.tui.board_rows import bar, percent_left
from opsctl.tui.why import TONES, Paragraph, Piece
from opsctl.views.alert_values import against
from opsctl.views.board import Burn, Row, budget_of, burn_of
from opsctl.views.check import first_alert
from opsctl.views.neighbours import Neighbour
from opsctl.views.rates import Figure
from opsctl.views.services import FINDINGS
from opsctl.views.words import ago, state_words

CHANGE, OPENED = "▲", "◆"
"""What marks a change and an incident below a chart."""
_TIERS = {1: "pages", 2: "tickets", 3: "shows"}
_BAR = 8
_INCIDENTS_MAX = 1  # that are named; of the others their number
Cells = tuple[tuple[Piece, ...], ...]


def head(found: Row, entry: Service | None, at: datetime, incidents: Iterable[Incident]) -> list[Paragraph]:
    """Who it is and how it stands; its last change and its incidents; its links."""
    one = found.standing
    tone = TONES[one.state] if one.state is not None else "dim"
    first: list[Piece] = [(one.service, "strong"), (f"  {one.words}", tone)]
    if entry is not None:
        kind = entry.kind.replace("_", " ")
        first.append((f"  tier {entry.tier} ({_TIERS.get(entry.tier, '')}) · team {entry.team} · {kind}", "dim"))
    elif one.team:
        first.append((f"  team {one.team}", "dim"))
    shown = list(incidents)
    for incident in shown[:_INCIDENTS_MAX]:
        taken = " ack" if incident.acknowledged is not None else ""
        first.append((f"  {OPENED} #{incident.episode}{taken} opened {ago(at - incident.opened)} ago", "warn"))
    if len(shown) > _INCIDENTS_MAX:
        first.append((f"  +{len(shown) - _INCIDENTS_MAX}", "warn"))
    out: list[Paragraph] = [tuple(first)]
    if found.change is not None and found.change_age is not None:
        who = f" ({found.change.who})" if found.change.who else ""
        out.append(((f"{CHANGE} {ago(found.change_age)} ago  ", "accent"), (f"{found.change.summary}{who}", "")))
    if entry is not None and entry.links:
        links: list[Piece] = []
        for name, url in entry.links.items():
            links += [(f"{name} ", "dim"), (f"{url}  ", "accent")]
        out.append(tuple(links))
    return out


def now_of(figure: Figure, text: str, *, failed: bool) -> Piece:
    """The number beside a chart's title: with its age where it is old."""
    if figure.value is None:
        return ("? not known", "unknown") if failed else ("– not measured", "dim")
    if figure.age is not None:
        return f"{text} ~{ago(figure.age)}", "stale"
    return text, "strong"


# -- objectives --------------------------------------------------------------------------------------------------------


def rule_cells(verdict: Verdict, at: datetime) -> Cells:
    """State, name, target, budget, bar, worst windows, alert."""
    alert = first_alert(verdict.alerts)
    said = f"{alert.severity.value} {alert.state.value} {ago(at - alert.since)}" if alert is not None else ""
    state = ((state_words(verdict), TONES[state_of(verdict)]),)
    name = ((verdict.rule.name, "strong" if state_of(verdict) is not State.OK else ""),)
    tail: tuple[Piece, ...] = ((said, "stale" if alert is not None and alert.frozen else ""),)
    if isinstance(verdict.rule, Slo):
        return (state, name, *_slo_cells(verdict.rule, verdict, at), tail)
    return (state, name, (("alert rule", "dim"),), (("", ""),), (("", ""),), _value(verdict.rule, verdict), tail)


def _slo_cells(slo: Slo, verdict: Verdict, at: datetime) -> Cells:
    target = ((f"{slo.target * 100:.6g} % {format_duration(slo.period)}", "dim"),)
    left = budget_of(verdict, at)
    if left is None:
        unknown = state_of(verdict) is State.UNKNOWN or bool(verdict.evidence.budget_problem)
        return target, (("?", "unknown") if unknown else ("–", "dim"),), (("", ""),), _windows(burn_of(verdict))
    tone = "stale" if left.age is not None else "fail" if left.left <= 0 else "warn" if left.left < 0.25 else ""
    age = f" ~{ago(left.age)}" if left.age is not None else ""
    return (
        target,
        ((f"{percent_left(left.left)}{age}", tone),),
        ((bar(left.left, 8), tone),),
        _windows(burn_of(verdict)),
    )


def _windows(one: Burn | None) -> tuple[Piece, ...]:
    """Both windows of the worst row, in budgets a period, against the row's line."""
    if one is None:
        return (("–", "dim"),)
    none = "?" if one.asked else "no events"
    long, short = (none if value is None else times(value) for value in (one.long, one.short))
    names = format_duration(one.row.long), format_duration(one.row.short)
    tone = "fail" if one.nearness >= 1 else "warn" if one.nearness >= 0.5 else "unknown" if one.asked else ""
    return ((f"{names[0]} {long} · {names[1]} {short}", tone), (f" of {one.row.factor:g}×", "dim"))


def _value(rule: AlertingRule, verdict: Verdict) -> tuple[Piece, ...]:
    alert = first_alert(verdict.alerts)
    if alert is None:
        return (("nothing" if verdict.fresh else "?", "dim" if verdict.fresh else "unknown"),)
    found = against(alert, verdict)
    return ((found.value or "–", "strong"), (f" {found.line}" if found.line else "", "dim"))


# -- dependencies ------------------------------------------------------------------------------------------------------


def neighbour_cells(one: Neighbour) -> Cells:
    """Which way, state, service, calls, what traces say."""
    standing = one.standing
    if standing is None:
        state: Piece = ("not in the catalogue", "warn")
    else:
        state = (standing.words, TONES[standing.state] if standing.state is not None else "dim")
    calls = "" if one.calls is None else f"{one.calls:,}"
    failed = f"{one.errors:,}" if one.errors else ""
    seen = one.seen.value if one.seen in FINDINGS and one.seen is not None else ""
    return (
        (("needs" if one.needed else "needed by", "dim"),),
        ((one.service, "strong" if standing is not None and standing.trouble else ""),),
        (state,),
        ((calls, ""),),
        ((failed, "warn"),),
        ((f"! {seen}" if seen else "", "warn"),),
    )


def traces_note(reading: Reading[tuple[Edge, ...]] | None) -> str:
    """Why it is not known whether dependencies are seen, or ""."""
    if isinstance(reading, Failed):
        return f"seen or not is not known: {reading.backend}: {reading.message}"
    return "traces record no dependencies in this window" if isinstance(reading, Absent) else ""


# -- error lines -------------------------------------------------------------------------------------------------------


def line_cells(one: LogRecord, at: datetime) -> Cells:
    """How long ago, and the first line of what it says."""
    age = at - one.at
    text = one.message.strip().splitlines()[0] if one.message.strip() else "(empty)"
    return ((ago(max(age, timedelta(0))), "dim"),), ((one.severity or "", "warn"),), ((text, ""),)


def lines_note(reading: Reading[LogPage] | None) -> str:
    """What stands where there is no error line."""
    match reading:
        case None:
            return "asking for error lines …"
        case Failed():
            return f"error lines are not known: {reading.backend}: {reading.message}"
        case Absent() | Measured():
            return "no error line in this window"
