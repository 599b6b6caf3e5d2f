"""The loop on a clock that only moves when somebody waits or works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.errors import Refused
from opsctl.loop import LOOK_SECONDS, Grid, Loop, Pulse, Waiter, splay_of
from tests.unit.paging.world import T0

MINUTE = timedelta(minutes=1)


@dataclass
class StoodClock:
    """`jump` is what a set clock adds to the time of day."""

    passed: float = 0.0
    jump: timedelta = timedelta(0)
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return T0 + timedelta(seconds=self.passed) + self.jump

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds


@dataclass
class Script:
    """A turn that takes `takes(n)` seconds in its n-th run and remembers everything."""

    clock: StoodClock
    takes: Callable[[int], float] = lambda n: 1.0
    due: Callable[[float], float] = lambda left: float("inf")
    wrong: Callable[[int], Exception | None] = lambda n: None
    began: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def run(self) -> None:
        self.began.append((self.clock.now() - T0).total_seconds())
        self.clock.passed += self.takes(len(self.began))
        wrong = self.wrong(len(self.began))
        if wrong is not None:
            raise wrong

    def deliver(self, seconds: float) -> float:
        self.delivered.append(self.clock.passed)
        return self.due(seconds)

    def skipped(self, reason: str) -> None:
        self.told.append(f"skipped {reason}")

    def failed(self, wrong: Exception) -> None:
        self.told.append(f"failed {wrong}")

    def missed(self, points: int) -> None:
        self.told.append(f"missed {points}")


def looped(script: Script, runs: int, splay: float = 0.0) -> Loop:
    clock = script.clock
    loop = Loop(Grid(MINUTE, timedelta(seconds=splay)), clock, script, Pulse(clock.passed), clock.sleep)
    loop.go(runs)
    return loop


def test_runs_begin_on_the_grid_after_the_start_each_a_splay_later() -> None:
    script = Script(StoodClock(passed=17.0))
    looped(script, 3, splay=2.5)
    assert script.began == [62.5, 122.5, 182.5]
    assert script.told == []


def test_a_run_that_takes_longer_makes_points_be_missed_and_never_made_up_for() -> None:
    script = Script(StoodClock(), takes=lambda n: 150.0 if n == 1 else 1.0)
    looped(script, 3)
    assert script.began == [60.0, 240.0, 300.0]
    assert script.told == ["missed 2"]


def test_a_run_that_ends_at_the_next_point_misses_it() -> None:
    script = Script(StoodClock(), takes=lambda n: 60.0)
    looped(script, 2)
    assert script.began == [60.0, 180.0]


def test_an_exception_ends_a_run_and_not_the_loop() -> None:
    script = Script(StoodClock(), wrong=lambda n: ValueError(f"number {n}") if n in (1, 2) else None)
    loop = looped(script, 2)
    assert script.told == ["failed number 1", "failed number 2"]
    assert (loop.pulse.failures, loop.pulse.failure) == (2, "ValueError: number 2")
    loop.go(1)
    assert loop.pulse.failures == 0


def test_a_run_that_another_process_does_is_no_failure() -> None:
    script = Script(StoodClock(), wrong=lambda n: Refused("held by pid 7"))
    assert looped(script, 1).pulse.failures == 0
    assert script.told == ["skipped held by pid 7"]


def test_an_interrupt_ends_the_loop() -> None:
    def wrong(n: int) -> Exception:
        raise KeyboardInterrupt

    script = Script(StoodClock(), wrong=wrong)
    with pytest.raises(KeyboardInterrupt):
        looped(script, 5)
    assert len(script.began) == 1


def test_the_loop_ends_at_the_next_look_when_it_is_told_to_stop() -> None:
    script = Script(StoodClock())
    clock = script.clock
    Loop(Grid(MINUTE), clock, script, Pulse(0.0), clock.sleep, lambda: clock.passed > 12).go()
    assert (script.began, clock.passed) == ([], 15.0)


def test_what_is_due_between_runs_is_sent_when_it_is_due() -> None:
    """Due 7 s after the run: a look each 5 s, then exactly at that time, and no run in between."""
    script = Script(StoodClock(passed=59.0))
    script.due = lambda left: max(0.0, 68.0 - script.clock.passed) or 99.0
    looped(script, 1)
    script.delivered.clear()
    loop = Loop(Grid(MINUTE), script.clock, script, Pulse(0.0), script.clock.sleep)
    loop.go(1)
    assert script.delivered[:3] == [61.0, 66.0, 68.0]


def test_nothing_due_is_a_look_every_five_seconds_and_no_more() -> None:
    script = Script(StoodClock(passed=0.5))
    looped(script, 1)
    assert len(script.delivered) == 12
    assert max(script.clock.slept) == LOOK_SECONDS


def test_something_that_is_always_due_does_not_spin() -> None:
    script = Script(StoodClock(passed=0.5), due=lambda left: 0.0)
    looped(script, 1)
    assert min(script.clock.slept[:-1]) >= 0.25
    assert len(script.delivered) < 250


def test_sending_that_fails_is_told_and_tried_again() -> None:
    def due(left: float) -> float:
        raise OSError("disk")

    script = Script(StoodClock(passed=49.0), due=due)
    looped(script, 1)
    assert script.told == ["failed disk"] * 3
    assert script.began == [60.0]


def test_a_clock_that_is_set_back_an_hour_is_not_waited_for() -> None:
    script = Script(StoodClock(passed=10.0))
    turns = iter(range(100))

    def due(left: float) -> float:
        if next(turns) == 2:
            script.clock.jump = timedelta(hours=-1)
        return float("inf")

    script.due = due
    looped(script, 1)
    assert script.clock.passed < 130


def test_a_clock_that_is_set_forward_runs_at_once() -> None:
    script = Script(StoodClock(passed=10.0))

    def due(left: float) -> float:
        script.clock.jump = timedelta(hours=5)
        return float("inf")

    script.due = due
    looped(script, 1)
    assert script.clock.passed < 20


def test_the_pulse_ticks_at_least_every_five_seconds_while_nothing_happens() -> None:
    script = Script(StoodClock(passed=0.5))
    clock, pulse = script.clock, Pulse(0.5)
    gaps: list[float] = []

    def wait(seconds: float) -> None:
        clock.sleep(seconds)
        gaps.append(clock.passed - pulse.ticked)

    Loop(Grid(MINUTE), clock, script, pulse, wait).go(1)
    assert max(gaps) <= LOOK_SECONDS


@given(st.integers(0, 10**9), st.integers(5, 3600), st.integers(0, 5000))
def test_the_next_point_is_later_and_at_most_one_interval_away(seconds: int, interval: int, splay_ms: int) -> None:
    grid = Grid(timedelta(seconds=interval), timedelta(milliseconds=splay_ms))
    now = datetime.fromtimestamp(seconds, T0.tzinfo)
    point = grid.after(now)
    assert timedelta(0) < point - now <= grid.interval
    assert grid.after(point) - point == grid.interval
    assert grid.passed(point, point + 3 * grid.interval) == 3


def test_the_splay_is_fixed_for_a_name_and_small() -> None:
    found = {name: splay_of(name, MINUTE) for name in (f"namespace-{n}/prod" for n in range(200))}
    assert found == {name: splay_of(name, MINUTE) for name in found}
    assert timedelta(0) <= min(found.values()) <= max(found.values()) <= timedelta(seconds=5)
    assert len(set(found.values())) > 150
    assert splay_of("x", timedelta(seconds=5)) <= timedelta(milliseconds=500)


def test_a_wait_is_ended_from_elsewhere() -> None:
    waiter = Waiter()
    waiter.wake()
    waiter.wait(60)  # returns at once, or the test's own timeout ends it
    waiter.wait(0.01)
