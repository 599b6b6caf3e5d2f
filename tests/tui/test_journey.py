"""Nights at the board, by keys alone: no service, time or number is typed; what is asserted is what a person reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from opsctl.cli.demo_world import DemoWorld
from opsctl.tui.app import OpsctlApp
from opsctl.tui.options import Options
from tests.tui.world import Eyes, board_of, world_of

Night = Callable[[Eyes], Awaitable[None]]


def spend(world: DemoWorld, app: OpsctlApp, night: Night, size: tuple[int, int] = (120, 40)) -> None:
    """A night at this board."""

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            eyes = Eyes(world, app, pilot)
            await eyes.sees("FAIL", "promo")
            await night(eyes)

    asyncio.run(go())
    assert not world.problems


# -- from red to resolved


async def look_at_why(eyes: Eyes) -> None:
    """The first row is red, and below stands why."""
    assert "✖ FAIL" in eyes.text.split("\n")[3]
    await eyes.sees("why promo is ✖ FAIL")
    await eyes.sees("burns", "its budget")
    await eyes.sees("top error patterns")
    await eyes.sees("promo redeem failed")


async def read_its_logs(eyes: Eyes) -> None:
    """`d` has its error lines, esc goes back."""
    await eyes.press("d")
    await eyes.sees("✖ ERROR", "promo", "promo redeem failed")
    assert "· INFO" not in eyes.text
    await eyes.press("escape")
    await eyes.sees("why promo is ✖ FAIL")


async def follow_a_trace(eyes: Eyes) -> None:
    """`T`, the newest one that failed; the cursor is on the span where it began: at another service."""
    await eyes.press("T")
    await eyes.sees("gateway POST /promo", "✖")
    await eyes.press("enter")
    await eyes.sees("critical path", "wallet wallet.credit: no room for this request")
    await eyes.sees("service", "wallet (server)")


async def read_the_lines_of_its_span(eyes: Eyes) -> None:
    """`d` has the lines of that span and of what is below it, of the service that it is at."""
    await eyes.press("d")
    await eyes.sees("wallet credit failed", "no room for this request", "✖ ERROR")
    lines = [line for line in eyes.text.split("\n") if " ✖ ERROR " in line or " · INFO " in line]
    assert lines
    assert all(" wallet " in line for line in lines)
    await eyes.press("escape")
    await eyes.sees("critical path")


async def acknowledge(eyes: Eyes) -> None:
    """The incident of the row that this began with; the pager shows who has it."""
    await eyes.press("1")
    await eyes.finds("g", "why promo is ✖ FAIL")
    await eyes.press("i")
    await eyes.sees("details", "timeline")
    await eyes.sees("service", "promo, team growth")
    await eyes.sees("acknowledged", "by nobody")
    before = [one["status"] for one in eyes.world.incidents()]
    assert before.count("acknowledged") == 0
    await eyes.press("x")
    await eyes.sees("a", "acknowledge")
    await eyes.press("a")
    await eyes.sees("the same: opsctl incident ack")
    if not eyes.line("risk", "low"):
        await eyes.press("right")
    await eyes.press("enter")
    await eyes.sees("acknowledged", "by ana")
    assert [one["status"] for one in eyes.world.incidents()].count("acknowledged") == 1


async def run_its_runbook(eyes: Eyes) -> None:
    """`R`, the plan with what the incident knows, the word, the approval, what is to be done by hand; to its end."""
    await eyes.press("R")
    await eyes.sees("PromoSurge", "A promotion brings more traffic")
    await eyes.sees("for incident #")
    await eyes.sees("admin = http://127.0.0.1:")
    await eyes.sees("surge", "promo traffic")
    await eyes.press("enter")
    await eyes.sees("the same: opsctl runbook run PromoSurge --incident")
    await eyes.press("tab")
    await eyes.write("PromoSurge")
    await eyes.press("enter")
    await eyes.sees("step tell is to be done by hand")
    await eyes.press("right", "right", "enter")
    await eyes.sees("step go asks for an approval")
    await eyes.write("approve")
    await eyes.press("enter")
    await eyes.sees("step close is to be done by hand")  # the run sleeps on the world's clock meanwhile
    await eyes.press("right", "right", "enter")
    await eyes.sees("every step is done")


async def see_it_resolved(eyes: Eyes) -> None:
    """Fresh data resolves the pages; nothing is red any more (tickets look back for days)."""
    for _ in range(12):
        if all(one["status"] == "resolved" for one in eyes.world.incidents()):
            break
        await eyes.minutes(5)
    assert all(one["status"] == "resolved" for one in eyes.world.incidents())
    await eyes.press("4")
    await eyes.sees("✔ resolved", "promo")
    await eyes.press("1")
    await eyes.sees("promo", not_="✖ FAIL")


def test_from_a_red_row_to_resolved_without_typing_a_name_a_time_or_a_number(tmp_path: Path) -> None:
    """Why, logs, trace, its span's logs, incident, acknowledged, runbook, resolved."""

    async def night(eyes: Eyes) -> None:
        await look_at_why(eyes)
        await read_its_logs(eyes)
        await follow_a_trace(eyes)
        await read_the_lines_of_its_span(eyes)
        await acknowledge(eyes)
        await run_its_runbook(eyes)
        await see_it_resolved(eyes)

    with world_of(tmp_path) as world, board_of(world, Options()) as app:
        spend(world, app, night)
