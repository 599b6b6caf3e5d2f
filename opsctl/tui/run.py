"""Opens the board, and leaves the terminal as it was, however it ends."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from opsctl.app import Composition
from opsctl.tui.options import Options

if TYPE_CHECKING:
    from opsctl.actions import Desk
    from opsctl.tui.memory import Memory
    from opsctl.tui.queries import Queries
    from opsctl.tui.recorder import Recorder
    from opsctl.tui.reporting import Feed
    from opsctl.tui.session import Head

CLOSE_SECONDS = 2.0


def run(composition: Composition, options: Options) -> int:
    """Look at a context until somebody leaves; the exit code."""
    from opsctl.tui.late import LateFeed
    from opsctl.tui.memory import Memory
    from opsctl.tui.queries import Queries

    def feed() -> Feed:
        from opsctl.tui.feed import LiveFeed

        composition.world()  # a wrong configuration ends the board, and is said in the terminal
        return LiveFeed(composition.sibling())

    desk = composition.desk(read_only=options.read_only)
    memory = Memory(composition.context.state_dir, lambda: _head(composition))
    opened = Opened(composition, LateFeed(feed), desk, Queries(composition), memory)
    if options.record is None:
        return _opened(opened, options)
    from opsctl.tui.recorder import Recorder

    recorder = Recorder(options.record, _head(composition), composition.clock, _say)
    queries = Queries(composition, observe=recorder.answer)
    try:
        return _opened(replace(opened, queries=queries, recorder=recorder), options)
    finally:
        recorder.close(CLOSE_SECONDS)


def look_again(path: Path, options: Options, speed: float = 1.0) -> int:
    """Look at a recorded session; nobody is asked and nothing can be changed. ConfigError where it is none."""
    from opsctl.actions import Desk
    from opsctl.tui.replay import ReplayClock, ReplayFeed, ReplayQueries, composition_of, open_session

    session = open_session(path)
    clock = ReplayClock(session.reports[0].made, speed)
    with tempfile.TemporaryDirectory(prefix="opsctl-replay-") as folder:
        composition = composition_of(session, clock, Path(folder))
        desk = Desk(composition, read_only="this is a recorded session")
        queries = ReplayQueries(composition, session.answers)
        try:
            return _opened(Opened(composition, ReplayFeed(session, clock), desk, queries), options)
        finally:
            composition.close()


@dataclass(frozen=True)
class Opened:
    """What a board is opened on."""

    composition: Composition
    feed: Feed
    desk: Desk
    queries: Queries
    memory: Memory | None = None
    recorder: Recorder | None = None


def _opened(opened: Opened, options: Options) -> int:
    from opsctl.tui.app import OpsctlApp
    from opsctl.tui.leaving import run_app

    app = OpsctlApp(
        opened.composition,
        opened.feed,
        opened.desk,
        options,
        queries=opened.queries,
        memory=opened.memory,
        recorder=opened.recorder,
    )
    spare_the_loop()
    try:
        return run_app(app, mouse=options.mouse)
    finally:
        opened.feed.stop(CLOSE_SECONDS)
        if opened.memory is not None:
            opened.memory.leave()
        for line in app.left(CLOSE_SECONDS):
            _say(line)


def spare_the_loop() -> None:
    """Nobody waits for a look through all objects, or for a thread that computes: both held a key up for 100 ms."""
    gc.set_threshold(100_000, 20, 20)
    sys.setswitchinterval(0.001)


def _head(composition: Composition) -> Head:
    from importlib.metadata import version

    from opsctl.tui.session import Head

    context = composition.context
    return Head(context.name, context.namespace, version("opsctl-cli"), composition.clock.now(), composition.catalogue)


def _say(line: str) -> None:
    from opsctl.render.text import clean

    sys.stderr.write(f"opsctl: {clean(line)}\n")


def theme_of(name: str | None, env: Mapping[str, str] = os.environ) -> str:
    """The theme that was asked for; mono where colours are not wanted."""
    if env.get("NO_COLOR") or env.get("TERM") == "dumb":
        return "mono"
    return name or "dark"
