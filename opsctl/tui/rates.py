"""Rate, errors and duration of every service: three range questions for all of them, kept while a backend is away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from opsctl.app import Composition
from opsctl.core.frozen import dataclass as frozen
from opsctl.core.signals import Failed, Matrix, Measured, Reading
from opsctl.errors import OpsctlError
from opsctl.render.grafana.queries import duration, error_ratio, request_rate
from opsctl.tui.report import Points, Rates
from opsctl.views.services import names_by_selector

POINTS = 60
"""Steps that a window is asked in."""
_EVERYWHERE = {'service=~"$service", region=~"$region"': "", "$__rate_interval": "5m"}


@frozen(frozen=True, slots=True)
class AllRates:
    """Of every service; `at` is when they were measured."""

    by_service: Mapping[str, Rates]
    problem: str = ""
    at: datetime | None = None


@dataclass
class RatesReader:
    """Keeps what was measured last, for when nothing is."""

    _last: dict[str, Rates] = field(default_factory=dict)
    _at: datetime | None = None

    def read(self, composition: Composition, start: datetime, end: datetime) -> AllRates:
        """The rates of a window; where a question fails, what was known, and why."""
        step = max(timedelta(seconds=15), (end - start) / POINTS)
        problem = ""
        found: dict[str, dict[str, Points]] = {}
        for part, expression in _expressions().items():
            reading = _ask(composition, expression, start, end, step)
            if isinstance(reading, Failed):
                problem = problem or f"{reading.backend}: {reading.message}"
            if isinstance(reading, Measured):
                for name, points in _by_service(composition, reading.data).items():
                    found.setdefault(name, {})[part] = points
        if problem and not found:
            return AllRates(self._last, problem, self._at)
        self._last = {name: Rates(**parts) for name, parts in found.items()}
        self._at = end
        return AllRates(self._last, problem, end)


def _expressions() -> dict[str, str]:
    return {
        "requests": _plain(f"sum by (service) ({request_rate('service')})"),
        "errors": _plain(f"max by (service) ({error_ratio('service')})"),
        "p99": _plain(f"max by (service) ({duration(0.99, 'service')})"),
    }


def _plain(expression: str) -> str:
    """A dashboard's expression without its variables."""
    for variable, text in _EVERYWHERE.items():
        expression = expression.replace(variable, text)
    return expression.replace("{, ", "{")


def _ask(composition: Composition, expression: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
    from opsctl.core.signals import Reason

    try:
        source = composition.metrics
        return source.range(expression, start, end, step, composition.context.limits.request.total_seconds())
    except OpsctlError as wrong:
        failed: Failed[Any] = Failed(Reason.UNSUPPORTED, str(wrong), "metrics")
        return failed


def _by_service(composition: Composition, matrix: Matrix) -> dict[str, Points]:
    ours = names_by_selector(composition.catalogue, "prometheus")
    out: dict[str, Points] = {}
    for series in matrix.series:
        name = dict(series.labels).get("service", "")
        if name:
            out[ours.get(name, name)] = series.points
    return out
