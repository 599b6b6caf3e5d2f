"""Who acts, whether they may and mean it, and what became of it: a protected context wants its name typed, or --yes."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.cli.frame import Frame
from opsctl.errors import ActionError, Refused

if TYPE_CHECKING:
    from opsctl.actions import Done

DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Say what would be done and do nothing.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask, in a protected context either.")]
_MEANT = timedelta(minutes=1)  # between a person's word and what follows from it


def changing(run: Frame, what: str) -> None:
    """Refused under --read-only; `what` is what would change something."""
    if run.read_only:
        from opsctl.actions import READ_ONLY, refusal

        raise refusal(READ_ONLY, what)


def meant(run: Frame) -> None:
    """Who typed this command means it: what follows may change a protected context, unless --read-only forbids it."""
    if not run.read_only:
        run.desk.allow(_MEANT)


def confirm(run: Frame, what: str, *, yes: bool) -> None:
    """Let a person say that they mean it, where the context is protected; Refused where they do not, or may not."""
    changing(run, what)
    context = run.composition.context
    if context.protected and not yes:
        _type_name(context.name, what)
    meant(run)


def _type_name(name: str, what: str) -> None:
    from opsctl.render.text import clean

    refusal = f"context {name} is protected: not done: {what}"
    if not sys.stdin.isatty():
        raise Refused(refusal, hint="--yes says that you mean it")
    sys.stderr.write(clean(f"{what}: type the context's name, {name}, to go on: "))
    sys.stderr.flush()
    if sys.stdin.readline().strip() != name:
        raise Refused(refusal, hint="the name was not typed")


def tell(run: Frame, done: Done, *, data: bool = True) -> None:
    """What was done on stdout (with `data`), else and the rest on stderr; ActionError where it is not through."""
    from opsctl.render.text import clean

    for line in done.said:
        if data and done.changed:
            sys.stdout.write(clean(line) + "\n")
        else:
            run.say(clean(line))
    for line in done.beside:
        run.say(clean(line))
    for line in done.warnings:
        run.warn(clean(f"opsctl: {line}"))
    if done.problem:
        raise ActionError(done.problem, hint=done.hint or None)


def who() -> str:
    """The name that this user has on this host."""
    from opsctl.actions import user

    return user()
