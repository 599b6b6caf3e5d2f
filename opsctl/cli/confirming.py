"""Who acts, and whether they mean it: a protected context wants its name typed, or --yes."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from opsctl.cli.frame import Frame
from opsctl.errors import Refused

DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Say what would be done and do nothing.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask, in a protected context either.")]


def confirm(run: Frame, what: str, *, yes: bool) -> None:
    """Let a person say that they mean it, where the context is protected; Refused where they do not."""
    context = run.composition.context
    if not context.protected or yes:
        return
    from opsctl.render.text import clean

    refusal = f"context {context.name} is protected: not done: {what}"
    if not sys.stdin.isatty():
        raise Refused(refusal, hint="--yes says that you mean it")
    sys.stderr.write(clean(f"{what}: type the context's name, {context.name}, to go on: "))
    sys.stderr.flush()
    if sys.stdin.readline().strip() != context.name:
        raise Refused(refusal, hint="the name was not typed")


def who() -> str:
    """The name that this user has on this host."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"
