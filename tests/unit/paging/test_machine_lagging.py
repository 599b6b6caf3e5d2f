"""The state machine of test_machine with a list of incidents that lags: what was opened or closed shows later."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from opsctl.core.seen import Seen
from tests.unit.paging.far_side import FarReader, FarSide, RemoteIncident
from tests.unit.paging.test_machine import Delivering


@dataclass
class LaggingReader(FarReader):
    """Shows the far side as it was a while ago."""

    past: list[tuple[datetime, list[RemoteIncident]]] = field(default_factory=list)
    lag: timedelta = timedelta(0)

    def look(self, keys: Sequence[str], known: Mapping[str, str], timeout_seconds: float = 5.0) -> Seen:
        then = self.far.clock.now() - self.lag
        older = [incidents for when, incidents in self.past if when <= then]
        shown = FarSide(self.far.clock, older[-1] if older else [])
        return FarReader(shown, self.blind).look(keys, known, timeout_seconds)


class Lagging(Delivering):
    """One host; every look may be as old as the far side's promise of consistency."""

    rest = True
    lag = timedelta(0)

    def __init__(self) -> None:
        super().__init__()
        self.past: list[tuple[datetime, list[RemoteIncident]]] = []

    @rule(seconds=st.sampled_from((0, 30, 59, 90)))
    def the_list_lags(self, seconds: int) -> None:
        self.lag = timedelta(seconds=seconds)

    def reader(self, blind: bool) -> FarReader:
        return LaggingReader(self.far, blind, past=self.past, lag=self.lag)

    def remember(self) -> None:
        self.past.append((self.clock.now(), [replace(one) for one in self.far.incidents]))

    def one_run(self, host: int, faults: list[str], deadly: int = -1, after: bool = False, blind: bool = False) -> None:
        self.remember()
        super().one_run(host, faults, deadly, after, blind)
        if self.lag:  # it may not have seen what a person did
            self.runs = [replace(run, blind=True) if run.at >= self.past[-1][0] else run for run in self.runs]
        self.remember()

    def end_well(self) -> None:
        self.lag = timedelta(0)
        super().end_well()


class LaggingHosts(Lagging):
    hosts = 2


@pytest.mark.parametrize("machine", [Lagging, LaggingHosts])
def test_the_contract_holds_with_a_list_that_lags(machine: type[Lagging]) -> None:
    case = machine.TestCase
    case.settings = settings(
        max_examples=int(os.environ.get("OPSCTL_MACHINE_EXAMPLES", "60")) // 2,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    case("runTest").runTest()
