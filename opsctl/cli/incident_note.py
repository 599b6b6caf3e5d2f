"""`opsctl incident note`: a person's words on an open incident, in the journal and where its page went."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.cli.confirming import DryRun, who
from opsctl.cli.frame import Frame, frame
from opsctl.core.routing import split_target
from opsctl.errors import ActionError, UsageError

if TYPE_CHECKING:
    from opsctl.ports import Incident, Journal

_STDIN_CHARACTERS = 64 * 1024


def note(
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="Its number (#12), key or rule.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to write; - reads it from stdin.")],
    dry_run: DryRun = False,
) -> None:
    """Write a line on an open incident, for whoever comes next."""
    from opsctl.cli.incident import open_journal, pick_open
    from opsctl.render.text import clean

    run = frame()
    words = _words(text)
    journal = open_journal(run)
    found = pick_open(journal, incident)
    if found.resolved is not None:
        raise UsageError(f"#{found.episode} {found.rule_name} is resolved: a note goes on an open incident")
    _can_be_told(run, found)
    name = f"#{found.episode} {found.rule_name}"
    if dry_run:
        where = f"in {found.route.rstrip('/')}" if found.route else "here"
        sys.stdout.write(clean(f"would note on {name} {where}: {words}") + "\n")
        return
    _apply(run, journal, found, words)
    sys.stdout.write(clean(f"noted on {name}") + "\n")


def _words(text: str) -> str:
    """What was said, if it is something and fits."""
    from opsctl.core.events import NOTE_CHARACTERS

    given = sys.stdin.read(_STDIN_CHARACTERS) if text == "-" else text
    words = given.encode("utf-8", "replace").decode().strip()
    if not words:
        raise UsageError("the note is empty", hint="write TEXT, or - and the text on stdin")
    room = NOTE_CHARACTERS - len(f"{who()}: ")
    if len(words) > room:
        more = " or more" if len(given) == _STDIN_CHARACTERS else ""
        raise UsageError(f"the note has {len(words):,}{more} characters: at most {room:,} fit")
    return words


def _can_be_told(run: Frame, found: Incident) -> None:
    """PagerDuty takes notes by REST only."""
    context = run.composition.context
    by_pagerduty = bool(found.route) and split_target(found.route)[0] == "pagerduty"
    if by_pagerduty and (context.pagerduty is None or context.pagerduty.rest is None):
        setting = f"contexts.{context.name}.pagerduty.rest"
        raise UsageError(
            f"a note on #{found.episode} goes by PagerDuty's REST API, and {setting} is not set",
            hint='rest = { token_file = "…", from = "you@example.com" }',
        )


def _apply(run: Frame, journal: Journal, found: Incident, words: str) -> None:
    now = run.composition.clock.now()
    done = journal.note(found.episode, who(), words, now, now + run.composition.context.paging.not_after)
    if journal.problem:
        raise ActionError(f"#{found.episode} has no note: {journal.problem}")
    if not done:
        raise ActionError(f"#{found.episode} has no note: it was closed meanwhile")
    if found.route:
        _deliver(run, journal, found)
    else:
        run.say(f"nobody was told of #{found.episode}, so this is noted here only")


def _deliver(run: Frame, journal: Journal, found: Incident) -> None:
    """Send what is due; exit 5 if the note did not get through."""
    from opsctl.render.text import clean
    from opsctl.sender import drain

    limits = run.composition.context.limits
    with run.waiting(f"sending, for at most {limits.send.total_seconds():g} s"):
        report = drain(journal, run.composition.sinks, run.composition.clock, limits.send.total_seconds())
    for problem in report.problems:
        run.warn(clean(f"opsctl: {problem}"))
    where = found.route.rstrip("/")
    for row in report.refused_notes:
        if row.episode == found.episode:
            raise ActionError(f"the note on #{found.episode} is written down and {where} refused it: {row.last_error}")
    for row in report.left:
        if row.episode == found.episode and row.action == "note":
            raise ActionError(
                f"the note on #{found.episode} is written down and has not reached {where}: {row.last_error}",
                hint="the next `opsctl check --notify` sends what is left",
            )
