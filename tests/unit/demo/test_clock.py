"""The demo's clocks: one that is stepped, from any thread, and one that runs faster than the wall."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from opsctl.demo.clock import FastClock, StoryClock

START = datetime(2026, 5, 14, 18, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Wall:
    """A wall clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.seconds += seconds


def test_every_whole_minute_is_told_once_however_many_threads_step() -> None:
    """Eight threads step and sleep: no minute is left out or told twice, and time only goes forward."""
    told: list[datetime] = []
    clock = StoryClock(START, told.append)

    def work() -> None:
        for _ in range(200):
            before = clock.now()
            clock.sleep(7)
            assert clock.now() > before

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = [at for at in told if not at.second]
    assert len(whole) == len(set(whole))
    last = clock.now().replace(second=0)
    assert set(whole) == {START + MINUTE * n for n in range(1, round((last - START) / MINUTE) + 1)}


def test_a_fast_clock_stands_until_it_goes_and_then_runs_at_its_speed() -> None:
    """Its time, its seconds and its sleeps agree, and a simulated minute takes six seconds of the wall."""
    wall = Wall()
    clock = FastClock(START, wall, wall.sleep)
    clock.step(MINUTE)
    wall.seconds += 50
    assert clock.now() == START + MINUTE
    clock.go(10.0)
    at, seconds = clock.now(), clock.monotonic()
    assert at == START + MINUTE
    clock.sleep(60)
    assert wall.seconds == pytest.approx(1056)
    assert clock.now() - at == MINUTE
    assert clock.monotonic() - seconds == pytest.approx(60)
    with pytest.raises(RuntimeError, match="runs"):
        clock.step(MINUTE)


def test_going_loses_no_second() -> None:
    """What it slept while it stood is still counted by its monotonic seconds: a deadline holds across."""
    clock = FastClock(START)
    begun = clock.monotonic()
    clock.step(timedelta(minutes=5))
    clock.go(60.0)
    assert 300 <= clock.monotonic() - begun < 360
