"""Two small files beside the journal's own: how far it came, and that a run had to do without it.

A journal that was restored, cut or deleted is sound to SQLite; the mark shows that runs are missing from it. Must never
raise: where they cannot be written, the journal works as before.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

MARK = "journal.mark"
UNWRITTEN = "journal.unwritten"


def read_mark(folder: Path) -> int:
    """The number of the last run that is known to be on disk; 0 where nothing is known."""
    try:
        return int((folder / MARK).read_bytes()[:32])
    except (OSError, ValueError):
        return 0


def write_mark(folder: Path, run: int) -> None:
    """That run is on disk; written after its commit, so that the mark is never ahead of a journal that is whole."""
    with contextlib.suppress(OSError):
        handle = os.open(folder / MARK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(handle, f"{run:<20}\n".encode(), 0)
        finally:
            os.close(handle)


def note_unwritten(folder: Path) -> None:
    """A run keeps its journal in memory: what it opens and closes, the file does not know."""
    with contextlib.suppress(OSError):
        os.close(os.open(folder / UNWRITTEN, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def was_unwritten(folder: Path) -> bool:
    """Whether that happened since `forget_unwritten`."""
    return (folder / UNWRITTEN).exists()


def forget_unwritten(folder: Path) -> None:
    """What it may have done is being looked after."""
    with contextlib.suppress(OSError):
        (folder / UNWRITTEN).unlink(missing_ok=True)
