"""Log lines for a terminal, one at a time, so that a search and what follows a log look the same.

Columns never break: a message is cut with … or wrapped below itself. Must never print a control character.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from opsctl.core.frozen import dataclass
from opsctl.core.logs import LogRecord
from opsctl.render.text import clean
from opsctl.views.logs import Histogram, one_line, step_words, time_words

_COLOURS = {"FATAL": "1;31", "ERROR": "31", "WARN": "33", "DEBUG": "2", "TRACE": "2"}
_SEVERITY = 8  # columns
_SERVICE_MAX = 20
_NARROW = 36  # columns; less than this is no place for a message
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Look:
    """How lines are shown: columns of the terminal, colour, the clock, whole messages, days, the widest service."""

    width: int
    color: bool
    utc: bool
    wide: bool = False
    day: str = ""  # as `day_form` has it
    service: int = 8


def look(
    records: Sequence[LogRecord], *, color: bool, utc: bool, wide: bool = False, day: str = "", least: int = 8
) -> Look:
    """A look that these records fit in."""
    widest = max([least, *(cells(clean(record.service)) for record in records)])
    columns = shutil.get_terminal_size((120, 40)).columns
    return Look(columns, color, utc, wide, day, min(widest, _SERVICE_MAX, max(4, columns - 30)))


def head(way: Look) -> str:
    """The names of the columns."""
    time = "time".ljust(_time_width(way))
    line = _GAP.join((time, "severity"[:_SEVERITY].ljust(_SEVERITY), fitted("service", way.service), "message"))
    return _painted(fitted(line, way.width).rstrip(), "2", way.color)


def shown(record: LogRecord, way: Look) -> str:
    """One record, without a line end; several lines where a message goes below or is wrapped."""
    severity = fitted(clean(record.severity), _SEVERITY)
    start = _GAP.join(
        (
            time_words(record.at, utc=way.utc, day=way.day),
            _painted(severity, _COLOURS.get(record.severity, ""), way.color),
            fitted(clean(record.service), way.service),
        )
    )
    used = _time_width(way) + _SEVERITY + way.service + 3 * len(_GAP)
    message = clean(one_line(record.message))
    below = way.width - used < _NARROW
    room = max(way.width - (4 if below else used), 1)
    lines = wrapped(message, room) if way.wide else [fitted(message, room).rstrip()]
    if below:
        return "\n".join([start.rstrip(), *("    " + line for line in lines)])
    return ("\n" + " " * used).join([f"{start}{_GAP}{lines[0]}".rstrip(), *lines[1:]])


def counts_line(found: Histogram, way: Look) -> str:
    """How many lines over time: a bar for each step."""
    words = f"{found.total:,} line{'' if found.total == 1 else 's'}, {step_words(found.step)}"
    return fitted(f"{found.bars}{_GAP}{words}", way.width).rstrip()


def cells(text: str) -> int:
    """Columns that a text takes: wide characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fitted(text: str, width: int) -> str:
    """Exactly so many columns: filled with spaces, or cut with …."""
    size = cells(text)
    if size <= width:
        return text + " " * (width - size)
    if text.isascii():
        return text[: width - 1] + "…"
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 1) + "…"


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most so many columns, none of it lost."""
    if text.isascii():
        return [text[at : at + width] for at in range(0, len(text), width)] or [""]
    from rich.cells import chop_cells

    return chop_cells(text, max(width, 2)) or [""]


def _time_width(way: Look) -> int:
    return 12 + {"": 0, "%m-%d ": 6}.get(way.day, 11) + (1 if way.utc else 5)


def _painted(text: str, code: str, on: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if on and code else text
