"""kill -9 at any moment loses nothing that was decided, and pages nobody twice."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

from opsctl.demo.servers.pagerduty import start_local_pagerduty
from tests.e2e.kill_launcher import routing_key

ROOT = Path(__file__).parents[2]
MOST_POINTS = 300


def test_every_committed_page_arrives_once_whichever_point_the_process_dies_at(tmp_path: Path) -> None:
    """Before and after each commit and each request of an hour with a flapping alert, against a strict PagerDuty."""
    names = {f"run-{number}": routing_key(number) for number in range(MOST_POINTS)}
    server = start_local_pagerduty(tmp_path / "pd.sqlite3", names)
    try:
        folder = tmp_path / "runs"
        folder.mkdir()
        command = [sys.executable, "-m", "tests.e2e.kill_launcher", str(folder), server.address]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        points = int(done.stdout)
        assert 40 < points < MOST_POINTS
        incidents = _get(server.address, "/_incidents")["incidents"]
        log = _get(server.address, "/_log")["log"]
    finally:
        server.stop()
    assert {one["status"] for one in log} == {202}, "no event of ours was refused"
    by_run: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in incidents:
        by_run[one["integration"]].append(one)
    for number in range(points + 1):
        found = by_run[f"run-{number}"]
        decided, states = _journal(folder / str(number))
        assert sorted(one["dedup_key"] for one in found) == sorted(decided), f"point {number}: one incident an episode"
        assert len(decided) == 2, f"point {number}: flapping does not make a second episode"
        assert {one["status"] for one in found} == {"resolved"}, f"point {number}: nothing is left open"
        assert states == {"accepted"}, f"point {number}: {states}"


def _get(address: str, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(address + path, timeout=10) as answer:
        return json.loads(answer.read())  # type: ignore[no-any-return]


def _journal(folder: Path) -> tuple[list[str], set[str]]:
    db = sqlite3.connect(folder / "journal.sqlite3")
    try:
        decided = [row[0] for row in db.execute("SELECT key FROM episodes")]
        return decided, {row[0] for row in db.execute("SELECT DISTINCT state FROM outbox")}
    finally:
        db.close()
