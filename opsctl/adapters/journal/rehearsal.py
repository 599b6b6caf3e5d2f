"""A journal in memory that begins as a copy of the file, for a run that must leave no trace.

Must never write to the file, its folder or its locks, nor move a damaged file aside: a real run does that.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from opsctl.adapters.journal.database import MEMORY, NewerJournal, _connect, _migrate, _reason
from opsctl.adapters.journal.store import SqliteJournal

_TRIES = 3


class Rehearsal(SqliteJournal):
    """Reads what the file said when it was opened; what is written goes with the process."""

    def _first_open(self) -> sqlite3.Connection:
        db = _connect(MEMORY)
        try:
            with contextlib.suppress(FileNotFoundError):  # a first run
                _copy(self.path, db)
            _migrate(db, self.now())
            self._check_namespace(db)
        except NewerJournal as newer:
            db.close()
            return self._memory(str(newer))
        except (sqlite3.DatabaseError, OSError) as wrong:
            db.close()
            return self._memory(f"journal {self.path} cannot be read: {_reason(wrong)}")
        except BaseException:
            db.close()
            raise
        self.path = MEMORY
        return db

    @contextmanager
    def lock(self, name: str, wait_seconds: float) -> Iterator[None]:
        """Nobody else has this copy."""
        yield


def _copy(path: str, db: sqlite3.Connection) -> None:
    """Read a consistent state of the file, and leave nothing beside it.

    Even a connection that only reads makes a log and an index for itself, which it cannot take away again. So a file
    that nobody has open is read as one that does not change, and again if it changed all the same.
    """
    for _ in range(_TRIES):
        before = os.stat(path)
        if os.path.exists(f"{path}-wal"):
            break
        _read(f"file:{quote(path)}?mode=ro&immutable=1", db)
        after = os.stat(path)
        if (before.st_mtime_ns, before.st_size, before.st_ino) == (after.st_mtime_ns, after.st_size, after.st_ino):
            return
    _read(f"file:{quote(path)}?mode=ro", db)


def _read(uri: str, db: sqlite3.Connection) -> None:
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as file:
        file.backup(db)
