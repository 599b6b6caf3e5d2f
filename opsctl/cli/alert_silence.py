"""`opsctl alert silence`: write a silence into the context's file, list them, end one.

Must never write a file that silences everything or that says less than before.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.cli.confirming import DryRun, Yes, changing, confirm, tell
from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import Json, Output, chosen_output, duration, moment
from opsctl.errors import UsageError

if TYPE_CHECKING:
    from opsctl.core.routing import Silence
    from opsctl.files.silence_file import SilenceFile
    from opsctl.views.alerts import AlertRow

silence_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, invoke_without_command=True
)


@silence_app.callback()
def silence(
    context: typer.Context,
    match: Annotated[list[str] | None, typer.Option("-l", "--match", help="What, like 'service=\"wallet\"'.")] = None,
    for_: str | None = typer.Option(None, "--for", help="How long, like 2h; at most 90d."),
    reason: str | None = typer.Option(None, "--reason", help="Why: it stands beside each alert that is withheld."),
    owner: str | None = typer.Option(None, "--owner", help="Who answers for it; default your name here."),
    from_: str | None = typer.Option(None, "--from", help="Beginning then, RFC 3339; default now."),
    hours: str | None = typer.Option(None, "--hours", help="Within these hours only: 'Sun 02:00-04:00 Europe/Berlin'."),
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Tell nobody of what fulfils every matcher, for a time: the entry goes into the context's file of silences."""
    if context.invoked_subcommand is not None:
        if any((match, for_, reason, owner, from_, hours)):
            raise UsageError(f"alert silence {context.invoked_subcommand} takes none of these flags")
        return
    run = frame()
    if not match or not for_ or not reason:
        wanted = [name for name, given in (("-l", match), ("--for", for_), ("--reason", reason)) if not given]
        example = "opsctl alert silence -l 'service=\"wallet\"' --for 2h --reason 'CHG-12'"
        raise UsageError(f"alert silence: {', '.join(wanted)} missing", hint=f"like {example}")
    if not dry_run:
        changing(run, "silencing")
    from opsctl.actions import MakeSilence

    made = _silence(run, match, for_, reason, owner or run.desk.who, from_, hours)
    run.desk.plan(MakeSilence(made))
    _print_new(run, made)
    if dry_run:
        run.say("dry run: nothing was written")
        return
    confirm(run, f"silence {', '.join(map(str, made.matchers))}", yes=yes)
    tell(run, run.desk.apply(MakeSilence(made)), data=False)


@silence_app.command("ls", short_help="List silences.")
def list_(
    everything: bool = typer.Option(False, "-a", "--all", help="Those that are over too."),
    output: Output = None,
    json: Json = False,
) -> None:
    """List silences: those that hold, wait for their hours or are to come; --all adds those that are over."""
    from opsctl.cli.alert import known_alerts
    from opsctl.views.alerts import silence_body, silence_state

    run = frame()
    form = chosen_output(run, output, json)
    now = run.composition.clock.now()
    file = silence_file(run)
    found = [one for one in file.read() if everything or silence_state(one, now) != "over"]
    _, rows = known_alerts(run, now)
    if form == "json":
        bodies = [silence_body(one, rows, now) for one in found]
        write_json(
            "alert/silence-ls/v1", {"at": now.replace(microsecond=0), "file": str(file.path), "silences": bodies}
        )
        return
    _print_list(run, found, rows, now, form)


@silence_app.command()
def end(
    silence: Annotated[str, typer.Argument(metavar="ID", help="As `opsctl alert silence ls` shows it.")],
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """End a silence now; its entry stays in the file."""
    from opsctl.actions import EndSilence, known_silence

    run = frame()
    if not dry_run:
        changing(run, "ending a silence")
    found = known_silence(silence_file(run).read(), silence)
    action = EndSilence(found.id)
    planned = run.desk.plan(action)
    if run.composition.clock.now() >= found.ends:
        run.say(_clean(planned.lines[0]))
        return
    if dry_run:
        sys.stdout.write(_clean(f"would end silence {found.id} of {found.owner}: {found.reason}") + "\n")
        return
    confirm(run, f"end silence {found.id}", yes=yes)
    tell(run, run.desk.apply(action))


def silence_file(run: Frame) -> SilenceFile:
    """The file of the context; UsageError where it names none."""
    from opsctl.actions import silence_file

    return silence_file(run.composition)


def _silence(
    run: Frame, match: list[str], for_: str, reason: str, owner: str, from_: str | None, hours: str | None
) -> Silence:
    from opsctl.actions import new_silence

    silence_file(run)
    now = run.composition.clock.now()
    starts = moment("--from", from_, now) if from_ else None
    return new_silence(now, match, duration("--for", for_), reason, owner, starts=starts, hours=hours)


# -- output


def _print_new(run: Frame, made: Silence) -> None:
    """The entry as it goes into the file, and what it does to the alerts that there are."""
    from opsctl.actions import reach
    from opsctl.files.silence_file import entry_text

    sys.stdout.write("".join(f"{_clean(line)}\n" for line in entry_text(made).splitlines()))
    for line in reach(run.composition, made):
        run.say(_clean(line))


def _print_list(run: Frame, found: list[Silence], rows: list[AlertRow], now: datetime, form: str) -> None:
    from opsctl.render.table import Column, write_rows
    from opsctl.views.alerts import matching, silence_state

    glyphs = {"holds": "✔ holds", "waits": "~ waits", "to come": "! to come", "over": "~ over"}
    columns = [Column("state"), Column("id"), Column("owner"), Column("ends"), Column("alerts", right=True)]
    columns += [Column("matchers", wrap=True), Column("reason", wrap=True)]
    cells = [
        [
            glyphs[silence_state(one, now)],
            one.id,
            one.owner,
            f"{one.ends:%Y-%m-%d %H:%MZ}",
            str(len(matching(rows, one.matchers))),
            ", ".join(map(str, one.matchers)) + (f", {one.hours}" if one.hours else ""),
            one.reason,
        ]
        for one in found
    ]
    write_rows(sys.stdout, columns, cells, table=form == "table", color=run.colored(sys.stdout))
    if not found:
        run.say("no silence holds or is to come; --all lists those that are over")


def _clean(text: str) -> str:
    from opsctl.render.text import clean

    return clean(text)
