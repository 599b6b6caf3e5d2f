"""The fixtures of real servers: they start, hold a past, and end."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors.prometheus import PrometheusSource
from opsctl.core.signals import Measured
from opsctl.http import Endpoint
from tests.servers import making
from tests.servers.build import Missing, Server, build
from tests.servers.fixtures import StartPrometheus

ROOT = Path(__file__).parent.parent.parent

HISTORY = """# TYPE demo_level gauge
demo_level{service="wallet"} 1 1700000000
demo_level{service="wallet"} 2 1700000060
# EOF
"""


@pytest.mark.parametrize("version", ["3.16", "2.42"])
def test_a_server_answers_from_the_past_that_it_was_given(start_prometheus: StartPrometheus, version: str) -> None:
    """A history that is years old is neither deleted by retention nor out of reach."""
    running = start_prometheus(HISTORY, version)
    source = PrometheusSource(Endpoint(running.url))
    reading = source.instant("demo_level", datetime.fromtimestamp(1700000060, UTC), 5)
    source.close()
    assert isinstance(reading, Measured)
    assert reading.data.samples[0].value == 2


def test_stop_ends_the_process_and_removes_its_data(start_prometheus: StartPrometheus) -> None:
    """`stop()` leaves no process and no folder, and the next call of the fixture starts another server."""
    running = start_prometheus("# TYPE demo_other gauge\ndemo_other 1 1700000000\n", "3.16")
    running.stop()
    assert not running.folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(running.process.pid, 0)


def test_versions_are_what_they_say(prometheus: object) -> None:
    """Both versions are asked by whoever takes the fixture `prometheus`."""
    assert prometheus


def row(make: object, lacking: object = lambda: None) -> Server:
    """A server of one shell script."""
    return Server("toy", "1", ("toy",), make, lacking, "no time")  # type: ignore[arg-type]


def script(folder: Path, text: str = "#!/bin/sh\nexit 0\n") -> None:
    """What a maker makes."""
    (folder / "bin" / "toy").write_text(text)
    (folder / "bin" / "toy").chmod(0o755)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of servers."""
    monkeypatch.setattr(making, "_CACHE", tmp_path / "servers")
    return tmp_path / "servers"


def test_a_server_is_made_once(cache: Path) -> None:
    """The second call finds it; its programs are where tests look for them."""
    made: list[Path] = []
    toy = row(lambda folder: (made.append(folder), script(folder)))
    build(toy)
    build(toy)
    assert len(made) == 1
    assert toy.program("toy") == cache / "toy-1" / "bin" / "toy"


def test_an_interrupted_build_is_never_taken_for_a_good_one(cache: Path) -> None:
    """Half a build, a program that does not run, and what a killed build left behind: none of them is a server."""

    def dies(folder: Path) -> None:
        script(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(row(dies))
    with pytest.raises(Missing, match="toy --version failed"):
        build(row(lambda folder: script(folder, "#!/bin/sh\necho no good >&2; exit 1\n")))
    assert not row(script).there
    (cache / ".making-toy-1-killed" / "bin").mkdir(parents=True)
    (cache / "toy-1").mkdir()  # a folder without its program
    build(row(script))
    assert row(script).there
    assert sorted(one.name for one in cache.iterdir()) == [".toy-1.lock", "toy-1"]


def test_what_is_lacking_is_the_reason(cache: Path) -> None:
    """Neither building nor looking for a program hides why it is not there."""
    for call in (build, lambda toy: toy.program("toy")):
        with pytest.raises(Missing, match=r"^no Go$"):
            call(row(script, lambda: "no Go"))
    with pytest.raises(Missing, match="make servers"):
        row(script).program("toy")


@pytest.mark.parametrize(
    ("ci", "last", "code"),
    [("", "0 passed, 0 failed, 1 skipped (no Go: 1)", 0), ("true", "0 passed, 1 failed, 0 skipped", 1)],
)
def test_skips_are_counted_by_reason_and_fail_in_ci(tmp_path: Path, ci: str, last: str, code: int) -> None:
    """A missing server is the last line's business, and in CI a failure."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "bin").mkdir()
    test = "tests/integration/test_real_servers.py::test_stop_ends_the_process_and_removes_its_data"
    env = {**os.environ, "CI": ci, "OPSCTL_SERVERS_CACHE": str(tmp_path / "cache"), "PATH": str(tmp_path / "bin")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", test],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == last, done.stdout + done.stderr
    assert done.returncode == code
