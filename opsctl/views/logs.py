"""Log lines, counts over time and patterns as the words and numbers of a screen.

Must never shorten what it is given: that is the renderer's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from opsctl.core.frozen import dataclass
from opsctl.core.logs import LogCounts, LogRecord
from opsctl.core.windows import format_duration
from opsctl.views.sparkline import BARS

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
_ESCAPES = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})


def step_for(start: datetime, end: datetime, columns: int) -> timedelta:
    """The shortest round step that needs at most so many columns."""
    seconds = (end - start).total_seconds()
    for step in _STEPS:
        if seconds <= step * columns:
            return timedelta(seconds=step)
    days = -(-seconds // (86_400 * columns))
    return timedelta(days=days)


def bars(counts: Sequence[int]) -> str:
    """A bar for each count, to the scale of the highest; none at all is a dot."""
    most = max(counts, default=0)
    return "".join(BARS[min(7, (count * 8 - 1) // most)] if count else "·" for count in counts)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many lines there were in each step; `counts` has a zero where none was."""

    start: datetime
    step: timedelta
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts)

    @property
    def bars(self) -> str:
        """A bar for each step, from the least to the most; a step without a line is a dot."""
        return bars(self.counts)


def histogram(counts: LogCounts, start: datetime, end: datetime) -> Histogram:
    """Counts of all groups together, with the steps that had none."""
    size = max(1, -(-(end - start) // counts.step))
    per = [0] * size
    for bucket in counts.buckets:
        for at, count in bucket.points:
            place = round((at - start.timestamp()) / counts.step.total_seconds())
            if 0 <= place < size:
                per[place] += count
    return Histogram(start, counts.step, tuple(per))


def step_words(step: timedelta) -> str:
    """`1m a column`."""
    return f"{format_duration(step)} a column"


def one_line(message: str) -> str:
    """A message on one line: line ends and tabs as they are written in a program."""
    return message.translate(_ESCAPES) if not message.isprintable() else message


def time_words(at: datetime, *, utc: bool, day: str) -> str:
    """Time of day to the millisecond behind its `day_form`; `Z` or the offset says which clock."""
    local = at.astimezone(UTC) if utc else at.astimezone()
    zone = "Z" if utc else f"{local:%z}"
    return f"{local.strftime(day) if day else ''}{_clock(local)}{zone}"


def zone_of(times: Iterable[datetime]) -> str:
    """The offset of the local clock at these times, such as `+0200`; nothing where they have several."""
    zones = {f"{at.astimezone():%z}" for at in times}
    return next(iter(zones)) if len(zones) == 1 else ""


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"


def day_form(times: Iterable[datetime], *, utc: bool) -> str:
    """How days are written, for `strftime`: not at all where all times are of one, with the year where it differs."""
    days = {(at.astimezone(UTC) if utc else at.astimezone()).date() for at in times}
    if len(days) < 2:
        return ""
    return "%m-%d " if len({day.year for day in days}) == 1 else "%Y-%m-%d "


def as_json(record: LogRecord) -> dict[str, Any]:
    """One line as JSON has it; the message is whole."""
    return {
        "at": record.at,
        "severity": record.severity,
        "service": record.service,
        "message": record.message,
        "trace_id": record.trace_id or None,
        "span_id": record.span_id or None,
        "id": record.id,
        "fields": dict(record.fields),
    }


def share(count: int, of: int) -> str:
    """A share in percent with a sensible number of digits."""
    return f"{count / of * 100:.3g} %" if of else "–"


def few(counts: Mapping[str, int], most: int = 3) -> str:
    """The most frequent names."""
    names: Sequence[str] = [name or "–" for name in counts]
    more = f" +{len(names) - most}" if len(names) > most else ""
    return ", ".join(names[:most]) + more
