"""Pictures of the board on the demo's world: for docs/tui.md, and compared with what is there.

`python -m tests.tui.pictures docs/tui` writes them anew. What differs from run to run (times of answers, ports, ids
of the local PagerDuty, the folder) is replaced by something of the same length: all else is as it is painted.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from opsctl.actions import Desk
from opsctl.cli.demo_world import DemoWorld
from opsctl.ports import Journal, Probe
from opsctl.tui.app import OpsctlApp
from opsctl.tui.feed import LiveFeed
from opsctl.tui.options import Options
from opsctl.tui.queries import Queries, Use
from opsctl.tui.report import News, Report
from tests.tui.hand import screen_text, until
from tests.tui.world import world_of

TOOK = 0.1
STILL_SECONDS = 1.0  # that nothing may change for a picture to be taken
SIZE = (120, 40)
SCREENS: Mapping[str, tuple[str, ...]] = {
    "board": (),
    "service": ("2",),
    "alerts": ("3",),
    "incidents": ("4",),
    "incident-acknowledge": ("4", "x", "a"),
    "traces": ("T", "still", "enter"),
    "logs": ("d",),
    "runbooks": ("R",),
    "backends": ("0",),
}
"""The keys that lead to each picture, from the board as it opens; `still` waits until nothing changes."""
_MASKS = (
    (re.compile(r"127\.0\.0\.1:\d{5}"), "127.0.0.1:00000"),
    (re.compile(r"\bQ[0-9A-Z]{13}\b"), "Q" + "0" * 13),
    (re.compile(r"terminal-\d+"), "terminal"),
    (re.compile(r"@font-face \{.*?\}\s*", re.DOTALL), ""),  # a picture of ours asks no server for a font
    (re.compile(r"<!-- Generated with .*?-->\s*"), ""),
)


class StillFeed(LiveFeed):
    """Every cycle takes as long."""

    def cycle(self) -> News:
        """With the times of answers replaced."""
        news = super().cycle()
        if not isinstance(news, Report):
            return news
        backends = tuple(replace(one, took_seconds=TOOK) for one in news.backends)
        return replace(news, took_seconds=TOOK, backends=backends)


class StillQueries(Queries):
    """Every answer takes as long, and costs as much; the journal is where it usually is."""

    async def probe(self, kind: str) -> Probe:
        """With its time replaced."""
        return replace(await super().probe(kind), took_seconds=TOOK)

    async def journal(self, read: Callable[[Journal], Any], key: Hashable = None) -> Any:
        """With its path replaced."""
        answer = await super().journal(read, key)
        return ("/var/lib/opsctl/demo/journal.sqlite3", answer[1]) if key == "path" else answer

    def use(self) -> Mapping[str, Use]:
        """What details cost, replaced."""
        return {
            name: replace(one, last_minute=4, waiting=0, asked=4, last_seconds=TOOK)
            for name, one in super().use().items()
        }


@contextmanager
def still_board(world: DemoWorld, theme: str) -> Iterator[OpsctlApp]:
    """The board on this world, as still as can be."""
    feed = StillFeed(world.composition.sibling())
    desk = Desk(world.composition, who="ana")
    try:
        yield OpsctlApp(world.composition, feed, desk, Options(theme=theme), queries=StillQueries(world.composition))
    finally:
        feed.stop(5)


async def still(app: OpsctlApp) -> None:
    """Wait until the screen has been the same for a while, and nothing is asked."""
    seen, since = "", time.monotonic()
    while time.monotonic() - since < STILL_SECONDS:
        await asyncio.sleep(0.05)
        now = screen_text(app)
        if now != seen or app.queries.under_way:
            seen, since = now, time.monotonic()


async def picture(world: DemoWorld, keys: tuple[str, ...], size: tuple[int, int], theme: str) -> tuple[str, str]:
    """How the screen that these keys lead to is painted, and its SVG."""
    with still_board(world, theme) as app:
        async with app.run_test(size=size) as pilot:
            await until(lambda: app.report is not None, "the first report", 20.0)
            await still(app)
            for key in keys:
                if key == "still":
                    await still(app)
                else:
                    await pilot.press(key)
                    await pilot.pause(0.1)
            await still(app)
            return masked(painted(app)), masked(app.export_screenshot(title="opsctl"))


def painted(app: OpsctlApp) -> str:
    """Each line of the screen, below it a letter a cell for how that is painted, and what the letters mean."""
    looks: dict[str, str] = {}
    out = []
    for strip in app.screen._compositor.render_strips():
        letters = []
        for segment in strip:
            look = str(segment.style) if segment.style is not None else "none"
            letters.append(looks.setdefault(look, chr(ord("a") + len(looks))) * segment.cell_length)
        out += ["".join(segment.text for segment in strip), "".join(letters)]
    return "\n".join([*out, *(f"{letter}  {look}" for look, letter in looks.items())])


def masked(text: str) -> str:
    """Without what differs from run to run."""
    for pattern, instead in _MASKS:
        text = pattern.sub(instead, text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def main(folder: Path) -> None:
    """Write every picture."""
    with tempfile.TemporaryDirectory(prefix="opsctl-pictures-") as state, world_of(Path(state)) as world:
        for name, keys in SCREENS.items():
            _, svg = asyncio.run(picture(world, keys, SIZE, "dark"))
            (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
            print(folder / f"{name}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
