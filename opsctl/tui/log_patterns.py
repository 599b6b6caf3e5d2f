"""Patterns of the lines that are here, mined in another thread; and the words by which one is followed.

Must never hold the screen up: it gives way after each few hundred lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opsctl.core.frozen import dataclass
from opsctl.core.logs import LogRecord
from opsctl.insight.patterns import Miner, Pattern
from opsctl.render.text import clean
from opsctl.tui.log_ring import Gap, gently
from opsctl.tui.log_rows import severity_tone, severity_words
from opsctl.tui.widgets.grid import Column, Row
from opsctl.views.logs import few, share

BEFORE_PAGES = 3  # of the hour before
SHOWN = 1_000
_TEMPLATE = 400  # characters

COLUMNS = (
    Column("count", "count", right=True),
    Column("share", "share", right=True, priority=2),
    Column("new", "new", priority=1),
    Column("severity", "severity", least=8),
    Column("services", "services", priority=3, most=28),
    Column("pattern", "pattern", grow=True, least=24),
    Column("example", "example", grow=True, least=60, priority=4),
)


@dataclass(frozen=True, slots=True)
class Mined:
    """Most frequent first; `new` are templates that no line of the hour before has, None where that is not known."""

    patterns: tuple[Pattern, ...]
    lines: int
    new: frozenset[str] | None


def mine(records: Iterable[LogRecord], before: Sequence[LogRecord] | None) -> Mined:
    """Patterns of records; `before` are lines of the time before, None where nobody could say."""
    miner = Miner()
    lines = 0
    for record in gently(before or ()):
        miner.know(record)
    for record in gently(records):
        if isinstance(record, Gap):
            continue
        miner.add(record)
        lines += 1
    new = None if before is None else frozenset(one.template for one in miner.patterns(unknown=True))
    return Mined(miner.patterns(), lines, new)


def rows_of(mined: Mined) -> list[Row]:
    """A row for each pattern, keyed by its template."""
    return [_row(one, mined) for one in mined.patterns[:SHOWN]]


def _row(one: Pattern, mined: Mined) -> Row:
    fresh = mined.new is not None and one.template in mined.new
    return Row(
        one.template,
        (
            f"{one.count:,}",
            share(one.count, mined.lines),
            ("new", "warn") if fresh else "",
            (severity_words(one.severity), severity_tone(one.severity)),
            few(one.services),
            clean(one.template[:_TEMPLATE]),
            (one.example.message[:_TEMPLATE], "dim"),
        ),
    )
