"""Text from outside can be anything, in every field of every screen: nothing crashes, only text reaches the terminal."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from opsctl.core.logs import LogRecord
from opsctl.core.traces import Span, SpanEvent, Trace, trace_of
from opsctl.render.text import clean
from opsctl.tui.app import OpsctlApp
from opsctl.tui.panes import PANES
from tests.tui.hand import hand_app, screen_text, until
from tests.tui.reports import AT, Maker

NASTY = (
    "x [/foo] y [bold]loud[/bold] [@click=app.quit]here[/]",
    "\x1b[31mred\x1b[0m \x1b]52;c;ZXZpbA==\x07 \x1b[?1049l \x1bc",
    "\x9b2J\x9d0;title\x9c",
    "a\nb\r\nc\td\x00e\x7f",
    "‮gnirts⁦ ﻿​",
    "漢字🔥" * 20,
    "é́́́" * 30,
    "\ud800 lone \udfff",
    "w" * 5000,
    "",
    " ",
    "$(reboot) `id` '; DROP TABLE runs; --",
    "{{ template }} %s %n {0}",
)
TEXTS = st.one_of(st.sampled_from(NASTY), st.text(st.characters(), max_size=60))


def records(word: str, names: list[str]) -> list[LogRecord]:
    """Lines that say it everywhere."""
    return [
        LogRecord(
            AT - timedelta(seconds=i),
            word,
            word if i % 2 else "ERROR",
            names[i % len(names)],
            "a" * 32 if i % 3 else word,
            "b" * 16,
            {word or "empty": word, "list": [word, word], "n": i},
            f"{i}",
        )
        for i in range(30)
    ]


def trace(word: str, service: str) -> Trace:
    """A trace that says it everywhere, with a parent that is not there and a loop."""
    at = int(AT.timestamp() * 1_000_000) - 60_000_000
    event = SpanEvent(at + 5, word, {word or "empty": word})
    spans = [
        Span(
            "a" * 32,
            "b" * 16,
            None,
            word,
            service,
            "server",
            at,
            900,
            "error",
            {word or "k": word},
            {"r": word},
            (event,),
            (("c" * 32, word),),
            (word,),
        ),
        Span("a" * 32, "c" * 16, "b" * 16, word, word, "client", at + 10, 500, "unset", {"error.message": word}),
        Span("a" * 32, "d" * 16, "e" * 16, word, service, "", at + 20, -5),
        Span("a" * 32, "f" * 16, "f" * 16, word, service, "internal", at + 30, 10**15),
    ]
    return trace_of("a" * 32, spans, (word,))


def check(app: OpsctlApp, where: str) -> None:
    """Everything on the screen is text that a terminal only shows."""
    for line in screen_text(app).splitlines():
        assert clean(line) == line, f"{where}: {line!r}"


@given(word=TEXTS)
@example(word=NASTY[0])
@example(word=NASTY[1])
@example(word=NASTY[7])
@example(word=NASTY[8])
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_any_text_in_every_field_of_every_screen(word: str) -> None:
    maker = Maker(lambda usual: word)
    names = [f"{word}{i}" for i in range(4)]

    async def look(folder: Path) -> None:
        app, feed = hand_app(
            folder, maker.catalogue(names), records=records(word, names), traces=[trace(word, names[0])]
        )
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(lambda: bool(feed.posts), "the feed is started")
            feed.post(maker.report(names))
            await until(lambda: app.report is not None, "the report is there")
            app.set_quietly(service=names[0])
            for entry in PANES:
                await app.open_screen(entry.name)
                await pilot.pause(0.05)
                check(app, entry.name)
                for key in ("j", "enter", "tab", "j", "enter", "x", "escape", "escape"):
                    await pilot.press(key)
                    check(app, f"{entry.name} after {key}")
                app.say(word)
            await pilot.pause(0.05)
            check(app, "with notices")
            assert "<svg" in app.export_screenshot()
        app.composition.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(look(Path(folder)))


def test_markup_is_shown_as_it_is_written() -> None:
    maker = Maker(lambda usual: "x [/foo] y")

    async def look(folder: Path) -> None:
        app, feed = hand_app(folder, maker.catalogue(["wallet"]))
        async with app.run_test(size=(160, 40), notifications=True) as pilot:
            await until(lambda: bool(feed.posts), "the feed is started")
            feed.post(maker.report(["wallet"]))
            await until(lambda: "x [/foo] y" in screen_text(app), "it is there as it is written")
            app.say("z [/foo] [bold]b[/bold]")
            await until(lambda: "z [/foo] [bold]b[/bold]" in screen_text(app), "in a notice too")
            await pilot.pause()
        app.composition.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(look(Path(folder)))
