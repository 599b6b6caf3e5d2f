"""What must not be overlooked, as lines over every screen.

Pure: no textual. Must never be silent about a backend that did not answer.
"""

from __future__ import annotations

from opsctl.core.replay import BackendRecord
from opsctl.tui.report import Report, Trouble
from opsctl.tui.widgets.lines import Piece

NARROWEST = 60
"""Columns that the screens are made for, at least."""


def banner(report: Report | None, trouble: Trouble | None, width: int) -> tuple[Piece, ...]:
    """The lines, the gravest first; none on a good day."""
    lines: list[Piece] = []
    if width < NARROWEST:
        lines.append((f"{width} columns: opsctl needs {NARROWEST}", "warn"))
    if trouble is not None:
        lines.append((f"✖ no new verdicts: {trouble.text}", "fail"))
    if report is None:
        return tuple(lines)
    lines += [(f"✖ {problem}", "fail") for problem in report.problems]
    lines += map(_blind, report.blind)
    return tuple(lines)


def _blind(one: BackendRecord) -> Piece:
    partial = one.status == "partial"
    return (f"{'!' if partial else '✖'} {one.name}: {one.error or one.status}", "warn" if partial else "fail")
