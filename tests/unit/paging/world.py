"""Alerts, clocks and sinks for the tests of delivery: fixed times, nothing real."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from opsctl.core.alerts import Alert, AlertState, Cause
from opsctl.core.commands import Cycle, Watched
from opsctl.core.policy import Policy
from opsctl.core.slo import Severity
from opsctl.ports import Delivery, RunRecord, SinkEvent, Sinks

T0 = datetime(2026, 5, 1, 3, 0, tzinfo=UTC)
ACCEPTED = Delivery("accepted", 202, "")
LOST = Delivery("retry", None, "timed out")
REFUSED = Delivery("permanent", 400, "HTTP 400: Event object is invalid")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def alert(uid: str = "redeem", **changes: Any) -> Alert:
    fields: dict[str, Any] = {
        "rule_uid": uid,
        "rule_name": "".join(part.capitalize() for part in uid.split("-")) + "BudgetBurn",
        "service": "promo",
        "team": "money",
        "severity": Severity.PAGE,
        "identity": (),
        "labels": (),
        "state": AlertState.FIRING,
        "cause": Cause.BURN,
        "since": T0,
        "summary": f"{uid} burns its budget",
    }
    return Alert(**fields | changes)


def cycle(
    at: datetime,
    alerts: Iterable[Alert] = (),
    *,
    fresh: Iterable[str] = ("redeem",),
    loaded: Iterable[str] | None = None,
    full: bool = True,
    healthy: tuple[Watched, ...] = (),
    formerly: dict[str, str] | None = None,
    policy: Policy | None = None,
) -> Cycle:
    known = frozenset(fresh)
    return Cycle(
        at=at,
        alerts=tuple(alerts),
        fresh=known,
        loaded=known if loaded is None else frozenset(loaded),
        full=full,
        healthy=healthy,
        formerly=formerly or {},
        policy=policy or Policy(),
    )


def run_record(at: datetime, *, full: bool = True, notify: bool = True) -> RunRecord:
    return RunRecord(started=at, at=at, full=full, notify=notify)


class SteppedClock:
    """Stands still until somebody sleeps."""

    def __init__(self, at: datetime = T0) -> None:
        self.at = at
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - T0) / timedelta(seconds=1)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)


class ScriptedSink:
    """Answers from a list (then `accepted`), remembers what it was sent."""

    def __init__(
        self, answers: Iterable[Delivery] = (), name: str = "pagerduty", before: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self.answers = list(answers)
        self.sent: list[dict[str, Any]] = []
        self.before = before

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        self.before()
        self.sent.append(json.loads(event.body) | {"route": f"{self.name}/{event.key}"})
        return self.answers.pop(0) if self.answers else ACCEPTED

    def channel(self, key: str) -> str:
        return f"{self.name}/{key}"

    def close(self) -> None:
        pass

    def actions(self) -> list[str]:
        return [one["event_action"] for one in self.sent]


def sinks_of(*sinks: ScriptedSink) -> Sinks:
    """The first takes what is routed to it; what it refuses goes to the others in turn."""
    return Sinks({one.name: one for one in sinks}, tuple(f"{one.name}/" for one in sinks[1:]))
