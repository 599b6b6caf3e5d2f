"""Records what SQLite does to files: a VFS from APSW stands between it and the disk.

The journal is the shipped one and makes its own statements and pragmas; only `sqlite3.connect` answers a connection of
APSW that behaves as one of `sqlite3`, for a VFS is known only to the copy of SQLite that it was registered with.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import apsw

from tests.e2e.power_loss import Cut, Event, Made, Moved, Removed, Said, Synced, SyncedFolder, Written

VFS = "recording"


class Recorder:
    """The events below one folder, in their order; `rewrite` may change a statement on its way to SQLite."""

    def __init__(self, root: Path, rewrite: Callable[[str], str] = lambda sql: sql) -> None:
        self.root = str(root.resolve())
        self.rewrite = rewrite
        self.events: list[Event] = []
        self._folders: dict[int, str] = {}  # handles of open folders

    def say(self, what: Any) -> None:
        self.events.append(Said(what))

    def inside(self, path: str) -> str | None:
        """The path below the root; None for a file that is not the journal's, and for SQLite's shared memory."""
        if path != self.root and not path.startswith(self.root + "/"):
            return None
        return None if path.endswith(("-shm", ".lock")) else path[len(self.root) + 1 :]

    def note(self, kind: Callable[..., Event], path: str, *more: Any) -> None:
        short = self.inside(path)
        if short is not None:
            self.events.append(kind(short, *more))

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """While it lasts, `sqlite3.connect` opens files through the shim, and what `os` does to entries is noted."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(_folder_syncs_seen(lambda path: self.note(SyncedFolder, os.path.dirname(path))))
            vfs = RecordingVfs(self)
            stack.callback(vfs.unregister)
            stack.enter_context(mock.patch.object(sqlite3, "connect", self._connect(sqlite3.connect)))
            for name in ("mkdir", "rename", "fsync", "open"):
                stack.enter_context(mock.patch.object(os, name, getattr(self, f"_{name}")(getattr(os, name))))
            yield

    def _connect(self, real: Callable[..., sqlite3.Connection]) -> Callable[..., Any]:
        def connect(path: str, *, timeout: float = 5.0, isolation_level: str | None = "", **named: Any) -> Any:
            if self.inside(path) is None:
                return real(path, timeout=timeout, isolation_level=isolation_level, **named)
            assert isolation_level is None, "the connection would begin transactions of its own"
            return AsSqlite3(apsw.Connection(path, vfs=VFS), timeout, self.rewrite)

        return connect

    def _mkdir(self, real: Callable[..., None]) -> Callable[..., None]:
        def mkdir(path: str | Path, *args: Any, **named: Any) -> None:
            real(path, *args, **named)
            self.note(Made, os.path.realpath(path), True)

        return mkdir

    def _rename(self, real: Callable[..., None]) -> Callable[..., None]:
        def rename(path: str, to: str, **named: Any) -> None:
            real(path, to, **named)
            self.note(Moved, os.path.realpath(path), self.inside(os.path.realpath(to)))

        return rename

    def _open(self, real: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *args: Any, **named: Any) -> int:
            new = not os.path.exists(path)
            handle = real(path, flags, *args, **named)
            if new:
                self.note(Made, os.path.realpath(path))
            self._folders.pop(handle, None)
            if os.path.isdir(path):
                self._folders[handle] = os.path.realpath(path)
            return handle

        return opened

    def _fsync(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(handle: int) -> None:
            real(handle)
            if handle in self._folders:
                self.note(SyncedFolder, self._folders[handle])

        return fsync


@contextlib.contextmanager
def _folder_syncs_seen(note: Callable[[str], None]) -> Iterator[None]:
    """SQLite syncs a folder inside xSync and xDelete; it opens it for nothing else, and that call can be replaced."""
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int))
    unix = apsw.VFS("asking-unix", "unix")
    pointer = unix.xGetSystemCall("openDirectory")
    assert pointer, "this SQLite has no system call that opens a folder"
    real = kind(pointer)

    def open_folder(path: bytes, handle: Any) -> int:
        code = int(real(path, handle))
        if code == apsw.SQLITE_OK:
            note(os.fsdecode(path))
        return code

    seen = kind(open_folder)
    assert unix.xSetSystemCall("openDirectory", ctypes.cast(seen, ctypes.c_void_p).value or 0)
    try:
        yield
    finally:
        unix.xSetSystemCall("openDirectory", pointer)
        unix.unregister()


class RecordingVfs(apsw.VFS):
    """SQLite's own VFS, with a note of what changes files."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        super().__init__(VFS, "unix")

    def xOpen(self, name: Any, flags: list[int]) -> RecordingFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert path is not None, "a temporary file: the journal needs none"
        new = not os.path.exists(path)
        opened = RecordingFile(self.recorder, path, name, flags)
        if new:
            self.recorder.note(Made, path)
        return opened

    def xDelete(self, path: str, sync_folder: bool) -> None:
        if os.path.exists(path):  # noted first: the sync of the folder comes after it
            self.recorder.note(Removed, path)
        super().xDelete(path, sync_folder)


class RecordingFile(apsw.VFSFile):
    """One open file."""

    def __init__(self, recorder: Recorder, path: str, name: Any, flags: list[int]) -> None:
        self.recorder = recorder
        self.path = path
        super().__init__("unix", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:
        super().xWrite(data, offset)
        self.recorder.note(Written, self.path, offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self.recorder.note(Cut, self.path, size)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)  # notes the sync of the folder, if it makes one
        self.recorder.note(Synced, self.path)


# -- a connection of APSW that behaves as one of sqlite3, as far as the journal uses it


class Row:
    """A row whose values have names and places."""

    def __init__(self, names: Sequence[str], values: Sequence[Any]) -> None:
        self.names, self.values = names, values

    def __getitem__(self, which: str | int) -> Any:
        return self.values[self.names.index(which) if isinstance(which, str) else which]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def keys(self) -> list[str]:
        return list(self.names)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except apsw.Error as wrong:
        kind: type[sqlite3.DatabaseError] = sqlite3.OperationalError
        if isinstance(wrong, apsw.ConstraintError):
            kind = sqlite3.IntegrityError
        elif isinstance(wrong, (apsw.CorruptError, apsw.NotADBError)):
            kind = sqlite3.DatabaseError
        error = kind(str(wrong))
        error.sqlite_errorcode = wrong.extendedresult
        raise error from wrong


class AsSqlite3Cursor:
    """What `execute` answers."""

    def __init__(self, db: apsw.Connection, sql: str, values: Any, many: bool = False) -> None:
        self._cursor = db.cursor()
        with _errors():
            (self._cursor.executemany if many else self._cursor.execute)(sql, values)
            self._rows = iter(self._cursor)
        self.rowcount = db.changes()
        self.lastrowid = db.last_insert_rowid()

    def __iter__(self) -> Iterator[Row]:
        with _errors():
            yield from self._rows

    def fetchone(self) -> Row | None:
        return next(iter(self), None)

    def fetchall(self) -> list[Row]:
        return list(self)


class AsSqlite3:
    """`sqlite3.Connection` with `isolation_level=None`: no transaction but those that are begun."""

    def __init__(self, db: apsw.Connection, timeout: float, rewrite: Callable[[str], str]) -> None:
        db.set_busy_timeout(int(timeout * 1000))
        db.row_trace = lambda cursor, values: Row([name for name, _ in cursor.get_description()], values)
        self._db = db
        self._rewrite = rewrite
        self.row_factory: Any = None  # rows are as `sqlite3.Row` anyway

    def execute(self, sql: str, values: Any = ()) -> AsSqlite3Cursor:
        return AsSqlite3Cursor(self._db, self._rewrite(sql), values)

    def executemany(self, sql: str, values: Iterable[Any]) -> AsSqlite3Cursor:
        return AsSqlite3Cursor(self._db, self._rewrite(sql), values, many=True)

    def __enter__(self) -> AsSqlite3:
        return self

    def __exit__(self, *_wrong: object) -> None:
        assert not self._db.in_transaction

    def close(self) -> None:
        with _errors():
            self._db.close()
