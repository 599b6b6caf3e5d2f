"""Runs that are missing from a journal, and runs that had to do without it, are noticed by the next one."""

from __future__ import annotations

import shutil
from pathlib import Path

from opsctl.adapters.journal import SqliteJournal
from opsctl.adapters.journal.database import FILE, MEMORY
from opsctl.core.commands import Watched
from opsctl.ports import Fact
from opsctl.sender import drain
from tests.unit.paging.world import ScriptedSink, SteppedClock, alert, cycle, run_record, sinks_of


def _run(folder: Path, clock: SteppedClock, *uids: str) -> SqliteJournal:
    journal = SqliteJournal(folder, "test", clock.now)
    healthy = () if uids else (Watched("redeem", "RedeemBudgetBurn", "money", ()),)
    journal.commit(run_record(clock.at), (), cycle(clock.at, [alert(uid) for uid in uids], healthy=healthy))
    return journal


def test_a_journal_that_was_set_back_says_so_until_it_was_heard(tmp_path: Path) -> None:
    clock = SteppedClock()
    _run(tmp_path, clock).close()
    shutil.copy(tmp_path / FILE, tmp_path / "old")
    _run(tmp_path, clock, "redeem").close()
    (tmp_path / "old").replace(tmp_path / FILE)
    killed = _run(tmp_path, clock)
    assert killed.problem is not None
    assert killed.problem.startswith("the last run is missing from journal")
    killed.close()
    after = _run(tmp_path, clock)
    assert after.problem is None
    assert after.unheard() == (killed.problem,)


def test_a_journal_that_was_deleted_says_so_too(tmp_path: Path) -> None:
    clock = SteppedClock()
    for _ in range(3):
        _run(tmp_path, clock).close()
    (tmp_path / FILE).unlink()
    assert "the last 3 runs are missing" in (_run(tmp_path, clock).problem or "")


def test_a_whole_journal_says_nothing(tmp_path: Path) -> None:
    clock = SteppedClock()
    for _ in range(3):
        journal = _run(tmp_path, clock)
        assert (journal.problem, journal.unheard()) == (None, ())
        journal.close()


def test_after_a_run_in_memory_what_was_queued_may_have_left_and_what_is_healthy_is_swept(tmp_path: Path) -> None:
    clock = SteppedClock()
    _run(tmp_path, clock, "redeem").close()
    full = SqliteJournal(tmp_path, "test", clock.now)
    full._db.execute(f"PRAGMA max_page_count = {full._db.execute('PRAGMA page_count').fetchone()[0]}")
    full.commit(
        run_record(clock.at), [Fact("t", str(n), f'"{"x" * 999}"', clock.at) for n in range(99)], cycle(clock.at)
    )
    assert full.path == MEMORY
    full.close()
    journal = _run(tmp_path, clock, "redeem")
    [row] = journal.unfinished()
    assert row.attempted, "it may have been sent by the run that could not write it down"
    drain(journal, sinks_of(pager := ScriptedSink()), clock)
    assert pager.actions() == ["trigger"]
    journal.close()


def test_what_a_run_in_memory_opened_and_nobody_knows_is_swept_by_the_next_full_run_only(tmp_path: Path) -> None:
    clock = SteppedClock()
    drain(first := _run(tmp_path, clock), sinks_of(ScriptedSink()), clock)
    first.close()
    full = SqliteJournal(tmp_path, "test", clock.now)
    full._db.execute(f"PRAGMA max_page_count = {full._db.execute('PRAGMA page_count').fetchone()[0]}")
    full.commit(
        run_record(clock.at), [Fact("t", str(n), f'"{"x" * 999}"', clock.at) for n in range(99)], cycle(clock.at)
    )
    full.close()
    actions = []
    for _ in range(2):
        journal = _run(tmp_path, clock)
        drain(journal, sinks_of(pager := ScriptedSink()), clock)
        actions.append(pager.actions())
        journal.close()
    assert actions == [["resolve"], []]
