"""The board on the demo's world: real rules, a real journal and a local PagerDuty, on a clock that a test steps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from opsctl.actions import Desk
from opsctl.app import Composition
from opsctl.cli.demo_world import START, DemoWorld, demo_world
from opsctl.demo.clock import StoryClock
from opsctl.tui.app import OpsctlApp
from opsctl.tui.feed import LiveFeed
from opsctl.tui.options import Options
from opsctl.tui.queries import Queries
from opsctl.tui.recorder import Recorder
from tests.tui.hand import screen_text, until

SECONDS = 20.0  # that anything may take on a busy machine


@contextmanager
def world_of(folder: Path, fault: str = "promo-surge") -> Iterator[DemoWorld]:
    """Some minutes into a fault, its pages sent; the same bytes each time."""
    with demo_world(fault, 7, StoryClock(START), folder=folder) as world:
        yield world


@dataclass(frozen=True)
class Eyes:
    """Who sits at the board: sees the screen, presses keys, and waits; knows nothing else."""

    world: DemoWorld
    app: OpsctlApp
    pilot: Pilot[int]

    @property
    def text(self) -> str:
        """What is on the screen."""
        return screen_text(self.app)

    def line(self, *words: str) -> str:
        """The first line with all these words; "" where there is none."""
        return next((line for line in self.text.split("\n") if all(word in line for word in words)), "")

    async def press(self, *keys: str) -> None:
        """One after the other, as fast as somebody types."""
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause(0.02)

    async def write(self, text: str) -> None:
        """Letter by letter."""
        names = {" ": "space", "-": "minus", ":": "colon", "/": "slash"}
        await self.press(*(names.get(letter, letter) for letter in text))

    async def sees(self, *words: str, not_: str = "") -> None:
        """Wait until there is a line with all of it (and `not_` nowhere)."""
        try:
            await until(lambda: self.line(*words) and not (not_ and not_ in self.text), f"{words}", SECONDS)
        except AssertionError as late:
            raise AssertionError(f"{late}; not {not_!r}; on the screen:\n{self.text}") from None

    async def finds(self, key: str, *words: str, most: int = 30) -> None:
        """Press a key until a line has all of it."""
        for _ in range(most):
            if self.line(*words):
                return
            await self.press(key)
        raise AssertionError(f"{most} times {key} and no {words}; on the screen:\n{self.text}")

    async def minutes(self, count: int) -> None:
        """So many minutes pass, with cron; the board has seen the last one."""
        await asyncio.to_thread(self.world.step, timedelta(minutes=count))
        now = self.world.clock.now()
        await until(lambda: self.app.report is not None and self.app.report.made >= now, "the report of now", SECONDS)
        await self.pilot.pause()


@contextmanager
def board_of(
    world: DemoWorld, options: Options | None = None, *, protected: bool = False, recorder: Recorder | None = None
) -> Iterator[OpsctlApp]:
    """The board on this world, as `opsctl tui` opens it; its feed ends with it."""
    composition = protected_one(world.composition) if protected else world.composition
    feed = LiveFeed(composition.sibling())
    queries = Queries(composition, observe=recorder.answer) if recorder is not None else Queries(composition)
    desk = Desk(composition, who="ana")
    try:
        yield OpsctlApp(composition, feed, desk, options or Options(), queries=queries, recorder=recorder)
    finally:
        feed.stop(5)


def protected_one(composition: Composition) -> Composition:
    """The same, where changing something takes more; on the same journal."""
    contexts = {
        name: replace(one, protected=True) if name == composition.context.name else one
        for name, one in composition.settings.contexts.items()
    }
    settings: Any = replace(composition.settings, contexts=contexts)
    other = replace(composition, settings=settings)
    other.__dict__["_journal"] = composition.journal()
    return other
