"""`opsctl check --notify` and `incident` when the pager or the journal does not do what was asked: never silence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsctl.cli.main import main
from opsctl.demo.clock import StoryClock
from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty
from tests.integration.test_cli_streams import burning, folder
from tests.servers.misbehaving import Misbehaving

KEY = "c4narYc4narYc4narYc4narYc4narY00"


@pytest.fixture
def pagerduty(tmp_path: Path) -> Iterator[LocalPagerDuty]:
    """The local PagerDuty, which knows one key."""
    made = start_local_pagerduty(tmp_path / "pd" / "pd.sqlite3", {"money": KEY})
    yield made
    made.stop()


def paging_folder(home: Path, server: Misbehaving, pagerduty: LocalPagerDuty, more: str = "") -> Path:
    """A folder with one SLO on that Prometheus, and its pages' way to the local PagerDuty."""
    made = folder(home, server)
    with (made / "opsctl.toml").open("a") as config:
        config.write(
            '[contexts.t.pagerduty]\nrouting_keys = { default = { token_file = "key" } }\n'
            f'events_url = "{pagerduty.address}"\n{more}'
        )
    (made / "key").write_text(KEY)
    (made / "key").chmod(0o600)
    return made


@pytest.fixture
def home(fixed_home: Path, pagerduty: LocalPagerDuty, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one SLO that burns, and a pager."""
    server = Misbehaving(burning)
    made = paging_folder(fixed_home, server, pagerduty)
    monkeypatch.chdir(made)
    yield made
    server.stop()


def test_a_refused_page_is_said_in_every_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong routing key: exit 5 until a person knows, not only in the run that was refused."""
    (home / "key").write_text(KEY[::-1])
    assert main(["check", "--notify"]) == 5
    capsys.readouterr()
    assert main(["check", "--notify"]) == 5
    told = capsys.readouterr().err
    assert "NOT DELIVERED: #" in told
    assert "Invalid routing key" in told
    assert KEY[::-1] not in told


def test_an_accepted_page_is_not_complained_about(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same two runs with the right key: the breach and nothing else."""
    assert [main(["check", "--notify"]), main(["check", "--notify"])] == [1, 1]
    assert capsys.readouterr().err == ""


def test_nothing_is_resolved_where_it_cannot_be_written_down(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills between reading the incident and closing it: exit 5, and not "resolved already"."""
    assert main(["check", "--notify"]) == 1
    capsys.readouterr()
    from opsctl.adapters.journal.database import Database

    once = Database._once

    def full(self: Database, work: object, begin: str) -> object:
        if begin == "BEGIN IMMEDIATE" and self.path != ":memory:":
            wrong = sqlite3.OperationalError("database or disk is full")
            wrong.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise wrong
        return once(self, work, begin)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "_once", full)
    assert main(["incident", "resolve", "WalletOpSuccessBudgetBurn"]) in {2, 5}
    assert main(["incident", "resolve", "#1"]) == 5
    told = capsys.readouterr()
    assert "is not resolved" in told.err
    assert "resolved already" not in told.err
    assert told.out == ""


@pytest.mark.parametrize("selector", ["²", "#²", "#" + "9" * 5000, "#٣"])
def test_numbers_that_python_reads_otherwise(home: Path, selector: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No such incident: exit 2 and one line, not a bug."""
    assert main(["check", "--notify"]) == 1
    capsys.readouterr()
    assert main(["incident", "show", selector]) == 2
    assert "no such incident" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["check", "--at", "2099-01-01T00:00:00Z"],
        ["status", "--at", "2099-01-01T00:00:00Z"],
        ["rule", "eval", "wallet-op-success", "--at", "2099-01-01T00:00:00Z"],
        ["slo", "budget", "--at", "2099-01-01T00:00:00Z"],
        ["check", "--at", ""],
        ["check", "--at", "5000y"],
        ["incident", "ls", "--since", "99999999999999w"],
        ["incident", "ls", "--since", "0001-01-01T00:00:00+14:00"],
        ["metric", "query", "odd", "--timeout", "99999y"],
        ["metric", "query", "odd", "--timeout", "0s"],
        ["metric", "range", "odd", "--step", "9" * 5000 + "s"],
        ["metric", "query", "\udcff"],
        ["doctor", "--timeout", "99999y"],
    ],
    ids=lambda words: " ".join(words)[:60].encode("ascii", "backslashreplace").decode(),
)
def test_words_that_mean_nothing(home: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, one line on stderr, nothing on stdout."""
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert "bug" not in told.err


def test_hostile_names_make_whole_xml(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule and a service named with escape characters and markup."""
    from xml.etree import ElementTree as ET

    (home / "rules" / "odd.rules.yaml").write_text(
        'groups:\n  - name: g\n    rules:\n      - alert: "a\\e[31m]]><&\\u202e"\n        expr: odd\n'
        '        labels: {severity: page, service: "w\\e[0m\\x07"}\n'
    )
    assert main(["check", "-o", "junit"]) == 1
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\x07" not in text
    assert len(list(ET.fromstring(text).iter("testcase"))) == 2


def test_a_refused_page_goes_out_soon_after_the_key_is_right(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not an hour later: a page that nobody got is tried again every five minutes, and then all is quiet."""
    clock = StoryClock(datetime.now(UTC))
    (home / "key").write_text(KEY[::-1])
    assert main(["check", "--notify"], clock=clock) == 5
    (home / "key").write_text(KEY)
    clock.step(timedelta(minutes=3))
    assert main(["check", "--notify"], clock=clock) == 5
    clock.step(timedelta(minutes=3))
    capsys.readouterr()
    assert main(["check", "--notify"], clock=clock) == 1
    assert capsys.readouterr().err == ""
    clock.step(timedelta(minutes=6))
    assert main(["check", "--notify"], clock=clock) == 1
    assert "accepted" in _deliveries(home)
    assert _deliveries(home).count("accepted") == 1


def _deliveries(home: Path) -> list[str]:
    """The outcome of every request so far."""
    journal = next(home.rglob("journal.sqlite3"))
    with sqlite3.connect(journal) as db:
        return [outcome for (outcome,) in db.execute("SELECT outcome FROM deliveries ORDER BY id")]
