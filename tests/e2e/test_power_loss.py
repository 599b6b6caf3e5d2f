"""A power loss at any moment takes nothing that was sent or said.

Killing a process shows nothing about what is on the disk: the kernel still writes it. So the writes and syncs are
recorded, and each moment is reopened with what was not synced lost, kept, reordered or torn.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from opsctl.adapters.journal import SqliteJournal
from tests.e2e.power_loss import Cut, Disk, Event, Made, Moved, Removed, Synced, SyncedFolder, Written, moments
from tests.e2e.power_loss_launcher import PLOTS
from tests.e2e.power_loss_shim import Recorder
from tests.e2e.power_loss_story import Dump, Remote, Story, dump
from tests.unit.paging.world import SteppedClock

ROOT = Path(__file__).parents[2]


def _found(plot: str, fault: str, parts: Sequence[int], of: int) -> dict[str, Any]:
    """What the launcher found at these parts of the moments, each in a process of its own."""
    command = [sys.executable, "-m", "tests.e2e.power_loss_launcher", plot, fault]
    started = [
        subprocess.Popen([*command, str(part), str(of)], cwd=ROOT, stdout=subprocess.PIPE, text=True) for part in parts
    ]
    total: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    first: list[str] = []
    for process in started:
        out, _ = process.communicate(timeout=240)
        assert process.returncode == 0, f"{plot}, {fault}: exit {process.returncode}"
        found = json.loads(out)
        broken.update(found.pop("broken"))
        first += found.pop("first")
        total.update(found)
    return {"broken": dict(broken), "first": first, **total}


@pytest.mark.parametrize(
    ("plot", "least"), [("cron", 2000), ("daemon", 2000), ("corrupt", 800), ("upgraded", 800), ("twice", 300)]
)
def test_a_power_loss_at_any_moment_takes_nothing_that_was_sent_or_said(plot: str, least: int) -> None:
    """Committed alerts, begun attempts, accepted rows, printed incidents; and the story goes on to its end from it."""
    found = _found(plot, "none", (0, 1), 2)
    checked = (
        f"{plot} ({PLOTS[plot]}): {found['moments']} moments, {found['images']} states of the disk, {found['reopened']} "
        f"of them different, {found['continued']} gone on from"
    )
    assert not found["broken"], "\n".join([checked, str(found["broken"]), *found["first"]])
    assert found["images"] >= least, checked


@pytest.mark.parametrize(
    ("fault", "noticed"),
    [
        ("synchronous=NORMAL", {"commit", "attempt", "accepted", "printed"}),
        ("synchronous=OFF", {"commit", "attempt", "accepted", "printed", "sound"}),
        ("file syncs lie", {"commit", "attempt", "accepted", "printed", "sound", "paging"}),
        ("folder syncs lie", {"commit", "attempt", "accepted", "printed"}),
        ("request before attempt", {"attempt"}),
        ("alert before outbox", {"paging"}),
    ],
)
def test_a_disk_or_a_journal_that_keeps_less_is_noticed(fault: str, noticed: set[str]) -> None:
    found = _found("cron", fault, (3, 27), 48)
    assert noticed <= found["broken"].keys(), f"{found['moments']} moments, {found['images']} states: {found['broken']}"


def test_the_recorded_journal_makes_the_statements_of_the_shipped_one_and_writes_the_same(tmp_path: Path) -> None:
    """Else the recording would be of something else: the shim's connection against that of `sqlite3`."""
    ours: list[str] = []
    shipped: list[str] = []

    class Logged(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            shipped.append(sql)
            return super().execute(sql, *values)

        def executemany(self, sql: str, *values: Any) -> sqlite3.Cursor:
            shipped.append(sql)
            return super().executemany(sql, *values)

    def connect(path: str, **named: Any) -> sqlite3.Connection:
        return Logged(path, **named)

    def noted(sql: str) -> str:
        ours.append(sql)
        return sql

    def played(folder: Path) -> Dump:
        story = Story(
            lambda clock: SqliteJournal(folder, "production", clock.now),
            Remote(lambda _: None, faults=True),
            lambda _: None,
            one_process=False,
        )
        assert story.run() is None
        journal = SqliteJournal(folder, "production", SteppedClock().now)
        try:
            return journal.read(dump)
        finally:
            journal.close()

    recorder = Recorder(tmp_path, noted)
    with recorder.recording():
        recorded = played(tmp_path / "recorded")
    with mock.patch.object(sqlite3, "connect", connect):
        plain = played(tmp_path / "plain")
    assert recorded == plain
    assert ours == shipped
    assert {"PRAGMA synchronous=FULL", "PRAGMA journal_mode=WAL"} <= set(ours)
    kinds = {type(event) for event in recorder.events}
    assert kinds >= {Written, Cut, Synced, Made, Removed, SyncedFolder}, "the shim saw no such event"


def _states(*events: Event) -> list[dict[str, bytes | None]]:
    disk = Disk({"state": None, "state/old": b"o" * 1024})
    for event in events:
        disk.apply(event)
    return [dict(image) for _, _, image in disk.images()]


def test_what_was_synced_is_in_every_state_and_the_rest_may_be_torn() -> None:
    new = b"n" * 1024
    assert _states(Written("state/old", 0, new), Synced("state/old")) == [{"state": None, "state/old": new}]
    found = {state["state/old"] for state in _states(Written("state/old", 0, new))}
    assert found >= {b"o" * 1024, new}
    assert found & {b"n" * 512 + b"o" * 512, b"o" * 512 + b"n" * 512}, "one sector without the other"
    assert all(one is not None and one.strip(b"n").strip(b"o") == b"" for one in found), "a sector is whole"


def test_a_later_write_may_be_there_without_the_earlier_one() -> None:
    found = [state["state/old"] for state in _states(Written("state/old", 0, b"1"), Written("state/old", 600, b"2"))]
    assert b"o" * 600 + b"2" + b"o" * 423 in found
    assert b"1" + b"o" * 1023 in found


def test_an_entry_is_safe_once_its_folder_is_synced_and_not_with_its_file() -> None:
    made = (Made("state/new"), Written("state/new", 0, b"x"), Synced("state/new"))
    assert {state.get("state/new") for state in _states(*made)} == {None, b"x"}
    assert {state.get("state/new") for state in _states(*made, SyncedFolder("state"))} == {b"x"}
    assert {state.get("state/old") for state in _states(Removed("state/old"))} == {None, b"o" * 1024}
    moved = _states(Moved("state/old", "state/aside"))
    assert {tuple(sorted(state)) for state in moved} == {("state", "state/aside"), ("state", "state/old")}


def test_every_sync_has_a_moment_before_it_and_one_after_it_however_few_are_asked_for() -> None:
    events: list[Event] = [*(Written("a", n, b"x") for n in range(50)), Synced("a"), Written("a", 0, b"y")]
    assert moments(events, 0) == [0, 50, 51, 52]
    assert len(moments(events, 20)) == 20
    assert moments(events, 1000) == list(range(53))


def test_the_recording_sees_the_folder_that_a_journal_makes_and_its_sync(tmp_path: Path) -> None:
    """SQLite syncs what is in the state directory; the directory's own entry is the journal's to sync."""
    recorder = Recorder(tmp_path)
    with recorder.recording():
        SqliteJournal(tmp_path / "a" / "b", "production", SteppedClock().now).close()
    events = recorder.events
    assert events.index(SyncedFolder("a")) < events.index(Synced("a/b/journal.sqlite3"))
    assert events.index(SyncedFolder("")) < events.index(Synced("a/b/journal.sqlite3"))
    assert os.path.exists(tmp_path / "a" / "b" / "journal.sqlite3")
