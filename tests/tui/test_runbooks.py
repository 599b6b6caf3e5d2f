"""The Runbooks screen: the bundled PromoSurge run to its end and undone; questions that are left, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from opsctl.actions import Nobody, ResumeRun
from opsctl.cli.demo_world import START, DemoWorld, demo_world
from opsctl.core.runbooks import Runbook
from opsctl.demo.clock import StoryClock
from opsctl.tui.app import OpsctlApp
from opsctl.tui.dialogs import FormDialog
from opsctl.tui.feed import LiveFeed
from opsctl.tui.leader import PlanDialog
from opsctl.tui.options import Options
from opsctl.tui.run_dialogs import EditDialog, QuestionDialog, StepView
from tests.tui.hand import hand_app, screen_text, until
from tests.tui.reports import Maker
from tests.unit.runbooks.documents import FRONT, book, fence

Play = Callable[[OpsctlApp, Pilot[int]], Awaitable[None]]
NASTY = "x [/foo] \x1b[31mred"
SCRIPT = {"requires": "go", "idempotency": "natural", "undo": "back", "timeout": "20s", "mutates": "chat"}
SAMPLE = book(
    fence("manual", "Tell them.", id="tell", title=f'"{NASTY[:8]} a title"'),
    fence("approval", "May we?", id="go"),
    fence("bash", "seq 1 20000; echo done", id="shed", **SCRIPT),
    fence(
        "bash", "echo back", id="back", role="undo", mutates="chat", requires="none", idempotency="natural",
        undo="none", timeout="5s",
    ),
    front=FRONT + "params:\n  percent: {type: int, min: 1, max: 9}\n",
)  # fmt: skip
HARMLESS = replace(book(fence("manual", "Look.", id="look")), id="Harmless")


def play(
    folder: Path, what: Play, *books: Runbook, size: tuple[int, int] = (120, 40), protected: bool = False
) -> OpsctlApp:
    """Open the board on these runbooks."""
    maker = Maker()
    app, feed = hand_app(folder, maker.catalogue(["chat"]), protected=protected)
    app.composition.__dict__["runbooks"] = books or (SAMPLE,)

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(lambda: bool(feed.posts), "the feed is started")
            feed.post(replace(maker.report(["chat"]), runs=()))
            await pilot.press("8")
            await until(lambda: "May we?" in screen_text(app) or "steps may change" in screen_text(app)
                        or "it changes nothing" in screen_text(app), "the plan is shown")  # fmt: skip
            await what(app, pilot)
            assert "a bug in opsctl" not in screen_text(app)

    asyncio.run(go())
    return app


async def seen(app: OpsctlApp, kind: type) -> None:
    """Wait for a dialog."""
    await until(lambda: isinstance(app.screen, kind), kind.__name__)


async def confirm(app: OpsctlApp, pilot: Pilot[int], word: str) -> None:
    """Type the word of the plan."""
    await seen(app, PlanDialog)
    await pilot.press("tab", *word, "enter")


async def start(app: OpsctlApp, pilot: Pilot[int]) -> None:
    """Run Sample with percent = 5, up to its first question."""
    await pilot.press("x", "r")
    await seen(app, FormDialog)
    await pilot.press("5", "enter")
    await confirm(app, pilot, "Sample")
    await seen(app, QuestionDialog)


def state(app: OpsctlApp) -> str:
    """The journal's word on the newest run; "" where there is none."""
    runs = app.composition.journal().runbooks.runs()
    return runs[0].state if runs else ""


def test_a_missing_parameter_is_asked_for_and_a_wrong_one_stays_in_the_form(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, pilot: Pilot[int]) -> None:
        assert "percent: missing: -p percent=…, expected a whole number from 1 to 9" in screen_text(app)
        await pilot.press("x", "r")
        await seen(app, FormDialog)
        await pilot.press(*"99", "enter")
        await until(lambda: "'99' is not a whole number from 1 to 9" in screen_text(app), "what is wrong is said")
        assert isinstance(app.screen, FormDialog)
        await pilot.press("backspace", "enter")
        await seen(app, PlanDialog)
        assert "opsctl runbook run Sample -p percent=9" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert state(app) == ""

    play(tmp_path, what)


def test_an_approval_wants_its_whole_word_and_enter_alone_does_nothing(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, pilot: Pilot[int]) -> None:
        await start(app, pilot)
        await pilot.press("right", "right", "enter")  # done by hand
        await until(lambda: "step go asks for an approval" in screen_text(app), "the gate")
        await pilot.press("enter", *"yes", "enter")
        await pilot.pause()
        assert isinstance(app.screen, QuestionDialog)
        await pilot.press(*["backspace"] * 3, *"approve", "enter")
        await until(lambda: state(app) == "ok", "the run is over")
        await until(lambda: "✔ ok" in screen_text(app) and "3 of 3 steps done" in screen_text(app), "it is shown")
        await pilot.press("tab", "G", "enter")
        await seen(app, StepView)
        await until(lambda: "characters before this are not shown" in screen_text(app), "a long output is cut")

    play(tmp_path, what)


def test_a_question_that_is_left_waits_and_is_taken_up_again_with_the_edit_shown(tmp_path: Path) -> None:
    edited = replace(SAMPLE, digest="other", source=SAMPLE.source + "\nOne line more.\n")

    async def what(app: OpsctlApp, pilot: Pilot[int]) -> None:
        await start(app, pilot)
        await pilot.press("escape")
        await until(lambda: state(app) == "waiting" and not app.busy(), "it waits")
        app.composition.__dict__["runbooks"] = (edited,)
        await until(lambda: "! waiting" in screen_text(app), "it is shown")
        await pilot.press("x", "e")
        await seen(app, EditDialog)
        assert "+One line more." in screen_text(app)
        await pilot.press("right", "enter")
        await confirm(app, pilot, "Sample")
        await seen(app, QuestionDialog)
        await pilot.press("right", "enter")  # not done
        await until(lambda: state(app) == "failed", "it stops")

    play(tmp_path, what)


def test_another_screen_says_that_a_run_waits_and_leaving_needs_a_second_key(tmp_path: Path) -> None:
    async def what(app: OpsctlApp, pilot: Pilot[int]) -> None:
        await start(app, pilot)
        assert "step tell" in app.busy()
        app.pop_screen()  # as a modal that stood over it would: the question stands
        await pilot.press("1")
        await until(lambda: "! Sample: step tell waits for you" in screen_text(app), "the other screen says so")
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert app.is_running
        assert state(app) == "running"

    app = play(tmp_path, what)
    said = app.left(2.0)
    run = app.composition.journal().runbooks.runs()[0]
    assert run.state == "waiting"
    assert said == (f"run {run.run} of Sample waits; resume it with: opsctl runbook resume {run.run}",)
    report = app.desk.run(ResumeRun(run.run), Nobody())
    assert next((step.step, step.state) for step in report.steps if step.step == "tell") == ("tell", "waiting")


def test_a_protected_context_refuses_before_anything_is_asked_but_not_a_run_that_changes_nothing(
    tmp_path: Path,
) -> None:
    async def what(app: OpsctlApp, pilot: Pilot[int]) -> None:
        await pilot.press("j")
        await until(lambda: "read-only (context prod is protected)" in screen_text(app), "it is said with the plan")
        await pilot.press("enter")
        await pilot.pause()
        assert not isinstance(app.screen, FormDialog)
        await pilot.press("k", "enter")
        await confirm(app, pilot, "prod")
        await seen(app, QuestionDialog)

    play(tmp_path, what, HARMLESS, SAMPLE, protected=True)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DemoWorld]:
    """PromoSurge is under way."""
    with demo_world("promo-surge", 7, StoryClock(START), folder=tmp_path) as opened:
        yield opened


def test_promo_surge_is_run_to_its_end_and_undone(world: DemoWorld) -> None:
    feed = LiveFeed(world.composition.sibling())
    app = OpsctlApp(world.composition, feed, world.composition.desk(), Options())

    async def go() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: app.report is not None and not app.report.old, "the first report")
            await app.go("runbooks", runbook="PromoSurge")
            await until(lambda: "admin = http://127.0.0.1" in screen_text(app), "the plan")
            assert "for incident #" in screen_text(app)
            await pilot.press("x", "r")
            await confirm(app, pilot, "PromoSurge")
            for word in ("step tell is to be done", "step go asks for", "step close is to be done"):
                await until(lambda word=word: word in screen_text(app), word, 30)
                await pilot.press(*("approve" if "asks" in word else ("right", "right")), "enter")
            await until(lambda: "8 of 8 steps done" in screen_text(app), "it is over", 30)
            assert state(app) == "ok"
            await pilot.press("x", "u")
            await confirm(app, pilot, "PromoSurge")
            await until(lambda: state(app) == "undone", "it is undone", 30)
            await until(lambda: "undo:unshed" in screen_text(app), "it is shown")
            assert "a bug in opsctl" not in screen_text(app)

    try:
        asyncio.run(go())
    finally:
        feed.stop(2)
