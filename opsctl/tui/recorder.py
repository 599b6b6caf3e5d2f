"""Writes a session down while it goes on: reports and answers, each as a line, in a thread of its own.

Must never slow the screen or stop it: a full disk ends the recording and says so, once.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from opsctl.errors import UsageError
from opsctl.files.text import os_words
from opsctl.ports import Clock
from opsctl.tui.report import Report
from opsctl.tui.session import Head, answer_line, head_line, report_line

_WAITING_MAX = 1000


class Recorder:
    """One file; `say` is told in one line when it cannot go on (in the recorder's thread)."""

    def __init__(self, path: Path, head: Head, clock: Clock, say: Callable[[str], None]) -> None:
        self._path, self._head, self._clock, self._say = path, head, clock, say
        self._queue: queue.Queue[Callable[[], bytes] | None] = queue.Queue(_WAITING_MAX)
        self._broken = False
        self.dropped = 0
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise UsageError(f"--record {path}: is there already", hint="name another file") from None
        except OSError as wrong:
            raise UsageError(f"--record {path}: cannot be written: {os_words(wrong)}") from wrong
        self._file = os.fdopen(handle, "wb")
        self._file.write(head_line(head))
        self._file.flush()
        self._thread = threading.Thread(target=self._run, daemon=True, name="recorder")
        self._thread.start()

    def report(self, report: Report) -> None:
        """Keep a report."""
        self._put(lambda: report_line(report, self._head))

    def answer(self, backend: str, key: Hashable, reading: Any) -> None:
        """Keep an answer."""
        at = self._clock.now()
        self._put(lambda: answer_line(at, backend, key, reading))

    def _put(self, make: Callable[[], bytes]) -> None:
        try:
            self._queue.put_nowait(make)
        except queue.Full:
            self.dropped += 1

    def _run(self) -> None:
        while (make := self._queue.get()) is not None:
            if self._broken:
                continue
            try:
                self._file.write(make())
                self._file.flush()
            except OSError as wrong:
                self._broken = True
                self._say(f"the recording ended: {self._path}: {os_words(wrong)}")

    def close(self, seconds: float) -> None:
        """Write what waits, for so long at most."""
        try:
            self._queue.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)
        if not self._thread.is_alive():
            try:
                self._file.close()
            except OSError as wrong:
                self._say(f"the recording's last lines are lost: {self._path}: {os_words(wrong)}")
