"""What the log screen says above its lines: what it does, what is missing, what is old, and the conditions.

Pure: no textual. Must never let old or partial lines look like all there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from opsctl.core.frozen import dataclass
from opsctl.tui.log_rows import Piece
from opsctl.tui.log_stream import Trouble
from opsctl.views.log_filter import Filter, chips
from opsctl.views.words import ago

ROWS_MOST = 3


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that is said in one moment."""

    live: bool = True
    opening: bool = False  # the first answer is not here
    following: bool = True
    paused: bool = False
    lines: int = 0
    waiting: int = 0  # came, and are not shown
    rate: float = 0.0  # lines a second
    dropped: int = 0
    older: bool = False  # there are older lines to be read
    full: bool = False  # there are, but they have no place
    behind: timedelta = timedelta(0)
    skipped: int = 0
    skips: int = 0
    trouble: Trouble | None = None
    age: timedelta | None = None  # of the last whole answer
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    said: str = ""  # of something that goes on


def standing_rows(now: Standing) -> list[list[Piece]]:
    """At most three lines: what it does, what is wrong, what is not exact."""
    rows = [[*_doing(now), *_missing(now)]]
    if now.trouble is not None:
        rows.append(_wrong(now, now.trouble))
    if now.behind >= timedelta(seconds=5):
        rows.append([(f"! behind by {ago(now.behind)}: more comes than can be read", "warn")])
    if now.said:
        rows.append([(now.said, "accent")])
    remarks = (*now.remarks, *(f"note: {note}" for note in now.notes))
    if remarks:
        rows.append([("; ".join(remarks), "dim")])
    return rows[:ROWS_MOST]


def _doing(now: Standing) -> list[Piece]:
    if now.opening:
        return [("… asking", "accent"), (f"  {_lines(now.lines)} that are here already" if now.lines else "", "dim")]
    count = ("  " + _lines(now.lines), "")
    if not now.live:
        return [("■ past", "warn"), count]
    more = f" +{now.waiting:,}" if now.waiting else ""
    rate: Piece = (f"  {now.rate:,.0f}/s" if now.rate >= 0.5 else "", "dim")
    if now.paused:
        return [(f"‖ paused{more}", "warn"), count, rate, ("  space goes on", "dim")]
    if not now.following:
        return [(f"▲ not following{more}", "warn"), count, rate, ("  G follows", "dim")]
    return [("▸ following", "ok"), count, rate]


def _lines(count: int) -> str:
    return f"{count:,} line{'' if count == 1 else 's'}"


def _missing(now: Standing) -> list[Piece]:
    out: list[Piece] = []
    if now.dropped:
        out.append((f"  {now.dropped:,} older lines dropped", "warn"))
    elif now.full:
        out.append(("  there are older lines, and no room for them: a shorter window has them", "warn"))
    elif now.older:
        out.append(("  older ones come when you go up", "dim"))
    if now.skips:
        out.append((f"  {now.skipped:,} lines skipped", "warn"))
    return out


def _wrong(now: Standing, trouble: Trouble) -> list[Piece]:
    if not trouble.whole:
        return [(f"! partial: {trouble.text}", "warn")]
    age = f"; the lines are {ago(now.age)} old" if now.age is not None and now.lines else ""
    then = "" if trouble.refused else "; it goes on when it answers again"
    return [(f"✖ {trouble.text}{age}{then}", "fail")]


def chip_row(found: Filter, width: int) -> list[Piece]:
    """Each condition in brackets; what has no room is counted."""
    row: list[Piece] = []
    left = width - 12
    every = chips(found)
    for place, chip in enumerate(every):
        text = chip.text if len(chip.text) <= 60 else chip.text[:59] + "…"
        if place and len(text) + 3 > left:
            row.append((f"+{len(every) - place} ", "warn"))
            break
        row += [("[", "dim"), (text, "accent"), ("] ", "dim")]
        left -= len(text) + 3
    if not row:
        row.append(("every line of every service; ", "dim"))
    return [*row, ("/ filters", "dim")]


def row_text(rows: Sequence[Sequence[Piece]]) -> str:
    """The words alone."""
    return "\n".join("".join(text for text, _ in row) for row in rows)
