"""The file behind a local server: on disk before anything is answered."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def opened(path: Path, tables: str) -> sqlite3.Connection:
    """The file of that path with those tables, made where they are missing; transactions are the caller's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    for statement in tables.split(";\n"):
        db.execute(statement)
    return db
