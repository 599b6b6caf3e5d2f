"""`opsctl demo --tui`: the board on the demo's world, with a fault under way; the clock of all of it is a fast one."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from opsctl.cli.frame import Frame

SPEED = 10.0
"""A simulated minute in six seconds: what a runbook does is seen to help within a minute or two."""


def run_board(run: Frame, fault: str, seed: int, speed: float) -> None:
    """Open the board, until somebody leaves it."""
    from opsctl.cli.tui import board_options, check_terminal, command_line

    check_terminal()
    from opsctl.cli.demo_world import START, demo_world
    from opsctl.demo.clock import FastClock
    from opsctl.files.board import BoardSettings
    from opsctl.tui.run import run as open_board

    options = board_options(run, BoardSettings(), line=command_line(run))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))  # nothing is left behind by a terminal that is closed early
    with (
        tempfile.TemporaryDirectory(prefix="opsctl-demo-") as folder,
        demo_world(fault, seed, FastClock(START), folder=Path(folder), speed=speed, say=run.say) as world,
    ):
        code = open_board(world.composition, options)
        problems = tuple(world.problems)
    for line in problems[:1]:
        from opsctl.render.text import clean

        run.warn(clean(f"opsctl: {len(problems)} runs of the demo's cron failed, the first: {line}"))
    if code:
        raise typer.Exit(code)
