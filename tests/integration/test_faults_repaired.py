"""Following the runbook repairs the fault: each fault of the demo, its own runbook, the simulated platform."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collectors.memory import MemorySource
from opsctl import runner
from opsctl.adapters.steps import Steps
from opsctl.core.params import Given, collect
from opsctl.demo.clock import StoryClock
from opsctl.demo.faults import ACTIONS, FAULTS
from opsctl.demo.platform import Platform
from opsctl.demo.servers.admin import AdminServer
from opsctl.files.runbooks import load_runbooks
from opsctl.promql.store import SeriesStore

START = datetime(2026, 5, 1, 3, tzinfo=UTC)


class Obedient:
    """Says yes to everything."""

    def answer(self, question):
        return True


class Demo:
    """The platform in the middle of a fault, and the runbook for it; `before` is how old the fault is."""

    def __init__(self, fault: str | None, runbook: str, before: timedelta) -> None:
        self.store = SeriesStore()
        self.platform = Platform(7, START - timedelta(hours=26), self.store)
        self.platform.advance(START)
        if fault is not None:
            self.platform.inject(fault, START)
        self.clock = StoryClock(START, self.platform.advance)
        self.clock.step(before)
        self.orders: list[str] = []
        self.book = next(book for book in load_runbooks(["bundled:"], Path()) if book.id == runbook)

    def mitigate(self, action, params):
        self.orders.append(action)
        return self.platform.mitigate(action, self.clock.now(), params)

    def run(self) -> runner.Report:
        with AdminServer(self.mitigate) as server:
            steps = Steps(lambda: MemorySource(self.store), self.clock, lambda name: "")
            world = runner.World(steps, Obedient(), runner.MemoryRunbookLog(), self.clock)
            return runner.run(self.book, collect(self.book, Given(flags={"admin": server.url})), world)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_the_runbook_repairs_the_fault_long_before_it_ends_by_itself(fault):
    demo = Demo(fault.name, fault.runbook, timedelta(minutes=min(must.minutes for must in fault.must_fire) + 1))
    report = demo.run()
    assert report.state == "ok", report.message
    assert demo.orders == list(fault.actions)
    assert demo.clock.now() - START < timedelta(minutes=30)
    assert [row.step for row in report.steps][-1] in ("close", "logins-fine")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_on_a_healthy_platform_the_runbook_changes_nothing(fault):
    demo = Demo(None, fault.runbook, timedelta(minutes=5))
    report = demo.run()
    assert report.state == "ok", report.message
    assert "which does not hold" in report.message
    assert demo.orders == []


def test_every_action_of_the_platform_is_used_by_a_runbook():
    sent = "".join(book.source for book in load_runbooks(["bundled:"], Path()))
    for action in ACTIONS.values():
        path = action.path.replace("/chat/", "/${service}/")
        assert f"PUT ${{admin}}{path}" in sent
        assert (f"DELETE ${{admin}}{path}" in sent) == (action.undo is not None)
