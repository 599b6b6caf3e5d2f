"""What a disk may hold after a power loss, given the writes and syncs before it (recorded in `power_loss_shim.py`).

What was synced is there. Of the rest there may be nothing, all, a part in another order, or single sectors and pages;
a file may have its new size and zeros or junk in it. A file or folder whose folder was not synced since may be missing,
and one that was deleted may be back. The `-shm` file is memory and is not there.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECTOR = 512
PAGE = 4096

Image = Mapping[str, bytes | None]
"""What is on the disk: paths below the root, each with its bytes, or None for a folder."""


@dataclass(frozen=True)
class Written:
    path: str
    offset: int
    data: bytes


@dataclass(frozen=True)
class Cut:
    path: str
    size: int


@dataclass(frozen=True)
class Synced:
    path: str


@dataclass(frozen=True)
class Made:
    path: str
    folder: bool = False


@dataclass(frozen=True)
class Removed:
    path: str


@dataclass(frozen=True)
class Moved:
    path: str
    to: str


@dataclass(frozen=True)
class SyncedFolder:
    path: str


@dataclass(frozen=True)
class Said:
    """Something that the world outside the disk learned at this moment."""

    what: Any


Event = Written | Cut | Synced | Made | Removed | Moved | SyncedFolder | Said


@dataclass
class Inode:
    """A file's bytes that are safe, and what was done to it since the last sync."""

    number: int
    safe: bytes = b""
    pending: list[Written | Cut] = field(default_factory=list)

    def after(self, pending: Iterable[Written | Cut], base: bytes | None = None) -> bytes:
        """The bytes when only these of the pending changes have reached the disk."""
        content = bytearray(self.safe if base is None else base)
        for one in pending:
            _apply(content, one)
        return bytes(content)


def _apply(content: bytearray, change: Written | Cut) -> None:
    if isinstance(change, Cut):
        del content[change.size :]
        return
    if len(content) < change.offset:
        content.extend(bytes(change.offset - len(content)))
    content[change.offset : change.offset + len(change.data)] = change.data


def _pieces(change: Written | Cut, unit: int) -> Iterator[Written | Cut]:
    """The change in parts that reach the disk whole or not at all."""
    if isinstance(change, Cut):
        yield change
        return
    start = change.offset
    end = start + len(change.data)
    while start < end:
        stop = min(end, (start // unit + 1) * unit)
        yield Written(change.path, start, change.data[start - change.offset : stop - change.offset])
        start = stop


def _scattered(inode: Inode, unit: int, chance: random.Random, base: bytes | None = None) -> bytes:
    pieces = (piece for change in inode.pending for piece in _pieces(change, unit))
    return inode.after((piece for piece in pieces if chance.random() < 0.5), base)


def _torn(inode: Inode, chance: random.Random) -> bytes:
    """All but the last change, and of that one the first sectors or the last."""
    *whole, last = inode.pending
    parts = list(_pieces(last, SECTOR))
    at = chance.randrange(len(parts) + 1)
    return inode.after([*whole, *(parts[:at] if chance.random() < 0.5 else parts[at:])])


def _grown(inode: Inode, fill: bytes) -> bytes:
    """The file has its new size already, the new part holds what it happens to hold."""
    size = len(inode.after(inode.pending))
    return inode.safe + (fill * size)[: max(0, size - len(inode.safe))]


_LOST: Mapping[str, Callable[[Inode, random.Random], bytes]] = {
    "dropped": lambda inode, _: inode.safe,
    "kept": lambda inode, _: inode.after(inode.pending),
    "only the last kept": lambda inode, _: inode.after(inode.pending[-1:]),
    "only the first dropped": lambda inode, _: inode.after(inode.pending[1:]),
    "some kept": lambda inode, chance: inode.after(one for one in inode.pending if chance.random() < 0.5),
    "torn": _torn,
    "grown, zeros": lambda inode, _: _grown(inode, b"\0"),
    "sectors": lambda inode, chance: _scattered(inode, SECTOR, chance),
    "other sectors": lambda inode, chance: _scattered(inode, SECTOR, chance),
    "sectors among junk": lambda inode, chance: _scattered(inode, SECTOR, chance, _grown(inode, b"\xa5")),
    "pages": lambda inode, chance: _scattered(inode, PAGE, chance),
    "other pages": lambda inode, chance: _scattered(inode, PAGE, chance),
}
_SIMPLE = ("dropped", "kept")
_Entries = dict[str, Inode | None]


class Disk:
    """What is safe after so many events, and what else may be there; `lies` name the kinds of sync that do nothing."""

    def __init__(self, before: Image | None = None, lies: frozenset[str] = frozenset()) -> None:
        self.lies = lies
        self._numbers = itertools.count()
        self._safe: _Entries = {
            path: None if data is None else Inode(next(self._numbers), data) for path, data in (before or {}).items()
        }
        self._now: _Entries = dict(self._safe)
        self._events = 0  # seeds what is left to chance
        self._changes: list[tuple[Made | Removed | Moved, Inode | None]] = []  # of entries, since their folder's sync

    def apply(self, event: Event) -> None:
        """One more event; what the world outside learned changes nothing here."""
        self._events += not isinstance(event, Said)
        match event:
            case Written() | Cut():
                self._file(event.path).pending.append(event)
            case Synced():
                if "files" not in self.lies:
                    inode = self._file(event.path)
                    inode.safe, inode.pending = inode.after(inode.pending), []
            case Made() | Removed() | Moved():
                change = (event, Inode(next(self._numbers)) if isinstance(event, Made) and not event.folder else None)
                _change(self._now, change)
                self._changes.append(change)
            case SyncedFolder():
                if "folders" not in self.lies:
                    self._sync_folder(event.path)

    def _file(self, path: str) -> Inode:
        inode = self._now[path]
        assert inode is not None, path
        return inode

    def _sync_folder(self, folder: str) -> None:
        waiting = []
        for change in self._changes:
            if os.path.dirname(change[0].path) == folder:
                _change(self._safe, change)
            else:
                waiting.append(change)
        self._changes = waiting

    def images(self) -> Iterator[tuple[str, str, Image]]:
        """What the disk may hold if the power fails now: each different state once, with its digest and a name."""
        seen: set[str] = set()
        for entry_name, entries in self._entries(self._events):
            for name, image in self._contents(entries, self._events):
                mark = digest(image)
                if mark not in seen:
                    seen.add(mark)
                    yield mark, f"entries {entry_name}, writes {name}", image

    def _entries(self, seed: int) -> Iterator[tuple[str, _Entries]]:
        yield "dropped", self._some(lambda _: False)
        if self._changes:
            yield "kept", self._some(lambda _: True)
        if len(self._changes) > 1:
            yield "all but the first", self._some(lambda number: number > 0)
            yield "only the last", self._some(lambda number: number == len(self._changes) - 1)
            chance = random.Random(f"{seed}/entries")
            yield "some", self._some(lambda _: chance.random() < 0.5)

    def _some(self, wanted: Callable[[int], bool]) -> _Entries:
        entries = dict(self._safe)
        for number, change in enumerate(self._changes):
            if wanted(number):
                _change(entries, change)
        return {path: inode for path, inode in entries.items() if _reachable(path, entries)}

    def _contents(self, entries: _Entries, seed: int) -> Iterator[tuple[str, Image]]:
        dirty = sorted(path for path, inode in entries.items() if inode is not None and inode.pending)
        calm: Image = {path: None if inode is None else inode.safe for path, inode in entries.items()}
        for names in dict.fromkeys(
            (*itertools.product(_SIMPLE, repeat=len(dirty)), *((n,) * len(dirty) for n in _LOST))
        ):
            lost: dict[str, bytes] = {}
            for path, name in zip(dirty, names, strict=True):
                inode = entries[path]
                assert inode is not None
                lost[path] = _LOST[name](inode, random.Random(f"{seed}/{name}/{inode.number}"))
            yield "; ".join(f"of {path} {name}" for path, name in zip(dirty, names, strict=True)) or "none", calm | lost


def _change(entries: _Entries, change: tuple[Made | Removed | Moved, Inode | None]) -> None:
    event, inode = change
    match event:
        case Made():
            entries[event.path] = inode
        case Removed():
            entries.pop(event.path, None)
        case Moved():
            if event.path in entries:
                entries[event.to] = entries.pop(event.path)


def _reachable(path: str, entries: _Entries) -> bool:
    folder = os.path.dirname(path)
    return not folder or (folder in entries and _reachable(folder, entries))


def digest(image: Image) -> str:
    """Equal for equal images."""
    found = hashlib.blake2b()
    for path in sorted(image):
        data = image[path]
        found.update(f"{path}\0{-1 if data is None else len(data)}\0".encode())
        found.update(data or b"")
    return found.hexdigest()


def write_image(image: Image, root: Path) -> None:
    """Put the files there."""
    for path in sorted(image):
        data = image[path]
        if data is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(data)


def moments(events: Sequence[Event], at_most: int) -> list[int]:
    """How many events have happened at the moments to look at: before and after each that is not a mere write, and of
    the rest as many as fit, evenly.
    """
    kept = {0, len(events)}
    for number, event in enumerate(events):
        if not isinstance(event, Written):
            kept |= {number, number + 1}
    rest = [number for number in range(len(events) + 1) if number not in kept]
    room = min(len(rest), max(0, at_most - len(kept)))
    kept |= {rest[number * len(rest) // room] for number in range(room)}
    return sorted(kept)
