"""The demo's world: what `opsctl demo --tui` opens the board on, stepped and living."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from opsctl.cli.demo import Agreeable
from opsctl.cli.demo_world import MINUTE, START, DemoWorld, demo_world
from opsctl.core.logs import LogQuery
from opsctl.core.params import Given, collect
from opsctl.core.rules import Outcome
from opsctl.core.signals import Measured
from opsctl.demo.clock import FastClock, StoryClock
from opsctl.demo.faults import FAULTS
from opsctl.runner import Options, Report, run
from opsctl.views.changes import changes_of


def repair(world: DemoWorld) -> Report:
    """The fault's runbook, run by somebody who agrees to everything; nothing is typed but its name."""
    composition = world.composition
    book = next(one for one in composition.runbooks if one.id == world.fault.runbook)
    alert = next(
        known.alert
        for known in composition.journal().alerts().values()
        if known.episode is not None and book.id == known.alert.runbook
    )
    services = frozenset(composition.catalogue.services)
    labels = {**dict(alert.labels), **dict(alert.identity), "service": alert.service}
    values = collect(book, Given(labels=labels, environment=composition.env, services=services))
    return run(book, values, composition.runbook_world(Agreeable(), book), Options(who="ana", services=services))


@pytest.mark.parametrize("fault", FAULTS)
def test_it_opens_some_minutes_into_the_fault_with_its_pages_sent(fault: str, tmp_path: Path) -> None:
    """The first rule that must ring has rung and PagerDuty has it; a deployment was minutes before; nothing is amiss."""
    with demo_world(fault, 7, StoryClock(START), folder=tmp_path) as world:
        once, journal = world.runs[-1], world.composition.journal()
        assert once.problems == ()
        assert once.warnings == ()
        assert world.fault.must_fire[0].rule in once.incidents
        assert any(one.delivery == "visible" and one.remote_url for one in journal.incidents())
        assert any(incident["status"] == "triggered" for incident in world.incidents())
        (change,) = changes_of(journal, START - timedelta(hours=1))
        assert (change.service, change.at < world.clock.now()) == (world.fault.service, True)
        failing = {v.rule.name for v in once.report.verdicts if v.outcome in (Outcome.FAIL, Outcome.NO_DATA)}
        assert world.fault.must_fire[0].rule in failing
        assert world.composition.routing.problems == ()


def open_pages(world: DemoWorld) -> list[str]:
    """The rules whose pages are open; a ticket looks back for days and stays."""
    return [one.rule_name for one in world.composition.journal().incidents() if one.severity == "page"]


def test_the_runbook_repairs_it_and_every_page_resolves_by_itself(tmp_path: Path) -> None:
    """After the last step the minutes that pass are enough: cron resolves what it opened, here and at PagerDuty."""
    with demo_world("promo-surge", 7, StoryClock(START), folder=tmp_path) as world:
        assert len(open_pages(world)) > 2
        report = repair(world)
        assert (report.state, report.message) == ("ok", "every step is done")
        repaired = world.clock.now()
        while open_pages(world) and world.clock.now() - repaired < timedelta(hours=1):
            world.step(MINUTE)
        assert open_pages(world) == []
        assert {one["status"] for one in world.incidents()} == {"resolved"}
        assert world.clock.now() - repaired <= timedelta(minutes=30)
        assert world.runs[-1].problems == ()


def test_the_same_seed_is_the_same_world(tmp_path: Path) -> None:
    """Verdicts, incidents and lines of two worlds are equal."""
    seen = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with demo_world("wallet-db-slow", 11, StoryClock(START), folder=tmp_path / name) as world:
            now = world.clock.now()
            page = world.composition.logs.search(LogQuery(start=now - MINUTE, end=now, severity="ERROR"), 5.0)
            assert isinstance(page, Measured)
            verdicts = [(v.rule.uid, v.outcome, v.headline) for v in world.runs[-1].report.verdicts]
            opened = [(one.rule_name, one.opened) for one in world.composition.journal().incidents()]
            seen.append((now, verdicts, opened, page.data.records))
    assert seen[0] == seen[1]


def test_on_a_clock_that_runs_it_lives(tmp_path: Path) -> None:
    """Minutes pass at their speed, cron runs in each, lines come and none is of the future; it ends when it is left."""
    begun = time.monotonic()
    with demo_world("promo-surge", 7, FastClock(START), folder=tmp_path, speed=60) as world:
        opened = time.monotonic() - begun
        first, clock = world.runs[-1].report.at, world.clock
        newest = []
        for _ in range(6):
            now = clock.now()
            page = world.composition.logs.search(LogQuery(start=now - MINUTE, end=now + MINUTE), 60.0, limit=1)
            assert isinstance(page, Measured)
            newest.append(page.data.records[0].at)
            assert newest[-1] <= clock.now()
            time.sleep(0.2)
        assert newest == sorted(set(newest)), "each look sees newer lines"
        deadline = time.monotonic() + 30
        while world.runs[-1].report.at < first + 3 * MINUTE and time.monotonic() < deadline:
            time.sleep(0.05)
        assert world.runs[-1].report.at >= first + 3 * MINUTE
        assert world.problems == []
        assert opened < 30
    at = world.runs[-1].report.at
    time.sleep(1.2)
    assert world.runs[-1].report.at == at
