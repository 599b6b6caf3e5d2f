"""Builds or fetches the real servers into a cache outside the tree; one row of `SERVERS` a server.

A server is there when its programs run. It is made in a temporary folder and renamed, so that an interrupted build is
never taken for a good one. Must never need root, and never touch what it did not make.
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
    """One row: `make(folder)` puts the programs into `folder/bin`."""

    name: str
    version: str
    programs: tuple[str, ...]
    make: Callable[[Path], None]
    lacking: Callable[[], str | None]  # the reason why it cannot be made here
    about: str  # how long a cold build takes

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
        """Whether all its programs are in the cache."""
        return all(os.access(self.folder / "bin" / program, os.X_OK) for program in self.programs)

    def program(self, name: str) -> Path:
        """The path of one program; raises `Missing` with the reason."""
        if not self.there:
            raise Missing(self.lacking() or f"{self.title} not built, run make servers")
        return self.folder / "bin" / name


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
        for program in server.programs:
            _run([str(making / "bin" / program), "--version"], making, seconds=60)
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


def _run(command: list[str], folder: Path, seconds: float = BUILD_TIMEOUT_SECONDS, **env: str) -> None:
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
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(f"{Path(command[0]).name} {command[1]} failed: {lines[-1] if lines else done.returncode}")


def go_install(module: str, version: str, commands: tuple[str, ...], tags: str) -> Callable[[Path], None]:
    """A maker: `go install` of some commands of one module at a pinned version."""

    def make(folder: Path) -> None:
        packages = [f"{module}/cmd/{command}@{version}" for command in commands]
        flags = ["-trimpath", "-tags", tags, "-ldflags=-s -w"]
        _run(["go", "install", *flags, *packages], folder, GOBIN=str(folder / "bin"), CGO_ENABLED="0")

    return make


def no_go() -> str | None:
    """Why nothing can be built with Go."""
    return None if shutil.which("go") else "no Go"


def apt_package(package: str, version: str, programs: tuple[str, ...]) -> Callable[[Path], None]:
    """A maker: the programs of one Debian package, unpacked without root."""

    def make(folder: Path) -> None:
        try:
            _run(["apt-get", "download", f"{package}={version}*"], folder)
        except Missing:
            if os.geteuid() != 0:
                raise Missing("no apt lists") from None
            _run(["apt-get", "update"], folder)
            _run(["apt-get", "download", f"{package}={version}*"], folder)
        (deb,) = folder.glob("*.deb")
        _run(["dpkg", "-x", deb.name, "unpacked"], folder)
        for program in programs:
            (folder / "unpacked/usr/bin" / program).rename(folder / "bin" / program)
        deb.unlink()
        shutil.rmtree(folder / "unpacked")

    return make


def no_apt() -> str | None:
    """Why no Debian package can be fetched."""
    return None if shutil.which("apt-get") and shutil.which("dpkg") else "no apt"


_PROMETHEUS = ("prometheus", "promtool")

SERVERS = (
    Server(
        "prometheus",
        "3.16",
        _PROMETHEUS,
        go_install("github.com/prometheus/prometheus", "v0.316.0", _PROMETHEUS, "remove_all_sd,netgo"),
        no_go,
        "4 minutes",
    ),
    Server("prometheus", "2.42", _PROMETHEUS, apt_package("prometheus", "2.42", _PROMETHEUS), no_apt, "10 seconds"),
)


def server(name: str, version: str) -> Server:
    """The row of one server."""
    return next(row for row in SERVERS if (row.name, row.version) == (name, version))
