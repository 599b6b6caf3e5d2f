"""What the last session knew: dimmed and with its age, it is on the screen before the first cycle is through.

Must never be taken for the present. What it needs is imported when it is used: the first paint does not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from opsctl.errors import OpsctlError
from opsctl.tui.report import Report

if TYPE_CHECKING:
    from opsctl.tui.session import Head

LAST = "tui-last.jsonl"
"""In the state directory."""
EVERY_SECONDS = 600.0


class Memory:
    """The last report of a context, in a file of its state directory: what the next session shows first."""

    def __init__(self, folder: Path, head: Callable[[], Head]) -> None:
        self._path, self._of = folder / LAST, head
        self._newest: Report | None = None  # that is not in the file yet
        self._written = float("-inf")

    @cached_property
    def _head(self) -> Head:
        return self._of()

    def keep(self, report: Report) -> None:
        """Leave it for the next session, at most every ten minutes: of thousands of services it is ten megabytes."""
        if not report.live or report.old:
            return
        self._newest = report
        if time.monotonic() - self._written >= EVERY_SECONDS:
            self.leave()

    def leave(self) -> None:
        """Leave the newest one; where that cannot be, there is none."""
        report, self._newest = self._newest, None
        if report is None:
            return
        from opsctl.files.atomic import write_whole
        from opsctl.tui.session import head_line, report_line

        self._written = time.monotonic()
        try:
            write_whole(self._path, head_line(self._head) + report_line(report, self._head), private=True)
        except OSError:
            return

    def recall(self) -> Report | None:
        """What the last session left, marked as old; None where it is not whole, or another context's."""
        from opsctl.tui.session import Head, read_session

        try:
            head, *entries = read_session(self._path)
        except (OpsctlError, ValueError):
            return None
        same = isinstance(head, Head) and (head.context, head.namespace) == (self._head.context, self._head.namespace)
        found = [one for one in entries if isinstance(one, Report)]
        return replace(found[-1], old=True) if same and found else None
