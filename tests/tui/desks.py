"""A desk that does what a test says: its plans, how long an action takes, what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from opsctl.actions import Action, Done, Planned, Risk
from opsctl.errors import OpsctlError

PLAN = Planned("Resolve #7 X", ("closes it at pagerduty/money",), ("incident", "resolve", "#7"), Risk.MEDIUM)


@dataclass
class HandDesk:
    """`applied` is every action that was carried out; `gate` holds one until it is set."""

    planned: Planned | OpsctlError = PLAN
    done: Done | Exception = field(default_factory=lambda: Done(("resolved #7 X",), changed=True))
    read_only: str = ""
    who: str = "ana"
    writable_until: datetime | None = None
    applied: list[Action] = field(default_factory=list)
    plans: list[Action] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    plan_as: Callable[[Action], Planned] | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    def allow(self, length: timedelta) -> None:
        """Nothing is lifted."""

    def plan(self, action: Action) -> Planned:
        """As the test says."""
        self.plans.append(action)
        if self.plan_as is not None:
            return self.plan_as(action)
        if isinstance(self.planned, OpsctlError):
            raise self.planned
        return self.planned

    def apply(self, action: Action) -> Done:
        """Carried out when the gate is open."""
        self.applied.append(action)
        self.gate.wait(10)
        if isinstance(self.done, Exception):
            raise self.done
        return self.done
