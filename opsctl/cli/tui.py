"""`opsctl tui`: the board."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from opsctl.cli.frame import frame
from opsctl.errors import UsageError

Screen = Annotated[str, typer.Argument(metavar="[SCREEN]", help="board, service, alerts, incidents, traces, logs, …")]


def tui(
    screen: Screen = "board",
    theme: str | None = typer.Option(None, "--theme", help="dark, light or mono; mono where NO_COLOR is set."),
    mouse: bool = typer.Option(True, "--mouse/--no-mouse", help="Whether clicks and the wheel do something."),
    record: Path | None = typer.Option(None, "--record", metavar="FILE", help="Write the session down."),
    replay: Path | None = typer.Option(
        None, "--replay", metavar="FILE", help="Look at a recorded session; ask nobody."
    ),
    speed: float = typer.Option(1.0, "--speed", min=0.1, max=1000, help="With --replay: so many times as fast."),
) -> None:
    """Open the board: what is broken, how we know, who is told, what to do."""
    run = frame()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the board needs a terminal", hint="`opsctl status` prints one line a service")
    from opsctl.tui.options import Options
    from opsctl.tui.panes import BY_NAME
    from opsctl.tui.run import look_again, theme_of
    from opsctl.tui.run import run as open_board
    from opsctl.tui.tones import NAMES

    if screen not in BY_NAME:
        raise UsageError(f"no screen {screen}: expected one of {', '.join(BY_NAME)}")
    if theme is not None and theme not in NAMES:
        raise UsageError(f"--theme {theme}: expected one of {', '.join(NAMES)}")
    options = Options(
        screen=screen,
        theme=theme_of(theme),
        read_only=run.read_only,
        mouse=mouse,
        utc=run.utc,
        record=record,
        replay=replay,
    )
    if replay is not None:
        if record is not None:
            raise UsageError("--record and --replay contradict each other")
        code = look_again(replay, options, speed)
        if code:
            raise typer.Exit(code)
        return
    composition = run.composition
    code = open_board(composition, options)
    composition.close()
    if code:
        raise typer.Exit(code)
