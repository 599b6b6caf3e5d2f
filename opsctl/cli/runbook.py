"""`opsctl runbook`: what runbooks there are, what one would do, doing it, and testing them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import Json, Output, chosen_output
from opsctl.cli.runbook_lint import lint, rehearse
from opsctl.errors import ActionError, Refused, UsageError
from opsctl.render.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opsctl.core.params import Given
    from opsctl.core.runbooks import Runbook
    from opsctl.runner import Options, Report

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="RUNBOOK", help="The runbook's id.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or the beginning of it.")]
Params = Annotated[
    list[str] | None, typer.Option("-p", "--param", metavar="NAME=VALUE", help="Set a parameter; repeatable.")
]
Incident = Annotated[
    str | None, typer.Option("--incident", help="Take parameters from this incident's alert: number or key.")
]
DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Do the reads, print every write, change nothing.")]
Auto = Annotated[bool, typer.Option("--auto", help="Unattended: stop at the first step that needs a person.")]
Approve = Annotated[
    list[str] | None, typer.Option("--approve", metavar="STEP", help="Approve this approval step; repeatable.")
]
Confirm = Annotated[str | None, typer.Option("--confirm", metavar="CONTEXT", help="The name of a protected context.")]
NoInput = Annotated[bool, typer.Option("--no-input", help="Ask nothing: stop where a person is needed.")]


@app.command("ls")
def ls(output: Output = None, json: Json = False) -> None:
    """List the runbooks of the context."""
    from opsctl.cli.runbook_print import table

    run = frame()
    form = chosen_output(run, output, json)
    runbooks = run.composition.runbooks
    log = run.composition.journal().runbooks
    last = {book.id: next(iter(log.runs(runbook=book.id, limit=1)), None) for book in runbooks}
    if form == "json":
        rows = []
        for book in runbooks:
            found = last[book.id]
            body = None if found is None else {"run": found.run, "state": found.state, "started": found.started}
            rows.append({**_book_json(book), "last_run": body})
        write_json("runbook/ls/v1", {"runbooks": rows})
        return
    cells = []
    for book in runbooks:
        found = last[book.id]
        when = "" if found is None else f"{found.started:%Y-%m-%d %H:%M}Z {found.state}"
        cells.append((book.id, book.title, ", ".join(book.services), ", ".join(t.alert for t in book.triggers), when))
    table(run, ("runbook", "title", "services", "triggers", "last run"), cells, form, wrap="title")


@app.command()
def show(runbook: Id, output: Output = None, json: Json = False) -> None:
    """Show a runbook: its parameters and its text, or the runs of it as JSON."""
    run = frame()
    form = chosen_output(run, output, json)
    book = _book(run, runbook)
    if form == "json":
        runs = run.composition.journal().runbooks.runs(runbook=book.id)
        steps = [{"id": s.id, "title": s.title, "kind": s.kind.value, "role": s.role.value} for s in book.steps]
        past = [{"run": r.run, "state": r.state, "started": r.started, "ended": r.ended, "note": r.note} for r in runs]
        write_json("runbook/show/v1", {**_book_json(book), "steps": steps, "runs": past, "source": book.source})
        return
    from opsctl.render.text import clean_block

    sys.stdout.write(clean_block(book.source) + "\n")


@app.command()
def plan(
    runbook: Id, param: Params = None, incident: Incident = None, output: Output = None, json: Json = False
) -> None:
    """Show what a run would read and change, byte for byte, without doing either."""
    from opsctl.cli.runbook_print import print_plan
    from opsctl.core.params import collect
    from opsctl.runner import plan as planned

    run = frame()
    form = chosen_output(run, output, json)
    book = _book(run, runbook)
    given, _ = _given(run, param, incident)
    print_plan(book, planned(book, collect(book, given)), form, dry=False)


@app.command("run")
def run_(
    runbook: Id,
    param: Params = None,
    incident: Incident = None,
    dry_run: DryRun = False,
    auto: Auto = False,
    approve: Approve = None,
    confirm: Confirm = None,
    no_input: NoInput = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """Run a runbook step by step, asking at its gates."""
    from opsctl.cli.runbook_print import Terminal
    from opsctl.core.params import collect

    run = frame()
    form = chosen_output(run, output, json)
    book = _book(run, runbook)
    given, key = _given(run, param, incident)
    values = collect(book, given)
    world = run.composition.runbook_world(Terminal(run, no_input=no_input), book)
    if dry_run:
        from opsctl.cli.runbook_print import print_plan
        from opsctl.runner import dry_run as rehearse

        print_plan(book, rehearse(book, values, world.steps), form, dry=True)
        return
    _protect(run, book, confirm, auto=auto, no_input=no_input)
    from opsctl.runner import new_id
    from opsctl.runner import run as start

    options = _options(run, book, auto, approve, key)
    run_id = new_id(world.clock.now())
    run.say(f"run {run_id} of {clean(book.id)}; if it is cut short: {_resume_command(run, run_id)}")
    _finish(run, start(book, values, world, options, run_id), form)


@app.command()
def resume(
    run_id: RunId,
    undo: Annotated[bool, typer.Option("--undo", help="Undo what the run changed, the latest first.")] = False,
    accept_edit: Annotated[bool, typer.Option("--accept-edit", help="Go on although the runbook was edited.")] = False,
    auto: Auto = False,
    approve: Approve = None,
    confirm: Confirm = None,
    no_input: NoInput = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """Take up a run that waits, failed or was cut short; or undo it."""
    from opsctl.cli.runbook_print import Terminal
    from opsctl.runner import accepted_digest
    from opsctl.runner import resume as take_up

    run = frame()
    form = chosen_output(run, output, json)
    log = run.composition.journal().runbooks
    record = log.run_of(run_id)
    if record is None:
        raise UsageError(f"no such run: {run_id}", hint="opsctl runbook ls shows the last ones")
    book = _book(run, record.runbook)
    world = run.composition.runbook_world(Terminal(run, no_input=no_input), book)
    _protect(run, book, confirm, auto=auto, no_input=no_input)
    edited = book.digest != accepted_digest(record, log.steps(record.run))
    if edited and not accept_edit:
        from opsctl.cli.runbook_print import Terminal, diff

        run.warn(diff(record, book))
        accept_edit = Terminal(run, no_input=no_input).line("go on with the edited runbook? [yes/no] ") == "yes"
    options = _options(run, book, auto, approve, record.incident_key)
    _finish(run, take_up(record.run, book, world, options, accept_edit=accept_edit, undo=undo), form)


app.command("lint")(lint)
app.command("test")(rehearse)


# -- what the commands share -----------------------------------------------------------------------------------------


def _book(run: Frame, name: str) -> Runbook:
    books = {book.id: book for book in run.composition.runbooks}
    if name not in books:
        from opsctl.files.front_matter import nearest

        said = nearest(name, list(books)) if books else "the context has no runbooks"
        raise UsageError(f"no such runbook: {name}; {said}")
    return books[name]


def _book_json(book: Runbook) -> dict[str, object]:
    from opsctl.core.params import expected

    params = [
        {
            "name": p.name,
            "expected": expected(p.type),
            "default": p.default,
            "from": list(p.sources),
            "description": p.description,
        }
        for p in book.params
    ]
    return {
        "id": book.id,
        "version": book.version,
        "title": book.title,
        "owner": book.owner,
        "services": list(book.services),
        "triggers": [{"alert": t.alert, "match": dict(t.match)} for t in book.triggers],
        "severity": book.severity,
        "params": params,
        "digest": book.digest,
        "path": book.origin.path,
    }


def _given(run: Frame, param: list[str] | None, incident: str | None) -> tuple[Given, str | None]:
    """Flags, the incident's labels, the environment and the catalogue: what parameters are taken from."""
    from opsctl.core.params import Given

    flags: dict[str, str] = {}
    for pair in param or ():
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"-p {pair}: expected NAME=VALUE")
        flags[name.strip()] = value
    labels, key = _incident(run, incident) if incident is not None else ({}, None)
    services = frozenset(run.composition.catalogue.services)
    return Given(flags, labels, os.environ, services), key


def _incident(run: Frame, name: str) -> tuple[Mapping[str, str], str]:
    """The labels of an incident's alert, by its number or key."""
    for key, known in run.composition.journal().alerts().items():
        if name == key or (known.episode is not None and name.removeprefix("#") == str(known.episode)):
            alert = known.alert
            own = {
                "service": alert.service,
                "team": alert.team,
                "severity": alert.severity.value,
                "alertname": alert.rule_name,
            }
            return {**own, **dict(alert.identity), **dict(alert.labels)}, key
    raise UsageError(f"no open incident {name}", hint="opsctl incident ls")


def _options(run: Frame, book: Runbook, auto: bool, approve: list[str] | None, key: str | None) -> Options:
    import getpass

    from opsctl.cli.runbook_print import teller
    from opsctl.core.runbooks import Approval
    from opsctl.runner import Options

    for name in approve or ():
        step = book.step(name)
        if step is None or not isinstance(step.body, Approval):
            gates = ", ".join(s.id for s in book.steps if isinstance(s.body, Approval)) or "none"
            raise UsageError(f"--approve {name}: {book.id} has no such approval step; it has: {gates}")
    try:
        who = getpass.getuser()
    except (KeyError, OSError):
        who = str(os.getuid())
    return Options(
        who=who,
        auto=auto,
        policy=frozenset(run.composition.context.runbook_policy.auto),
        approve=frozenset(approve or ()),
        incident_key=key,
        services=frozenset(run.composition.catalogue.services),
        watch=teller(run),
    )


def _protect(run: Frame, book: Runbook, confirm: str | None, *, auto: bool, no_input: bool) -> None:
    """A run that may change something in a protected context wants the context's name typed."""
    from opsctl.cli.runbook_print import Terminal

    if problem := run.composition.journal().problem:
        run.warn(f"opsctl: {clean(problem)}: this run cannot be resumed if it is cut short")
    context = run.composition.context
    if confirm is not None and confirm != context.name:
        raise Refused(f"--confirm {confirm}: the context is {context.name}")
    # Unattended, only what the context's own configuration names may change anything.
    if not context.protected or not book.mutations or confirm is not None or auto:
        return
    prompt = f"{context.name} is protected and {book.id} changes it. Type the context's name: "
    if Terminal(run, no_input=no_input).line(prompt) != context.name:
        raise Refused(f"context {context.name} is protected", hint=f"--confirm {context.name}")


def _resume_command(run: Frame, run_id: str) -> str:
    import shlex

    words = ["opsctl"]
    if run.config is not None:
        words += ["--config", str(run.config)]
    if run.context is not None:
        words += ["--context", run.context]
    return shlex.join([*words, "runbook", "resume", run_id])


def _finish(run: Frame, report: Report, form: str) -> None:
    """Print how the run stands; 5 where a step failed, 6 where a person is needed, each with the command to go on."""
    from opsctl.cli.runbook_print import print_report

    print_report(run, report, form)
    if report.state == "ok" or (report.state == "undone" and report.asked_undo):
        return
    if report.state == "undone":
        raise ActionError(f"run {report.run.run}: a step failed; {report.message}")
    again = _resume_command(run, report.run.run)
    if report.state == "waiting":
        raise Refused(f"run {report.run.run} waits: {report.message}", hint=again)
    raise ActionError(f"run {report.run.run} {report.state}: {report.message}", hint=again)
