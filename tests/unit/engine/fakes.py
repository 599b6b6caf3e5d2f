"""A scripted backend and rules for the judging tests; nothing here touches a network or a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from opsctl.core.rules import AlertingRule
from opsctl.core.signals import Absent, Failed, Matrix, Measured, Reading, Sample, Series, Vector, labels
from opsctl.core.slo import BurnRow, BurnTable, Origin, Severity, Slo, WindowQueries
from opsctl.ports import Probe

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
BACKEND = "prometheus http://127.0.0.1:9090"

PAGE_FAST = BurnRow(Severity.PAGE, HOUR, 5 * MINUTE, 14.4)
PAGE_SLOW = BurnRow(Severity.PAGE, 6 * HOUR, 30 * MINUTE, 6.0)
TICKET_FAST = BurnRow(Severity.TICKET, 24 * HOUR, 2 * HOUR, 3.0)
TICKET_SLOW = BurnRow(Severity.TICKET, 72 * HOUR, 6 * HOUR, 1.0)
STANDARD = BurnTable("standard", (PAGE_FAST, PAGE_SLOW, TICKET_FAST, TICKET_SLOW))
ONE_ROW = BurnTable("one", (PAGE_FAST,))

Value = float | None | Failed[Any] | tuple[Sample, ...]


def slo(name: str = "redemption-success", **changes: Any) -> Slo:
    """An SLO whose queries are called `NAME:part:SECONDS` and `NAME:total:SECONDS`."""
    burn = changes.pop("burn", STANDARD)
    period = changes.pop("period", timedelta(days=30))
    queries = {
        window: WindowQueries(f"{name}:part:{window.total_seconds():.0f}", f"{name}:total:{window.total_seconds():.0f}")
        for window in (*burn.windows(), period)
    }
    given: dict[str, Any] = {
        "name": name,
        "uid": name,
        "service": "promo",
        "team": "growth",
        "target": 0.999,
        "period": period,
        "severity": Severity.PAGE,
        "burn": burn,
        "part": "bad",
        "queries": queries,
        "missing_part": "zero",
        "on_no_data": Severity.PAGE,
        "on_no_events": "unknown",
        "confidence": 0.95,
        "origin": Origin("promo.slo.yaml", 1),
    }
    return Slo(**{**given, **changes})


def rule(expr: str = "expr", **changes: Any) -> AlertingRule:
    """An alerting rule that fires at once unless told otherwise."""
    given: dict[str, Any] = {
        "name": "RegionSilent",
        "uid": "RegionSilent",
        "expr": expr,
        "for_": timedelta(0),
        "keep_firing_for": timedelta(0),
        "labels": {"severity": "page"},
        "annotations": {"summary": "{{ $labels.region }} is silent ({{ $value }})"},
        "group": "platform",
        "interval": MINUTE,
        "limit": 0,
        "query_offset": timedelta(0),
        "severity": Severity.PAGE,
        "origin": Origin("platform.rules.yaml", 3),
    }
    return AlertingRule(**{**given, **changes})


class History:
    """A backend whose answer is a function of (query, time); it counts what it was asked.

    A function gives a number, None for absent, a tuple of samples, or a `Failed` for an instant question.
    """

    concurrency = 1

    def __init__(self, answer: Callable[[str, datetime], Value], name: str = BACKEND) -> None:
        self.answer = answer
        self.name = name
        self.instants: list[tuple[str, datetime]] = []
        self.ranges: list[tuple[str, datetime, datetime]] = []
        self.closed = 0
        self.fail_ranges: Failed[Any] | None = None

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        self.instants.append((query, at))
        return vector(self.answer(query, at), self.name)

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        self.ranges.append((query, start, end))
        if self.fail_ranges is not None:
            return self.fail_ranges
        points: dict[Any, list[tuple[float, float]]] = {}
        at = start
        while at <= end:
            value = self.answer(query, at)
            if isinstance(value, Failed):
                return value
            for sample in samples(value):
                points.setdefault(sample.labels, []).append((at.timestamp(), sample.value))
            at += step
        if not points:
            return Absent(self.name)
        return Measured(Matrix(tuple(Series(k, tuple(v)) for k, v in points.items())), self.name)

    def probe(self, timeout_seconds: float) -> Probe:
        return Probe(self.name, self.name, True, True, "")

    def close(self) -> None:
        self.closed += 1


def samples(value: Value) -> tuple[Sample, ...]:
    if value is None or isinstance(value, Failed):
        return ()
    return value if isinstance(value, tuple) else (Sample((), float(value)),)


def vector(value: Value, name: str = BACKEND) -> Reading[Vector]:
    """A scripted value as a reading."""
    if isinstance(value, Failed):
        return value
    found = samples(value)
    return Measured(Vector(found), name) if found else Absent(name)


def element(value: float = 1.0, **pairs: str) -> Sample:
    """One element of an alerting rule's answer."""
    return Sample(labels(pairs), value)


def window_of(query: str) -> timedelta:
    return timedelta(seconds=int(query.rsplit(":", 1)[1]))


def steady(ratio: float, per_minute: float = 100.0) -> Callable[[str, datetime], Value]:
    """Every window has the same ratio of bad events."""

    def answer(query: str, at: datetime) -> Value:
        total = per_minute * (window_of(query) / MINUTE)
        return total * ratio if ":part:" in query else total

    return answer


class Traffic:
    """Events minute by minute, from which every window is counted; None is a minute without data.

    Minute i holds the events of (at_0 + (i-1) min, at_0 + i min]; a window without any minute of data is absent.
    """

    def __init__(self, minutes: Iterable[tuple[float, float] | None], begin: datetime) -> None:
        self.begin = begin
        self.bad, self.total, self.here = [0.0], [0.0], [0]
        for minute in minutes:
            bad, total = minute or (0.0, 0.0)
            self.bad.append(self.bad[-1] + bad)
            self.total.append(self.total[-1] + total)
            self.here.append(self.here[-1] + (minute is not None))

    def __call__(self, query: str, at: datetime) -> Value:
        end = min(max(0, (at - self.begin) // MINUTE), len(self.bad) - 1)
        start = max(0, (at - self.begin) // MINUTE - window_of(query) // MINUTE)
        start = min(start, len(self.bad) - 1)
        if self.here[end] == self.here[start]:
            return None
        column = self.bad if ":part:" in query else self.total
        return column[end] - column[start]


def answers(values: Mapping[str, Value]) -> dict[str, Reading[Vector]]:
    """Instant answers by query."""
    return {query: vector(value) for query, value in values.items()}
