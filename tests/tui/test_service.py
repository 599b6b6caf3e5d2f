"""One service on its screen: charts with marks, objectives, both ways of its dependencies, newest error lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from opsctl.core.signals import Failed, Reason
from opsctl.tui.app import OpsctlApp
from tests.tui.hand import HandFeed, screen_text, until
from tests.tui.test_board import play, report


async def opened(app: OpsctlApp, pilot: Pilot[int]) -> None:
    """The screen of the worst one."""
    await pilot.press("2")
    await until(lambda: "newest error lines" in screen_text(app) or "error line" in screen_text(app), "the screen")


def test_it_shows_charts_with_marks_objectives_dependencies_and_lines(tmp_path: Path) -> None:
    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await opened(app, pilot)
        await until(lambda: "charge 0 failed" in screen_text(app), "the newest error line")
        text = screen_text(app)
        for word in ("p99", "requests/s", "┌", "▲", "◆", "99.9 % 30d", "90%", "37× of 14.4×", "#1 ack"):
            assert word in text
        rows = [line.split("│")[0].split() for line in text.splitlines() if line.startswith("need")]
        assert ["needs", "warned", "!", "WARN"] in [row[:4] for row in rows]
        assert ["needed", "by", "calm", "✔", "OK"] in [row[:5] for row in rows]
        for word in ("burn", "since", "acknowledge", "critical path", "severity", "reachable"):
            assert word not in text

    play(tmp_path, look)


def test_enter_on_a_dependency_looks_at_it_and_esc_comes_back(tmp_path: Path) -> None:
    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await opened(app, pilot)
        await pilot.press("tab", "enter")
        await until(lambda: app.spot.service == "warned", "the dependency")
        await until(lambda: "warned  ! WARN" in screen_text(app), "it is shown")
        await app.action_back()
        assert (app.screen_name, app.spot.service) == ("service", "loud")

    play(tmp_path, look)


def test_what_a_backend_does_not_answer_is_said_and_is_no_nothing(tmp_path: Path) -> None:
    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        async def refused(*words: object, **more: object) -> Failed[object]:
            return Failed(Reason.UNREACHABLE, "connection refused", "far away")

        app.queries.logs = refused  # type: ignore[method-assign, assignment]
        app.queries.dependencies = refused  # type: ignore[method-assign, assignment]
        await opened(app, pilot)
        feed.post(report(2, rates={}, rates_problem="prometheus: refused"))
        await until(lambda: "error lines are not known: far away" in screen_text(app), "the lines")
        await until(lambda: "seen or not is not known" in screen_text(app), "the dependencies")
        assert "needed by  calm" in screen_text(app), "what is declared is known all the same"
        assert "not measured in this window" in screen_text(app)

    play(tmp_path, look)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (60, 12), (20, 5)])
def test_it_fits_every_window(tmp_path: Path, size: tuple[int, int]) -> None:
    async def look(app: OpsctlApp, feed: HandFeed, pilot: Pilot[int]) -> None:
        await pilot.press("2")
        await until(lambda: app.screen_name == "service", "the screen")
        if size[0] >= 60:
            await until(lambda: "loud" in screen_text(app), "its name")
        if size[0] >= 80:
            assert "p99" in screen_text(app)

    play(tmp_path, look, size=size)
