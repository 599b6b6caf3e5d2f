"""`opsctl check --notify --dry-run`: the whole run, and no trace of it."""

from __future__ import annotations

import gc
import hashlib
import json
import sqlite3
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsctl.cli.main import main
from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty
from tests.integration.test_cli_paging import KEY, paging_folder
from tests.integration.test_cli_streams import burning
from tests.servers.misbehaving import Misbehaving

DRY = ["check", "--notify", "-n"]


@pytest.fixture
def pagerduty(tmp_path: Path) -> Iterator[LocalPagerDuty]:
    """The local PagerDuty, which knows one key."""
    made = start_local_pagerduty(tmp_path / "pd" / "pd.sqlite3", {"money": KEY})
    yield made
    made.stop()


@pytest.fixture
def home(fixed_home: Path, pagerduty: LocalPagerDuty, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one SLO that burns, and a pager."""
    server = Misbehaving(burning)
    made = paging_folder(fixed_home, server, pagerduty, "[contexts.t.paging]\nrunner = 3\n")
    monkeypatch.chdir(made)
    yield made
    server.stop()


def files(folder: Path) -> dict[str, str]:
    """Every file below a folder and what is in it; what an earlier run of this process left open is closed first."""
    gc.collect()
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def alone(home: Path) -> None:
    """The first runner, which waits for nobody."""
    config = home / "opsctl.toml"
    config.write_text(config.read_text().replace("runner = 3\n", ""))


def log_of(pagerduty: LocalPagerDuty) -> list[dict[str, object]]:
    """What the local PagerDuty was sent."""
    with urllib.request.urlopen(pagerduty.address + "/_log", timeout=5) as answer:
        return json.loads(answer.read())["log"]  # type: ignore[no-any-return]


def test_a_first_page_is_printed_and_not_sent_and_leaves_no_file(
    home: Path, pagerduty: LocalPagerDuty, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(home)
    assert main([*DRY, "-o", "table"]) == 1
    told = capsys.readouterr()
    assert "dry run: pagerduty/" in told.err
    assert ": trigger opsctl/" in told.err
    assert "(critical): " in told.err
    assert told.err.splitlines()[-1] == "dry run: 1 event would be sent; nothing was sent or written"
    assert "sent" not in told.out
    assert log_of(pagerduty) == []
    assert files(home) == before


def test_a_dry_run_knows_the_journal_and_changes_nothing_in_it(
    home: Path, pagerduty: LocalPagerDuty, capsys: pytest.CaptureFixture[str]
) -> None:
    """The incident is open already: nothing would be sent, and the handle shown is the real one."""
    alone(home)
    assert main(["check", "--notify"]) == 1
    capsys.readouterr()
    sent, before = log_of(pagerduty), files(home)
    assert main([*DRY, "--json"]) == 1
    told = capsys.readouterr()
    assert told.err == "dry run: 0 events would be sent; nothing was sent or written\n"
    body = json.loads(told.out)
    assert body["sent"] is None
    assert log_of(pagerduty) == sent
    assert files(home) == before


def test_a_dry_run_beside_a_run_that_holds_the_lock_and_writes_does_not_wait(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone(home)
    assert main(["check", "--notify"]) == 1
    journal = next(home.rglob("journal.sqlite3"))
    import fcntl

    with open(journal.parent / "evaluate.lock") as lock, sqlite3.connect(journal) as other:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other.execute("BEGIN IMMEDIATE")
        done = threading.Event()
        timer = threading.Timer(15, done.set)
        timer.start()
        assert main(DRY) == 1
        timer.cancel()
        assert not done.is_set()


def test_a_damaged_journal_is_said_and_stays_where_it_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone(home)
    assert main(["check", "--notify"]) == 1
    journal = next(home.rglob("journal.sqlite3"))
    files(home)
    journal.write_bytes(b"not a database" * 1000)
    before = files(home)
    capsys.readouterr()
    assert main(DRY) == 5
    told = capsys.readouterr().err
    assert "cannot be read: file is not a database" in told
    assert "dry run: 1 event would be sent" in told
    assert files(home) == before


def test_a_state_directory_that_cannot_be_looked_into_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not taken for a first run, in which every page is new."""
    (home / "state").write_text("a file")
    assert main(DRY) == 5
    assert "cannot be read: Not a directory" in capsys.readouterr().err


def test_without_notify_it_is_a_usage_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-n"]) == 2
    assert "--dry-run prints what --notify would send: add --notify" in capsys.readouterr().err
