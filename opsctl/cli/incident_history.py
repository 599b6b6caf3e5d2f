"""`opsctl incident timeline` and `why-not`: any minute of the past, from the journal alone."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import Json, Output, Since, chosen_output, moment
from opsctl.errors import ExitCode, OpsctlError, UsageError

if TYPE_CHECKING:
    from opsctl.ports import Incident, Moment
    from opsctl.ports.history import History
    from opsctl.views.why_not import About, WhyNot

At = Annotated[str, typer.Option("--at", metavar="TIME", help="RFC 3339, unix seconds, or a duration ago like 15m.")]
Rules = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RULE|SERVICE]...", help="Names or globs; default: whatever was not healthy then."),
]


def timeline(
    incident: Annotated[
        str | None, typer.Argument(metavar="[INCIDENT]", help="Its number, key or rule; default: all of them.")
    ] = None,
    since: Since = "12h",
    to: Annotated[str, typer.Option("--to", metavar="TIME", help="Until then; default now.")] = "now",
    output: Output = None,
    json: Json = False,
) -> None:
    """What happened, minute by minute: decided, withheld, sent, accepted, seen, acknowledged, resolved."""
    from opsctl.cli.incident import open_journal, pick_incident

    run = frame()
    form = chosen_output(run, output, json)
    journal, now = open_journal(run), run.composition.clock.now()
    begin, end = moment("--since", since, now), moment("--to", to, now)
    if begin > end:
        raise UsageError(f"--since {since} is after --to {to}")
    if incident is not None:
        one = pick_incident(journal.incidents(include_resolved=True), incident)
        lines = [(one, line) for line in journal.timeline(one.episode)]
    else:
        lines = list(journal.history.between(begin, end))
    if form == "json":
        rows = [_fields(one, line) for one, line in lines]
        write_json("incident/timeline/v1", {"from": begin, "to": end, "source": "journal", "moments": rows})
        return
    _print_timeline(run, lines, form)


def _fields(one: Incident, line: Moment) -> dict[str, Any]:
    about = {"incident": f"#{one.episode}", "rule_uid": one.rule_uid, "rule_name": one.rule_name}
    return {"at": line.at, **about, "service": one.service, "kind": line.kind, "text": line.text, "who": line.who}


def _print_timeline(run: Frame, lines: Sequence[tuple[Incident, Moment]], form: str) -> None:
    from opsctl.cli.incident import time_writer
    from opsctl.render.table import Column, write_rows

    when = time_writer(run)
    columns = [Column("time"), Column("incident", right=True), Column("rule"), Column("what"), Column("by")]
    columns.append(Column("text", wrap=True, most=400))
    rows = [(when(line.at), f"#{one.episode}", one.rule_name, line.kind, line.who, line.text) for one, line in lines]
    write_rows(sys.stdout, columns, rows, table=form == "table", color=run.colored(sys.stdout))
    if not lines:
        run.say("nothing happened as far as this journal knows")


def why_not(rules: Rules = None, at: At = "now", output: Output = None, json: Json = False) -> None:
    """Was it breached, did we page, did somebody see it, and if not: what stopped it."""
    from opsctl.cli.incident import open_journal
    from opsctl.views.why_not import why_not as answer

    run = frame()
    form = chosen_output(run, output, json)
    journal, now = open_journal(run), run.composition.clock.now()
    when = moment("--at", at, now)
    if when > now:
        raise UsageError(f"--at {at}: that is still to come")
    history = journal.history
    answers = [answer(history, rule, when) for rule in _about(run, history, when, rules)]
    shown = answers if rules else [one for one in answers if one.breached != "no" or one.paged == "yes"]
    if form == "json":
        body = {"at": when, "judged": len(answers), "rules": [_answer_fields(one) for one in shown]}
        write_json("incident/why-not/v1", body)
    else:
        _print_answers(run, shown, len(answers), when, form, named=bool(rules))
    if any(one.stopped for one in shown if one.breached == "yes"):
        raise typer.Exit(ExitCode.FINDING)
    if any(one.breached in ("unknown", "not judged") for one in shown) or not answers:
        raise typer.Exit(ExitCode.UNKNOWN)


def _about(run: Frame, history: History, at: datetime, words: list[str] | None) -> list[About]:
    """The rules that are meant: those that the journal judged, that are configured, or that had an incident."""
    known = _known(run, history, at)
    if not words:
        return list(known.values())
    found: dict[str, About] = {}
    for word in words:
        hits = [one for one in known.values() if _fits(one, word)]
        if not hits:
            import difflib

            names = sorted({text for one in known.values() for text in (one.uid, one.name, one.service)})
            near = difflib.get_close_matches(word, names, n=1)
            hint = f"did you mean {near[0]}?" if near else "`opsctl rule ls` lists the rules"
            raise UsageError(f"no rule and no service {word}, neither now nor then", hint=hint)
        found |= {one.uid: one for one in hits}
    return list(found.values())


def _known(run: Frame, history: History, at: datetime) -> dict[str, About]:
    from opsctl.views.why_not import About

    known: dict[str, About] = {}
    try:
        for rule in run.composition.rules.rules:
            known[rule.uid] = About(rule.uid, rule.name, rule.service, rule.severity.value)
    except OpsctlError as wrong:  # the night's questions outlive a broken rule file
        run.warn(f"opsctl: the rules cannot be read, so names are those of the journal: {wrong}")
    for one in history.incidents_at(at):
        known.setdefault(one.rule_uid, About(one.rule_uid, one.rule_name, one.service, one.severity))
    for uid in history.verdicts_at(at):
        known.setdefault(uid, About(uid, uid))
    return known


def _fits(one: About, word: str) -> bool:
    return any(fnmatch.fnmatchcase(text.lower(), word.lower()) for text in (one.uid, one.name, one.service) if text)


def _answer_fields(one: WhyNot) -> dict[str, Any]:
    rule = {"rule_uid": one.rule.uid, "rule_name": one.rule.name, "service": one.rule.service or None}
    answers = {
        "breached": {"answer": one.breached, "why": one.breach, "evidence": one.digest or None},
        "paged": {"answer": one.paged, "why": one.page},
        "seen": {"answer": one.seen, "why": one.sight},
    }
    return rule | answers | {"incident": one.incident or None, "stopped": one.stopped or None}


def _print_answers(run: Frame, shown: Sequence[WhyNot], judged: int, at: datetime, form: str, *, named: bool) -> None:
    from opsctl.render.table import Column, write_rows
    from opsctl.render.text import clean

    if form != "table":
        columns = [Column(name) for name in ("rule", "service", "breached", "paged", "seen", "incident", "stopped")]
        rows = [
            (one.rule.name, one.rule.service, one.breached, one.paged, one.seen, one.incident, one.stopped)
            for one in shown
        ]
        write_rows(sys.stdout, columns, rows, table=False, color=False)
        return
    when = f"{at:%Y-%m-%d %H:%M:%S}Z"  # as in the answers, which are the journal's words
    if not shown:
        rules = "1 rule, healthy" if judged == 1 else f"{judged} rules, all healthy"
        words = rules if judged else "no rule is known"
        sys.stdout.write(f"{when}: {words}\n")
    if not named and all_alike(shown):
        sys.stdout.write(clean(f"{when}: none of {len(shown):,} rules was judged: {shown[0].breach}") + "\n")
        return
    for number, one in enumerate(shown):
        if number:
            sys.stdout.write("\n")
        service = f" on {one.rule.service}" if one.rule.service else ""
        asked = [
            ("breached?", _glyph(one.breached, good="no"), one.breach),
            ("paged?", _glyph(one.paged, good="yes"), one.page),
            ("seen?", _glyph(one.seen, good="yes"), one.sight),
            ("stopped by", "✖" if one.stopped and one.breached == "yes" else "", one.stopped or "nothing"),
        ]
        sys.stdout.write(clean(f"{one.rule.name}{service} at {when} {one.incident}").rstrip() + "\n")
        columns = [Column("question"), Column("answer"), Column("why", wrap=True, most=600)]
        write_rows(sys.stdout, columns, asked, table=True, color=run.colored(sys.stdout))


def all_alike(shown: Sequence[WhyNot]) -> bool:
    """Whether nothing was judged, for one reason: not worth a screen for each rule."""
    reasons = {(one.breach, one.page, one.stopped) for one in shown}
    return len(shown) > 1 and len(reasons) == 1 and all(one.breached == "not judged" for one in shown)


def _glyph(answer: str, *, good: str) -> str:
    if answer in ("unknown", "not judged"):
        return f"? {answer}"
    return f"{'✔' if answer == good else '✖'} {answer}"
