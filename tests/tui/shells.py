"""A board with a command line that does what a test says, and what tests of the shell do with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from opsctl.actions import Acknowledge, Action
from opsctl.errors import Refused
from opsctl.tui.app import OpsctlApp
from opsctl.tui.options import Options
from opsctl.tui.typed import Grammar, Ran
from tests.tui.desks import HandDesk
from tests.tui.hand import HandFeed, hand_app, screen_text, until
from tests.tui.reports import Maker

MAKER = Maker()
NAMES = ["chat", "gateway", "wallet"]
GRAMMAR: Grammar = {
    ("check",): ("--json",),
    ("watch",): (),
    ("incident",): (),
    ("incident", "ack"): (),
    ("incident", "ls"): (),
    ("log",): (),
    ("log", "search"): ("-s",),
}
Play = Callable[[OpsctlApp, HandFeed, Pilot[int]], Awaitable[None]]


@dataclass
class HandLine:
    """A command line that says what a test wants."""

    ran: Ran = field(default_factory=lambda: Ran(0, "all is well\n"))
    gate: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    stopped: list[bool] = field(default_factory=list)
    wrong: Exception | None = None

    def grammar(self) -> Grammar:
        """A few commands."""
        return GRAMMAR

    def action(self, words: Sequence[str]) -> Action | None:
        """An acknowledgement is one."""
        if words[0] == "watch":
            raise Refused("watch is not for the board: it does not end")
        return Acknowledge(int(words[2].removeprefix("#"))) if words[:2] == ("incident", "ack") else None

    def run(self, words: Sequence[str], width: int, stop: threading.Event) -> Ran:
        """When the gate is open, or it is told to stop."""
        self.asked.append(tuple(words))
        if self.wrong is not None:
            raise self.wrong
        while not self.gate.wait(0.01) and not stop.is_set():
            pass
        self.stopped.append(stop.is_set())
        return self.ran


def play(
    folder: Path,
    what: Play,
    *,
    line: HandLine | None = None,
    protected: bool = False,
    read_only: bool = False,
    size: tuple[int, int] = (120, 40),
    desk: HandDesk | None = None,
    **options: Any,
) -> OpsctlApp:
    """Open a board, and do something on it."""
    made = Options(line=(lambda _: line) if line is not None else None, **options)
    app, feed = hand_app(folder, MAKER.catalogue(NAMES), options=made, protected=protected, read_only=read_only)
    if desk is not None:
        app.desk = desk  # type: ignore[assignment]

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(lambda: bool(feed.posts), "the feed is started")
            feed.post(MAKER.report(NAMES))
            await until(lambda: app.report is not None, "the report is there")
            await pilot.pause()
            await what(app, feed, pilot)

    asyncio.run(go())
    app.composition.close()
    return app


async def type_command(app: OpsctlApp, pilot: Pilot[int], text: str) -> None:
    """`:`, the text, enter."""
    await pilot.press("colon")
    app.query_one_bar().value = text
    await pilot.press("enter")
    await pilot.pause()


def shows(app: OpsctlApp, words: str) -> Callable[[], bool]:
    """Whether it is on the screen."""
    return lambda: words in screen_text(app)
