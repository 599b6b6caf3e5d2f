"""Nothing is done by one key: the menu, the plan, the word that is typed, the form; each key once, each refusal said."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from opsctl.actions import Done, MakeSilence, Planned, Resolve, Risk, WriteNote
from opsctl.errors import ActionError, Refused, UsageError
from opsctl.tui.app import OpsctlApp
from opsctl.tui.dialogs import FormDialog
from opsctl.tui.incident_offers import prefilled
from opsctl.tui.leader import LeaderMenu, PlanDialog
from tests.tui.desks import PLAN, HandDesk
from tests.tui.hand import HandFeed, hand_app, screen_text, until
from tests.tui.reports import AT, Maker

NAMES = ["wallet", "chat"]
EVIL = "x [/foo] [bold]y[/] \x1b[31m\x07"

Play = Callable[[OpsctlApp, HandDesk, Pilot[int]], Awaitable[None]]


def play(
    folder: Path,
    desk: HandDesk,
    what: Play,
    *,
    size: tuple[int, int] = (80, 24),
    protected: bool = False,
    maker: Maker | None = None,
) -> HandFeed:
    """Open the board on Incidents, with the cursor on one that is open; the feed says whether it looked again."""
    maker = maker or Maker()
    app, feed = hand_app(folder, Maker().catalogue(NAMES), protected=protected)
    app.desk = desk  # type: ignore[assignment]
    incident = replace(maker.incident(7, "wallet", AT), resolved=None, state="firing", acknowledged=None)
    report = replace(maker.report(NAMES), incidents=(incident,), alerts=())

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(lambda: bool(feed.posts), "the feed is started")
            await pilot.press("4")
            feed.post(report)
            await until(lambda: app.pane is not None and bool(app.pane.offers()), "the incident is there")
            await what(app, desk, pilot)
            desk.gate.set()

    asyncio.run(go())
    return feed


def dialog(app: OpsctlApp, kind: type[Any]) -> Callable[[], bool]:
    """Whether that dialog is open, and filled."""
    return lambda: isinstance(app.screen, kind) and bool(app.screen.is_mounted) and app.screen.focused is not None


def said(app: OpsctlApp) -> str:
    """Every notice so far."""
    return "\n".join(str(one.message) for one in app._notifications)


async def plan_open(app: OpsctlApp, pilot: Pilot[int], key: str = "r") -> None:
    """The leader and one of its keys."""
    await pilot.press("x")
    await until(lambda: isinstance(app.screen, LeaderMenu), "the menu is open")
    await pilot.press(key)
    await until(dialog(app, PlanDialog), "the plan is shown")
    await pilot.pause()


# -- the menu


def test_the_menu_says_which_key_does_what_and_any_other_closes_it(tmp_path: Path) -> None:
    """Nothing is planned by looking at it."""

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await pilot.press("x")
        await pilot.pause()
        text = screen_text(app)
        for words in ("a  acknowledge #7", "n  write a note on #7", "r  resolve #7", "s  silence"):
            assert words in text
        await pilot.press("q")
        await pilot.pause()
        assert not isinstance(app.screen, LeaderMenu)
        assert (desk.plans, desk.applied) == ([], [])
        assert app.is_running

    play(tmp_path, HandDesk(), look)


def test_the_menu_by_arrows_and_by_mouse(tmp_path: Path) -> None:
    """Enter takes what the cursor is on, a click what it is on."""

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await pilot.press("x", "down", "down", "enter")
        await until(dialog(app, PlanDialog), "the plan is shown")
        await pilot.press("escape")
        await until(lambda: len(app.screen_stack) == 1, "it is closed")
        await pilot.press("x")
        await pilot.pause()
        await pilot.click("#offers", offset=(3, 2))
        await until(dialog(app, PlanDialog), "the plan is shown again")
        assert desk.plans == [Resolve(7), Resolve(7)]

    play(tmp_path, HandDesk(), look)


# -- the plan


def test_the_plan_says_what_how_far_and_the_command_and_cancel_has_the_focus(tmp_path: Path) -> None:
    """Enter cancels where something is at stake."""

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await plan_open(app, pilot)
        text = screen_text(app)
        for words in ("Resolve #7 X", "closes it at pagerduty/money", "! medium", "opsctl incident resolve '#7'"):
            assert words in text
        focused = app.focused
        assert isinstance(focused, Button)
        assert focused.id == "cancel"
        await pilot.press("enter")
        await until(lambda: len(app.screen_stack) == 1, "it is closed")
        assert desk.applied == []

    play(tmp_path, HandDesk(), look)


def test_what_is_done_is_said_with_the_command_that_does_the_same(tmp_path: Path) -> None:
    """And the board looks again."""

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await plan_open(app, pilot)
        await pilot.press("right", "enter")
        await until(lambda: "the same in a terminal" in said(app), "it is said")
        assert "resolved #7 X" in said(app)
        assert "opsctl incident resolve '#7'" in said(app)
        assert desk.applied == [Resolve(7)]

    assert play(tmp_path, HandDesk(), look).refreshed == 1


def test_low_risk_is_one_enter_away(tmp_path: Path) -> None:
    """The focus is on Do it."""
    plan = replace(PLAN, risk=Risk.LOW)

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await plan_open(app, pilot, "a")
        await pilot.press("enter")
        await until(lambda: bool(desk.applied), "it is done")

    play(tmp_path, HandDesk(plan), look)


def test_a_word_has_to_be_typed_whole_where_much_is_at_stake(tmp_path: Path) -> None:
    """Neither enter nor a click before it is."""
    plan = replace(PLAN, risk=Risk.HIGH, confirm="prod-eu")

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await plan_open(app, pilot)
        assert app.screen.query_one("#do", Button).disabled
        await pilot.click("#do")
        await pilot.press("tab")
        assert app.focused is app.screen.query_one("#word", Input)
        await pilot.press(*"prod-e", "enter")
        await pilot.pause()
        assert isinstance(app.screen, PlanDialog)
        assert desk.applied == []
        await pilot.press("u", "enter")
        await until(lambda: bool(desk.applied), "it is done")

    play(tmp_path, HandDesk(plan), look)


def test_a_key_that_is_pressed_twice_acts_once(tmp_path: Path) -> None:
    """Also while the first one is under way, which is said."""
    desk = HandDesk(replace(PLAN, risk=Risk.LOW))
    desk.gate.clear()

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await plan_open(app, pilot, "r")
        await pilot.press("enter", "enter", "enter")
        await until(lambda: bool(desk.applied), "it is begun")
        await pilot.pause()
        assert "under way" in app.busy()
        assert "under way …" in said(app)
        await app.open_screen("incidents")  # the second enter was for the table: it opened the service
        await pilot.press("x", "r")
        await until(lambda: "that is under way already" in said(app), "the second one is refused")
        desk.gate.set()
        await until(lambda: not app.busy(), "it is through")
        assert desk.applied == [Resolve(7)]

    play(tmp_path, desk, look)


def test_a_double_click_on_the_button_acts_once(tmp_path: Path) -> None:
    """The dialog answers once."""

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await plan_open(app, pilot)
        await pilot.click("#do", times=2)
        await until(lambda: bool(desk.applied), "it is done")
        await pilot.pause()
        assert desk.applied == [Resolve(7)]

    play(tmp_path, HandDesk(), look)


def test_y_copies_the_command(tmp_path: Path) -> None:
    """As it is typed in a terminal."""
    copied: list[str] = []

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await plan_open(app, pilot)
        app.copy_text = copied.append  # type: ignore[method-assign]
        await pilot.press("y")
        await until(lambda: bool(copied), "it is copied")
        assert copied == ["opsctl incident resolve '#7'"]
        assert isinstance(app.screen, PlanDialog)

    play(tmp_path, HandDesk(), look)


# -- refused, failed, overtaken


@pytest.mark.parametrize(
    ("why", "how"),
    [
        ("context prod is protected", "`:write` lifts it"),
        ("--read-only", "start it without that"),
        ("this is a recorded session", "this is a recorded session"),
    ],
)
def test_read_only_is_said_before_anything_is_asked(tmp_path: Path, why: str, how: str) -> None:
    """With how it is lifted; neither a plan nor a form is opened."""

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        for key in ("r", "n", "s"):
            await pilot.press("x")
            await pilot.pause()
            assert "read-only" in screen_text(app)
            await pilot.press(key)
            await pilot.pause()
            assert len(app.screen_stack) == 1
        assert said(app).count(how) == 3
        assert (desk.plans, desk.applied) == ([], [])

    play(tmp_path, HandDesk(read_only=why), look, protected=why.startswith("context"))


def test_what_the_desk_refuses_at_the_last_moment_is_said(tmp_path: Path) -> None:
    """The 15 minutes were over while the dialog was open."""
    desk = HandDesk(done=Refused("read-only (context prod is protected): not done: resolving #7"))

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await plan_open(app, pilot)
        await pilot.press("right", "enter")
        await until(lambda: "not done: resolving #7" in said(app), "it is said")
        assert "the same in a terminal" not in said(app)

    play(tmp_path, desk, look)


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (Done(("#7 X is resolved already",)), "nothing changed"),
        (Done((), "resolve of #7 is written down but did not reach pagerduty", True, hint="later"), "did not reach"),
        (ActionError("#7 is not resolved: the journal cannot be written"), "not resolved: the journal"),
        (RuntimeError("boom"), "a bug in opsctl: RuntimeError: boom"),
    ],
)
def test_what_became_of_it_is_said_honestly(tmp_path: Path, done: Done | Exception, words: str) -> None:
    """Overtaken by somebody else, not got through, not written down, broken."""

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await plan_open(app, pilot)
        await pilot.press("right", "enter")
        await until(lambda: words in said(app), "it is said")
        assert app.is_running

    play(tmp_path, HandDesk(done=done), look)


def test_an_action_that_cannot_be_planned_is_one_line(tmp_path: Path) -> None:
    """The incident is gone."""

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await pilot.press("x", "r")
        await until(lambda: "no such incident: #7" in said(app), "it is said")
        assert len(app.screen_stack) == 1
        assert app.under_way == []

    play(tmp_path, HandDesk(UsageError("no such incident: #7")), look)


# -- forms


def test_a_note_is_asked_for_and_its_error_stays_in_the_dialog(tmp_path: Path) -> None:
    """What was typed stays too, and enter goes on to the plan."""

    def plan(action: Any) -> Planned:
        if not action.text.strip():
            raise UsageError("the note is empty")
        return replace(PLAN, title="Note on #7 X", risk=Risk.LOW)

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await pilot.press("x", "n")
        await until(dialog(app, FormDialog), "the form is open")
        await pilot.press("enter")
        await until(lambda: "the note is empty" in screen_text(app), "the error is shown")
        await pilot.press(*"it is the promo", "enter")
        await until(dialog(app, PlanDialog), "the plan is shown")
        await pilot.press("enter")
        await until(lambda: bool(desk.applied), "it is done")
        assert desk.applied == [WriteNote(7, "it is the promo")]

    play(tmp_path, HandDesk(plan_as=plan), look)


def test_a_silence_is_prefilled_and_checked(tmp_path: Path) -> None:
    """Matchers, how long and why are wrong in the words of the command line, and stay as they were typed."""

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await pilot.press("x", "s")
        await until(dialog(app, FormDialog), "the form is open")
        matchers = app.screen.query_one("#field-matchers", Input)
        assert matchers.value == 'alertname="SuccessBudgetBurn", service="wallet"'
        assert app.focused is app.screen.query_one("#field-reason", Input)
        await pilot.press("enter")
        await until(lambda: "reason: say why" in screen_text(app), "the reason is missing")
        await pilot.press(*"CHG-12")
        app.screen.query_one("#field-for", Input).value = "soon"
        await pilot.press("enter")
        await until(lambda: "expected a duration" in screen_text(app), "the duration is wrong")
        app.screen.query_one("#field-for", Input).value = "2h"
        matchers.value = "service"
        await pilot.press("enter")
        await until(lambda: "expected a matcher like" in screen_text(app), "the matcher is wrong")
        matchers.value = 'service="wallet"'
        await pilot.press("enter")
        await until(dialog(app, PlanDialog), "the plan is shown")
        await pilot.press("right", "enter")
        await until(lambda: bool(desk.applied), "it is done")
        (made,) = desk.applied
        assert isinstance(made, MakeSilence)
        assert (made.silence.reason, made.silence.owner) == ("CHG-12", "ana")
        assert [str(one) for one in made.silence.matchers] == ['service="wallet"']

    play(tmp_path, HandDesk(), look, size=(120, 40))


def test_escape_leaves_a_form_and_nothing_was_planned(tmp_path: Path) -> None:
    """Also from inside of a field."""

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await pilot.press("x", "n")
        await until(dialog(app, FormDialog), "the form is open")
        await pilot.press(*"abc", "escape")
        await until(lambda: len(app.screen_stack) == 1, "it is closed")
        assert desk.plans == []

    play(tmp_path, HandDesk(), look)


@pytest.mark.parametrize(
    ("labels", "identity", "text"),
    [
        ({"alertname": "A", "service": "wallet"}, {"region": "eu"}, 'alertname="A", service="wallet", region="eu"'),
        ({"alertname": "A", "service": ""}, {}, 'alertname="A"'),
        ({"alertname": "A", "service": "x\x1b[31m"}, {}, 'alertname="A"'),  # what cannot be typed is left out
        ({"alertname": 'say "hi"'}, {}, 'alertname="say \\"hi\\""'),
        ({"alertname": "A"}, {"blob": "w" * 5000}, 'alertname="A"'),
    ],
)
def test_matchers_of_an_alert_as_one_types_them(labels: dict[str, str], identity: dict[str, str], text: str) -> None:
    """Only what a field can hold as it is."""
    assert prefilled(labels, identity) == text


# -- any text, any size


@pytest.mark.parametrize("size", [(40, 15), (20, 6), (200, 60)])
def test_text_from_outside_is_text_in_every_dialog_and_it_fits(tmp_path: Path, size: tuple[int, int]) -> None:
    """No markup, no escape; the buttons are on the screen where there is any room."""
    plan = Planned(f"Resolve {EVIL}", (EVIL,) * 40, ("incident", EVIL), Risk.HIGH, EVIL)

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        app.action_leader()
        await until(lambda: isinstance(app.screen, LeaderMenu), "the menu is open")
        await pilot.press("r")
        await until(dialog(app, PlanDialog), "the plan is shown")
        await pilot.press("down", "down", "pagedown")
        await pilot.pause()
        text = screen_text(app)
        assert "\x1b" not in text
        if size[1] > 10:
            assert "Cancel" in text
            assert "Do it" in text
        await pilot.press("escape")
        await until(lambda: len(app.screen_stack) == 1, "it is closed")
        app.action_leader()
        await until(lambda: isinstance(app.screen, LeaderMenu), "the menu is open again")
        await pilot.press("s")
        await until(dialog(app, FormDialog), "the form is open")
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert "\x1b" not in screen_text(app)

    play(tmp_path, HandDesk(plan), look, size=size, maker=Maker(lambda text: f"{text} {EVIL}"))


def test_the_board_ends_while_an_action_is_under_way(tmp_path: Path) -> None:
    """Ctrl-C says what is under way, the second one leaves, and the action is carried to its end."""
    desk = HandDesk(replace(PLAN, risk=Risk.LOW))
    desk.gate.clear()
    ended = threading.Event()

    async def look(app: OpsctlApp, desk: HandDesk, pilot: Pilot[int]) -> None:
        await plan_open(app, pilot)
        await pilot.press("enter")
        await until(lambda: bool(app.busy()), "it is begun")
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert app.is_running
        assert "ctrl+c again leaves" in said(app)
        desk.gate.set()
        await until(lambda: not app.busy(), "it is through")
        ended.set()

    play(tmp_path, desk, look)
    assert ended.is_set()
    assert desk.applied == [Resolve(7)]
