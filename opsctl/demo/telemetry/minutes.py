"""The platform's traces and logs, minute by minute; a minute is named by its end, as a scrape is.

A minute is a function of the seed, the minute and what the model did in it: it can be made at any time, in any order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from opsctl.core.logs import LogRecord
from opsctl.core.traces import Trace
from opsctl.demo.model import State
from opsctl.demo.telemetry import logs, spans
from opsctl.demo.telemetry.plan import Plan, Planner

_KEPT = 4  # minutes whose plans are kept for the second question


class Telemetry:
    """Makes minutes; `state` answers what the model did in the minute that ends at that epoch minute."""

    def __init__(self, seed: int, state: Callable[[int], State]) -> None:
        self._planner = Planner(seed)
        self._state = state
        self._plans: OrderedDict[int, list[Plan]] = OrderedDict()
        self._lock = Lock()

    def traces(self, minute: int) -> tuple[Trace, ...]:
        """The traces that began in the minute, by start."""
        found = [trace for plan in self._planned(minute) for trace in spans.traces(plan)]
        return tuple(sorted(found, key=lambda trace: (trace.start_us, trace.trace_id)))

    def records(self, minute: int) -> tuple[LogRecord, ...]:
        """The lines of those traces, by time; a request that began in the minute may end, and be logged, after it."""
        found = [record for plan in self._planned(minute) for record in logs.records(plan)]
        return tuple(sorted(found, key=lambda record: (record.at, record.id)))

    def _planned(self, minute: int) -> list[Plan]:
        with self._lock:
            if minute not in self._plans:
                self._plans[minute] = self._planner.plans(self._state(minute))
                while len(self._plans) > _KEPT:
                    self._plans.popitem(last=False)
            return self._plans[minute]
