"""A clock that stands still, and a journal of its own, for each test of delivery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opsctl.adapters.journal import SqliteJournal, open_journal
from tests.unit.paging.world import SteppedClock


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def journal(tmp_path: Path, clock: SteppedClock) -> Iterator[SqliteJournal]:
    opened = open_journal(tmp_path / "state", "prod-eu", clock)
    yield opened
    opened.close()
