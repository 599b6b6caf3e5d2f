"""What a real server of the tests is, where it is kept, and how it is made exactly once.

A server is there when its files are. It is made in a temporary folder, tried, and renamed, so that an interrupted
build is never taken for a good one. Must never need root, and never touch what it did not make.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BUILD_TIMEOUT_SECONDS = 1800


class Missing(Exception):
    """A server cannot be had here; the text is the reason that skipped tests are counted under."""


@dataclass(frozen=True)
class Server:
    """One row: `make(folder)` puts the programs into `folder/bin` and other files where `files` names them."""

    name: str
    version: str
    programs: tuple[str, ...]
    make: Callable[[Path], None]
    lacking: Callable[[], str | None]  # the reason why it cannot be made here
    about: str  # how long a cold build takes
    files: tuple[str, ...] = ()  # what it needs besides programs
    try_out: tuple[str, ...] | None = ("--version",)  # what every program must take before it counts as made

    @property
    def title(self) -> str:
        """Its name and version for people."""
        return f"{self.name} {self.version}"

    @property
    def folder(self) -> Path:
        """Where it is, once made."""
        return cache() / f"{self.name}-{self.version}"

    @property
    def there(self) -> bool:
        """Whether all its programs and files are in the cache."""
        return self.whole(self.folder)

    def whole(self, folder: Path) -> bool:
        """Whether a folder holds everything that this server needs."""
        programs = all(os.access(folder / "bin" / program, os.X_OK) for program in self.programs)
        return programs and all((folder / file).is_file() for file in self.files)

    def program(self, name: str) -> Path:
        """The path of one program; raises `Missing` with the reason."""
        return self.needed() / "bin" / name

    def needed(self) -> Path:
        """The folder of the whole server; raises `Missing` with the reason."""
        if not self.there:
            raise Missing(self.lacking() or f"{self.title} not built, run make servers")
        return self.folder


def cache() -> Path:
    """The folder of all servers; decided at import, so that a test with a home of its own finds the same one."""
    return _CACHE


def _cache_folder() -> Path:
    base = os.environ.get("OPSCTL_SERVERS_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "opsctl" / "servers"


_CACHE = _cache_folder()


def required() -> bool:
    """Whether a missing server is a failure: in CI."""
    return os.environ.get("OPSCTL_REQUIRE_SERVERS") == "1" or os.environ.get("CI", "").lower() in {"1", "true"}


def build(server: Server) -> float:
    """Make one server unless it is there; returns the seconds it took; raises `Missing`."""
    begun = time.monotonic()
    if server.there:
        return 0.0
    if reason := server.lacking():
        raise Missing(reason)
    cache().mkdir(parents=True, exist_ok=True)
    with _only_one(server):
        if not server.there:
            _make(server)
    return time.monotonic() - begun


def _make(server: Server) -> None:
    making = Path(tempfile.mkdtemp(prefix=f".making-{server.name}-{server.version}-", dir=cache()))
    try:
        (making / "bin").mkdir()
        server.make(making)
        if not server.whole(making):
            raise Missing(f"{server.title} was made without all of its files")
        if server.try_out is not None:
            for program in server.programs:
                run([str(making / "bin" / program), *server.try_out], making, seconds=60)
        if server.folder.exists():
            shutil.rmtree(server.folder)
        making.chmod(0o755)
        making.rename(server.folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


@contextmanager
def _only_one(server: Server) -> Iterator[None]:
    """Two builds of one server at once: the second waits, then finds it made. What a killed build left is removed."""
    with (cache() / f".{server.name}-{server.version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache().glob(f".making-{server.name}-{server.version}-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def run(command: list[str], folder: Path, seconds: float = BUILD_TIMEOUT_SECONDS, **env: str) -> str:
    """Run one step of a build in a folder and return its stdout; raises `Missing` with the line that says why."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as wrong:
        raise Missing(f"{command[0]} failed: {type(wrong).__name__}") from wrong
    if done.returncode:
        why = _telling_line(done.stderr) or _telling_line(done.stdout) or str(done.returncode)
        raise Missing(f"{Path(command[0]).name} {command[1]} failed: {why}")
    return done.stdout


def _telling_line(said: str) -> str:
    """The last line tells, except that Maven's first error does and its last is a help address."""
    lines = said.strip().splitlines()
    errors = [line for line in lines if line.startswith("[ERROR]")]
    return (errors or lines[-1:] or [""])[0]
