"""Runbooks, plans and runs as people read them: what a step does, where a parameter comes from, which runbook fits.

Must never ask, run or clean anything: whoever shows it cleans it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from opsctl.core.frozen import dataclass
from opsctl.core.params import Given, check_value, expected, found
from opsctl.core.runbooks import Approval, Param, Role, Runbook, Step, Value, matching
from opsctl.core.windows import format_duration

if TYPE_CHECKING:
    from opsctl.ports.runbooks import RunbookRun
    from opsctl.runner import Planned

GLYPHS = {
    "ok": "✔",
    "failed": "✖",
    "waiting": "!",
    "unknown": "?",
    "running": "~",
    "skipped": "~",
    "undone": "!",
    "stopped": "✖",
}
VERBS = {"read": "READ ", "write": "WRITE", "gate": "GATE ", "hand": "HAND "}
_NOTHING: Mapping[str, str] = MappingProxyType({})


# -- steps of a plan -------------------------------------------------------------------------------------------------


def verb(item: Planned) -> str:
    """READ, WRITE, GATE or HAND, with the role of a step that is not of the flow in front."""
    role = "" if item.step.role is Role.STEP else f"({item.step.role.value}) "
    return role + VERBS[item.what]


def terms(step: Step) -> tuple[str, ...]:
    """What a step changes, under which conditions, and what it expects."""
    words = []
    if step.mutates is not None:
        words += [
            f"changes {step.mutates}",
            f"requires {step.requires}",
            f"idempotency {step.idempotency.value}",
            f"undo {step.undo}",
        ]
    if step.expect_text:
        words.append(f"expects {step.expect_text}")
    return tuple(words)


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One step of a plan in the words of a table; `text` is what it would ask, send or run, byte for byte."""

    step: str
    title: str
    kind: str
    does: str
    gate: str
    expects: str
    undo: str
    text: str
    complete: bool  # false: `text` says what is not known yet
    changes: bool


def plan_rows(planned: Iterable[Planned]) -> tuple[PlanRow, ...]:
    """Every step of a plan, in its order."""
    return tuple(_plan_row(item) for item in planned)


def _plan_row(item: Planned) -> PlanRow:
    step = item.step
    role = "" if step.role is Role.STEP else f"({step.role.value}) "
    return PlanRow(
        step=step.id,
        title=step.title,
        kind=step.kind.value,
        does=role + _does(item),
        gate=_named(step.requires) if step.mutates is not None else "",
        expects=_expects(step),
        undo=_named(step.undo) if step.mutates is not None else "",
        text=item.text,
        complete=item.complete,
        changes=item.what == "write",
    )


def _does(item: Planned) -> str:
    match item.what:
        case "write":
            return f"changes {item.step.mutates}"
        case "gate":
            policy = item.step.body.policy if isinstance(item.step.body, Approval) else None
            return f"asks for approval ({policy})" if policy else "asks for approval"
        case "hand":
            return "by hand"
        case _:
            return "reads"


def _named(step_id: str | None) -> str:
    return "none" if step_id in (None, "none") else str(step_id)


def _expects(step: Step) -> str:
    words = [step.expect_text] if step.expect_text else []
    if step.poll is not None:
        held = f" for {format_duration(step.for_)}" if step.for_ else ""
        words.append(f"every {format_duration(step.poll)}{held}, at most {format_duration(step.timeout)}")
    return "; ".join(words)


# -- parameters ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParamRow:
    """One parameter as far as it is known: its text and where that comes from; `problem` says why it does not do."""

    name: str
    text: str | None
    source: str
    expected: str
    problem: str = ""
    description: str = ""
    value: Value | None = None


def param_rows(book: Runbook, given: Given) -> tuple[ParamRow, ...]:
    """Every parameter of a runbook, found and checked as a run would do it."""
    return tuple(_param_row(param, given) for param in book.params)


def _param_row(param: Param, given: Given) -> ParamRow:
    text, source = found(param, given)
    fits = expected(param.type)
    if text is None:
        tried = f", or {' or '.join(param.sources)}" if param.sources else ""
        return ParamRow(param.name, None, "", fits, f"missing: -p {param.name}=…{tried}", param.description)
    try:
        value = check_value(param.type, text, given.services)
    except ValueError as wrong:
        return ParamRow(param.name, text, source, fits, str(wrong), param.description)
    return ParamRow(param.name, text, source, fits, "", param.description, value)


def known_values(rows: Iterable[ParamRow]) -> dict[str, Value]:
    """The parameters that are known and right."""
    return {row.name: row.value for row in rows if row.value is not None}


# -- what fits -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Happening:
    """An open incident as the triggers of runbooks see it; `runbook` is the one that its rule names."""

    episode: int
    alert: str
    rule_uid: str
    service: str
    runbook: str
    opened: datetime
    labels: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    def calls_for(self, book: Runbook) -> bool:
        """Whether its alert names this runbook, or is one of its triggers."""
        return self.runbook == book.id or matching((book,), self.alert, self.labels) is not None


@dataclass(frozen=True, slots=True)
class Looked:
    """What a person looks at: any of it may be nothing."""

    service: str = ""
    rule_uid: str = ""
    incident: int | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a runbook fits what is looked at: 0 best; `why` in a few words, "" where it does not."""

    rank: int
    why: str = ""


def fit(book: Runbook, open_: Sequence[Happening], looked: Looked) -> Fit:
    """How a runbook fits: the incident looked at, the alert, the service (called for first), any incident, nothing."""
    calling = [one for one in open_ if one.calls_for(book)]
    for one in calling:
        if one.episode == looked.incident:
            return Fit(0, f"for #{one.episode}")
    for one in calling:
        if looked.rule_uid and one.rule_uid == looked.rule_uid:
            return Fit(1, f"for {one.alert}")
    about = bool(looked.service) and looked.service in book.services
    if about:
        return Fit(2 if calling else 3, f"for {looked.service}")
    if calling:
        newest = max(calling, key=lambda one: (one.opened, one.episode))
        return Fit(4, f"for #{newest.episode}")
    return Fit(5)


def episodes_for(book: Runbook, open_: Sequence[Happening], looked: Looked, sent: bool) -> tuple[int, ...]:
    """The open incidents that a run could be for: the one looked at, then those that call for it, the newest first.

    `sent`: another screen named this runbook for the incident that is looked at, whatever its triggers say.
    """
    known = {one.episode for one in open_}
    calling = [one for one in open_ if one.calls_for(book)]
    newest = [one.episode for one in sorted(calling, key=lambda one: (one.opened, one.episode), reverse=True)]
    if looked.incident in known and looked.incident is not None and (sent or looked.incident in newest):
        return (looked.incident, *(one for one in newest if one != looked.incident))
    return tuple(newest)


# -- runs ------------------------------------------------------------------------------------------------------------


def to_take_up(runs: Sequence[RunbookRun]) -> tuple[RunbookRun, ...]:
    """Runs that somebody has to look at: those that wait or were cut short, and failed ones that no later run replaced.

    `runs` are newest first.
    """
    out, seen = [], set()
    for run in runs:
        first = run.runbook not in seen
        seen.add(run.runbook)
        if run.state in ("waiting", "running") or (first and run.state in ("failed", "stopped")):
            out.append(run)
    return tuple(out)


def last_runs(runs: Sequence[RunbookRun]) -> dict[str, RunbookRun]:
    """The last run of each runbook; `runs` are newest first."""
    out: dict[str, RunbookRun] = {}
    for run in runs:
        out.setdefault(run.runbook, run)
    return out


def edit_of(record: RunbookRun, book: Runbook) -> tuple[str, ...]:
    """What was edited in a runbook since a run of it started, as lines of a unified diff."""
    lines = difflib.unified_diff(
        record.source.splitlines(),
        book.source.splitlines(),
        f"{book.id} at the start",
        f"{book.id} now",
        lineterm="",
    )
    return tuple(lines)
