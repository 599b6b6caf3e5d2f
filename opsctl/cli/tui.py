"""`opsctl tui`: the board."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.errors import UsageError

if TYPE_CHECKING:
    from opsctl.app import Composition
    from opsctl.files.board import BoardSettings
    from opsctl.tui.options import Options
    from opsctl.tui.typed import CommandLine

SCREENS = ("board", "service", "alerts", "incidents", "traces", "logs", "runbooks", "backends")


def _screens(incomplete: str) -> list[str]:
    return [name for name in SCREENS if name.startswith(incomplete)]


Screen = Annotated[
    str,
    typer.Argument(
        metavar="[SCREEN]", help=f"The first screen to show: {', '.join(SCREENS)}.", autocompletion=_screens
    ),
]


def tui(
    screen: Screen = "board",
    theme: str | None = typer.Option(None, "--theme", help="dark, light or mono; mono where NO_COLOR is set."),
    mouse: bool | None = typer.Option(None, "--mouse/--no-mouse", help="Whether clicks and the wheel do something."),
    record: Path | None = typer.Option(None, "--record", metavar="FILE", help="Write the session down."),
    replay: Path | None = typer.Option(
        None, "--replay", metavar="FILE", help="Look at a recorded session; ask nobody."
    ),
    speed: float = typer.Option(1.0, "--speed", min=0.1, max=1000, help="With --replay: so many times as fast."),
    keys: bool = typer.Option(False, "--keys", help="Print every key and its id instead, for [tui] keys."),
    json: bool = typer.Option(False, "--json", help="With --keys: as JSON."),
) -> None:
    """Open the board: what is broken, how we know, who is told, what to do."""
    run = frame()
    if keys:
        print_keys(run, json=json)
        return
    if json:
        raise UsageError("--json needs --keys", hint="`opsctl status --json` has the state of each service")
    if record is not None and replay is not None:
        raise UsageError("--record and --replay contradict each other")
    check_terminal()
    if replay is not None:
        from opsctl.files.board import BoardSettings
        from opsctl.tui.run import look_again

        options = board_options(run, BoardSettings(), screen, theme, mouse, replay=replay)
        _leave(look_again(replay, options, speed))
        return
    from opsctl.tui.run import run as open_board

    composition = run.composition
    options = board_options(
        run, composition.settings.board, screen, theme, mouse, record=record, line=command_line(run)
    )
    try:
        code = open_board(composition, options)
    finally:
        composition.close()
    _leave(code)


def _leave(code: int) -> None:
    if code:
        raise typer.Exit(code)


def check_terminal() -> None:
    """UsageError where the board could not be seen or used."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the board needs a terminal", hint="`opsctl status` prints one line a service")
    if not sys.stderr.isatty():
        raise UsageError("the board is drawn on stderr: it must be the terminal", hint="leave out 2>…")


def board_options(
    run: Frame,
    board: BoardSettings,
    screen: str = "board",
    theme: str | None = None,
    mouse: bool | None = None,
    *,
    record: Path | None = None,
    replay: Path | None = None,
    line: Callable[[Composition], CommandLine] | None = None,
) -> Options:
    """Flags before [tui] of the configuration; UsageError for a screen or a theme that there is none of."""
    from opsctl.files.text import meant
    from opsctl.tui.options import Options
    from opsctl.tui.run import theme_of

    if screen not in SCREENS:
        raise UsageError(f"no screen {screen}: expected one of {', '.join(SCREENS)}", hint=meant(screen, SCREENS))
    if theme is not None and theme not in ("dark", "light", "mono"):
        raise UsageError(f"--theme {theme}: expected one of dark, light, mono")
    if board.keys:
        from opsctl.tui.keys import check_keys

        check_keys(board.keys)
    return Options(
        screen=screen,
        theme=theme or theme_of(board.theme),
        read_only=run.read_only,
        mouse=board.mouse if mouse is None else mouse,
        utc=run.utc or bool(board.utc),
        record=record,
        replay=replay,
        keys={name: own.keys for name, own in board.keys.items()},
        line=line,
    )


def command_line(run: Frame) -> Callable[[Composition], CommandLine]:
    """What `:` runs in."""

    def line(composition: Composition) -> CommandLine:
        from opsctl.cli.board_line import BoardLine

        return BoardLine(run, composition)

    return line


def print_keys(run: Frame, *, json: bool) -> None:
    """Every binding as it is without [tui] keys."""
    from opsctl.tui.keys import all_keys, key_rows, written

    if json:
        bodies = [
            {"id": one.id, "where": one.where, "keys": [written(key) for key in one.keys], "does": one.label}
            for one in all_keys()
        ]
        write_json("tui/keys/v1", {"keys": bodies})
        return
    from opsctl.render.table import Column, write_rows

    table = run.stdout_is_terminal
    columns = [Column("where"), Column("keys"), Column("does", wrap=True), Column("id")]
    write_rows(sys.stdout, columns, key_rows({}), table=table, color=run.colored(sys.stdout))
