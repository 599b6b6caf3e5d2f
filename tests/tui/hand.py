"""A board without a schedule: reports come when a test posts them, answers from sources in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from collectors import load
from opsctl.app import Composition
from opsctl.core.catalogue import Catalogue
from opsctl.core.logs import LogRecord
from opsctl.core.traces import Trace
from opsctl.files.context import ContextSettings
from opsctl.files.rules import RuleSet
from opsctl.files.settings import Settings
from opsctl.promql.store import SeriesStore
from opsctl.tui.app import OpsctlApp
from opsctl.tui.options import Options
from opsctl.tui.report import Report
from opsctl.tui.reporting import Post
from tests.tui.reports import AT


class HandClock:
    """Stands still until it is moved; its monotonic seconds are real, so that timeouts end."""

    def __init__(self, at: datetime = AT) -> None:
        self.at = at

    def now(self) -> datetime:
        """The time that a test set."""
        return self.at

    def monotonic(self) -> float:
        """Real seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """A little."""
        time.sleep(min(seconds, 0.01))


@dataclass
class HandFeed:
    """Keeps what was asked of it; `post` is the app's."""

    posts: list[Post] = field(default_factory=list)
    looked: list[tuple[datetime | None, timedelta]] = field(default_factory=list)
    refreshed: int = 0

    def start(self, post: Post) -> None:
        """Remember whom to tell."""
        self.posts.append(post)

    def post(self, report: Report) -> None:
        """Tell it."""
        self.posts[-1](report)

    def refresh(self) -> None:
        """Count."""
        self.refreshed += 1

    def look_at(self, at: datetime | None, window: timedelta) -> None:
        """Remember."""
        self.looked.append((at, window))

    def stop(self, seconds: float) -> None:
        """Nothing runs."""


def hand_app(
    folder: Path,
    catalogue: Catalogue,
    *,
    records: Sequence[LogRecord] = (),
    traces: Sequence[Trace] = (),
    options: Options | None = None,
    clock: HandClock | None = None,
    protected: bool = False,
    read_only: bool = False,
) -> tuple[OpsctlApp, HandFeed]:
    """An app on sources in memory, and the feed that it listens to."""
    logs, spans = load("memory_logs")(1_000_000), load("memory_traces")(max_spans=1_000_000)
    logs.add(records)
    spans.add(traces)
    context = ContextSettings("prod", "prod", state_dir=folder / "state", base=folder, protected=protected)
    composition = Composition(
        Settings(None, "prod", {"prod": context}),
        clock or HandClock(),
        source=load("memory")(SeriesStore()),
        env={},
        log_source=logs,
        trace_source=spans,
    )
    composition.__dict__["catalogue"] = catalogue
    composition.__dict__["rules"] = RuleSet()
    composition.__dict__["runbooks"] = ()
    feed = HandFeed()
    return OpsctlApp(composition, feed, composition.desk(read_only=read_only), options or Options()), feed


def screen_text(app: OpsctlApp) -> str:
    """What is on the screen, line by line, without trailing spaces."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


async def until(true: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Wait until something holds; AssertionError names it."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(0.01)
