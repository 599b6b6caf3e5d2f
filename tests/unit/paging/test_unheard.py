"""A page that did not get through is told to somebody, also when the run that found out was killed before it could."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opsctl.adapters.journal import SqliteJournal
from opsctl.sender import drain
from tests.unit.paging.world import (
    LOST,
    REFUSED,
    T0,
    ScriptedSink,
    SteppedClock,
    alert,
    cycle,
    minutes,
    run_record,
    sinks_of,
)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def journal(tmp_path: Path, clock: SteppedClock) -> Iterator[SqliteJournal]:
    opened = SqliteJournal(tmp_path, "test", clock.now)
    yield opened
    opened.close()


def _decide(journal: SqliteJournal, clock: SteppedClock, minute: float, *uids: str) -> None:
    clock.at = T0 + minutes(minute)
    journal.commit(run_record(clock.at), (), cycle(clock.at, [alert(uid) for uid in uids]))


def test_a_page_that_was_over_before_its_first_attempt_is_kept_until_somebody_heard_of_it(
    journal: SqliteJournal, clock: SteppedClock
) -> None:
    for minute, uids in ((0, ("redeem",)), (1, ()), (7, ())):
        _decide(journal, clock, minute, *uids)
    report = drain(journal, sinks_of(ScriptedSink()), clock)
    assert len(report.never_delivered) == 1
    # Here the run is killed: what it would have said is on disk.
    assert journal.unheard() == tuple(line for line in report.problems if line.startswith("NOT DELIVERED"))
    journal.heard(journal.unheard())
    assert not journal.unheard()


def test_a_page_that_is_refused_for_good_is_kept_too(journal: SqliteJournal, clock: SteppedClock) -> None:
    _decide(journal, clock, 0, "redeem")
    report = drain(journal, sinks_of(ScriptedSink([REFUSED, REFUSED])), clock)
    assert len(report.dead) == 1
    [line] = journal.unheard()
    assert line in report.problems


def test_a_page_that_is_still_on_its_way_is_not_lost(journal: SqliteJournal, clock: SteppedClock) -> None:
    _decide(journal, clock, 0, "redeem")
    drain(journal, sinks_of(ScriptedSink([LOST] * 9)), clock)
    assert not journal.unheard()
