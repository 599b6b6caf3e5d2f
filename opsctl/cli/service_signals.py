"""Which services each signal knows: few questions for each backend, and one that fails costs only its own part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from opsctl.core.signals import Absent, Failed, Measured, Reading
from opsctl.errors import ConfigError, OpsctlError
from opsctl.views.services import Knowledge, names_by_selector, selector_of

if TYPE_CHECKING:
    from opsctl.cli.frame import Frame

WINDOW = timedelta(hours=1)


def knowledge(run: Frame, kind: str, timeout_seconds: float) -> tuple[Knowledge, ...]:
    """What metrics, traces and logs know in the last hour; `kind` is the trace backend's."""
    now = run.composition.clock.now()
    return (
        _asked("metrics", lambda: _metrics(run, now, timeout_seconds)),
        _asked("traces", lambda: _traces(run, kind, timeout_seconds)),
        _asked("logs", lambda: _logs(run, now, timeout_seconds)),
    )


def _asked(signal: str, ask: Callable[[], Knowledge]) -> Knowledge:
    try:
        return ask()
    except ConfigError:
        return Knowledge(signal, "", "not_configured", problem="no backend is configured")
    except OpsctlError as wrong:
        return Knowledge(signal, "", "failed", problem=str(wrong))


def _of(signal: str, reading: Reading[Any], names: Callable[[Any], frozenset[str]]) -> Knowledge:
    match reading:
        case Measured():
            return Knowledge(signal, reading.backend, "measured", names(reading.data))
        case Absent():
            return Knowledge(signal, reading.backend, "absent")
        case Failed():
            problem = f"{reading.backend}: {reading.message}"
            return Knowledge(signal, reading.backend, reading.reason.value, problem=problem)


def _traces(run: Frame, kind: str, timeout_seconds: float) -> Knowledge:
    ours = names_by_selector(run.composition.catalogue, kind)
    reading = run.composition.traces.services(timeout_seconds)
    return _of("traces", reading, lambda found: frozenset(ours.get(name, name) for name in found))


def _logs(run: Frame, now: datetime, timeout_seconds: float) -> Knowledge:
    from opsctl.core.logs import LogQuery

    ours = names_by_selector(run.composition.catalogue, "elasticsearch")
    query = LogQuery(start=now - WINDOW, end=now)
    reading = run.composition.logs.count(query, WINDOW, ["service.name"], timeout_seconds)

    def names(counts: Any) -> frozenset[str]:
        found = (dict(bucket.labels).get("service_name", "") for bucket in counts.buckets)
        return frozenset(ours.get(name, name) for name in found if name)

    return _of("logs", reading, names)


def _metrics(run: Frame, now: datetime, timeout_seconds: float) -> Knowledge:
    """Services whose selector has series: label values once a label, for all services."""
    from opsctl.core.exploring import SeriesQuery
    from opsctl.ports.metrics import MetricsExplorer

    source = run.composition.metrics
    if not isinstance(source, MetricsExplorer):
        return Knowledge("metrics", source.name, "unsupported", problem=f"{source.name} can be asked for values only")
    window = SeriesQuery((), now - WINDOW, now)
    values: dict[str, frozenset[str]] = {}
    services = run.composition.catalogue.services.values()
    for label in sorted({label for one in services for label in _labels(selector_of(one, "prometheus"))}):
        reading = source.label_values(label, window, timeout_seconds)
        if isinstance(reading, Failed):
            return _of("metrics", reading, frozenset)
        values[label] = frozenset(reading.data) if isinstance(reading, Measured) else frozenset()
    known = frozenset(
        one.name
        for one in services
        if all(value in values[label] for label, value in _labels(selector_of(one, "prometheus")).items())
    )
    return Knowledge("metrics", source.name, "measured" if known else "absent", known)


def _labels(selector: str | Mapping[str, str]) -> Mapping[str, str]:
    return {"service": selector} if isinstance(selector, str) else selector
