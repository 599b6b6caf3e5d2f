"""The file itself: opening, migrating, transactions, and what happens when it cannot be trusted.

Must never stop a page. A corrupt file is moved aside and a new one begun; where no file can be written the run goes on
in memory. Either way `problem` says so, and the run ends with exit code 5.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from opsctl.adapters.journal import locks
from opsctl.adapters.journal.beside import note_unwritten, read_mark
from opsctl.adapters.journal.rows import micros
from opsctl.adapters.journal.schema import BASE, MIGRATIONS
from opsctl.errors import ActionError, ConfigError

T = TypeVar("T")

FILE = "journal.sqlite3"
MEMORY = ":memory:"
BUSY_SECONDS = 20.0
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_UNWRITABLE = frozenset(
    {
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOLFS,
    }
)


class Damaged(sqlite3.DatabaseError):
    """A row does not say what its columns promise."""


class NewerJournal(Exception):
    """The file was written by a newer opsctl."""


class Database:
    """One journal file, or memory in its place; transactions are functions, so that they can be run again."""

    def __init__(self, folder: Path, namespace: str, now: Callable[[], datetime]) -> None:
        self.folder = folder
        self.namespace = namespace
        self.now = now
        self.problem: str | None = None
        self.path = str(folder / FILE)
        self._guard = threading.RLock()
        self._db = self._first_open()

    # -- transactions

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one immediate transaction that is on disk when this returns."""
        return self._guarded(work, "BEGIN IMMEDIATE")

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one consistent state."""
        return self._guarded(work, "BEGIN")

    def _guarded(self, work: Callable[[sqlite3.Connection], T], begin: str) -> T:
        with self._guard:
            try:
                return self._once(work, begin)
            except sqlite3.DatabaseError as wrong:
                if isinstance(wrong, (sqlite3.IntegrityError, sqlite3.ProgrammingError)):
                    raise
                self._db = self._replace(wrong)
                return self._once(work, begin)

    def _once(self, work: Callable[[sqlite3.Connection], T], begin: str) -> T:
        self._db.execute(begin)
        try:
            answer = work(self._db)
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        return answer

    # -- opening

    def _first_open(self) -> sqlite3.Connection:
        try:
            return self._open_file()
        except NewerJournal as newer:
            return self._beside(str(newer))
        except (sqlite3.DatabaseError, OSError) as wrong:
            return self._replace(wrong)

    def _open_file(self) -> sqlite3.Connection:
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            found = os.fstat(handle)
            if found.st_mode & 0o077:
                os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
        if not found.st_size:  # nothing was ever written to it
            _sync_entry(self.folder)
        mark = read_mark(self.folder)  # first: another run may be writing both
        db = _connect(self.path)
        try:
            _migrate(db, self.now())
            self._check_namespace(db)
            self._check_mark(db, mark)
        except BaseException:
            db.close()
            raise
        return db

    def _check_mark(self, db: sqlite3.Connection, mark: int) -> None:
        row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
        gone = mark - (row["seq"] if row else 0)
        if gone > 0:
            runs = "the last run is" if gone == 1 else f"the last {gone} runs are"
            self.problem = (
                f"{runs} missing from journal {self.path} (was it restored, cut or deleted?): "
                "a page that was not sent by then may be lost"
            )

    def _check_namespace(self, db: sqlite3.Connection) -> None:
        row = db.execute("SELECT value FROM meta WHERE name = 'namespace'").fetchone()
        if row["value"] if row else None:
            if row["value"] != self.namespace:
                raise ConfigError(
                    self.path,
                    None,
                    f"this journal belongs to namespace {row['value']}, the context says {self.namespace}",
                    hint="two environments never share one: give the context a state_dir of its own",
                )
            return
        with db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('namespace', ?)", (self.namespace,))

    # -- fail open

    def _replace(self, wrong: Exception) -> sqlite3.Connection:
        """A connection that works in place of one that does not."""
        code = (getattr(wrong, "sqlite_errorcode", None) or 0) & 0xFF
        if code in _BUSY:
            raise ActionError(
                f"journal {self.path} is held by another process for more than {BUSY_SECONDS:g} s",
                hint="nothing was written; run again",
            ) from wrong
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._db.close()
        if self.path == MEMORY or isinstance(wrong, OSError) or code in _UNWRITABLE:
            return self._beside(f"journal {self.path} cannot be written: {_reason(wrong)}")
        if code not in _CORRUPT and not isinstance(wrong, Damaged):
            raise wrong
        return self._begin_again(wrong)

    def _begin_again(self, wrong: Exception) -> sqlite3.Connection:
        aside = f"{self.path}.corrupt-{self.now():%Y%m%dT%H%M%S.%fZ}"
        try:
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self.path + suffix, aside + suffix)
            _sync_entry(Path(aside))
            db = self._open_file()
        except (sqlite3.DatabaseError, OSError) as worse:
            return self._beside(f"journal {self.path} is corrupt and cannot be replaced: {_reason(worse)}")
        self.problem = (
            f"journal was corrupt ({_reason(wrong)}): moved to {aside}, a new one was begun; "
            "a page that was not sent by then may be lost"
        )
        return db

    def _beside(self, problem: str) -> sqlite3.Connection:
        """In memory, beside a file that others may write again."""
        if self.path != MEMORY:
            note_unwritten(self.folder)
        return self._memory(problem)

    def _memory(self, problem: str) -> sqlite3.Connection:
        self.problem = f"{problem}; this run keeps its journal in memory"
        self.path = MEMORY
        db = _connect(MEMORY)
        _migrate(db, self.now())
        return db

    # -- the rest

    @contextmanager
    def lock(self, name: str, wait_seconds: float) -> Iterator[None]:
        """Hold `<name>.lock` of the state directory; without a place for it the run goes on unlocked and says so."""
        with contextlib.ExitStack() as stack:
            try:
                os.makedirs(self.folder, mode=0o700, exist_ok=True)
                stack.enter_context(locks.held(self.folder / f"{name}.lock", name, wait_seconds))
            except OSError as wrong:
                self.problem = self.problem or f"no lock in {self.folder}: {_reason(wrong)}; other runs may overlap"
            yield

    def integrity(self) -> tuple[str, ...]:
        """What SQLite's own check finds wrong; nothing when the file is sound."""
        with self._guard:
            try:
                found = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check(20)")]
            except sqlite3.DatabaseError as wrong:
                return (_reason(wrong),)
        return () if found == ["ok"] else tuple(found)

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._db.close()


def _sync_entry(path: Path) -> None:
    """SQLite syncs the entries that it makes; those that we make or move could still go with the power."""
    for above in path.resolve().parents:
        with contextlib.suppress(OSError):  # not ours to read, or a file system that syncs no folders: the run goes on
            handle = os.open(above, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        if os.path.ismount(above):
            break


def _connect(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    try:
        _use_wal(db)
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        db.close()
        raise
    return db


def _use_wal(db: sqlite3.Connection) -> None:
    """Changing the mode of a new file does not wait for another process that does the same: ask again."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as wrong:
            if wrong.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _migrate(db: sqlite3.Connection, now: datetime) -> None:
    if _version(db) == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        _apply(db, BASE)
        version = _version(db)
        if version > len(MIGRATIONS):
            raise NewerJournal(f"the journal has schema {version}, this opsctl knows {len(MIGRATIONS)}: upgrade opsctl")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            _apply(db, script)
            db.execute("INSERT INTO migrations VALUES (?, ?)", (number, micros(now)))
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection) -> int:
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone():
        return 0
    return int(db.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0])


def _apply(db: sqlite3.Connection, script: str) -> None:
    """Statement by statement: `executescript` would commit the transaction around it."""
    for statement in script.split(";\n"):
        if statement.strip():
            db.execute(statement)


def _reason(wrong: Exception) -> str:
    if isinstance(wrong, OSError) and wrong.strerror:
        return wrong.strerror
    return str(wrong) or type(wrong).__name__
