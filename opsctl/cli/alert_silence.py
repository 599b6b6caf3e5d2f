"""`opsctl alert silence`: write a silence into the context's file, list them, end one.

Must never write a file that silences everything or that says less than before.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.cli.confirming import DryRun, Yes, confirm, who
from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import Json, Output, chosen_output, duration, moment
from opsctl.errors import UsageError

if TYPE_CHECKING:
    from opsctl.core.routing import Silence
    from opsctl.files.silence_file import SilenceFile
    from opsctl.views.alerts import AlertRow

_SHOWN = 8  # alerts of a preview: the entry and the count stay on the screen

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
    file = silence_file(run)
    made = _silence(run, match, for_, reason, owner or who(), from_, hours)
    _check(file, made)
    file.with_one_more(made)
    _print_new(run, file, made)
    if dry_run:
        run.say("dry run: nothing was written")
        return
    confirm(run, f"silence {', '.join(map(str, made.matchers))}", yes=yes)
    file.write(lambda: file.with_one_more(made))
    run.say(_clean(f"written into {file.path}; `opsctl alert silence end {made.id}` ends it early"))


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
    run = frame()
    now = run.composition.clock.now()
    file = silence_file(run)
    found = _one(file.read(), silence)
    if now >= found.ends:
        run.say(f"silence {found.id} is over since {found.ends:%Y-%m-%d %H:%MZ}")
        return
    if now <= found.starts:
        line = found.origin.rpartition(":")[2]
        raise UsageError(f"silence {found.id} has not begun", hint=f"take it out of {file.path}, line {line}")
    at = max(_minute(now), found.starts + timedelta(seconds=1))
    file.with_end(found.id, at)
    if dry_run:
        sys.stdout.write(_clean(f"would end silence {found.id} of {found.owner}: {found.reason}") + "\n")
        return
    confirm(run, f"end silence {found.id}", yes=yes)
    file.write(lambda: file.with_end(found.id, at))
    sys.stdout.write(_clean(f"ended silence {found.id} of {found.owner}: {found.reason}") + "\n")
    run.say(_clean(f"written into {file.path}; the next run tells of what still fires"))


def silence_file(run: Frame) -> SilenceFile:
    """The file of the context; UsageError where it names none."""
    from opsctl.files.silence_file import SilenceFile

    composition = run.composition
    context = composition.context
    if context.silences is None:
        hint = f'add silences = "silences.yaml" to [contexts.{context.name}]'
        raise UsageError(f"context {context.name} names no file of silences", hint=hint)
    return SilenceFile(context.silences, context.namespace, composition.catalogue)


def _silence(
    run: Frame, match: list[str], for_: str, reason: str, owner: str, from_: str | None, hours: str | None
) -> Silence:
    from opsctl.cli.alert import matchers_of
    from opsctl.core.routing import Silence
    from opsctl.files.hours import parse_hours
    from opsctl.files.silences import digest

    now = run.composition.clock.now()
    starts = moment("--from", from_, now).replace(microsecond=0) if from_ else _minute(now)
    length = duration("--for", for_)
    reason, owner = (" ".join(text.split()) for text in (reason, owner))
    for flag, text in (("--reason", reason), ("--owner", owner)):
        if not text or not text.isprintable():
            raise UsageError(f"{flag}: expected one line of printable text")
    try:
        spans = parse_hours(hours) if hours else None
        ends = starts + length
    except OverflowError:
        raise UsageError(f"--for {for_}: expected at most 90d") from None
    except ValueError as wrong:
        raise UsageError(f"--hours {hours}: {wrong}") from None
    matchers = matchers_of("-l", match)
    return Silence(digest(owner, reason, matchers, starts), owner, reason, matchers, starts, ends, spans)


def _check(file: SilenceFile, made: Silence) -> None:
    """Refuse what no silence may be, in the words of the flags."""
    from opsctl.files.silences import faults

    flags = {"matchers": "-l " + ", ".join(map(str, made.matchers)), "ends": "--for"}
    for key, words in faults(made.matchers, made.starts, made.ends, file.namespace, file.catalogue):
        raise UsageError(f"{flags[key]}: {words}")


def _minute(now: datetime) -> datetime:
    """The minute that is on: a run judges a moment that is past, and would not see what begins or ends after it."""
    return now.replace(second=0, microsecond=0)


def _one(silences: Sequence[Silence], word: str) -> Silence:
    found = [one for one in silences if one.id == word]
    found = found or [one for one in silences if len(word) >= 4 and one.id.startswith(word)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{word} names {len(found)} silences: {', '.join(one.id for one in found)}")
    from opsctl.files.text import meant

    raise UsageError(f"no such silence: {word}", hint=meant(word, [one.id for one in silences]))


# -- output


def _print_new(run: Frame, file: SilenceFile, made: Silence) -> None:
    """The entry as it goes into the file, and what it does to the alerts that there are."""
    from opsctl.cli.alert import known_alerts
    from opsctl.files.silence_file import entry_text
    from opsctl.views.alerts import effect, matching

    now = run.composition.clock.now()
    sys.stdout.write("".join(f"{_clean(line)}\n" for line in entry_text(made).splitlines()))
    _, rows = known_alerts(run, now)
    problem = run.composition.journal().problem
    if problem:
        run.say(_clean(f"what fires is not known: {problem}"))
        return
    found = matching(rows, made.matchers)
    when = "now" if made.active(now) else "when it begins" if now < made.starts else "in its hours"
    head = f"{len(found)} of {len(rows)} alerts would be silenced {when}" + (":" if found else "")
    run.say(head)
    for row in found[:_SHOWN]:
        run.say(_clean(f"  {effect(row)}"))
    if len(found) > _SHOWN:
        run.say(f"  and {len(found) - _SHOWN} more")


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
