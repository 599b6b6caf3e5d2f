"""`opsctl config state vacuum`: the journal's upkeep from the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsctl.adapters.journal import open_journal
from opsctl.cli.demo_world import story_stage
from opsctl.cli.main import main
from opsctl.demo.clock import StoryClock
from opsctl.ports import RunRecord

NOW = datetime(2026, 5, 1, 3, 0, tzinfo=UTC)
CONFIG = 'default_context = "t"\n[contexts.t]\nnamespace = "t"\nstate_dir = "state"\n'


def test_vacuum_drops_what_is_old_and_keeps_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs of before `--keep` go, later ones stay; a wrong duration is exit 2 and drops nothing."""
    (tmp_path / "opsctl.toml").write_text(CONFIG)
    config = ["--config", str(tmp_path / "opsctl.toml")]
    for age in (500, 450, 3):
        clock = StoryClock(NOW - timedelta(days=age))
        journal = open_journal(tmp_path / "state", "t", clock)
        journal.finish(
            journal.commit(RunRecord(clock.now(), clock.now(), True, False)).run, 0, clock.now(), success=True
        )
        journal.close()
    assert main([*config, "config", "state", "vacuum", "--keep", "soon"], clock=StoryClock(NOW)) == 2
    assert main([*config, "config", "state", "vacuum"], clock=StoryClock(NOW)) == 0
    assert "dropped 2 rows" in capsys.readouterr().err
    journal = open_journal(tmp_path / "state", "t", StoryClock(NOW))
    assert journal.last_success() == NOW - timedelta(days=3)
    journal.close()


@pytest.mark.parametrize(("argv", "code"), [(["check", "auth"], 0), (["check", "auth", "--notify"], 5)])
def test_nowhere_to_write(argv: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a journal a look keeps its verdict and says so; a run that had to page exits 5."""
    (tmp_path / "state").write_text("a file where the folder should be")
    with story_stage(tmp_path, 7) as stage:
        assert main(argv, clock=stage.clock, compose_with=lambda _: stage.composition) == code
    assert "journal" in capsys.readouterr().err
