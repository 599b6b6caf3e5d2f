"""Starts a real Prometheus on a recorded history and ends it by pid."""

from __future__ import annotations

import atexit
import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.servers.build import cache, server

HISTORIES_KEPT = 20
START_SECONDS = 30


@dataclass
class Running:
    """A server that answers; `stop()` ends it."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path
    stopped: bool = field(default=False)

    def stop(self) -> None:
        """End the process by its pid and remove its data."""
        if self.stopped:
            return
        self.stopped = True
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.stop)


def start(history: str | Path = "", version: str = "3.16") -> Running:
    """Start a Prometheus whose past is an OpenMetrics text (or the file of one); may raise `Missing`."""
    program = server("prometheus", version).program("prometheus")
    folder = Path(tempfile.mkdtemp(prefix="opsctl-prometheus-"))
    try:
        data = folder / "data"
        text = history.read_text() if isinstance(history, Path) else history
        if text.strip() not in {"", "# EOF"}:
            _link(blocks(text, version), data)
        (folder / "prometheus.yml").write_text("global: {}\n")
        for _ in range(3):  # somebody may take the free port in between
            running = _launch(program, folder, data)
            if running is not None:
                atexit.register(running.stop)
                return running
        raise RuntimeError(f"prometheus {version} does not start: {_tail(folder / 'log')}")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def blocks(text: str, version: str) -> Path:
    """The TSDB blocks of an OpenMetrics text, kept in the cache by its digest."""
    promtool = server("prometheus", version).program("promtool")
    if not text.endswith("# EOF\n"):
        text = text.rstrip("\n") + "\n# EOF\n"
    kept = cache() / "histories"
    kept.mkdir(parents=True, exist_ok=True)
    folder = kept / f"{sha256(text.encode()).hexdigest()[:24]}-{version}"
    if folder.is_dir():
        os.utime(folder)
        return folder
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=kept))
    try:
        (making / "history.txt").write_text(text)
        (making / "blocks").mkdir()
        command = [str(promtool), "tsdb", "create-blocks-from", "openmetrics", "-q", "history.txt", "blocks"]
        done = subprocess.run(
            command, cwd=making, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=300
        )
        if done.returncode:
            raise RuntimeError(f"promtool did not take the history: {done.stderr.decode(errors='replace')[-400:]}")
        with contextlib.suppress(OSError):  # somebody else made it meanwhile
            (making / "blocks").rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    _prune(kept)
    return folder


def _prune(kept: Path) -> None:
    """Histories that end at the present are new every time: keep those used last."""
    folders = sorted((one for one in kept.iterdir() if one.name[0] != "."), key=lambda one: one.stat().st_mtime)
    for old in folders[:-HISTORIES_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """A private copy: blocks are immutable, so their files are linked where the file system allows."""

    def copy(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    shutil.copytree(source, target, copy_function=copy)


def _launch(program: Path, folder: Path, data: Path) -> Running | None:
    port = free_port()
    command = [
        str(program),
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={data}",
        f"--config.file={folder / 'prometheus.yml'}",
        "--storage.tsdb.retention.time=45d",
    ]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    running = Running(f"http://127.0.0.1:{port}", process, folder)
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if _ready(port):
            return running
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
    process.wait(10)
    return None


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-600:] if log.exists() else "no log"
