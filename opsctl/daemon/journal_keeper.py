"""The journal of a process that goes on: opened again when its file can be trusted again, or was put aside by others.

Must never let go of what only memory knows: an event that was not sent, an incident that is to be closed.
"""

from __future__ import annotations

import os

from opsctl.app import Composition
from opsctl.ports import Journal

_MEMORY = ":memory:"


class JournalKeeper:
    """Looks after the journal between runs."""

    def __init__(self) -> None:
        self._file: tuple[str, int, int] | None = None

    def look(self, composition: Composition) -> str | None:
        """Open the journal again where that is needed and can be done; a line about what happened to it."""
        journal = composition.journal()
        file = _file(journal.path)
        known, self._file = self._file, file
        if known is None or known[0] != journal.path:  # the first look, or another journal
            known = file
        if journal.problem is None and file == known and file is not None:
            return None
        in_memory = journal.path == _MEMORY
        if (in_memory and not _told(journal)) or not composition.mend_journal():
            return None
        now = composition.journal()
        self._file = _file(now.path)
        if in_memory:
            return f"the journal {now.path} can be written again: what was kept in memory is over"
        if file == known:
            return None  # its run has said what was wrong
        return f"the journal {now.path} was moved or removed by somebody: a new one was begun"


def _file(path: str) -> tuple[str, int, int] | None:
    try:
        seen = os.stat(path)
    except OSError:
        return None
    return path, seen.st_dev, seen.st_ino


def _told(journal: Journal) -> bool:
    """Whether memory can be given up: everything is sent, and what is open still fires, so the file will know of it."""
    return not journal.unfinished() and all(one.state == "firing" for one in journal.incidents())
