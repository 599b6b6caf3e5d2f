"""A process that runs for months: after the first hundred runs nothing grows but the journal."""

from __future__ import annotations

import gc
import os
import re
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from opsctl.app import Composition
from opsctl.daemon.configuration import Configuration
from opsctl.daemon.log import Log
from opsctl.daemon.metrics import Numbers
from opsctl.daemon.turn import WatchTurn
from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty
from opsctl.files.settings import load_settings
from opsctl.loop import Grid, Loop, Pulse
from tests.unit.daemon.test_loop import StoodClock
from tests.unit.engine.fakes import History

RULES = """groups: [{name: g, rules: [
  {alert: Flaps, expr: flaps, labels: {severity: page, service: wallet}},
  {alert: Stays, expr: stays, labels: {severity: page, service: wallet}}]}]
"""
KEY = "00000000000000000000000000000abc"


@pytest.fixture
def pagerduty(tmp_path: Path) -> Iterator[LocalPagerDuty]:
    made = start_local_pagerduty(tmp_path / "pagerduty.sqlite3", {"money": KEY})
    yield made
    made.stop()


def world(tmp_path: Path, address: str) -> tuple[StoodClock, History, Composition, Numbers, WatchTurn]:
    """Two alerts, one of which flaps every ten minutes; the clock moves when somebody waits."""
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "services.yaml").write_text("services:\n  - {name: wallet, tier: 1, team: money}\n")
    (tmp_path / "key").touch(0o600)
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "opsctl.toml").write_text(
        '[contexts.a]\nnamespace = "n"\nstate_dir = "state"\ncatalogue = "services.yaml"\nrules = ["rules.yaml"]\n'
        f'[contexts.a.paging]\nhold_open = "0s"\n[contexts.a.pagerduty]\nevents_url = "{address}"\n'
        'routing_keys = { default = { token_file = "key" } }\n'
    )
    clock = StoodClock()
    source = History(lambda query, at: 1.0 if query == "stays" or at.minute // 10 % 2 else None)
    settings = load_settings(tmp_path / "opsctl.toml", None, env={}, cwd=tmp_path)
    composition = Composition(settings, clock, source=source, env={})
    numbers = Numbers("a", "n", "1", timedelta(minutes=1), Pulse(0.0), clock.now)
    composition.on_delivery = numbers.delivery
    configuration = Configuration(composition, lambda: composition, notify=True)
    return clock, source, composition, numbers, WatchTurn(configuration, numbers, Log(clock, write=len), notify=True)


def test_a_far_side_that_takes_nothing_is_not_hammered(tmp_path: Path) -> None:
    """Twenty minutes with pages due all the time: a few requests a minute, and no spinning."""
    clock, _, composition, numbers, turn = world(tmp_path, "http://127.0.0.1:9")
    Loop(Grid(timedelta(minutes=1)), clock, turn, Pulse(0.0), clock.sleep).go(20)
    text = numbers.page("")[0].decode()
    found = re.search(r'opsctl_deliveries_total{.*outcome="retry".*} (\S+)', text)
    assert found
    assert 20 <= float(found[1]) <= 20 * 12
    assert len(clock.slept) < 20 * 60
    composition.close()


def test_neither_memory_nor_threads_nor_files_grow(tmp_path: Path, pagerduty: LocalPagerDuty) -> None:
    """Hours of runs, one a minute, with an alert that flaps every ten minutes: a page and a resolve each time."""
    clock, source, composition, numbers, turn = world(tmp_path, pagerduty.address)

    def run(count: int) -> tuple[int, int, int]:
        for _ in range(count):
            clock.passed += 60
            turn.run()
            turn.deliver(50)
            numbers.page("")
            source.instants.clear()
            source.ranges.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0], threading.active_count(), len(os.listdir("/proc/self/fd"))

    run(60)
    tracemalloc.start()
    try:
        run(60)
        memory, threads, files = run(1)
        later, threads_later, files_later = run(240)
    finally:
        tracemalloc.stop()
        composition.close()
    assert later - memory < 100_000, later - memory
    assert threads_later <= threads + 1
    assert files_later <= files + 1
