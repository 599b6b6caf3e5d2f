"""The schedule as one worker: a cycle at each new minute, and at once when asked; frozen reports for the screens.

It is the engine of `opsctl check` without --notify. Must never touch a widget, and never run two cycles at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from opsctl.app import Composition
from opsctl.core.windows import grid_point
from opsctl.errors import OpsctlError, worst
from opsctl.files.secrets import hide
from opsctl.schedule import Once, run_once
from opsctl.tui.feeding import Feeding
from opsctl.tui.rates import RatesReader
from opsctl.tui.report import News, Report, Trouble
from opsctl.tui.reporting import Post
from opsctl.views.alerts import alert_rows
from opsctl.views.changes import changes_of
from opsctl.views.check import usual_conditions
from opsctl.views.result import result_of

LOOK_SECONDS = 1.0
"""So often the feed looks whether the minute is over."""
AGAIN = timedelta(seconds=15)
"""After so long a cycle in which a backend failed is made again, in the same minute."""
KEPT = timedelta(hours=24)
RUNS = 50


@dataclass
class LiveFeed(Feeding):
    """Cycles of a composition that nothing else asks through."""

    composition: Composition
    _number: int = 0
    _rates: RatesReader = field(default_factory=RatesReader)

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

        once = run_once(world, world.rules, full=True, notify=False, at=at, ending=lambda r: worst(usual_conditions(r)))
        result = result_of(once, world, composition.context, usual_conditions(once.report), live=at is None)
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
