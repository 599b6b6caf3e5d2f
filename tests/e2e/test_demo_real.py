"""`make demo-real` as a person runs it: the story on real servers, told from what they answer, and nothing left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsctl.demo.faults import FAULTS
from tests.demo_real import LOOKS, missing

ROOT = Path(__file__).parents[2]
SECONDS = 360  # on a machine that is busy with other things; alone it takes about one minute


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that Elasticsearch's own user can reach, which pytest's are not for."""
    folder = Path(tempfile.mkdtemp(prefix="opsctl-story-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started(home: Path, *argv: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """The story, in a process of its own with a folder of its own for what it leaves; ended whatever happens."""
    if lacking := missing():
        pytest.skip(lacking)
    (home / "tmp").mkdir(mode=0o755)
    world = {**os.environ, "TMPDIR": str(home / "tmp"), "COLUMNS": "80", **env}
    command = [sys.executable, "-m", "tests.demo_real", *argv]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process: subprocess.Popen[str] = subprocess.Popen(command, cwd=ROOT, env=world, text=True, **pipes)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)


@pytest.mark.timeout(420)
def test_the_story_on_real_servers_then_live_until_ctrl_c(home: Path) -> None:
    """An attack: judged from Prometheus, seen in Jaeger and Elasticsearch, paged, repaired, resolved; with STAY=1 it
    lives on, answers `opsctl check` from all three, and Ctrl-C ends every process and folder."""
    with started(home, "--fault", "login-attack", STAY="1") as process:
        tell_and_live(process, home)


def tell_and_live(process: subprocess.Popen[str], home: Path) -> None:
    """Reads the story, asks the live platform, ends it."""
    assert process.stdout is not None
    told: list[str] = []
    end = time.monotonic() + SECONDS
    for line in process.stdout:
        told.append(line.rstrip("\n"))
        if line.startswith("Ctrl-C") or time.monotonic() > end:
            break
    text = "\n".join(told)
    assert told, process.stderr.read() if process.stderr else ""
    assert told[-1].startswith("Ctrl-C"), text
    acts = re.findall(r"^(\d)\. ", text, re.M)
    assert acts == ["1", "2", "3", "4", "5", "6"]
    assert "38 rules of 17 services hold" in text
    assert re.search(
        r"CredentialStuffing.*incident 1 at PagerDuty: triggered.*all \d incidents are resolved", text, re.S
    )
    trace = re.search(r"^trace ([0-9a-f]{32})$", text, re.M)
    assert trace is not None, text
    assert re.search(r"user\.login +auth", text), "the trace's waterfall"
    assert re.search(r"auth +user log", text), "its lines"
    assert re.search(r"FAIL +auth / LoginAttackInLogs", text), "the same judged from logs"
    config = re.search(r"OPSCTL_CONFIG=(\S+)", text)
    assert config is not None
    command = [sys.executable, "-m", "opsctl", "--config", config[1], "check", "-o", "json"]
    time.sleep(3)  # Elasticsearch shows what it has every second
    checked = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=90, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for backend in ("prometheus", "jaeger", "elasticsearch"):
        assert re.search(rf'"{backend} http://127[^"]*"', checked.stdout), checked.stdout[-800:]
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=60)
    assert process.returncode == 0, rest + said
    assert "Traceback" not in said
    assert list((home / "tmp").iterdir()) == [], "servers and folders are gone"


def test_every_fault_has_something_to_look_at() -> None:
    """The table of what to show knows each fault."""
    assert set(LOOKS) == set(FAULTS)


def test_missing_servers_are_one_line(tmp_path: Path) -> None:
    """With an empty cache: exit 2, what is missing and how to get it."""
    env = {**os.environ, "OPSCTL_SERVERS_CACHE": str(tmp_path / "empty")}
    command = [sys.executable, "-m", "tests.demo_real"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("demo-real needs real servers that are not there: prometheus 3.16")
    assert line.endswith("get them with: make servers")
