"""The draft of a postmortem, in Markdown: what the journal knows is filled in, what only people know is asked for.

Must never let text from outside become markup, or state a cause: that is for the people who write it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from opsctl.core.frozen import dataclass
from opsctl.ports import Incident, Moment
from opsctl.ports.runbooks import RunbookRun, RunbookStep
from opsctl.render.markdown import code_text, plain_text
from opsctl.views.incident_rows import notes_of
from opsctl.views.words import ago

LINES = 400  # of the timeline


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that a draft is made from; `steps` are of each run, by its id."""

    incident: Incident
    moments: tuple[Moment, ...] = ()
    taken: str = ""  # who acknowledged it
    evidence: tuple[str, ...] = ()
    runs: tuple[RunbookRun, ...] = ()
    steps: Mapping[str, tuple[RunbookStep, ...]] | None = None
    source: str = "journal"  # whose word the far side's part is


def postmortem(told: Told, at: datetime) -> list[str]:
    """The lines of the draft, as of `at`."""
    one = told.incident
    name = f"#{one.episode} {plain_text(one.rule_name)}" + (f" on {plain_text(one.service)}" if one.service else "")
    out = [f"# Postmortem: {name}", ""]
    if one.resolved is None:
        out += [f"**Draft while it goes on**, as of {_time(at)}.", ""]
    out += ["## Summary", "", plain_text(one.summary) or "_what happened, in two sentences_", ""]
    out += _facts(told, at)
    out += ["## Impact", "", "_who noticed, what did not work, for how long_", ""]
    out += _timeline(told.moments)
    out += _evidence(told.evidence)
    out += _notes(told.moments)
    out += _runs(told)
    out += ["## Causes", "", "_what made it possible, what set it off, what made it last_", ""]
    out += ["## What went well, what did not", "", "- ", ""]
    out += ["## Actions", "", "| what | who | until |", "|---|---|---|", "| | | |", ""]
    return out


def _facts(told: Told, at: datetime) -> list[str]:
    one = told.incident
    rows = [
        ("rule", f"{code_text(one.rule_name)} ({code_text(one.rule_uid)})"),
        ("severity", f"{one.severity}, cause {one.cause.replace('_', ' ')}"),
        ("team", plain_text(one.team)),
        ("opened", _time(one.opened)),
        ("told", _told(told)),
        ("acknowledged", _taken(told)),
        ("resolved", f"{_time(one.resolved)}: {plain_text(one.reason)}" if one.resolved else "not yet"),
        ("lasted", ago((one.resolved or at) - one.opened) + ("" if one.resolved else " so far")),
        ("runbook", plain_text(one.runbook or "none")),
        ("page", code_text(one.remote_url) if one.remote_url else ""),
    ]
    return ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows if text), ""]


def _told(told: Told) -> str:
    one = told.incident
    accepted = next((m.at for m in told.moments if m.kind == "trigger accepted"), None)
    if not one.route:
        return "nobody"
    if accepted is None:
        return f"{plain_text(one.route.rstrip('/'))}: {one.delivery.replace('_', ' ')}"
    return f"{plain_text(one.route.rstrip('/'))} at {_time(accepted)}, {_length(accepted - one.opened)} after it opened"


def _taken(told: Told) -> str:
    one = told.incident
    if one.acknowledged is None:
        return "by nobody" if not told.taken else f"by {plain_text(told.taken)}"
    by = plain_text(told.taken or "somebody")
    return f"{_time(one.acknowledged)} by {by}, {_length(one.acknowledged - one.opened)} after it opened"


def _timeline(moments: Sequence[Moment]) -> list[str]:
    out = ["## Timeline", "", "| time | what | by | |", "|---|---|---|---|"]
    shown = moments[:LINES]
    out += [f"| {_time(m.at)} | {plain_text(m.kind)} | {plain_text(m.who)} | {plain_text(m.text)} |" for m in shown]
    if not moments:
        out.append("| | nothing is written down | | |")
    if len(moments) > LINES:
        out.append(f"| | and {len(moments) - LINES} more | | |")
    return [*out, ""]


def _evidence(lines: Sequence[str]) -> list[str]:
    return ["## Evidence", "", *(f"- {plain_text(line)}" for line in lines), ""] if lines else []


def _notes(moments: Sequence[Moment]) -> list[str]:
    notes = [one for one in notes_of(moments) if one.kind == "note"]
    said = (f"- {_time(m.at)} {plain_text(m.who or 'somebody')}: {plain_text(m.text)}" for m in notes)
    return ["## Notes", "", *said, ""] if notes else []


def _runs(told: Told) -> list[str]:
    if not told.runs:
        return []
    out = ["## Runbooks", ""]
    for run in sorted(told.runs, key=lambda one: one.started):
        ended = f" to {_time(run.ended)}" if run.ended else ""
        who = f" by {plain_text(run.who)}" if run.who else ""
        note = f": {plain_text(run.note)}" if run.note else ""
        out.append(f"- {code_text(run.runbook)} {_time(run.started)}{ended}{who}, {run.state}{note}")
        for step in (told.steps or {}).get(run.run, ()):
            again = f" (attempt {step.attempt})" if step.attempt > 1 else ""
            out.append(f"  - {plain_text(step.step)}{again}: {step.state}")
    return [*out, ""]


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def _length(passed: timedelta) -> str:
    seconds = max(passed / timedelta(seconds=1), 0)
    return f"{seconds:.1f} s" if seconds < 60 else ago(passed)
