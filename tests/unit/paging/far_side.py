"""A PagerDuty in memory for tests of delivery: what it opened, closed and when, and the faults of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from opsctl.core.seen import Seen, SeenIncident, SeenStatus
from opsctl.ports import Delivery, SinkEvent
from tests.unit.paging.world import ACCEPTED, LOST, SteppedClock

THROTTLED = Delivery("retry", 429, "HTTP 429", 3.0)
BROKEN = Delivery("retry", 503, "HTTP 503")


class Killed(BaseException):
    """SIGKILL, as a test can survive it."""


@dataclass
class RemoteIncident:
    """One incident of the far side."""

    id: str
    key: str
    created: datetime
    changed: datetime
    status: SeenStatus = "triggered"
    by_person: bool = False

    @property
    def is_open(self) -> bool:
        return self.status != "resolved"


@dataclass
class FarSide:
    """Events of every sink of the test end here; it never forgets."""

    clock: SteppedClock
    incidents: list[RemoteIncident] = field(default_factory=list)
    events: list[tuple[datetime, str, str]] = field(default_factory=list)  # time, action, key

    def take(self, event: SinkEvent) -> None:
        body = json.loads(event.body)
        key, action, now = body["dedup_key"], body["event_action"], self.clock.now()
        self.events.append((now, action, key))
        one = self.open(key)
        if action == "trigger" and one is None:
            self.incidents.append(RemoteIncident(f"Q{len(self.incidents) + 1}", key, now, now))
        elif action == "resolve" and one is not None:
            one.status, one.changed = "resolved", now

    def open(self, key: str) -> RemoteIncident | None:
        return next((one for one in self.incidents if one.key == key and one.is_open), None)

    def all_open(self) -> list[RemoteIncident]:
        return [one for one in self.incidents if one.is_open]

    def person(self, key: str, status: SeenStatus) -> None:
        one = self.open(key)
        if one is not None:
            one.status, one.changed, one.by_person = status, self.clock.now(), True


@dataclass
class FaultySink:
    """A sink to the far side whose next requests go as `faults` say; then everything is accepted."""

    far: FarSide
    faults: list[str] = field(default_factory=list)
    name: str = "pagerduty"

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        fault = self.faults.pop(0) if self.faults else "fine"
        if fault in ("fine", "lost reply", "killed after"):
            self.far.take(event)
        if fault.startswith("killed"):
            raise Killed(fault)
        return {"fine": ACCEPTED, "429": THROTTLED, "503": BROKEN}.get(fault, LOST)

    def channel(self, key: str) -> str:
        return self.name

    def close(self) -> None:
        """Nothing to drop."""


@dataclass
class FarReader:
    """Reads the far side back; `blind` is a REST API that does not answer."""

    far: FarSide
    blind: bool = False
    name: str = "pagerduty"

    def look(self, keys: Sequence[str], known: Mapping[str, str], timeout_seconds: float = 5.0) -> Seen:
        now = self.far.clock.now()
        if self.blind:
            return Seen(now, problem="HTTP 503")
        newest: dict[str, RemoteIncident] = {}
        for one in self.far.incidents:
            newest[one.key] = one
        shown = {key: _seen(one) for key, one in newest.items() if one.is_open or key in keys}
        return Seen(now, shown, frozenset(keys) - newest.keys(), complete=True)

    def close(self) -> None:
        """Nothing to drop."""


def _seen(one: RemoteIncident) -> SeenIncident:
    who = "ann" if one.by_person else ""
    return SeenIncident(one.key, one.id, one.status, one.created, one.changed, who, one.by_person)
