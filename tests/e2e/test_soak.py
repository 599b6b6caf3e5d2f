"""Five hundred episodes of the soak, all of its kinds of worlds; and it can fail: two wrong carriers are found out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _soak(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "tests.soak", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout, done.stderr


def test_no_page_is_lost_doubled_or_stuck_whatever_goes_wrong(tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    code, out, err = _soak("--episodes", "500", "--report", str(report))
    assert (code, out) == (0, "episodes=500 lost=0 doubled=0 stuck=0\n"), err
    said = json.loads(report.read_text())
    assert said["never struck"] == []
    assert len(said["kinds"]) == 14
    assert said["killed"] > 50


@pytest.mark.parametrize(
    ("carrier", "found"),
    [("--without-outbox", ("lost", "doubled", "stuck")), ("--remember-before-send", ("lost", "stuck"))],
)
def test_a_wrong_carrier_is_found_out(carrier: str, found: tuple[str, ...]) -> None:
    """So the zeros above mean something."""
    code, out, err = _soak("--episodes", "150", "--seed", "2", "--kind", "plain", "--kind", "two-runners", carrier)
    counts = dict(re.findall(r"(\w+)=(\d+)", out))
    assert code == 1
    assert all(int(counts[name]) > 0 for name in found), out
    assert f"--seed 2 --kind plain --kind two-runners {carrier} --world N\n" in err
