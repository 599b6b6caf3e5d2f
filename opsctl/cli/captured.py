"""What one thread prints, told apart from what others print: a command run inside the board.

The process has one `sys.stdout`; while a thread captures, its place is taken by a stream that looks at who writes.
Must never take what another thread writes, nor put back a stream that somebody else has replaced since.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class Kept:
    """A text with a bound."""

    def __init__(self, most: int) -> None:
        self._parts: list[str] = []
        self._room = most
        self.cut = False

    def write(self, text: str) -> None:
        """Keep what there is room for."""
        if len(text) > self._room:
            self.cut = True
            text = text[: self._room]
        self._room -= len(text)
        self._parts.append(text)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._parts)


class ByThread(io.TextIOBase):
    """A stream that gives what one thread writes to `kept`, and everything else to the stream before."""

    encoding = "utf-8"

    def __init__(self, before: io.TextIOBase, kept: Kept, thread: int) -> None:
        super().__init__()
        self.before, self._kept, self._thread = before, kept, thread

    def write(self, text: str) -> int:
        """To whom it belongs."""
        if threading.get_ident() == self._thread:
            self._kept.write(text)
            return len(text)
        return self.before.write(text)

    def flush(self) -> None:
        """Nothing waits here."""
        if threading.get_ident() != self._thread:
            self.before.flush()

    def isatty(self) -> bool:
        """A person reads it."""
        return threading.get_ident() == self._thread or self.before.isatty()

    def fileno(self) -> int:
        """Only the stream before has one."""
        if threading.get_ident() == self._thread:
            raise io.UnsupportedOperation("fileno")
        return self.before.fileno()


@dataclass
class Streams:
    """Both of them."""

    out: Kept
    err: Kept
    names: tuple[str, ...] = field(default=("stdout", "stderr"))

    @property
    def cut(self) -> str:
        """Why there is less than was written; ""."""
        return "more than fits was printed" if self.out.cut or self.err.cut else ""


@contextmanager
def captured(most: int) -> Iterator[Streams]:
    """What this thread writes to stdout and stderr from here on, at most so many characters of each."""
    streams = Streams(Kept(most), Kept(most))
    mine = {}
    for name, kept in zip(streams.names, (streams.out, streams.err), strict=True):
        mine[name] = ByThread(getattr(sys, name), kept, threading.get_ident())
        setattr(sys, name, mine[name])
    try:
        yield streams
    finally:
        for name, stream in mine.items():
            if getattr(sys, name) is stream:
                setattr(sys, name, stream.before)
