"""`opsctl incident note`: a person's words on an open incident, in the journal and where its page went."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from opsctl.cli.confirming import DryRun, changing, meant, tell
from opsctl.cli.frame import Frame, frame

_STDIN_CHARACTERS = 64 * 1024


def note(
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="Its number (#12), key or rule.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to write; - reads it from stdin.")],
    dry_run: DryRun = False,
) -> None:
    """Write a line on an open incident, for whoever comes next."""
    from opsctl.actions import WriteNote
    from opsctl.cli.incident import open_journal, pick_open, sending
    from opsctl.render.text import clean

    run = frame()
    if not dry_run:
        changing(run, f"a note on {incident}")
    words = _words(run, text)
    found = pick_open(open_journal(run), incident)
    action = WriteNote(found.episode, words)
    run.desk.plan(action)
    if dry_run:
        where = f"in {found.route.rstrip('/')}" if found.route else "here"
        name = f"#{found.episode} {found.rule_name}"
        sys.stdout.write(clean(f"would note on {name} {where}: {words}") + "\n")
        return
    meant(run)
    with sending(run):
        done = run.desk.apply(action)
    tell(run, done)


def _words(run: Frame, text: str) -> str:
    """What was said, if it is something and fits."""
    from opsctl.actions import note_words

    given = sys.stdin.read(_STDIN_CHARACTERS) if text == "-" else text
    return note_words(given, run.desk.who, cut=len(given) == _STDIN_CHARACTERS)
