"""No secret in what the operating system shows of a process, in what is left of one that ended badly, or in telemetry.

Command lines and environments of opsctl and its children, a crash with and without --debug, kill -9 in the middle of a
request, and `opsctl watch` with its metrics and its log.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.canaries import echoes, leaks, shown, told
from tests.integration.test_canaries_paging import SECRETS, Place
from tests.servers.misbehaving import Exchange, Misbehaving

ROOT = Path(__file__).resolve().parents[2]
FROM_ENVIRONMENT = {"by_env": "Can4ryEnv1ronmentKeyOf32Chars012"}
FROM_COMMAND = {"by_command": "Can4ryC0mmandKey0fTheCommand32Ch"}
OTLP = {"otlp": "Can4ry-otlp-header+6/", "otlp_url": "Can4ry-otlp-user-7"}
EVERYTHING = {**SECRETS, **FROM_ENVIRONMENT, **FROM_COMMAND, **OTLP}
ONE = 'C4nary of "one"/step\\n+=%ü'
RUNBOOK = """\
---
runbook: Look
version: 1
title: Look around
owner: money
services: [wallet]
severity: page
secrets: {one: {token_file: one}}
review_by: 2099-01-01
---
# Look around

## Look

```bash
#| id: with-it
#| mutates: none
#| secrets: one
env | tee HOME_FOLDER/step-a
printf %s "$OPS_ONE" | base64 -w 0
```

```bash
#| id: without-it
#| mutates: none
env | tee HOME_FOLDER/step-b
```
"""
BREAKS = """
import sys
from opsctl.adapters.journal.outbox import OutboxTable
from opsctl.cli.main import main

def settle(self, row, delivery, at):
    raise ValueError("injected")

OutboxTable.settle = settle  # right after a request
sys.argv = ["opsctl", *sys.argv[1:]]
sys.exit(main())
"""
BREAKS_IN_SINKS = """
import sys
from base64 import b64encode
from urllib.parse import quote
from opsctl.adapters.sinks import pagerduty_transport, posting
from opsctl.cli.main import main

def ready(self, secret, timeout_seconds):
    quoted = quote(secret, safe="")
    raise ValueError(f"{secret} {secret!r} {quoted} {b64encode(secret.encode())}")  # what a library says of its arguments

real = posting.Client._headers

def headers(self, more, packed):
    if self.endpoint.authorization is None:  # Prometheus
        return real(self, more, packed)
    raise ValueError(f"{self.endpoint.authorization()} {self.endpoint.headers} {more}")

pagerduty_transport.Transport._ready = ready
posting.Client._headers = headers
sys.argv = ["opsctl", *sys.argv[1:]]
sys.exit(main())
"""


class Machine(Place):
    """The same folder; one routing key comes from a command and one from the environment."""

    def __init__(self, home: Path, behave: object) -> None:
        super().__init__(home, behave)  # type: ignore[arg-type]
        give = home / "give.sh"
        give.write_text('#!/bin/sh\nenv > "$0.environ"\ncat "$(dirname "$0")/given"\n')
        give.chmod(0o700)
        (home / "given").touch(0o600)
        (home / "given").write_text(FROM_COMMAND["by_command"])
        config = home / "opsctl.toml"
        text = config.read_text().replace('{ token_file = "default_key" }', '{ token_env = "PAGER_KEY" }')
        config.write_text(text.replace('{ token_file = "team_key" }', f'{{ token_command = "{give}" }}'))
        self.otlp = Misbehaving(lambda exchange: exchange.answer(b"", "200 OK", "text/plain"))
        self.env = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PAGER_KEY": FROM_ENVIRONMENT["by_env"],
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp.url.replace("http://", f"http://u:{OTLP['otlp_url']}@"),
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-otlp={OTLP['otlp']}",
        }

    def start(self, *words: str, code: str = "") -> subprocess.Popen[bytes]:
        program = ["-c", code] if code else ["-m", "opsctl"]
        pipe = subprocess.PIPE
        command = [sys.executable, *program, *words]
        return subprocess.Popen(command, cwd=self.home, env=self.env, stdin=pipe, stdout=pipe, stderr=pipe)

    def run(self, *words: str, code: str = "") -> tuple[int, bytes, bytes]:
        process = self.start(*words, code=code)
        out, err = process.communicate(timeout=60)
        for name, data in (("stdout", out), ("stderr", err)):
            found = leaks(data, EVERYTHING)
            assert not found, f"{found} in {name} of {words}: {shown(data, EVERYTHING, found)}"
        return process.returncode, out, err

    def look_at_files(self) -> None:
        """Everything but the secrets themselves and the configuration."""
        own = {*SECRETS, "given", "opsctl.toml", "give.sh.environ"}
        for file in self.home.rglob("*"):
            if file.is_file() and file.name not in own:
                found = leaks(file.read_bytes(), EVERYTHING)
                assert not found, f"{found} in {file}: {shown(file.read_bytes(), EVERYTHING, found)}"

    def look_at_telemetry(self) -> None:
        assert self.otlp.requests
        for sent in self.otlp.requests:
            assert leaks(sent.partition(b"\r\n\r\n")[2], EVERYTHING) == set()

    def stop(self) -> None:
        super().stop()
        self.otlp.stop()


@pytest.fixture
def machine(fixed_home: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    made = Machine(fixed_home, getattr(request, "param", echoes("400 Bad Request")))
    yield made
    made.stop()


def processes() -> dict[int, tuple[bytes, bytes]]:
    """Command line and environment of every process that we may look at."""
    found: dict[int, tuple[bytes, bytes]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found[int(folder.name)] = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")
def test_no_process_shows_a_secret_while_pages_are_sent(machine: Machine) -> None:
    """Looked at by each far side while it holds a request; the command that gives a key looks at itself."""
    seen: list[dict[int, tuple[bytes, bytes]]] = []

    def look(exchange: Exchange) -> None:
        seen.append(processes())
        echoes("202 Accepted")(exchange)

    for side in machine.sides.values():
        side.behave = look
    process = machine.start("check", "--notify")
    process.communicate(timeout=60)
    assert any(process.pid in one for one in seen)
    for one in seen:
        for pid, (command, environment) in one.items():
            assert leaks(command, EVERYTHING) == set(), f"the command line of {pid}"
            if pid == process.pid or b"PAGER_KEY" in environment:
                assert leaks(environment, {**SECRETS, **FROM_COMMAND}) == set(), f"the environment of {pid}"
    given = (machine.home / "give.sh.environ").read_bytes()
    assert b"HOME=" in given
    assert leaks(given, {**SECRETS, **FROM_COMMAND}) == set()


def test_a_runbook_step_gets_the_secrets_that_it_names_and_no_other(machine: Machine) -> None:
    """Neither those of files nor the one that is in opsctl's own environment."""
    folder = machine.home / "runbooks"
    folder.mkdir()
    (folder / "one").touch(0o600)
    (folder / "one").write_text(ONE)
    (folder / "look.md").write_text(RUNBOOK.replace("HOME_FOLDER", str(machine.home)))
    config = machine.home / "opsctl.toml"
    config.write_text(config.read_text().replace("runbooks = []", 'runbooks = ["runbooks/"]'))
    code, out, err = machine.run("runbook", "run", "Look", "--auto", "-o", "json")
    assert code == 0, err
    told_by_steps = [(machine.home / name).read_bytes() for name in ("step-a", "step-b")]
    assert ONE.encode() in told_by_steps[0]
    assert ONE.encode() not in told_by_steps[1]
    for said in told_by_steps:
        assert b"PATH=" in said
        assert leaks(said, EVERYTHING) == set()
    assert leaks(out + err, {"one": ONE}) == set()
    assert b"[redacted]" in out
    for file in (machine.home / "state").iterdir():
        assert leaks(file.read_bytes(), {"one": ONE}) == set(), file


@pytest.mark.parametrize("debug", [False, True], ids=["", "--debug"])
def test_a_crash_shows_no_secret(machine: Machine, debug: bool) -> None:
    """A bug right after a request: exit 70, one line or a traceback, neither with locals nor with the request."""
    words = (*(("--debug",) if debug else ()), "check", "--notify")
    code, _, err = machine.run(*words, code=BREAKS)
    assert b"injected" in err
    assert (b"Traceback" in err) is debug
    assert code == 70
    assert b"routing_key" not in err
    machine.look_at_files()
    machine.look_at_telemetry()


def test_an_exception_whose_text_holds_a_secret_is_not_repeated(machine: Machine) -> None:
    """Libraries say what they were given; a sink that breaks so stops neither the others nor the run."""
    code, _, err = machine.run("check", "--notify", code=BREAKS_IN_SINKS)
    assert code == 5
    assert b"ValueError" in err
    assert b"Traceback" not in err
    for words in (
        ("incident", "ls", "-o", "json"),
        ("incident", "timeline", "#1"),
        ("incident", "why-not"),
        ("doctor",),
    ):
        machine.run(*words, code=BREAKS_IN_SINKS)
    machine.look_at_files()
    machine.look_at_telemetry()


def test_kill_9_in_the_middle_of_a_request_leaves_no_secret_on_disk(machine: Machine) -> None:
    """The journal, its WAL as it is at that moment, the locks; then again after the next run."""
    held = threading.Event()

    def hold(exchange: Exchange) -> None:
        if told(exchange):
            held.set()
        exchange.hold(20)

    for side in machine.sides.values():
        side.behave = hold
    process = machine.start("check", "--notify")
    assert held.wait(30)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    assert (machine.home / "state" / "journal.sqlite3-wal").stat().st_size
    machine.look_at_files()
    for side in machine.sides.values():
        side.behave = echoes("500 Internal Server Error")
    machine.run("check", "--notify")
    machine.look_at_files()


def test_watch_tells_no_secret_in_its_log_its_metrics_or_its_health(machine: Machine) -> None:
    """Until every sink was asked, then one look at all that it serves, then SIGTERM."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = machine.start("watch", "--interval", "10s", "--listen", f"127.0.0.1:{port}")
    try:
        until = time.monotonic() + 40
        while time.monotonic() < until and not all(side.requests for side in machine.sides.values()):
            time.sleep(0.1)
        assert all(side.requests for side in machine.sides.values())
        for path in ("/metrics", "/healthz", "/readyz", "/", "/nothing"):
            said = fetched(f"http://127.0.0.1:{port}{path}")
            found = leaks(said, EVERYTHING)
            assert not found, f"{found} in {path}"
            assert said, path
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=40)
    for name, data in (("stdout", out), ("stderr", err)):
        found = leaks(data, EVERYTHING)
        assert not found, f"{found} in {name}: {shown(data, EVERYTHING, found)}"
    assert err
    machine.look_at_files()
    machine.look_at_telemetry()


def fetched(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(str(answer.headers), "latin-1") + answer.read()
    except urllib.error.HTTPError as refused:
        return bytes(str(refused.headers), "latin-1") + refused.read()
