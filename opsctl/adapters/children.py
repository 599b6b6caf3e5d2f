"""One bash script as a process group of its own: no inherited environment, limits, a deadline, capped output.

The script runs with `-euo pipefail` in an empty temporary folder. When it ends, or when its time is over, the whole
group goes: TERM, and KILL after 5 s. Must never put a secret into argv; a process that leaves its group by `setsid` is
out of reach.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import field
from pathlib import Path

from opsctl.adapters.redact import Redactor
from opsctl.core.frozen import dataclass
from opsctl.core.runbooks import OUTPUT_LIMIT_BYTES

GRACE_SECONDS = 5.0
_AFTER_EXIT_SECONDS = 1.0  # for what is still in the pipes when the script has ended
_LIMITS = (
    "ulimit -c 0; ulimit -f 204800; ulimit -n 256; ulimit -t {cpu}; "
    'exec "$BASH" --noprofile --norc -euo pipefail ./step.sh'
)


@dataclass
class Capped:
    """A stream's first bytes, redacted; the rest is read, counted and dropped."""

    redactor: Redactor
    limit: int = OUTPUT_LIMIT_BYTES
    kept: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def feed(self, chunk: bytes) -> None:
        """Take a chunk."""
        self._keep(self.redactor.feed(chunk))

    def text(self) -> str:
        """Everything kept, and a note where something is missing."""
        self._keep(self.redactor.flush())
        text = self.kept.decode("utf-8", "replace")
        return text + (f"\n[{self.dropped} more bytes were dropped]" if self.dropped else "")

    def _keep(self, data: bytes) -> None:
        room = self.limit - len(self.kept)
        self.kept += data[:room]
        self.dropped += max(0, len(data) - room)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a script ended; `exit_code` is None when its time was over."""

    exit_code: int | None
    stdout: str
    output: str  # stdout and stderr as they came


def run_script(text: str, environment: Mapping[str, str], timeout_seconds: float, secrets: Iterable[str] = ()) -> Ended:
    """Run a script to its end or its deadline; OSError where bash cannot be started."""
    folder = tempfile.mkdtemp(prefix="opsctl-step-")
    try:
        Path(folder, "step.sh").write_text(text, encoding="utf-8", errors="surrogateescape")
        command = ["bash", "--noprofile", "--norc", "-c", _LIMITS.format(cpu=max(1, round(timeout_seconds) + 5))]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.environ.get("PATH", os.defpath), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            return _follow(process, timeout_seconds, tuple(secrets))
        finally:
            _end(process, 0.0)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _follow(process: subprocess.Popen[bytes], timeout_seconds: float, secrets: tuple[str, ...]) -> Ended:
    stdout, output = Capped(Redactor(secrets)), Capped(Redactor(secrets))
    deadline = time.monotonic() + timeout_seconds
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, pipe is process.stdout)
        in_time = _drain(process, selector, stdout, output, deadline)
        if not in_time:
            _signal(process, signal.SIGTERM)
            _drain(process, selector, stdout, output, time.monotonic() + GRACE_SECONDS)
        _end(process, 0.0)
        _drain(process, selector, stdout, output, time.monotonic() + _AFTER_EXIT_SECONDS)
    return Ended(process.returncode if in_time else None, stdout.text(), output.text())


def _drain(
    process: subprocess.Popen[bytes], selector: selectors.BaseSelector, stdout: Capped, output: Capped, deadline: float
) -> bool:
    """Read until the script has ended (true), both pipes are closed and it has, or the deadline (false)."""
    exited: float | None = None
    while True:
        now = time.monotonic()
        if process.poll() is not None and exited is None:
            exited = now
        # What the script wrote is in the pipes when it ends; others of its group may still hold them open.
        if exited is not None and (not selector.get_map() or now - exited > 0.05):
            return True
        if now >= deadline:
            return False
        wait = min(deadline - now, 0.02 if exited is not None or not selector.get_map() else 0.1)
        if not selector.get_map():
            with suppress(subprocess.TimeoutExpired):
                process.wait(wait)
            continue
        for key, _ in selector.select(wait):
            chunk = os.read(key.fd, 65_536)
            if not chunk:
                selector.unregister(key.fileobj)
            output.feed(chunk)
            if key.data:
                stdout.feed(chunk)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal the group; the leader's id stays its group's as long as a member lives."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _end(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """Kill what is left of the group and reap the leader."""
    if grace_seconds:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
    _signal(process, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
