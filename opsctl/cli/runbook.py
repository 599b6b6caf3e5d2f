"""`opsctl runbook`: what runbooks there are, what one would do, doing it, and testing them."""

from __future__ import annotations

import sys
from shlex import join
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.cli.confirming import changing, meant
from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import Json, Output, chosen_output
from opsctl.cli.runbook_lint import lint, rehearse
from opsctl.errors import ActionError, Refused, UsageError
from opsctl.render.text import clean

if TYPE_CHECKING:
    from opsctl.actions import StartRun
    from opsctl.cli.runbook_print import Terminal
    from opsctl.core.runbooks import Runbook
    from opsctl.runner import Report

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
_DIGITS = 18  # of an incident's number: a longer one is a key, or nothing
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
    book = run.desk.book(runbook)
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
    from opsctl.runner import plan as planned

    run = frame()
    form = chosen_output(run, output, json)
    made = run.desk.prepared(_action(run, runbook, param, incident))
    print_plan(made.book, planned(made.book, made.values), form, dry=False)


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
    from opsctl.cli.runbook_print import Terminal, teller

    run = frame()
    form = chosen_output(run, output, json)
    action = _action(run, runbook, param, incident, auto=auto, approve=tuple(approve or ()))
    made = run.desk.prepared(action)
    person = Terminal(run, no_input=no_input)
    if dry_run:
        from opsctl.cli.runbook_print import print_plan
        from opsctl.runner import dry_run as rehearse

        world = run.composition.runbook_world(person, made.book)
        print_plan(made.book, rehearse(made.book, made.values, world.steps), form, dry=True)
        return
    _protect(run, made.book, confirm, person, auto=auto)

    def begun(run_id: str) -> None:
        again = join(("opsctl", *run.desk.resume_words(run_id)))
        run.say(f"run {run_id} of {clean(made.book.id)}; if it is cut short: {again}")

    _finish(run, run.desk.run(action, person, teller(run), begun), form)


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
    from opsctl.actions import ResumeRun
    from opsctl.cli.runbook_print import Terminal, diff, teller

    run = frame()
    form = chosen_output(run, output, json)
    found = run.desk.resumable(run_id)
    person = Terminal(run, no_input=no_input)
    _protect(run, found.book, confirm, person, auto=auto)
    if found.edited and not accept_edit:
        run.warn(diff(found.record, found.book))
        accept_edit = person.line("go on with the edited runbook? [yes/no] ") == "yes"
    action = ResumeRun(found.record.run, undo, accept_edit, auto, tuple(approve or ()))
    _finish(run, run.desk.run(action, person, teller(run)), form)


app.command("lint")(lint)
app.command("test")(rehearse)


# -- what the commands share -----------------------------------------------------------------------------------------


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


def _action(
    run: Frame,
    runbook: str,
    param: list[str] | None,
    incident: str | None,
    *,
    auto: bool = False,
    approve: tuple[str, ...] = (),
) -> StartRun:
    """The run that the flags ask for; an incident is named by its number, or by the key of its alert."""
    from opsctl.actions import StartRun

    run.desk.book(runbook)
    flags: dict[str, str] = {}
    for pair in param or ():
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"-p {pair}: expected NAME=VALUE")
        flags[name.strip()] = value
    number = (incident or "").removeprefix("#")
    if number.isascii() and number.isdigit() and len(number) < _DIGITS:
        return StartRun(runbook, flags, int(number), auto=auto, approve=approve)
    return StartRun(runbook, flags, key=incident, auto=auto, approve=approve)


def _protect(run: Frame, book: Runbook, confirm: str | None, person: Terminal, *, auto: bool) -> None:
    """A run that may change something is refused under --read-only, and wants a protected context's name typed."""
    if book.mutations:
        changing(run, f"a run of {book.id}, which may change something")
    if problem := run.composition.journal().problem:
        run.warn(f"opsctl: {clean(problem)}: this run cannot be resumed if it is cut short")
    context = run.composition.context
    if confirm is not None and confirm != context.name:
        raise Refused(f"--confirm {confirm}: the context is {context.name}")
    # Unattended, only what the context's own configuration names may change anything.
    if context.protected and book.mutations and confirm is None and not auto:
        prompt = f"{context.name} is protected and {book.id} changes it. Type the context's name: "
        if person.line(prompt) != context.name:
            raise Refused(f"context {context.name} is protected", hint=f"--confirm {context.name}")
    meant(run)


def _finish(run: Frame, report: Report, form: str) -> None:
    """Print how the run stands; 5 where a step failed, 6 where a person is needed, each with the command to go on."""
    from opsctl.actions import ended
    from opsctl.cli.runbook_print import print_report

    print_report(run, report, form)
    done = ended(report, run.desk.resume_words(report.run.run))
    if done.problem:
        kind = Refused if report.state == "waiting" else ActionError
        raise kind(done.problem, hint=done.hint or None)
