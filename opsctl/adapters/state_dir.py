"""What the folder of a journal stands on: file system, room, and other journals beside it.

Only looks; must never create, lock or change anything.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from opsctl.adapters.journal.database import FILE

_FLEETING = {"tmpfs": "is gone after a restart", "ramfs": "is gone after a restart"}
_FLEETING["overlay"] = "is gone with its container"
_REMOTE = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "ceph", "glusterfs", "fuse.glusterfs", "afs")


def journal_file(state_dir: Path) -> Path:
    """Where the journal of a state folder is."""
    return state_dir / FILE


def existing(path: Path) -> Path:
    """The folder itself, or its nearest parent that is there."""
    for candidate in (path, *path.parents):
        if candidate.exists():
            return candidate
    return Path("/")


def free_bytes(state_dir: Path) -> int:
    """Room for whoever runs opsctl; OSError where nobody can tell."""
    return shutil.disk_usage(existing(state_dir)).free


def writable(state_dir: Path) -> bool:
    """Whether a journal can be written there, as far as permissions say."""
    place = existing(state_dir)
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def file_system(state_dir: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The type of the file system that holds the folder; None where nobody can tell."""
    try:
        text = mounts.read_text(encoding="utf-8", errors="surrogateescape")
        target = existing(state_dir).resolve()
    except OSError:
        return None
    best: tuple[int, str] | None = None
    for point, kind in _mounts(text):
        if target.is_relative_to(point) and (best is None or len(point.parts) >= best[0]):
            best = (len(point.parts), kind)
    return best[1] if best else None


def _mounts(text: str) -> Iterator[tuple[Path, str]]:
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) >= 3:
            yield Path(words[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")), words[2]


def unfit(kind: str) -> str | None:
    """Why a file system of that type is no place for a journal; None where it is."""
    if kind in _FLEETING:
        return _FLEETING[kind]
    if kind.startswith(_REMOTE):
        return "cannot share SQLite's write-ahead log between hosts"
    return None


def neighbours(state_dir: Path, env: Mapping[str, str]) -> tuple[Path, ...]:
    """Folders that may hold another journal: beside this one, and in the usual places."""
    home = env.get("HOME")
    roots = [state_dir.parent, Path("/var/lib/opsctl")]
    if env.get("XDG_STATE_HOME"):
        roots.append(Path(env["XDG_STATE_HOME"]) / "opsctl")
    if home:
        roots.append(Path(home) / ".local" / "state" / "opsctl")
    return tuple(_folders(roots, state_dir))


def _folders(roots: Iterable[Path], mine: Path) -> Iterator[Path]:
    seen = {_real(mine)}
    for root in roots:
        try:
            children = sorted(child for child in root.iterdir() if child.is_dir())
        except OSError:
            continue
        for child in (root, *children):
            if _real(child) not in seen:
                seen.add(_real(child))
                yield child


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


def namespace_of(state_dir: Path) -> str | None:
    """The namespace that a journal belongs to; None where there is no journal, or none that can be read."""
    file = journal_file(state_dir)
    try:
        if not file.is_file():
            return None
        db = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)
    except (OSError, sqlite3.Error):
        return None
    try:
        row = db.execute("SELECT value FROM meta WHERE name = 'namespace'").fetchone()
    except sqlite3.Error:
        return None
    finally:
        db.close()
    return str(row[0]) if row else None
