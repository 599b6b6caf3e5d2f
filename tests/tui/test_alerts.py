"""The Alerts screen: what fires against which line, who is told, why a state is kept, and where one goes from here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from textual.pilot import Pilot

from opsctl.core.alert_rows import alert_rows
from opsctl.core.commands import JournalAlert
from opsctl.core.keys import key_of
from opsctl.core.routing import Routing
from opsctl.core.rules import Outcome
from opsctl.tui.app import OpsctlApp
from opsctl.tui.report import Report
from opsctl.tui.widgets.grid import Grid
from tests.tui.hand import HandFeed, hand_app, screen_text, until
from tests.tui.reports import AT, Maker

NAMES = ["wallet", "chat", "gateway"]
MAKER = Maker()
OUTCOMES = {"wallet": Outcome.FAIL, "chat": Outcome.WARN, "gateway": Outcome.FAIL}

Play = Callable[[OpsctlApp, HandFeed, Pilot[int]], Awaitable[None]]


def report(maker: Maker = MAKER) -> Report:
    """Two fire, one is pending and frozen; the wallet's has an incident, the gateway's is silenced."""
    verdicts = tuple(maker.verdict(name, OUTCOMES[name], AT) for name in NAMES)
    by_name = {name: verdict.alerts[0] for name, verdict in zip(NAMES, verdicts, strict=True)}
    known = {}
    for name, route, episode, withheld in (("wallet", "pagerduty/money", 7, ""), ("gateway", "", 8, "silenced by bo")):
        key = key_of("prod", by_name[name])
        known[key] = JournalAlert(key, by_name[name], route, episode, AT, 1 if route else 0, AT, withheld=withheld)
    incident = replace(MAKER.incident(7, "wallet", AT), key=key_of("prod", by_name["wallet"]), resolved=None)
    rows = tuple(alert_rows(known, Routing("prod"), AT))
    return replace(maker.report(NAMES), verdicts=verdicts, stale=(), alerts=rows, incidents=(incident,))


def play(folder: Path, what: Play, *, size: tuple[int, int] = (160, 40), shown: Report | None = None) -> None:
    """Open the board on Alerts."""
    app, feed = hand_app(folder, MAKER.catalogue(NAMES))

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(lambda: bool(feed.posts), "the feed is started")
            await pilot.press("3")
            feed.post(shown or report())
            await until(lambda: app.report is not None and "firing" in screen_text(app), "the alerts are there")
            await pilot.pause()
            await what(app, feed, pilot)

    asyncio.run(go())


def line_of(app: OpsctlApp, *words: str) -> str:
    """The first line of the screen with all these words; "" where there is none."""
    return next((line for line in screen_text(app).split("\n") if all(word in line for word in words)), "")


def test_each_alert_has_its_value_its_line_since_when_and_who_is_told(tmp_path: Path) -> None:
    """Firing before pending; the incident's number; why somebody is not told."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        wallet = line_of(app, "✖ firing", "wallet")
        for words in ("page", "3.7 % bad", "> 1.44 %", "17:48:00Z", "12m", "pagerduty/money", "#7"):
            assert words in wallet
        assert "~ silenced by bo" in line_of(app, "✖ firing", "gateway")
        text = screen_text(app)
        assert text.index("wallet") < text.index("chat ")
        assert "2 firing" in text
        assert "1 pending" in text

    play(tmp_path, look)


def test_a_frozen_alert_says_so_and_why(tmp_path: Path) -> None:
    """In its row, in the heading, and in the evidence; its value is marked as kept."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        assert "~frozen" in line_of(app, "! pending", "chat")
        assert "~3.7 % bad" in line_of(app, "! pending", "chat")
        assert "1 frozen: kept, not measured" in screen_text(app)
        await pilot.press("G")
        await until(lambda: "the state is kept, not measured: no answer" in screen_text(app), "the reason is shown")

    play(tmp_path, look)


def test_only_words_of_this_screen_are_on_it(tmp_path: Path) -> None:
    """The others' words stand on their screens."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        words = screen_text(app).replace(",", " ").split()
        assert "since" in words
        for other in ("burn", "p99", "acknowledge", "critical", "severity", "step", "reachable"):
            assert other not in words

    play(tmp_path, look, size=(120, 40))


def test_the_filter_the_order_and_only_what_fires(tmp_path: Path) -> None:
    """What hides rows is said, and the bar has the filter again."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        grid = app.query_one("#alerts-grid", Grid)
        await pilot.press("z")
        assert len(grid.rows) == 2
        assert "only what fires" in screen_text(app)
        await pilot.press("z", "slash", *"service=ga*", "enter")
        assert len(grid.rows) == 1
        assert "1 of 3 shown" in screen_text(app)
        await pilot.press("slash")
        assert app.query_one("#bar").value == "service=ga*"  # type: ignore[attr-defined]
        await pilot.press("escape", "s", "s")
        assert "by service" in screen_text(app)
        assert app.pane is not None
        assert "quote" in app.pane.set_filter("'open")
        assert app.pane.set_filter("nothing-like-that") == ""
        await pilot.pause()
        assert "no alert passes the filter" in screen_text(app)

    play(tmp_path, look)


def test_the_cursor_stays_on_its_alert_and_the_other_screens_know_it(tmp_path: Path) -> None:
    """However the rows move; a digit opens another screen for the same service."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        grid = app.query_one("#alerts-grid", Grid)
        grid.focus()
        await pilot.press("G")
        await until(lambda: app.spot.service == "chat", "chat is looked at")
        one = report()
        calmer = tuple(replace(v, alerts=()) if v.rule.service == "wallet" else v for v in one.verdicts)
        feed.post(replace(one, number=2, verdicts=calmer, alerts=()))
        await until(lambda: len(grid.rows) == 2, "the wallet is well")
        assert app.spot.service == "chat"
        assert "chat" in line_of(app, "─ ")

    play(tmp_path, look)


def test_enter_goes_to_the_incident_and_escape_comes_back(tmp_path: Path) -> None:
    """With the service, the rule and the runbook of the alert."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        app.query_one("#alerts-grid", Grid).focus()
        await pilot.press("g")
        grid = app.query_one("#alerts-grid", Grid)
        while "wallet" not in str(grid.rows[grid.cursor].cells):
            await pilot.press("j")
        await pilot.press("enter")
        await until(lambda: app.screen_name == "incidents", "the incident is open")
        assert (app.spot.incident, app.spot.service, app.spot.runbook) == (7, "wallet", "PromoSurge")
        await pilot.press("escape")
        await until(lambda: app.screen_name == "alerts", "it is back")

    play(tmp_path, look)


def test_at_another_time_nobody_says_who_was_told(tmp_path: Path) -> None:
    """The journal's rows are of now."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        assert "as judged at 18:00:00Z: who was told is not shown" in screen_text(app)
        assert "silenced by bo" not in screen_text(app)

    play(tmp_path, look, shown=replace(report(), live=False))


def test_nothing_of_a_text_from_outside_is_markup_or_leaves_its_cell(tmp_path: Path) -> None:
    """Escapes are shown as text."""
    evil = "x [/foo] [bold]y[/] \x1b[31m\x07 \n line"

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("J", "x")
        text = screen_text(app)
        assert "\x1b" not in text
        assert "[/foo]" in text

    play(tmp_path, look, shown=report(Maker(lambda text: f"{text} {evil}")))


def test_it_fits_where_there_is_little_room(tmp_path: Path) -> None:
    """State, rule, service and age are what stays."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        row = line_of(app, "✖ firing", "wallet")
        assert "17:48:00Z" in row
        await pilot.resize_terminal(40, 15)
        await pilot.pause()
        assert "✖ firing" in screen_text(app)

    play(tmp_path, look, size=(80, 24))
