"""Runs the paging of half an hour again and again, each time killed at another point, and goes on as cron would.

    python -m tests.e2e.kill_launcher FOLDER ADDRESS

It prints how many points there are. The crash points are here and not in the shipped code: the journal and the pager
are subclassed, and a fork keeps a run cheap.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pagerduty  # noqa: F401 - once, before the forks

from opsctl.adapters.journal import SqliteJournal
from opsctl.adapters.sinks.pagerduty import PagerDuty
from opsctl.core.alerts import Alert
from opsctl.ports import Delivery, SinkEvent, Sinks
from opsctl.sender import drain
from tests.unit.paging.world import T0, SteppedClock, alert, cycle, minutes, run_record

MINUTES = (0, 1, 2, 10, 15, 16, 22)
UIDS = ("redeem", "pay")


def firing(minute: int) -> list[Alert]:
    """The truth: redeem fires for ten minutes, pay flaps once and fires for sixteen."""
    burning = {"redeem": minute < 10, "pay": minute < 16 and minute != 2}
    return [alert(uid) for uid in UIDS if burning[uid]]


def routing_key(number: int) -> str:
    """One PagerDuty integration for each point."""
    return f"{number:032d}"


class Points:
    """Counts the points that are passed, and dies at one."""

    def __init__(self, deadly: int) -> None:
        self.deadly = deadly
        self.passed = 0

    def __call__(self) -> None:
        self.passed += 1
        if self.passed == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalJournal(SqliteJournal):
    """Dies before or after a commit."""

    point: Callable[[], None] = staticmethod(lambda: None)

    def _once(self, work: Callable[[sqlite3.Connection], Any], begin: str) -> Any:
        if begin == "BEGIN":
            return super()._once(work, begin)

        def mortal(db: sqlite3.Connection) -> Any:
            answer = work(db)
            self.point()
            return answer

        answer = super()._once(mortal, begin)
        self.point()
        return answer


class MortalSink(PagerDuty):
    """Dies before or after a request."""

    point: Callable[[], None] = staticmethod(lambda: None)

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        self.point()
        answer = super().send(event, timeout_seconds)
        self.point()
        return answer


def run(folder: Path, address: str, number: int, deadly: int) -> int:
    """Go on where the last process was killed; the number of points passed."""
    clock, points = SteppedClock(), Points(deadly)
    journal = MortalJournal(folder / str(number), f"run-{number}", clock.now)
    pager = MortalSink({"default": lambda: routing_key(number)}, address)
    journal.point, pager.point = points, points
    mark = folder / f"{number}.minute"
    begin = int(mark.read_text()) if mark.exists() else 0
    for minute in (minute for minute in MINUTES if minute >= begin):
        mark.write_text(str(minute))
        clock.at = T0 + minutes(minute)
        with journal.lock("evaluate", 5):
            journal.commit(run_record(clock.at), (), cycle(clock.at, firing(minute), fresh=UIDS))
        drain(journal, Sinks({"pagerduty": pager}), clock)
    assert journal.problem is None
    return points.passed


def forked(work: Callable[[], int]) -> int:
    """Run in a child; its wait status."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def main(folder: Path, address: str) -> int:
    """Every point once, each with a run that is killed there and one that goes on."""
    reader, writer = os.pipe()
    status = forked(lambda: os.write(writer, run(folder, address, 0, -1).to_bytes(4, "big")))
    assert status == 0, status
    total = int.from_bytes(os.read(reader, 4), "big")
    for number in range(1, total + 1):
        killed = forked(lambda: run(folder, address, number, number))  # noqa: B023 - called before the next turn
        assert os.WIFSIGNALED(killed), (number, killed)
        assert os.WTERMSIG(killed) == signal.SIGKILL, (number, killed)
        again = forked(lambda: run(folder, address, number, -1))  # noqa: B023
        assert again == 0, (number, again)
    sys.stdout.write(f"{total}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
