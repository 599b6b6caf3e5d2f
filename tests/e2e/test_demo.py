"""`opsctl demo` as a stranger runs it: a bare environment, no input, no terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
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


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--tui"], "opsctl: the board needs a terminal"),
        (["--speed", "10"], "opsctl: --speed needs --tui"),
        (["--tui", "--live"], "opsctl: --live and --tui contradict each other"),
        (["--tui", "--port", "9464"], "opsctl: --otlp, --elasticsearch and --port need --live"),
    ],
)
def test_the_board_wants_a_terminal_and_flags_that_fit(argv: list[str], said: str, tmp_path: Path) -> None:
    """One line, and nothing was started for it."""
    done = demo(tmp_path, *argv)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("sent", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_who_leaves_while_the_world_opens_leaves_nothing_behind(sent: signal.Signals, tmp_path: Path) -> None:
    """A closed terminal, a kill and Ctrl-C during the first second: no folder, and no PagerDuty that nobody asks."""
    (tmp_path / "tmp").mkdir()
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path / "tmp"), "TERM": "xterm"}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "opsctl", "demo", "--tui"]
    process = subprocess.Popen(
        command, env=env, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    try:
        said, deadline = b"", time.monotonic() + 20
        while b"waiting for its pages" not in said and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                said += os.read(ours, 4096)
        assert b"computing 3 days of history" in said
        process.send_signal(sent)
        assert process.wait(20) == 128 + sent
        assert list((tmp_path / "tmp").iterdir()) == []
        assert str(tmp_path) not in _commands()
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(ours)


def _commands() -> str:
    """Every command line of this machine's processes."""
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
