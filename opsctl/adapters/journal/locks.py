"""Locks between processes: files that the kernel frees when their holder ends, however it ends.

Must never be broken by force or by age: a holder that lives is asked for by its pid.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opsctl.errors import Refused

_POLL_SECONDS = 0.05


@contextmanager
def held(path: Path, what: str, wait_seconds: float) -> Iterator[None]:
    """Hold the lock file, waiting up to `wait_seconds` of real time; `Refused` names the holder, OSError the path."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        while not _taken(handle):
            if time.monotonic() >= deadline:
                raise Refused(
                    f"another run{_holder(handle)} holds the {what} lock {path}; waited {wait_seconds:g} s",
                    hint="nothing was done; let it end, or look at what that process does",
                )
            time.sleep(_POLL_SECONDS)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)  # frees the lock; the file stays, so that nobody ever locks a deleted one


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(handle: int) -> str:
    pid = os.pread(handle, 32, 0).strip()
    return f" (pid {pid.decode()})" if pid.isdigit() else ""
