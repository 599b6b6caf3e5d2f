"""What is really wrong: the model's own answer, which no rule can see and every test may ask.

A service is affected when it does worse than it would without faults. A fault is to blame when the service does worse
under it alone. Nothing here reads a metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import ceil

import numpy as np

from opsctl.core.frozen import dataclass
from opsctl.demo.controls import Controls, Levels
from opsctl.demo.faults import FAULTS
from opsctl.demo.model import Model, State, gateway_failures
from opsctl.demo.noise import Floats
from opsctl.demo.topology import NODE, SERVICES

_WORSE_FAIL_RATIO = 1e-3  # more failures than healthy
_WORSE_TIMES = 2.0  # slower than healthy
_BUSY = 0.75  # demand over capacity from which queues are long
_MEANINGFUL = 0.02  # an intensity below this is over


@dataclass(frozen=True, slots=True)
class ServiceTruth:
    """One service in one minute; `fault` is None where it is healthy."""

    service: str
    fault: str | None
    why: str
    fail_ratio: float  # of its requests, all regions that still serve
    mean_seconds: float

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.fault is None


@dataclass(frozen=True, slots=True)
class Truth:
    """The whole platform in one minute."""

    at: datetime
    services: Mapping[str, ServiceTruth]
    faults: tuple[str, ...]  # under way, or still healing

    @property
    def healthy(self) -> bool:
        """Whether nothing at all is wrong."""
        return not self.faults and all(service.healthy for service in self.services.values())


def judge_truth(model: Model, controls: Controls, at: datetime) -> Truth:
    """The truth about the minute that ends at or after `at`."""
    minutes = np.array([ceil(at.timestamp() / 60.0)], dtype=np.int64)
    now = model.state(minutes, controls.levels(minutes))
    active = tuple(name for name in FAULTS if _intensity(name, now.levels) > _MEANINGFUL)
    clean = model.state(minutes, controls.levels(minutes, faults=()))
    alone = {name: model.state(minutes, controls.levels(minutes, faults=(name,))) for name in active}
    services = {name: _service(name, now, clean, alone) for name in SERVICES}
    return Truth(at, services, active)


def _intensity(fault: str, levels: Levels) -> float:
    of: Mapping[str, Floats] = {
        "promo-surge": levels.surge,
        "wallet-db-slow": levels.store_slow,
        "matchmaking-backlog": levels.stuck,
        "region-lost": levels.lost,
        "service-silent": levels.silent,
        "login-attack": levels.attack,
    }
    return float(of[fault].max())


def _service(name: str, now: State, clean: State, alone: Mapping[str, State]) -> ServiceTruth:
    fail, seconds = _measure(name, now)
    scores = {fault: _badness(name, state, clean) for fault, state in alone.items()}
    fault = max(scores, key=lambda f: (scores[f], f), default=None)
    if fault is None or scores[fault] <= 0.0:
        return ServiceTruth(name, None, "healthy", fail, seconds)
    return ServiceTruth(name, fault, _why(name, fault, alone[fault]), fail, seconds)


def _measure(name: str, state: State) -> tuple[float, float]:
    """Failed share and mean seconds over both regions."""
    if name == "gateway":
        routes = gateway_failures(state)
        total = sum(float(asked.sum()) for asked, _ in routes.values())
        return sum(float(failed.sum()) for _, failed in routes.values()) / max(total, 1e-9), 0.0
    flow = state.flows[name]
    demand = max(float(flow.demand.sum()), 1e-9)
    return float((flow.demand * flow.fail).sum()) / demand, float((flow.demand * flow.mean).sum()) / demand


def _badness(name: str, state: State, clean: State) -> float:
    """Zero where the service does as well as without the fault."""
    fail, seconds = _measure(name, state)
    clean_fail, clean_seconds = _measure(name, clean)
    worse = max(fail - clean_fail - _WORSE_FAIL_RATIO, 0.0)
    if seconds > clean_seconds * _WORSE_TIMES:
        worse += seconds / clean_seconds - 1.0
    return worse + _own_badness(name, state)


def _own_badness(name: str, state: State) -> float:
    """What neither failures nor times of requests show."""
    levels = state.levels
    if name == "auth" and float(levels.attack.max()) > _MEANINGFUL:
        return 1.0
    if name == "matchmaking" and float(state.flows[name].surplus.max()) > _WORSE_FAIL_RATIO:
        return 1.0
    if name == "sessions" and float(state.orphans.max()) > _MEANINGFUL:
        return 1.0
    return 0.0


def _why(name: str, fault: str, state: State) -> str:
    """One line: what is broken here, or which callee it has it from."""
    at_source = FAULTS[fault].service == name
    if at_source or (fault == "region-lost" and name == "sessions"):
        return FAULTS[fault].what_happens
    load = float(state.flows[name].load.max())
    if load > _BUSY:
        return f"is asked for {load:.0%} of what it can do ({fault})"
    callees = [call.to for call in NODE[name].calls]
    worst = max(callees, key=lambda callee: (float(state.flows[callee].fail.max()), callee), default=None)
    return f"calls {worst}, which fails or is slow ({fault})" if worst else FAULTS[fault].title
