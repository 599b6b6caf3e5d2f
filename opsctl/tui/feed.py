"""The schedule as one worker: a cycle at each new minute, and at once when asked; frozen reports for the screens.

It is the engine of `opsctl check` without --notify. Must never touch a widget, and never run two cycles at once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from opsctl.app import Composition
from opsctl.core.windows import grid_point
from opsctl.engine import CycleReport
from opsctl.errors import ExitCode, OpsctlError, worst
from opsctl.files.secrets import hide
from opsctl.loop import Waiter
from opsctl.schedule import Once, run_once
from opsctl.tui.rates import RatesReader
from opsctl.tui.report import News, Report, Trouble
from opsctl.tui.reporting import Post
from opsctl.views.alerts import alert_rows
from opsctl.views.changes import changes_of
from opsctl.views.check import conditions
from opsctl.views.result import result_of

LOOK_SECONDS = 1.0
"""So often the feed looks whether the minute is over."""
AGAIN = timedelta(seconds=15)
"""After so long a cycle in which a backend failed is made again, in the same minute."""
KEPT = timedelta(hours=24)
RUNS = 50


@dataclass
class LiveFeed:
    """Cycles of a composition that nothing else asks through."""

    composition: Composition
    _waiter: Waiter = field(default_factory=Waiter)
    _thread: threading.Thread | None = None
    _stopping: bool = False
    _at: datetime | None = None
    _window: timedelta = timedelta(hours=1)
    _number: int = 0
    _wanted: bool = True
    _rates: RatesReader = field(default_factory=RatesReader)

    def start(self, post: Post) -> None:
        """Begin with a cycle at once."""
        self._thread = threading.Thread(target=self._run, args=(post,), daemon=True, name="feed")
        self._thread.start()

    def refresh(self) -> None:
        """A cycle now."""
        self._wanted = True
        self._waiter.wake()

    def look_at(self, at: datetime | None, window: timedelta) -> None:
        """Evaluate at another time, or at each new minute again."""
        if (at, window) == (self._at, self._window):
            return
        self._at, self._window = at, window
        self.refresh()

    def stop(self, seconds: float) -> None:
        """End after the cycle that is under way."""
        self._stopping = True
        self._waiter.wake()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self, post: Post) -> None:
        last: datetime | None = None
        whole = True
        tried = self.composition.clock.now()
        while not self._stopping:
            now = self.composition.clock.now()
            due = self._at is None and (grid_point(now) != last or (not whole and now - tried >= AGAIN))
            if self._wanted or due:
                self._wanted = False
                last, tried = grid_point(now), now
                news = self.cycle()
                whole = isinstance(news, Report) and not news.blind
                post(news)
                continue
            self._waiter.wait(LOOK_SECONDS)

    def cycle(self) -> News:
        """One cycle, and everything around it."""
        at, window = self._at, self._window
        try:
            return self._report(at, window)
        except OpsctlError as wrong:
            return Trouble(self.composition.clock.now(), str(wrong))
        except Exception as wrong:  # noqa: BLE001  one report is lost, the next one comes
            said = hide(f"{type(wrong).__name__}: {wrong}")
            return Trouble(self.composition.clock.now(), f"a bug in opsctl: {said}")
        finally:
            self.composition.renew()

    def _report(self, at: datetime | None, window: timedelta) -> Report:
        composition = self.composition
        world = composition.world()

        def found(report: CycleReport) -> frozenset[ExitCode]:
            return conditions(report.verdicts, auth_failed=report.auth_failed, fail_on="page", on_unknown="fail")

        once = run_once(world, world.rules, full=True, notify=False, at=at, ending=lambda r: worst(found(r)))
        result = result_of(once, world, composition.context, found(once.report), live=at is None)
        journal, now = composition.journal(), composition.clock.now()
        end = once.report.at
        rates = self._rates.read(composition, end - window, end)
        routing = composition.routing
        self._number += 1
        return Report(
            number=self._number,
            at=end,
            made=now,
            live=at is None,
            verdicts=result.verdicts,
            stale=result.stale,
            backends=result.backends,
            took_seconds=result.took_seconds,
            incidents=journal.incidents(include_resolved=True, since=now - KEPT),
            alerts=tuple(alert_rows(journal.alerts(), routing, now)),
            problems=_problems(once, routing.problems),
            rates=rates.by_service,
            rates_problem=rates.problem,
            rates_at=rates.at,
            changes=changes_of(journal, now - KEPT),
            runs=journal.runbooks.runs(limit=RUNS),
        )


def _problems(once: Once, routing: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*once.problems, *once.warnings, *routing)))
