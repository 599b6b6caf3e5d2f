"""`opsctl demo` as a stranger runs it: a bare environment, no input, no terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from opsctl.demo.faults import FAULTS

WORDS = ("FAIL", "burn", "incident", "runbook", "resolved")


def demo(home: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run the demo with a HOME of its own and nothing else in the environment."""
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "TMPDIR": str(home / "tmp"), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "opsctl", "demo", *argv]
    return subprocess.run(
        command, cwd=home, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_its_story(fault: str, tmp_path: Path) -> None:
    """Five acts in at most 40 lines of 80 columns, in the right order, and nothing is left behind."""
    done = demo(tmp_path, "--fault", fault)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) <= 40, done.stdout
    assert max(map(len, lines)) <= 80
    assert [line[:1] for line in lines if re.match(r"\d\. ", line)] == ["1", "2", "3", "4", "5"]
    assert re.search(
        ".*".join(WORDS) if fault != "login-attack" else "FAIL.*incident.*runbook.*resolved", done.stdout, re.S
    )
    assert len(lines) - lines.index("Next:") == 4
    assert "\x1b" not in done.stdout
    assert [p for p in tmp_path.rglob("*") if p != tmp_path / "tmp"] == [], "it writes to a temporary folder only"


def test_same_seed_same_story(tmp_path: Path) -> None:
    """The seed decides every number; another seed has others."""
    first, again, other = (demo(tmp_path, "--seed", seed).stdout for seed in ("11", "11", "12"))
    assert first == again
    assert first.replace("seed 11", "") != other.replace("seed 12", "")


def test_a_wrong_fault_names_the_right_ones(tmp_path: Path) -> None:
    """One line and exit 2."""
    done = demo(tmp_path, "--fault", "promo")
    assert done.returncode == 2
    assert done.stderr.startswith("opsctl: no fault promo: expected one of promo-surge,")
    assert len(done.stderr.splitlines()) == 1
