"""Minutes of telemetry of a platform with or without a fault, for tests."""

from __future__ import annotations

from functools import cache

import numpy as np

from opsctl.core.logs import LogRecord
from opsctl.core.traces import Trace
from opsctl.demo.controls import Controls
from opsctl.demo.model import Model, State
from opsctl.demo.telemetry.minutes import Telemetry

FIRST = 29_412_000  # an epoch minute: the fault begins at its end
SEED = 7


def telemetry(fault: str = "", seed: int = SEED) -> Telemetry:
    """A platform on which the fault lasts an hour from FIRST on."""
    controls, model = Controls(), Model(seed)
    if fault:
        controls.inject(fault, FIRST * 60.0, (FIRST + 60) * 60.0)

    def state(minute: int) -> State:
        minutes = np.array([minute], dtype=np.int64)
        return model.state(minutes, controls.levels(minutes))

    return Telemetry(seed, state)


@cache
def traces(fault: str = "", minute: int = 10, count: int = 1) -> tuple[Trace, ...]:
    """The traces of some minutes after the fault began."""
    made = telemetry(fault)
    return tuple(trace for at in range(minute, minute + count) for trace in made.traces(FIRST + at))


@cache
def records(fault: str = "", minute: int = 10, count: int = 1) -> tuple[LogRecord, ...]:
    """The lines of the same minutes."""
    made = telemetry(fault)
    return tuple(record for at in range(minute, minute + count) for record in made.records(FIRST + at))
