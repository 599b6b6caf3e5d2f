"""`opsctl alert ls|show|route|silence`: what fires, where it goes and why, and what nobody is told of."""

from __future__ import annotations

import difflib
import fnmatch
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsctl.cli.alert_silence import silence_app
from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import Json, Output, chosen_output, moment
from opsctl.errors import ActionError, ExitCode, UsageError

if TYPE_CHECKING:
    from opsctl.core.routing import Matcher, Routing
    from opsctl.views.alerts import AlertRow

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
app.add_typer(silence_app, name="silence", help="Tell nobody of something for a time; it is judged as ever.")

Match = Annotated[list[str] | None, typer.Option("-l", "--match", help="A matcher, like 'service=\"wallet\"'.")]


@app.command("ls", short_help="List what fires and where it goes.")
def list_(
    match: Match = None,
    silenced: bool = typer.Option(False, "--silenced", help="Only what a silence holds for."),
    firing: bool = typer.Option(False, "--firing", help="Only what fires."),
    output: Output = None,
    json: Json = False,
) -> None:
    """List the alerts that the last run with --notify wrote, and where each goes now."""
    run = frame()
    form = chosen_output(run, output, json)
    matchers = _matchers(match or [])
    now = run.composition.clock.now()
    routing, rows = known_alerts(run, now)
    problem = run.composition.journal().problem
    rows = [row for row in _matching(rows, matchers) if row.silenced or not silenced]
    rows = [row for row in rows if row.state == "firing" or not firing]
    if form == "json":
        from opsctl.views.alerts import row_body

        bodies = [row_body(row) for row in rows]
        write_json("alert/ls/v1", {"at": now.replace(microsecond=0), **_broken(routing, problem), "alerts": bodies})
    else:
        _print_list(run, rows, now, form)
        if not rows and not problem:
            run.say("no such alert as far as this journal knows: `opsctl check --notify` writes it")
    _end(run, routing, problem)


@app.command(short_help="Show an alert, its route and its silences.")
def show(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="A rule's name or uid, a key's beginning, or #12.")],
    output: Output = None,
    json: Json = False,
) -> None:
    """Show an alert, the route that takes it with what the others lack, and the silences that hold for it."""
    run = frame()
    form = chosen_output(run, output, json)
    now = run.composition.clock.now()
    routing, rows = known_alerts(run, now)
    problem = run.composition.journal().problem
    try:
        found = _chosen(run, rows, routing, now, alert)
    except UsageError as unknown:
        if problem:
            raise ActionError(f"{problem}: its alerts are not known") from unknown
        raise
    if form == "json":
        from opsctl.views.alerts import choice_body, row_body

        bodies = [
            row_body(row)
            | {
                "labels": dict(row.labels),
                "evidence": list(row.alert.evidence),
                "runbook": row.alert.runbook,
                "route": choice_body(row.choice, routing),
                "silences": [_silence(one) for one in row.silences],
            }
            for row in found
        ]
        write_json("alert/show/v1", {"at": now.replace(microsecond=0), **_broken(routing, problem), "alerts": bodies})
    else:
        for number, row in enumerate(found):
            sys.stdout.write("\n" if number else "")
            _print_one(run, row, routing, now, form)
    _end(run, routing, problem)


@app.command(short_help="Say where an alert would go, and why.")
def route(
    label: Annotated[list[str], typer.Option("--label", help="A label of the alert, like service=wallet.")],
    at: str | None = typer.Option(None, "--at", help="At this time: RFC 3339, unix seconds, or 15m (ago)."),
    expect: str | None = typer.Option(None, "--expect", help="Exit 1 unless it goes there, like pagerduty/money."),
    output: Output = None,
    json: Json = False,
) -> None:
    """Say where an alert with these labels would go, and why; its severity is page unless --label severity=… says."""
    run = frame()
    form = chosen_output(run, output, json)
    when = run.composition.clock.now()
    when = moment("--at", at, when) if at is not None else when
    labels = _labels(run, label)
    from opsctl.core.route_choice import choose
    from opsctl.views.alerts import choice_body

    routing = run.composition.routing
    choice = choose(labels, routing, when)
    silences = [one for one in routing.silences if one.silences(labels, when)]
    if form == "json":
        body = choice_body(choice, routing) | {"silences": [_silence(one) for one in silences]}
        write_json("alert/route/v1", {"at": when.replace(microsecond=0), "labels": labels, **_broken(routing), **body})
    else:
        from opsctl.views.alerts import choice_rows, to_words

        _print_facts(run, [("goes to", to_words(choice.to)), *_silence_facts(silences)], form)
        _print_routes(run, choice_rows(choice, labels, routing), form)
    _end(run, routing)
    if expect is not None and choice.to.rstrip("/") != expect.rstrip("/"):
        run.say(_clean(f"expected {expect}, got {choice.to.rstrip('/') or 'nowhere'}"))
        raise typer.Exit(ExitCode.FINDING)


# -- what is asked


def _matchers(texts: Sequence[str]) -> tuple[Matcher, ...]:
    if not texts:
        return ()
    from opsctl.files.matchers import matchers_of

    return matchers_of("-l", texts)


def known_alerts(run: Frame, now: datetime) -> tuple[Routing, list[AlertRow]]:
    """The routing as of now, and every alert of the journal by it."""
    from opsctl.views.alerts import alert_rows

    routing = run.composition.routing
    return routing, alert_rows(run.composition.journal().alerts(), routing, now)


def _matching(rows: list[AlertRow], matchers: Sequence[Matcher]) -> list[AlertRow]:
    from opsctl.views.alerts import matching

    return matching(rows, matchers)


def _labels(run: Frame, texts: Sequence[str]) -> dict[str, str]:
    """What matchers see of an alert that nobody has: the team of its service, a page."""
    from opsctl.files.matchers import WORDS

    given: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"--label {text}: expected NAME=VALUE, like service=wallet")
        known = WORDS.get(name, ())
        if known and value not in known:
            raise UsageError(f"--label {text}: {name} is one of {', '.join(known)}")
        given[name] = value.strip('"')
    service = run.composition.catalogue.get(given.get("service", ""))
    team = service.team if service is not None else ""
    base = {"severity": "page", "team": team, "namespace": run.composition.context.namespace}
    return {**base, **given}


def _chosen(run: Frame, rows: list[AlertRow], routing: Routing, now: datetime, word: str) -> list[AlertRow]:
    """The alerts that a word names; a rule without one is shown as its file has it."""
    found = [row for row in rows if _named(row, word)]
    if found:
        return found
    from opsctl.views.alerts import inactive_row

    rules = [inactive_row(rule, routing, now) for rule in run.composition.rules.rules]
    names = {rule.uid: rule.name for rule in run.composition.rules.rules}
    found = [row for row in rules if _named(row, word) or fnmatch.fnmatchcase(names[row.alert.rule_uid], word)]
    if found:
        return found
    known = sorted({name for row in (*rows, *rules) for name in (row.alert.rule_name, row.alert.rule_uid)})
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "`opsctl alert ls` and `opsctl rule ls` list them"
    raise UsageError(f"no such alert: {word}", hint=hint)


def _named(row: AlertRow, word: str) -> bool:
    digits = word.removeprefix("opsctl/").lower()
    if word.startswith("#"):
        return row.incident == word
    is_key = len(digits) >= 4 and all(ch in "0123456789abcdef" for ch in digits)
    if is_key and row.key.removeprefix("opsctl/").startswith(digits):
        return True
    return any(fnmatch.fnmatchcase(name.lower(), word.lower()) for name in (row.alert.rule_name, row.alert.rule_uid))


# -- what is said


def _broken(routing: Routing, journal: str | None = None) -> dict[str, str | None]:
    """What could not be read, for programs."""
    return {"problem": journal, "silences_problem": routing.problems[0] if routing.problems else None}


def _end(run: Frame, routing: Routing, journal: str | None = None) -> None:
    """Say what could not be read, and exit for it."""
    for line in (*routing.problems, *([journal] if journal else [])):
        run.warn(_clean(f"opsctl: {line}"))
    if routing.problems:
        raise typer.Exit(ExitCode.USAGE)
    if journal:
        raise typer.Exit(ExitCode.ACTION)


def _print_list(run: Frame, rows: list[AlertRow], now: datetime, form: str) -> None:
    from opsctl.render.table import Column, write_rows
    from opsctl.views.alerts import GLYPHS, to_words
    from opsctl.views.words import ago

    columns = [Column("state"), Column("since", right=True), Column("rule"), Column("service"), Column("severity")]
    columns += [Column("to"), Column("incident", right=True), Column("withheld", wrap=True, most=300)]
    cells = [
        [
            GLYPHS[row.state],
            ago(now - row.alert.since),
            row.alert.rule_name,
            row.alert.service,
            row.alert.severity.value,
            to_words(row.to),
            row.incident,
            row.why_withheld,
        ]
        for row in rows
    ]
    write_rows(sys.stdout, columns, cells, table=form == "table", color=run.colored(sys.stdout))


def _print_one(run: Frame, row: AlertRow, routing: Routing, now: datetime, form: str) -> None:
    from opsctl.views.alerts import GLYPHS, because, choice_rows, to_words
    from opsctl.views.words import ago

    alert = row.alert
    own = ("alertname", "rule_uid", "service", "team", "severity", "cause", "namespace")
    labels = ", ".join(f"{name}={value}" for name, value in sorted(row.labels.items()) if name not in own)
    told = "was told" if row.told else because(row)
    facts = [
        ("rule", f"{alert.rule_name} ({alert.rule_uid})"),
        ("state", GLYPHS[row.state] + (f" for {ago(now - alert.since)}" if row.state != "inactive" else "")),
        ("service", alert.service),
        ("team", alert.team),
        ("severity", f"{alert.severity}, cause {alert.cause.value.replace('_', ' ')}"),
        ("labels", labels),
        ("summary", alert.summary),
        ("incident", row.incident),
        ("closed", f"{ago(now - row.closed)} ago, by a person" if row.closed else ""),
        ("stands for", ", ".join(uid for uid, _ in alert.members)),
        ("goes to", f"{to_words(row.to)}: {told}"),
        ("withheld", row.why_withheld),
        ("runbook", alert.runbook or ""),
        ("key", row.key),
        *_silence_facts(row.silences),
    ]
    _print_facts(run, [fact for fact in facts if fact[1]], form)
    if not alert.members:
        _print_routes(run, choice_rows(row.choice, row.labels, routing), form)


def _silence_facts(silences: Sequence[Any]) -> list[tuple[str, str]]:
    return [(f"silence {one.id}", f"{one} ({', '.join(map(str, one.matchers))})") for one in silences]


def _silence(one: Any) -> dict[str, Any]:
    return {"id": one.id, "owner": one.owner, "reason": one.reason, "ends": one.ends, "origin": one.origin}


def _print_facts(run: Frame, facts: Sequence[tuple[str, str]], form: str) -> None:
    from opsctl.render.table import Column, write_rows

    columns = [Column("field"), Column("value", wrap=True, most=1000)]
    write_rows(sys.stdout, columns, facts, table=form == "table", color=run.colored(sys.stdout))


def _print_routes(run: Frame, rows: Sequence[Sequence[str]], form: str) -> None:
    from opsctl.render.table import Column, write_rows

    sys.stdout.write("\n")
    columns = [Column("route"), Column("sink"), Column("what became of it", wrap=True)]
    write_rows(sys.stdout, columns, rows, table=form == "table", color=run.colored(sys.stdout))


def _clean(text: str) -> str:
    from opsctl.render.text import clean

    return clean(text)
