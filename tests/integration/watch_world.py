"""A watch as a process of its own, on a real Prometheus behind a gate and on the local PagerDuty."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty

ROOT = Path(__file__).resolve().parents[2]
KEY = "00000000000000000000000000000abc"
TOKEN = "a-token-of-the-rest-api"
PATIENCE_SECONDS = 25.0
ALERTS = """groups:
- name: wallet
  rules:
  - {{alert: WalletDown, expr: 'wallet_up == {down}', labels: {{severity: page, service: wallet}}, annotations: {{summary: wallet is down}}}}
"""
SILENCE = """silences:
- id: move
  owner: ana
  reason: the wallet moves
  matchers: ['service="wallet"']
  starts: {starts}
  ends: {ends}
"""


def history() -> str:
    """A wallet that is down, from ten minutes ago until in ten minutes."""
    now = round(datetime.now(UTC).timestamp())
    lines = [f'wallet_up{{service="wallet"}} 0 {now + 15 * i}' for i in range(-40, 41)]
    return "\n".join(["# TYPE wallet_up gauge", *lines, "# EOF\n"])


class Gate:
    """A port in front of a server that can be closed (refused) or stuck (taken, and never answered)."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._stuck = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.connections += 1
                self._open.add(client)
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
            self._pump(client, server)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                while self._stuck.is_set():
                    time.sleep(0.02)
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)

    def stick(self) -> None:
        """Nothing goes through any more, and nothing is refused."""
        self._stuck.set()

    def shut(self) -> None:
        """Refuse, and cut what is open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # else who waits in accept() takes one more
        self._listener.close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def open(self) -> None:
        """All goes through again."""
        self._stuck.clear()
        if self._listener.fileno() == -1:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._listen()


class Home:
    """A folder with a configuration of one page; `pager` is where events go."""

    def __init__(self, folder: Path, prometheus: int, pager: str, *, rest: bool = False) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "rules").mkdir()
        (folder / "services.yaml").write_text("services:\n  - {name: wallet, tier: 1, team: money}\n")
        for name, text in (("key", KEY), ("token", TOKEN)):
            (folder / name).touch(0o600)
            (folder / name).write_text(text)
        self.alerts(0)
        more = f'rest_url = "{pager}"\nrest = {{ token_file = "token", from = "ana@example.com" }}\n' if rest else ""
        self.text = (
            'default_context = "prod"\n[contexts.prod]\nnamespace = "prod"\nstate_dir = "state"\n'
            'catalogue = "services.yaml"\nrules = ["rules/"]\nrunbooks = []\n'
            f'[contexts.prod.prometheus]\nurl = "http://127.0.0.1:{prometheus}"\n'
            '[contexts.prod.limits]\nrequest = "1s"\ncycle = "2s"\nsend = "2s"\n'
            '[contexts.prod.paging]\nhold_open = "0s"\n'
            f'[contexts.prod.pagerduty]\nevents_url = "{pager}"\nrouting_keys = {{ default = {{ token_file = "key" }} }}\n'
            f"{more}"
        )
        self.configure(self.text)

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "opsctl.toml"

    def configure(self, text: str) -> None:
        """Replace the configuration the way that an editor does."""
        fresh = self.folder / "opsctl.toml.new"
        fresh.write_text(text)
        fresh.rename(self.config)

    def alerts(self, down: int) -> None:
        """The wallet is down where its metric is `down`; it is 0."""
        (self.folder / "rules" / "wallet.rules.yaml").write_text(ALERTS.format(down=down))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the journal says."""
        with contextlib.closing(sqlite3.connect(self.folder / "state" / "journal.sqlite3", timeout=10)) as db:
            return db.execute(query).fetchall()

    def check(self) -> subprocess.CompletedProcess[str]:
        """What cron does."""
        command = [
            sys.executable,
            "-m",
            "opsctl",
            "--config",
            str(self.config),
            "-q",
            "check",
            "--notify",
            "-o",
            "plain",
        ]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


class Watch:
    """One `opsctl watch`, once a second unless told otherwise."""

    def __init__(self, home: Home, *words: str, launcher: Sequence[str] = (), **env: str) -> None:
        self.log = home.folder / f"log-{time.monotonic_ns()}"
        arguments = ["--config", str(home.config), "watch", "--interval", "1s", "--listen", "127.0.0.1:0", *words]
        command = [sys.executable, "-m", "tests.integration.watch_launcher", *launcher, "--", *arguments]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **env}
            )
        self.address = self.until(lambda: re.search(r"listen=(\S+)", self.said), "it listens")[1]

    @property
    def said(self) -> str:
        """Everything on its stderr and stdout."""
        return self.log.read_text()

    def page(self, path: str, **headers: str) -> tuple[int, bytes]:
        """One of its pages."""
        host, _, port = self.address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def health(self, path: str) -> tuple[int, dict[str, Any]]:
        """/healthz or /readyz."""
        status, body = self.page(path)
        return status, json.loads(body)

    def number(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; NaN where there is none."""
        found = [
            float(line.rpartition(" ")[2])
            for line in self.page("/metrics")[1].decode().splitlines()
            if re.match(rf"{name}[{{ ]", line) and all(f'{key}="{value}"' in line for key, value in labels.items())
        ]
        return sum(found) if found else float("nan")

    def until(self, true: Callable[[], Any], what: str) -> Any:
        """Wait for something, and give it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = true()
            if found:
                return found
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.said}"
            time.sleep(0.05)
        raise AssertionError(f"not within {PATIENCE_SECONDS:g} s: {what}\n{self.said[-3000:]}")

    def runs(self, count: int) -> None:
        """Wait for so many more whole runs."""
        goal = self.number("opsctl_cycles_total", outcome="completed") + count
        self.until(lambda: self.number("opsctl_cycles_total", outcome="completed") >= goal, f"{count} more runs")

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it, and what it exited with."""
        self.process.send_signal(how)
        return self.process.wait(15)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *wrong: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


@contextlib.contextmanager
def local_pagerduty(folder: Path, **options: Any) -> Iterator[LocalPagerDuty]:
    """One that knows our key and token."""
    server = start_local_pagerduty(folder / "pagerduty.sqlite3", {"money": KEY}, tokens={"opsctl": TOKEN}, **options)
    try:
        yield server
    finally:
        server.stop()


def incidents(server: LocalPagerDuty) -> list[tuple[str, int]]:
    """Status and the number of triggers of each incident."""
    with urllib.request.urlopen(f"{server.address}/_incidents", timeout=5) as answer:
        return [(one["status"], one["alerts"]) for one in json.loads(answer.read())["incidents"]]


def silence(since: timedelta, until: timedelta) -> str:
    """A silences.yaml that takes the wallet's page."""
    now = datetime.now(UTC)
    return SILENCE.format(starts=f"{now + since:%Y-%m-%dT%H:%M:%SZ}", ends=f"{now + until:%Y-%m-%dT%H:%M:%SZ}")
