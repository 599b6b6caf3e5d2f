"""Starts a real server on free loopback ports, waits for it, and ends it by pid, whatever becomes of the test run.

Must never end a process that it did not start.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

START_SECONDS = 30
STOP_SECONDS = 5
ATTEMPTS = 3

# Reads from a pipe that only the test run holds: its end without a word means that the run was killed.
_GUARD = 'read -r _ && exit; kill -9 "-$1" 2>/dev/null; sleep 0.2; rm -rf "$2"'


@dataclass(frozen=True)
class Launch:
    """How to start one server: its command, its base URL, and how to see that it answers."""

    command: list[str]
    url: str
    ready: Callable[[], bool]
    ports: Mapping[str, int] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None  # the uid and gid to run as; only root can ask for it


@dataclass
class Running:
    """A server that answers; `stop()` ends it."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    stopped: bool = field(default=False)
    guard: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def stop(self) -> None:
        """End the process by its pid and remove its data."""
        if self.stopped:
            return
        self.stopped = True
        _end(self.process)
        if self.guard is not None and self.guard.stdin is not None:
            with contextlib.suppress(OSError):
                self.guard.stdin.write(b"\n")
                self.guard.stdin.close()
            self.guard.wait(STOP_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.stop)

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return (self.folder / "log").read_text(errors="replace")


R = TypeVar("R", bound=Running)


def start(kind: type[R], name: str, plan: Callable[[Path], Launch], seconds: float = START_SECONDS) -> R:
    """Start what `plan(folder)` says, in a temporary folder; raises `Missing`, or RuntimeError with the log's end."""
    folder = Path(tempfile.mkdtemp(prefix=f"opsctl-{name.split()[0]}-"))
    try:
        for _ in range(ATTEMPTS):  # somebody may take a free port in between
            running = _launch(kind, plan(folder), folder, seconds)
            if running is not None:
                atexit.register(running.stop)
                return running
        raise RuntimeError(f"{name} does not start: {_tail(folder / 'log')}")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _launch(kind: type[R], launch: Launch, folder: Path, seconds: float) -> R | None:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            launch.command,
            cwd=folder,
            env={**os.environ, **launch.env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=launch.user,
            group=launch.user,
            extra_groups=None if launch.user is None else [],
        )
    try:
        guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", str(process.pid), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        running = kind(launch.url, process, folder, dict(launch.ports), guard=guard)
        until = time.monotonic() + seconds
        while time.monotonic() < until and process.poll() is None:
            if launch.ready():
                return running
            time.sleep(0.02)
    except BaseException:
        _end(process, signal.SIGKILL)
        raise
    _end(process, signal.SIGKILL)
    if guard.stdin is not None:
        guard.stdin.write(b"\n")
        guard.stdin.close()
    guard.wait(STOP_SECONDS)
    return None


def _end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """End a process that leads its own group; what is left of the group after it is killed."""
    if process.poll() is None:
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)


def answers(url: str, headers: Mapping[str, str] | None = None) -> bool:
    """Whether a GET of a loopback URL is answered with 200 now."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""), headers=dict(headers or {}))
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a loopback port now."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    return free_ports("one")["one"]


def free_ports(*names: str) -> dict[str, int]:
    """Different loopback TCP ports that nobody listens on now, by name."""
    with contextlib.ExitStack() as stack:
        ports: dict[str, int] = {}
        for name in names:
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports[name] = int(probe.getsockname()[1])
        return ports


def link_or_copy(one: str, other: str) -> None:
    """The same file in another place: linked where the file system allows, for nobody writes to it."""
    try:
        os.link(one, other)
    except OSError:
        shutil.copy2(one, other)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:] if log.exists() else "no log"
