"""Paging end to end on this machine: journal, sender and transport against the local PagerDuty, in processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsctl.adapters.journal import SqliteJournal, open_journal
from opsctl.adapters.sinks.pagerduty import PagerDuty
from opsctl.core.commands import Watched
from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty
from opsctl.errors import Refused
from opsctl.ports import Sinks
from opsctl.sender import SendReport, drain
from tests.unit.paging.world import T0, SteppedClock, alert, cycle, minutes, run_record

ROOT = Path(__file__).parents[2]
CANARY = "c4narYc4narYc4narYc4narYc4narY00"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalPagerDuty]:
    made = start_local_pagerduty(tmp_path / "pd" / "pd.sqlite3", {"money": CANARY})
    yield made
    made.stop()


class Host:
    """One machine with a journal of its own."""

    def __init__(self, folder: Path, server: LocalPagerDuty) -> None:
        self.clock = SteppedClock()
        self.journal: SqliteJournal = open_journal(folder, "prod-eu", self.clock)
        self.pager = PagerDuty({"default": lambda: CANARY}, server.address)

    def cycle(self, minute: float, *uids: str, healthy: tuple[Watched, ...] = ()) -> SendReport:
        at = self.clock.at = T0 + minutes(minute)
        now = cycle(at, [alert(uid) for uid in uids], fresh=("redeem", "pay"), healthy=healthy)
        self.journal.commit(run_record(at), (), now)
        return drain(self.journal, Sinks({"pagerduty": self.pager}), self.clock)


def get(server: LocalPagerDuty, path: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(server.address + path, timeout=5) as answer:
        body = json.loads(answer.read())
    return body[path.strip("/_")]  # type: ignore[no-any-return]


def test_an_incident_opens_is_repeated_and_closes_once(tmp_path: Path, server: LocalPagerDuty) -> None:
    host = Host(tmp_path / "state", server)
    for minute in (0, 1, 61):
        host.cycle(minute, "redeem")
    assert [(one["status"], one["alerts"]) for one in get(server, "/_incidents")] == [("triggered", 2)]
    for minute in (62, 67):
        host.cycle(minute)
    assert [one["effect"] for one in get(server, "/_log")] == ["opened", "appended", "resolved"]
    [event] = [one["event"] for one in get(server, "/_incidents")]
    assert event["payload"]["custom_details"]["incident"] == "#1"


def test_two_hosts_without_a_common_journal_page_once(tmp_path: Path, server: LocalPagerDuty) -> None:
    for name in ("a", "b"):
        assert not Host(tmp_path / name, server).cycle(0, "redeem").failed
    assert [one["alerts"] for one in get(server, "/_incidents")] == [2]


def test_a_new_host_closes_what_the_old_one_left_open(tmp_path: Path, server: LocalPagerDuty) -> None:
    Host(tmp_path / "old", server).cycle(0, "redeem")
    new = Host(tmp_path / "new", server)
    new.cycle(30, "pay", healthy=(Watched("redeem", "Redeem", "money", ()),))
    assert {one["title"].split()[0]: one["status"] for one in get(server, "/_incidents")} == {
        "redeem": "resolved",
        "pay": "triggered",
    }


def test_a_corrupt_journal_does_not_stop_or_double_a_page(tmp_path: Path, server: LocalPagerDuty) -> None:
    Host(tmp_path / "state", server).cycle(0, "redeem")
    for file in (tmp_path / "state").glob("journal.sqlite3*"):
        file.write_bytes(b"\xde\xad" * 4096)
    host = Host(tmp_path / "state", server)
    assert len(host.cycle(1, "redeem", "pay").accepted) == 2
    assert "moved to" in str(host.journal.problem)
    assert [one["status"] for one in get(server, "/_incidents")] == ["triggered", "triggered"]


def test_the_routing_key_is_in_no_file_and_in_no_answer(
    tmp_path: Path, server: LocalPagerDuty, capfd: pytest.CaptureFixture[str]
) -> None:
    host = Host(tmp_path / "state", server)
    report = host.cycle(0, "redeem")
    stranger = PagerDuty({"default": lambda: CANARY[::-1]}, server.address)
    host.journal.resolve(1, "ann", host.clock.now(), host.clock.now())
    refused = drain(host.journal, Sinks({"pagerduty": stranger}), host.clock)
    assert refused.failed
    host.journal.close()
    told = capfd.readouterr()
    texts = [repr(report), repr(refused), told.out, told.err, repr(host.journal.__dict__)]
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 3
    for secret in (CANARY, CANARY[::-1]):
        assert not any(secret in text for text in texts)
        assert not any(secret.encode() in raw for raw in files)


HOLDER = """
import sys, time
from opsctl.adapters.clock import SystemClock
from opsctl.adapters.journal import open_journal
from opsctl.errors import OpsctlError
from pathlib import Path
journal = open_journal(Path(sys.argv[1]), "prod-eu", SystemClock())
try:
    with journal.lock("evaluate", float(sys.argv[2])):
        print("held", flush=True)
        sys.stdin.read()
except OpsctlError as refused:
    print(refused, file=sys.stderr)
    sys.exit(refused.exit_code)
"""


def contender(folder: Path, wait_seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(folder), str(wait_seconds)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_a_second_run_waits_for_the_evaluation_lock_and_is_refused_with_exit_6(tmp_path: Path) -> None:
    first = contender(tmp_path, 0)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    second = contender(tmp_path, 0.3)
    try:
        out, err = second.communicate(timeout=20)
        assert second.returncode == 6
        assert out == ""
        assert f"pid {first.pid}" in err
        assert "waited 0.3 s" in err
    finally:
        first.kill()
        first.communicate()


def test_kill_9_frees_the_lock_for_who_waits(tmp_path: Path) -> None:
    first = contender(tmp_path, 0)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    with pytest.raises(Refused), open_journal(tmp_path, "prod-eu", SteppedClock()).lock("evaluate", 0):
        pass
    second = contender(tmp_path, 20)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    out, _ = second.communicate("", timeout=20)
    assert (out, second.returncode) == ("held\n", 0)


WRITER = """
import sys
from pathlib import Path
from opsctl.adapters.journal import open_journal
from opsctl.adapters.sinks.pagerduty import PagerDuty
from opsctl.ports import Sinks
from opsctl.sender import drain
from tests.unit.paging.world import T0, SteppedClock, alert, cycle, run_record
folder, address, key = Path(sys.argv[1]), sys.argv[2], sys.stdin.readline().strip()
clock = SteppedClock()
journal = open_journal(folder, "prod-eu", clock)
uids = ("redeem", "pay")
journal.commit(run_record(T0), (), cycle(T0, [alert(uid) for uid in uids], fresh=uids))
report = drain(journal, Sinks({"pagerduty": PagerDuty({"default": lambda: key}, address)}), clock)
print(len(report.accepted), len(report.left), journal.problem)
"""


def test_processes_that_start_at_once_on_a_new_journal_agree(tmp_path: Path, server: LocalPagerDuty) -> None:
    """Four commit and drain at once without the evaluation lock: one episode and one page for each key."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WRITER, str(tmp_path / "state"), server.address]
    processes = [subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(CANARY + "\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in processes]
    assert [err for _, err in answers] == [""] * 4
    assert all(out.endswith("None\n") for out, _ in answers), answers
    assert sum(int(out.split()[0]) for out, _ in answers) == 2
    assert [one["alerts"] for one in get(server, "/_incidents")] == [1, 1]
