"""`opsctl tui`: the board."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from opsctl.cli.frame import frame
from opsctl.errors import UsageError

Screen = Annotated[str, typer.Argument(metavar="[SCREEN]", help="board, service, alerts, incidents, traces, logs, …")]


def tui(
    screen: Screen = "board",
    theme: str | None = typer.Option(None, "--theme", help="dark, light or mono; mono where NO_COLOR is set."),
    mouse: bool = typer.Option(True, "--mouse/--no-mouse", help="Whether clicks and the wheel do something."),
) -> None:
    """Open the board: what is broken, how we know, who is told, what to do."""
    run = frame()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the board needs a terminal", hint="`opsctl status` prints one line a service")
    from opsctl.tui.options import Options
    from opsctl.tui.panes import BY_NAME
    from opsctl.tui.run import run as open_board
    from opsctl.tui.run import theme_of
    from opsctl.tui.tones import NAMES

    if screen not in BY_NAME:
        raise UsageError(f"no screen {screen}: expected one of {', '.join(BY_NAME)}")
    if theme is not None and theme not in NAMES:
        raise UsageError(f"--theme {theme}: expected one of {', '.join(NAMES)}")
    composition = run.composition
    composition.world()  # a wrong configuration is said in the terminal, not on the board
    options = Options(screen=screen, theme=theme_of(theme), mouse=mouse, utc=run.utc)
    code = open_board(composition, options)
    composition.close()
    if code:
        raise typer.Exit(code)
