"""`opsctl incident ls|show|ack|resolve`: incidents as the journal and the far side know them, and a person's word.

Where nobody can be asked (no REST token), PagerDuty may know more than this journal; acknowledging and resolving go as
events by dedup key.
"""

from __future__ import annotations

import difflib
import fnmatch
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsctl.cli.confirming import DryRun, Yes, changing, confirm, tell
from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.incident_history import timeline, why_not
from opsctl.cli.incident_note import note
from opsctl.cli.incident_seen import Offline, glance_at
from opsctl.cli.options import Json, Output, Since, chosen_output, moment
from opsctl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from opsctl.ports import Incident, Journal, Moment
    from opsctl.views.far_side import Glance

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)

Selector = Annotated[
    str, typer.Argument(metavar="INCIDENT", help="Its number (#12), the beginning of its key, or the rule's name.")
]


@app.command("ls", short_help="List open incidents, newest first.")
def list_(
    everything: bool = typer.Option(False, "-a", "--all", help="Resolved ones too."),
    since: Since = "24h",
    offline: Offline = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """List open incidents, newest first, beside what their sinks show; --all adds those resolved since --since."""
    run = frame()
    form = chosen_output(run, output, json)
    now = run.composition.clock.now()
    journal = run.composition.journal()
    found = journal.incidents(include_resolved=everything, since=moment("--since", since, now))
    glance = glance_at(run, journal, found, offline=offline)
    if form == "json":
        body = {
            "at": now,
            "problem": journal.problem,
            "source": glance.source,
            "unread": list(glance.problems),
            "incidents": [_fields(one) | glance.fields(one) for one in found],
        }
        write_json("incident/ls/v1", body)
    else:
        _print_list(run, found, glance, now, form)
        if not found and not journal.problem:
            run.say("no incident as far as this journal knows")
    if journal.problem:
        run.warn(f"opsctl: {journal.problem}")
        raise typer.Exit(ExitCode.ACTION)


@app.command(short_help="Show one incident and what happened to it.")
def show(incident: Selector, offline: Offline = False, output: Output = None, json: Json = False) -> None:
    """Show one incident, what happened to it, and what its sink shows of it now."""
    run = frame()
    form = chosen_output(run, output, json)
    journal = open_journal(run)
    found = pick_incident(journal.incidents(include_resolved=True), incident)
    moments = journal.timeline(found.episode)
    glance = glance_at(run, journal, (found,), offline=offline)
    if form == "json":
        lines = [{"at": line.at, "kind": line.kind, "text": line.text, "who": line.who} for line in moments]
        body = {"source": glance.source, "unread": list(glance.problems), "timeline": lines}
        write_json("incident/show/v1", body | {"incident": _fields(found) | glance.fields(found)})
    else:
        _print_one(run, found, glance, moments, form)


@app.command(short_help="Acknowledge one: its sink stops notifying.")
def ack(incident: Selector, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Acknowledge an incident: its sink stops notifying, the alert goes on."""
    _act("acknowledge", incident, dry_run=dry_run, yes=yes)


app.command(short_help="Write a line on an open incident.")(note)


@app.command(short_help="Close one by hand.")
def resolve(incident: Selector, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Close an incident by hand; while its alert fires, another opens after `reopen_after` and `repeat_interval`."""
    _act("resolve", incident, dry_run=dry_run, yes=yes)


app.command(short_help="What happened, minute by minute.")(timeline)
app.command("why-not", short_help="Was anybody told, and if not: what stopped it.")(why_not)


def _act(verb: str, selector: str, *, dry_run: bool, yes: bool) -> None:
    from opsctl.actions import Acknowledge, Resolve

    run = frame()
    if not dry_run:
        changing(run, f"{verb} {selector}")
    found = pick_open(open_journal(run), selector)
    if found.resolved is not None:
        run.say(_clean(f"#{found.episode} {found.rule_name} is resolved already"))
        return
    if dry_run:
        how = f"send {verb} for key {found.key} to {found.route.rstrip('/')}" if found.route else "note it here"
        sys.stdout.write(_clean(f"would {verb} #{found.episode} {found.rule_name}: {how}") + "\n")
        return
    confirm(run, f"{verb} #{found.episode} {found.rule_name}", yes=yes)
    action = Acknowledge(found.episode) if verb == "acknowledge" else Resolve(found.episode)
    with sending(run):
        done = run.desk.apply(action)
    tell(run, done)


def sending(run: Frame) -> AbstractContextManager[None]:
    """Say what is waited for, where it takes long."""
    return run.waiting(f"sending, for at most {run.composition.context.limits.send.total_seconds():g} s")


def open_journal(run: Frame) -> Journal:
    """The journal, if its incidents can be believed; ActionError otherwise."""
    from opsctl.actions import trusted

    return trusted(run.composition.journal())


# -- selectors


def pick_incident(incidents: Sequence[Incident], selector: str) -> Incident:
    """The one incident that a selector names; an open one hides resolved ones."""
    found = [one for one in incidents if _matches(one, selector)]
    found = [one for one in found if one.resolved is None] or found
    if len(found) == 1:
        return found[0]
    if found and _is_key(selector) and len({one.key for one in found}) == 1:
        return found[0]
    if found:
        numbers = ", ".join(f"#{one.episode} ({one.rule_name})" for one in found[:8])
        raise UsageError(f"{selector} names {len(found)} incidents: {numbers}", hint="say which by its number")
    known = [f"#{one.episode}" for one in incidents] + sorted({one.rule_name for one in incidents})
    near = difflib.get_close_matches(selector, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "`opsctl incident ls --all` lists them"
    raise UsageError(f"no such incident: {selector}", hint=hint)


def pick_open(journal: Journal, selector: str) -> Incident:
    """The open incident that a selector names; where none is, the newest that was, which is resolved."""
    found = journal.incidents()
    if not any(_matches(one, selector) for one in found):
        past = [one for one in journal.incidents(include_resolved=True) if _matches(one, selector)]
        if past:
            return max(past, key=lambda one: one.episode)
    return pick_incident(found, selector)


def _matches(one: Incident, selector: str) -> bool:
    number = selector.removeprefix("#")
    if number.isascii() and number.isdigit() and (selector.startswith("#") or len(number) < 8):
        return str(one.episode) == (number.lstrip("0") or "0")
    if _is_key(selector) and one.key.removeprefix("opsctl/").startswith(selector.removeprefix("opsctl/").lower()):
        return True
    return fnmatch.fnmatchcase(one.rule_name.lower(), selector.lower())


def _is_key(selector: str) -> bool:
    digits = selector.removeprefix("opsctl/")
    return len(digits) >= 4 and all(ch in "0123456789abcdefABCDEF" for ch in digits)


# -- output


def _fields(one: Incident) -> dict[str, Any]:
    names = ("key", "rule_uid", "rule_name", "service", "team", "severity", "cause", "summary", "runbook", "opened")
    more = ("state", "frozen", "acknowledged", "resolved", "reason")
    delivery = {"state": one.delivery, "attempts": one.attempts, "last_error": one.last_error or None}
    return (
        {"incident": f"#{one.episode}", "episode": one.episode}
        | {name: getattr(one, name) for name in (*names, *more)}
        | {"delivery": delivery}
    )


def _print_list(run: Frame, found: Sequence[Incident], glance: Glance, now: datetime, form: str) -> None:
    """On a terminal what was seen takes the place of what the journal knows of the page; in lines it comes last."""
    from opsctl.render.table import Column, write_rows

    table = form == "table"
    seen = table and bool(glance.sources)
    columns = [Column("state"), Column("incident", right=True), Column("rule"), Column("service"), Column("severity")]
    columns += [
        Column("opened", right=True),
        *([Column(glance.heading(found))] if seen else [Column("page"), Column("acknowledged")]),
    ]
    columns += [Column("summary", wrap=True, most=200), *([] if table else [Column("seen")])]
    rows = [_row(one, glance, now, seen=seen) + ([] if table else [glance.words(one)]) for one in found]
    write_rows(sys.stdout, columns, rows, table=table, color=run.colored(sys.stdout))


def _row(one: Incident, glance: Glance, now: datetime, *, seen: bool) -> list[str]:
    from opsctl.views.incident_rows import state_words
    from opsctl.views.words import ago

    delivery = one.delivery.replace("_", " ")
    taken = ago(now - one.acknowledged) if one.acknowledged else ""
    told = [glance.words(one) or delivery] if seen else [delivery, taken]
    number = f"#{one.episode}"
    opened = ago(now - one.opened)
    return [state_words(one), number, one.rule_name, one.service, one.severity, opened, *told, one.summary]


def _print_one(run: Frame, one: Incident, glance: Glance, moments: Sequence[Moment], form: str) -> None:
    from opsctl.render.table import Column, write_rows
    from opsctl.views.incident_rows import state_words

    when = time_writer(run)
    facts = [
        ("incident", f"#{one.episode}"),
        ("state", state_words(one)),
        ("rule", f"{one.rule_name} ({one.rule_uid})"),
        ("service", one.service),
        ("team", one.team),
        ("severity", f"{one.severity}, cause {one.cause.replace('_', ' ')}"),
        ("summary", one.summary),
        ("opened", when(one.opened)),
        ("acknowledged", when(one.acknowledged) if one.acknowledged else ""),
        ("resolved", f"{when(one.resolved)}: {one.reason}" if one.resolved else ""),
        ("page", one.delivery.replace("_", " ") + (f": {one.last_error}" if one.last_error else "")),
        (glance.column, glance.sentence(one)),
        ("runbook", one.runbook or ""),
        ("key", one.key),
    ]
    color, table = run.colored(sys.stdout), form == "table"
    shown = [(name, text) for name, text in facts if text]
    write_rows(sys.stdout, [Column("field"), Column("value", wrap=True, most=1000)], shown, table=table, color=color)
    sys.stdout.write("\n")
    columns = [Column("time"), Column("what"), Column("text", wrap=True, most=400), Column("by")]
    rows = [(when(line.at), line.kind, line.text, line.who) for line in moments]
    write_rows(sys.stdout, columns, rows, table=table, color=color)


def time_writer(run: Frame) -> Callable[[datetime], str]:
    """Writes date and time of day, in UTC or with the local offset."""

    def write(at: datetime) -> str:
        if run.utc:
            return at.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds") + "Z"
        local = at.astimezone()
        zone = local.utcoffset() or timedelta(0)
        return local.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds") + ("Z" if not zone else f"{local:%z}")

    return write


def _clean(text: str) -> str:
    from opsctl.render.text import clean

    return clean(text)
