"""The Incidents screen: whose, what became of the page, its story; acknowledged, noted, silenced and resolved for real."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from opsctl.cli.demo_world import START, DemoWorld, demo_world
from opsctl.core.seen import Seen, SeenIncident
from opsctl.demo.clock import StoryClock
from opsctl.ports import Incident, Sinks
from opsctl.tui.app import OpsctlApp
from opsctl.tui.dialogs import FormDialog
from opsctl.tui.feed import LiveFeed
from opsctl.tui.glances import EVERY, Glances
from opsctl.tui.leader import PlanDialog
from opsctl.tui.report import Report
from opsctl.tui.widgets.choices import Choices
from opsctl.tui.widgets.grid import Grid
from tests.tui.hand import HandClock, HandFeed, hand_app, screen_text, until
from tests.tui.reports import AT, HOUR, Maker

MAKER = Maker()
NAMES = ["wallet", "chat", "gateway"]

Play = Callable[[OpsctlApp, HandFeed, Pilot[int]], Awaitable[None]]


def incident(number: int, service: str, **changes: object) -> Incident:
    """One that is open, told, and taken by nobody."""
    plain = {"resolved": None, "state": "firing", "acknowledged": None, "withheld": "", "last_error": ""}
    return replace(MAKER.incident(number, service, AT), **{**plain, **changes})  # type: ignore[arg-type]


INCIDENTS = (
    incident(3, "gateway", team="edge", opened=AT - timedelta(minutes=2)),
    incident(2, "chat", team="chat", opened=AT - HOUR, runbook=None, remote_url=""),
    incident(1, "wallet", opened=AT - 2 * HOUR, resolved=AT - HOUR, state="resolved"),
)


def report(incidents: tuple[Incident, ...] = INCIDENTS, maker: Maker = MAKER) -> Report:
    """These incidents, and whatever fires."""
    return replace(maker.report(NAMES), incidents=incidents, alerts=())


def play(
    folder: Path,
    what: Play,
    *,
    size: tuple[int, int] = (120, 40),
    shown: Report | None = None,
    reader: Reader | None = None,
    clock: HandClock | None = None,
) -> None:
    """Open the board on Incidents."""
    app, feed = hand_app(folder, MAKER.catalogue(NAMES), clock=clock)
    app.composition.__dict__["sinks"] = Sinks({}, (), (reader,) if reader is not None else ())

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(lambda: bool(feed.posts), "the feed is started")
            await pilot.press("4")
            feed.post(shown or report())
            await until(
                lambda: app.report is not None and "resolved in the last day" in screen_text(app), "it is shown"
            )
            await pilot.pause()
            await what(app, feed, pilot)

    asyncio.run(go())


class Reader:
    """A far side that shows what a test says."""

    name = "pagerduty"

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.asked: list[list[str]] = []
        self.seconds: list[float] = []

    def look(self, keys: list[str], known: dict[str, str], timeout_seconds: float = 5.0) -> Seen:
        """Count."""
        self.asked.append(list(keys))
        self.seconds.append(timeout_seconds)
        return self.seen

    def close(self) -> None:
        """Nothing is open."""


def row_of(app: OpsctlApp, number: int) -> str:
    """The row of an incident."""
    lines = screen_text(app).split("\n")
    return next((line for line in lines if f" #{number} " in line and "incident" not in line), "")


# -- what is shown


def test_open_ones_first_and_what_became_of_each(tmp_path: Path) -> None:
    """Number, rule, service, age, page, and that nobody acknowledged it."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        text = screen_text(app)
        assert text.index("#3 ") < text.index("#2 ") < text.index("#1 ")
        assert "✖ firing" in row_of(app, 3)
        assert "2m" in row_of(app, 3)
        assert "nobody" in row_of(app, 3)
        assert "✔ resolved" in row_of(app, 1)
        assert "2 open  1 resolved in the last day" in text

    play(tmp_path, look)


def test_only_words_of_this_screen_are_on_it(tmp_path: Path) -> None:
    """The others' words stand on their screens."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        words = screen_text(app).replace(",", " ").split()
        assert "acknowledge" in words
        for other in ("burn", "p99", "since", "critical", "severity", "step", "reachable"):
            assert other not in words

    play(tmp_path, look)


def test_mine_a_teams_and_all_go_round_and_which_is_on_is_said(tmp_path: Path) -> None:
    """`m`; an empty one says how to see others."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        grid = app.query_one("#incidents-grid", Grid)
        await pilot.press("m")
        assert len(grid.rows) == 0
        assert "none is acknowledged by" in screen_text(app)
        await pilot.press("m")
        assert "team chat" in screen_text(app)
        assert [row.key for row in grid.rows] == ["2"]
        await pilot.press("m", "m", "m")
        assert len(grid.rows) == 3

    play(tmp_path, look)


def test_tabs_by_keys_and_by_mouse(tmp_path: Path) -> None:
    """Tab, h and l, a click; each says something."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        tabs = app.query_one(Choices)
        await pilot.press("tab")
        assert tabs.active == "alerts"
        await pilot.press("l")
        await until(lambda: tabs.active == "notes", "l turns")
        await until(lambda: "no note; x n writes one" in screen_text(app), "there is no note")
        await pilot.press("h", "shift+tab")
        await until(lambda: tabs.active == "details", "h and shift+tab turn back")
        await pilot.click(Choices, offset=(screen_line(app, "[details]").index("timeline") + 1, 0))
        await until(lambda: tabs.active == "timeline", "a click turns")
        await until(lambda: "nothing is written down of it" in screen_text(app), "the journal was read")

    play(tmp_path, look)


def screen_line(app: OpsctlApp, words: str) -> str:
    """The first line with these words."""
    return next(line for line in screen_text(app).split("\n") if words in line)


def test_the_postmortem_is_a_draft_that_is_exported_alone(tmp_path: Path) -> None:
    """Markdown lines, whatever else is on the screen."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        assert app.pane is not None
        assert app.pane.export()[0][0] == "state"
        await pilot.press("shift+tab")
        await until(lambda: "# Postmortem: #3 SuccessBudgetBurn on gateway" in screen_text(app), "it is drafted")
        lines = app.pane.export()
        assert lines[0] == ["# Postmortem: #3 SuccessBudgetBurn on gateway"]
        assert ["## Timeline"] in lines

    play(tmp_path, look)


def test_the_filter_and_what_it_hides(tmp_path: Path) -> None:
    """By label and by word; an incident that another screen leads to is not hidden."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        grid = app.query_one("#incidents-grid", Grid)
        assert app.pane is not None
        assert app.pane.set_filter("service=chat state=firing") == ""
        assert [row.key for row in grid.rows] == ["2"]
        assert "quote" in app.pane.set_filter('"')
        await app.go("incidents", incident=3)
        await until(lambda: grid.key == "3", "it is led to")
        assert app.pane.filter_text() == ""
        await pilot.press("z")
        assert len(grid.rows) == 2

    play(tmp_path, look)


def test_the_keys_lead_to_its_service_logs_traces_and_runbook(tmp_path: Path) -> None:
    """Around its time: one that is over, or began before the window, moves it."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        opened: list[str] = []

        async def instead(name: str, *, remember: bool = True) -> None:
            opened.append(name)

        app.open_screen = instead  # type: ignore[method-assign]
        grid = app.query_one("#incidents-grid", Grid)
        grid.focus()
        grid.go_to("3")
        await pilot.press("d")
        await until(lambda: opened == ["logs"], "logs")
        assert (app.spot.service, app.spot.incident, app.spot.window.end) == ("gateway", 3, None)
        grid.go_to("1")
        await until(lambda: app.spot.incident == 1, "another one is looked at")
        await pilot.press("T")
        await until(lambda: opened == ["logs", "traces"], "traces")
        assert app.spot.window.end == AT - 2 * HOUR + app.spot.window.length / 2
        await pilot.press("R")
        await until(lambda: opened[-1] == "runbooks", "runbooks")
        assert app.spot.runbook == "PromoSurge"
        await pilot.press("enter")
        await until(lambda: opened[-1] == "service", "service")
        assert app.pane is not None
        assert app.pane.link() == "https://pd.example/incidents/Q1"

    play(tmp_path, look)


def test_any_text_is_text_here(tmp_path: Path) -> None:
    """No markup, no escape, on every tab."""
    evil = "x [/foo] [bold]y[/] \x1b[31m\x07\n![i](http://e) \ud800"

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        for _ in range(6):
            await pilot.press("tab")
            await pilot.pause()
            text = screen_text(app)
            assert "\x1b" not in text
            assert "[/foo]" in text

    maker = Maker(lambda text: f"{text} {evil}")
    bad = replace(maker.incident(7, "wallet", AT), resolved=None, state="firing")
    play(tmp_path, look, shown=report((bad,)))


# -- the far side


def seen(status: str = "", problem: str = "") -> Seen:
    """Of the newest incident; no status is: it is not there."""
    key = INCIDENTS[0].key
    one = SeenIncident(key, "Q1", status, AT, AT, "Bob", url="https://pd.example/Q1")  # type: ignore[arg-type]
    if problem:
        return Seen(AT, problem=problem)
    return Seen(AT, {key: one} if status else {}, frozenset() if status else frozenset({key}))


def test_what_the_far_side_shows_stands_beside_and_is_asked_for_now_and_then(tmp_path: Path) -> None:
    """Within three seconds, on a lane that counts; not again before 15 seconds are over."""
    clock, reader = HandClock(), Reader(seen("acknowledged"))

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await until(lambda: "taken by Bob" in row_of(app, 3), "it was looked at")
        assert "Bob" in row_of(app, 3).split("taken by Bob")[1]
        assert "pagerduty seen 0s ago" in screen_text(app)
        assert reader.seconds == [pytest.approx(3.0, abs=0.1)]
        assert app.queries.use()["pagerduty"].asked == 1
        feed.post(replace(report(), number=2))
        await until(lambda: app.report is not None and app.report.number == 2, "another report")
        await pilot.pause()
        assert len(reader.asked) == 1
        clock.at += EVERY
        feed.post(replace(report(), number=3))
        await until(lambda: len(reader.asked) == 2, "it is looked at again")
        assert INCIDENTS[2].key not in reader.asked[0]  # closed an hour ago: nobody asks

    play(tmp_path, look, reader=reader, clock=clock)


def test_a_page_that_the_far_side_does_not_have_is_marked(tmp_path: Path) -> None:
    """With a glyph and in words."""
    old = replace(INCIDENTS[0], opened=AT - timedelta(minutes=30))

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await until(lambda: "✖ ! not there" in row_of(app, 3), "it is marked")

    play(tmp_path, look, reader=Reader(seen()), shown=report((old,)))


def test_a_far_side_that_does_not_answer_is_a_line(tmp_path: Path) -> None:
    """The journal's word stays."""

    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await until(lambda: "HTTP 503; the rest is the journal's word" in screen_text(app), "it is said")
        assert "accepted" in row_of(app, 3)

    play(tmp_path, look, reader=Reader(seen(problem="HTTP 503")))


def test_nobody_is_asked_while_another_screen_is_seen_or_nobody_was_told() -> None:
    """A look costs requests."""
    told, untold = INCIDENTS[0], replace(INCIDENTS[0], route="")
    looks = Glances()
    assert looks.due([told], AT)
    assert not looks.due([untold], AT)
    assert not looks.due([], AT)


# -- for real


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoWorld]:
    """The platform under a fault, its pages at a local PagerDuty."""
    folder = tmp_path_factory.mktemp("incidents")
    with demo_world("promo-surge", 7, StoryClock(START), folder=folder) as made:
        yield made


def live(world: DemoWorld, what: Callable[[OpsctlApp, Pilot[int]], Awaitable[None]]) -> None:
    """The board on that world, on Incidents."""
    feed = LiveFeed(world.composition.sibling())
    app = OpsctlApp(world.composition, feed, world.composition.desk())

    async def go() -> None:
        async with app.run_test(size=(140, 40), notifications=True) as pilot:
            await until(lambda: app.report is not None, "the first report is there")
            await pilot.press("4")
            await until(lambda: "triggered" in screen_text(app) or "taken" in screen_text(app), "the far side is seen")
            await what(app, pilot)

    try:
        asyncio.run(go())
    finally:
        feed.stop(2)


def page(app: OpsctlApp) -> Incident:
    """The newest page that somebody was told of."""
    assert app.report is not None
    open_ = (one for one in app.report.incidents if one.resolved is None and one.route and not one.withheld)
    return next(one for one in open_ if one.severity == "page")


async def act(app: OpsctlApp, pilot: Pilot[int], key: str) -> None:
    """The leader, a key, and the plan's dialog."""
    await pilot.press("x", key)
    await until(lambda: isinstance(app.screen, PlanDialog) and app.screen.focused is not None, "the plan is shown")
    await pilot.pause()


def remote(world: DemoWorld, one: Incident) -> str:
    """What PagerDuty says of it."""
    return str(next(each["status"] for each in world.incidents() if each["dedup_key"] == one.key))


def test_acknowledge_note_and_resolve_reach_the_pager(world: DemoWorld) -> None:
    """By keys alone, each through its dialog; the row, the timeline and PagerDuty say the same."""

    async def look(app: OpsctlApp, pilot: Pilot[int]) -> None:
        one = page(app)
        grid = app.query_one("#incidents-grid", Grid)
        grid.focus()
        grid.go_to(str(one.episode))
        await act(app, pilot, "a")
        await pilot.press("enter")
        await until(lambda: remote(world, one) == "acknowledged", "PagerDuty has it")
        await until(lambda: f"{app.desk.who} 0s ago" in row_of(app, one.episode), "the row says who")
        await pilot.press("m")
        await until(lambda: [row.key for row in grid.rows] == [str(one.episode)], "it is mine now")
        await pilot.press("x", "n")
        await until(lambda: isinstance(app.screen, FormDialog) and app.focused is not None, "the form is open")
        await pilot.press(*"promo", "enter")
        await until(lambda: isinstance(app.screen, PlanDialog) and app.screen.focused is not None, "the plan")
        await pilot.press("enter", "tab", "tab")
        await until(lambda: "note accepted" in screen_text(app) and ": promo" in screen_text(app), "the note")
        await act(app, pilot, "r")
        await pilot.press("right", "enter")
        await until(lambda: remote(world, one) == "resolved", "PagerDuty has closed it")
        await until(lambda: "✔ resolved" in row_of(app, one.episode), "the row says so")
        await pilot.press("x")
        await pilot.pause()
        assert len(app.screen_stack) == 1  # nothing is offered for what is resolved

    live(world, look)


def test_one_that_was_resolved_meanwhile_is_said_to_be(world: DemoWorld) -> None:
    """Somebody else was faster, while the dialog was open: nothing is claimed."""

    async def look(app: OpsctlApp, pilot: Pilot[int]) -> None:
        one = page(app)
        grid = app.query_one("#incidents-grid", Grid)
        grid.focus()
        grid.go_to(str(one.episode))
        await act(app, pilot, "r")
        now = app.now
        assert world.composition.journal().resolve(one.episode, "bob", now, now + timedelta(hours=1))
        await pilot.press("right", "enter")
        await until(lambda: any("resolved already" in str(n.message) for n in app._notifications), "it is said")
        assert any("nothing changed" in str(n.message) for n in app._notifications)

    live(world, look)


def test_a_silence_is_written_by_keys(world: DemoWorld) -> None:
    """Prefilled from the alert, with a reason; the plan says whom it silences, the file has it."""

    async def look(app: OpsctlApp, pilot: Pilot[int]) -> None:
        await pilot.press("3")
        await until(lambda: app.screen_name == "alerts" and "✖ firing" in screen_text(app), "alerts")
        await pilot.press("x", "s")
        await until(lambda: isinstance(app.screen, FormDialog) and isinstance(app.focused, Input), "the form")
        await pilot.press(*"CHG-7", "enter")
        await until(lambda: isinstance(app.screen, PlanDialog) and app.screen.focused is not None, "the plan")
        await until(lambda: "alerts would be silenced now" in screen_text(app), "whom it silences")
        await pilot.press("right", "enter")
        file = world.composition.context.silences
        assert file is not None
        await until(lambda: "CHG-7" in file.read_text(), "the file has it")
        await until(lambda: "silenced by" in screen_text(app), "the alert says so")

    live(world, look)
