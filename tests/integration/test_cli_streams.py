"""What a shell, cron and CI do to the standard streams of `opsctl`: the verdict survives, nothing crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.integration.test_bad_prometheus import ok
from tests.integration.test_bad_prometheus_check import CATALOGUE, SLO
from tests.servers.misbehaving import Exchange, Misbehaving

LABEL = "\u202e\x9b31m\U0001f600×"


def burning(exchange: Exchange) -> None:
    """One in ten operations fails, in every window; `odd` is a series with an odd label."""
    if b"query_range" in exchange.head:
        exchange.answer(ok([], "matrix"))
    elif b"odd" in exchange.body:
        exchange.answer(ok([{"metric": {"v": LABEL}, "value": [1, "1"]}]))
    else:
        exchange.answer(ok([{"metric": {}, "value": [1, "1000" if b"error" in exchange.body else "10000"]}]))


def healthy(exchange: Exchange) -> None:
    """No operation fails."""
    if b"query_range" in exchange.head:
        exchange.answer(ok([], "matrix"))
    else:
        exchange.answer(ok([{"metric": {}, "value": [1, "0" if b"error" in exchange.body else "10000"]}]))


@pytest.fixture
def home(fixed_home: Path) -> Iterator[Path]:
    """A folder with one SLO that burns."""
    server = Misbehaving(burning)
    yield folder(fixed_home, server)
    server.stop()


@pytest.fixture
def well(fixed_home: Path) -> Iterator[Path]:
    """A folder with one SLO that holds."""
    server = Misbehaving(healthy)
    yield folder(fixed_home, server)
    server.stop()


def folder(home: Path, server: Misbehaving) -> Path:
    (home / "rules").mkdir()
    (home / "rules" / "wallet.slo.yaml").write_text(SLO)
    (home / "services.yaml").write_text(CATALOGUE)
    (home / "opsctl.toml").write_text(
        'default_context = "t"\n[contexts.t]\nnamespace = "t"\nstate_dir = "state"\ncatalogue = "services.yaml"\n'
        f'rules = ["rules/"]\nrunbooks = []\n[contexts.t.prometheus]\nurl = "{server.url}"\n'
    )
    return home


def shell(home: Path, line: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `opsctl` is the one under test."""
    script = f'opsctl() {{ "{sys.executable}" -m opsctl "$@"; }}; set -o pipefail; {line}'
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        ["bash", "-c", script],
        cwd=home,
        env={"HOME": str(home), "PATH": path, "PYTHONPATH": str(Path(__file__).parents[2]), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("output", ["table", "plain", "json", "junit", "nagios", "markdown", "github", "openmetrics"])
def test_a_reader_that_leaves_takes_no_verdict_with_it(home: Path, output: str) -> None:
    """`opsctl check | true` under pipefail is the breach, not a pass."""
    done = shell(home, f"opsctl check -o {output} | true")
    assert done.returncode == 1, done
    assert done.stderr == b""


def test_a_reader_that_leaves_is_no_failure_where_all_is_well(well: Path) -> None:
    """Exit 0, and not the 1 of click."""
    assert shell(well, "opsctl check -o json | true").returncode == 0
    assert shell(well, "opsctl incident ls | true").returncode == 0


def test_a_full_disk_behind_stdout_is_no_pass(well: Path) -> None:
    """A pass that nobody could be told is unknown; one line says why."""
    done = shell(well, "opsctl check > /dev/full")
    assert done.returncode == 3
    assert done.stderr.decode().splitlines() == [
        "opsctl: stdout cannot be written: No space left on device; the result is lost"
    ]


@pytest.mark.parametrize("output", ["plain", "json"])
def test_a_full_disk_behind_stdout_keeps_the_breach(home: Path, output: str) -> None:
    """Exit 1 stays exit 1."""
    assert shell(home, f"opsctl check -o {output} > /dev/full").returncode == 1


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-", "2> /dev/full"])
def test_closed_streams_change_no_verdict(home: Path, streams: str) -> None:
    """A daemon's child may have none of the three."""
    done = shell(home, f"opsctl check {streams}")
    assert done.returncode == 1, done
    assert b"bug" not in done.stderr


@pytest.mark.parametrize("command", ["", "--help", "incident ls", "config validate", "rule ls"])
def test_commands_without_stdout(home: Path, command: str) -> None:
    """Exit 0 and silence."""
    done = shell(home, f"opsctl -q {command} >&-" if command != "--help" else "opsctl --help >&-")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("source", ["</dev/null", "<&-", "<<< ''"])
@pytest.mark.parametrize("command", ["check", "status", "rule ls"])
def test_an_empty_list_of_services_is_no_pass(home: Path, command: str, source: str) -> None:
    """`-` without a name evaluates nothing: exit 2, not 0."""
    done = shell(home, f"opsctl {command} - {source}")
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"stdin named no service" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
@pytest.mark.parametrize(
    "command",
    [
        "check -o table",
        "check -o nagios",
        "check -o markdown",
        "status -o table",
        "config validate",
        "metric query odd",
    ],
)
def test_an_encoding_without_glyphs_crashes_nothing(home: Path, command: str, encoding: str) -> None:
    """The words stay; what cannot be written is shown plainer."""
    done = shell(home, f"opsctl {command}", PYTHONIOENCODING=encoding)
    assert done.returncode == (1 if "-o" in command else 0), done
    assert b"bug" not in done.stderr
    if command == "check -o table":
        assert b" FAIL" in done.stdout


def test_json_and_xml_are_whole_in_any_encoding(home: Path) -> None:
    """Escaped where the encoding lacks the character, and equal when read."""
    plain = json.loads(shell(home, "opsctl check --json").stdout)
    poor = shell(home, "opsctl check --json", PYTHONIOENCODING="ascii").stdout
    assert poor.isascii()
    assert json.loads(poor)["verdicts"][0]["headline"] == plain["verdicts"][0]["headline"]
    assert "×" in plain["verdicts"][0]["headline"]
    xml = shell(home, "opsctl check -o junit", PYTHONIOENCODING="latin-1").stdout
    failure = next(ET.fromstring(xml).iter("failure"))
    assert failure.get("message") == plain["verdicts"][0]["headline"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_sends_no_invisible_character_to_a_terminal(home: Path, encoding: str) -> None:
    """C1 controls and direction marks are escaped; the value is the same."""
    out = shell(home, "opsctl metric query odd --json", PYTHONIOENCODING=encoding).stdout
    assert json.loads(out)["samples"][0]["labels"]["v"] == LABEL
    assert "\u202e" not in out.decode()
    assert "\x9b" not in out.decode()


def test_a_reader_that_leaves_costs_no_file(home: Path) -> None:
    """The evidence and the report of CI are there though nobody read stdout."""
    done = shell(home, "opsctl check -o table -o junit=a.xml --evidence e.json | true")
    assert done.returncode == 1
    assert (home / "a.xml").read_bytes().endswith(b"</testsuites>\n")
    assert shell(home, "opsctl check --replay e.json > /dev/full").returncode == 1


@pytest.mark.parametrize("output", ["json", "junit", "github", "markdown", "openmetrics"])
def test_a_rule_file_whose_name_is_no_text(home: Path, output: str) -> None:
    """Linux takes any bytes for a name; every format and the evidence show what they can."""
    os.rename(home / "rules" / "wallet.slo.yaml", os.fsencode(home / "rules") + b"/\xff.slo.yaml")
    done = shell(home, f"opsctl check -o {output} --evidence e.json")
    assert (done.returncode, done.stderr) == (1, b"")
    assert shell(home, f"opsctl -q check -o {output} --replay e.json").returncode == 1


def test_a_folder_that_is_gone(home: Path) -> None:
    """One line, exit 2; an absolute --config works from there."""
    lost = 'mkdir gone; cd gone; rmdir "$PWD";'
    done = shell(home, f"{lost} opsctl check")
    assert done.returncode == 2
    assert b"the current folder is gone" in done.stderr
    assert shell(home, f"{lost} opsctl --config {home}/opsctl.toml check").returncode == 1


def test_another_broken_pipe_is_no_pass(well: Path) -> None:
    """A socket that breaks in the middle of a command, while stdout is fine, is not "the reader left"."""
    code = (
        "import sys, opsctl.schedule as s\n"
        "def broken(*a, **k): raise BrokenPipeError(32, 'Broken pipe')\n"
        "s.run_once = broken\n"
        "from opsctl.cli.main import main\n"
        "sys.exit(main(['check']))"
    )
    (well / "broken.py").write_text(code)
    done = shell(well, f'"{sys.executable}" broken.py | cat')
    assert done.returncode == 70, done
    assert b"BrokenPipeError" in done.stderr


def test_ctrl_c_says_so(fixed_home: Path) -> None:
    """Exit 130 and one line, in the middle of a question that hangs."""
    server = Misbehaving(lambda exchange: exchange.hold())
    process = subprocess.Popen(
        [sys.executable, "-m", "opsctl", "check"],
        cwd=folder(fixed_home, server),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not server.requests and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    server.stop()
    assert (process.returncode, told) == (130, b"opsctl: interrupted\n")
