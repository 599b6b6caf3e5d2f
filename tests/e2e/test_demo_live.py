"""`opsctl demo --live` as somebody types it: pages to scrape, faults on a line of stdin, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

COMMAND = [sys.executable, "-m", "opsctl", "demo", "--live"]


def get(url: str) -> str:
    """The body of a GET."""
    with urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


@pytest.fixture
def live(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The platform, alive, sending spans to a port where nobody listens."""
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        [*COMMAND, "--otlp", "http://127.0.0.1:9"],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=20)


def test_it_lives_is_scraped_breaks_on_demand_and_ends(live: subprocess.Popen[str]) -> None:
    """Its page and targets answer, a fault begins by name and a wrong one is said, the dead collector is one line, and
    Ctrl-C is exit 0."""
    assert live.stdout is not None
    assert live.stdin is not None
    first = live.stdout.readline()
    address = first.split("Metrics: ")[1].split("/metrics")[0]
    while not live.stdout.readline().startswith("Ctrl-C"):
        pass
    assert 'gaming_wallet_operations_total{op="debit",region="eu-1"' in get(f"{address}/metrics")
    targets = json.loads(get(f"{address}/targets"))
    assert len(targets) == 34
    path = targets[0]["labels"]["__metrics_path__"]
    assert get(f"http://{targets[0]['targets'][0]}{path}")
    live.stdin.write("nonsense\nservice-silent\n")
    live.stdin.flush()
    said = [live.stdout.readline(), live.stdout.readline()]
    assert said[0].startswith("unknown fault 'nonsense'; known: promo-surge")
    assert "opsctl runbook run ServiceSilent" in said[1]
    time.sleep(2)
    live.send_signal(signal.SIGINT)
    _, errors = live.communicate(timeout=60)
    assert live.returncode == 0
    (line,) = errors.splitlines()
    assert line.startswith("opsctl: OTLP http://127.0.0.1:9 does not take what the platform sends")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["demo", "--otlp", "http://127.0.0.1:4318"], "need --live"),
        (["demo", "--live", "--otlp", "127.0.0.1:4318"], "--otlp: expected scheme, host and port"),
        (["demo", "--live", "--elasticsearch", "http://u:secret@127.0.0.1:9200"], "--elasticsearch: expected scheme"),
        (["demo", "--live", "--elasticsearch", "http://127.0.0.1"], "such as http://127.0.0.1:9200"),
    ],
)
def test_wrong_flags_are_one_line(argv: list[str], words: str) -> None:
    """Exit 2, what was expected, and no secret."""
    command = [sys.executable, "-m", "opsctl", *argv]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert done.stdout == ""
