"""A log line, a whole record and counts over time as pieces for the screen.

Pure: no textual, nothing is asked. Must never clean or measure more of a message than fits the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from opsctl.core.frozen import dataclass
from opsctl.core.logs import LogCounts, LogRecord, severity_of, words_of
from opsctl.render.logs import cells, fitted
from opsctl.render.text import clean
from opsctl.tui.log_ring import Gap
from opsctl.views.logs import bars, one_line

Piece = tuple[str, str]
CLIP = 4_096  # characters of a message that a list looks at
COLUMNS = ("time", "severity", "service", "message")
_GLYPH = {"FATAL": "✖", "ERROR": "✖", "WARN": "!", "INFO": "·", "DEBUG": " ", "TRACE": " "}
_TONE = {"FATAL": "fail", "ERROR": "fail", "WARN": "warn", "DEBUG": "dim", "TRACE": "dim"}
ERRORS = frozenset({"ERROR", "FATAL"})
SEVERITY_WIDTH = 8
_SERVICE_LEAST, _SERVICE_MOST = 8, 20
_GAP = 2


@dataclass(frozen=True, slots=True)
class Look:
    """How lines are laid out; `sideways` moves the message to the left by so many characters."""

    utc: bool = True
    zone: str = "UTC"  # the clock that is shown
    day: bool = False  # days stand before times
    today: int = 0  # ordinal of the day that times without a day are of
    year: int = 0  # that days without a year are of
    service: int = _SERVICE_LEAST
    stale: bool = False
    phrases: tuple[str, ...] = ()  # in lower case; underlined where they are
    sideways: int = 0
    column: str = "message"  # that `f` keeps a value of

    @property
    def time_width(self) -> int:
        """Cells of the time."""
        return 18 if self.day else 12

    @property
    def before(self) -> int:
        """Cells before the message."""
        return self.time_width + SEVERITY_WIDTH + self.service + 3 * _GAP


def severity_tone(severity: str) -> str:
    """The tone of a severity."""
    return _TONE.get(severity, "")


def severity_words(severity: str) -> str:
    """Glyph and word; `–` where a line has none."""
    return f"{_GLYPH.get(severity, '?')} {severity}" if severity else "  –"


def is_error(record: LogRecord) -> bool:
    """ERROR or worse."""
    return record.severity in ERRORS


def phrases_of(words: str) -> tuple[str, ...]:
    """What is looked for in a message, in lower case."""
    return tuple(word.lower() for word in words_of(words))


def matching(phrases: Sequence[str]) -> Callable[[LogRecord], bool]:
    """Whether one of the phrases is in the part of a message that a list shows."""

    def test(record: LogRecord) -> bool:
        text = record.message[:CLIP].lower()
        return any(phrase in text for phrase in phrases)

    return test


def local(at: datetime, *, utc: bool) -> datetime:
    """The time on the clock that is shown; a time at the edge of the calendar stays as it is."""
    try:
        return at.astimezone(UTC) if utc else at.astimezone()
    except (OverflowError, ValueError, OSError):
        return at


def time_cell(at: datetime, look: Look) -> str:
    """Time of day to the millisecond; a line of another day or year says the day instead of a part of the time."""
    shown = local(at, utc=look.utc)
    clock = f"{shown:%H:%M:%S}.{shown.microsecond // 1000:03d}"
    if look.day:
        if shown.year == look.year:
            return f"{shown:%m-%d} {clock}"
        return f"{shown.year:04d}-{shown:%m-%d %H:%M}"
    return clock if shown.toordinal() == look.today else f"{shown.year:04d}-{shown:%m-%d}"


def line_pieces(record: LogRecord, look: Look, width: int) -> list[Piece]:
    """Time, severity, service and the beginning of the message, in at most so many cells."""
    if isinstance(record, Gap):
        return [("─" * min(4, width) + " " + record.message + " ", "warn"), ("─" * max(0, width), "warn")]
    stale = "stale" if look.stale else ""
    gap = " " * _GAP
    tone = stale or severity_tone(record.severity)
    room = max(width - look.before, 8)
    out: list[Piece] = [
        (fitted(time_cell(record.at, look), look.time_width) + gap, stale or "dim"),
        (fitted(_short(severity_words(record.severity), SEVERITY_WIDTH), SEVERITY_WIDTH) + gap, tone),
        (fitted(_short(record.service, look.service), look.service) + gap, stale or "accent"),
    ]
    return out + marked(_window(record.message, look.sideways, room), look.phrases, stale or _message_tone(record))


def _message_tone(record: LogRecord) -> str:
    return "strong" if record.severity in ERRORS else "dim" if record.severity in {"DEBUG", "TRACE"} else ""


def _short(text: str, width: int) -> str:
    """Enough of a text for so many cells, cleaned."""
    return clean(text[: width + 1])


def _window(message: str, sideways: int, room: int) -> str:
    """The part of a message that is seen, cleaned, with … at an end where more is."""
    part = message[sideways : sideways + room + 1]
    text = clean(one_line(part))
    if sideways and text:
        text = "…" + text[1:]
    if cells(text) > room:
        return fitted(text, room)
    return f"{text}…" if len(message) > sideways + len(part) else text


def marked(text: str, phrases: Sequence[str], tone: str) -> list[Piece]:
    """A text with the phrases that are in it underlined."""
    if not phrases:
        return [(text, tone)]
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter that is longer in lower case: places would be wrong
        return [(text, tone)]
    out: list[Piece] = []
    at = 0
    while True:
        found = [(place, len(phrase)) for phrase in phrases if phrase and (place := lowered.find(phrase, at)) >= 0]
        if not found:
            break
        place, size = min(found, key=lambda one: (one[0], -one[1]))
        out += [(text[at:place], tone), (text[place : place + size], "match")]
        at = place + size
    return [piece for piece in (*out, (text[at:], tone)) if piece[0]]


def wrapped_rows(record: LogRecord, look: Look, width: int, most: int) -> list[list[Piece]]:
    """The same over several rows; what needs more than `most` says so."""
    from opsctl.render.logs import wrapped

    room = max(width - look.before, 8)
    if isinstance(record, Gap):
        return [line_pieces(record, look, width)]
    head = line_pieces(record, look, width)[:3]
    clipped = record.message[: room * most + 1]
    rows = [row for line in clipped.splitlines()[: most + 1] or [""] for row in wrapped(clean(line), room)]
    if len(rows) > most or len(record.message) > len(clipped):
        rows = [*rows[: most - 1], fitted("… enter shows the whole message", room).rstrip()]
    tone = "stale" if look.stale else _message_tone(record)
    lead: Piece = (" " * look.before, "")
    return [[*(head if not at else [lead]), *marked(row, look.phrases, tone)] for at, row in enumerate(rows)]


def head_pieces(look: Look) -> list[Piece]:
    """The names of the columns; the one that `f` and `F` take a value of is marked."""
    widths = (look.time_width, SEVERITY_WIDTH, look.service, 8)
    out: list[Piece] = []
    for column, size in zip(COLUMNS, widths, strict=True):
        name = f"time ({look.zone})" if column == "time" and look.zone else column
        out += [(name, "match" if column == look.column else "head"), (" " * max(0, size - len(name) + _GAP), "head")]
    return out


def service_width(records: Iterable[LogRecord]) -> int:
    """As wide as the services of these lines need, within bounds."""
    widest = max((cells(clean(record.service[:_SERVICE_MOST])) for record in records), default=0)
    return min(max(widest, _SERVICE_LEAST), _SERVICE_MOST)


# -- counts over time

LANES = (("✖ error", ("ERROR", "FATAL"), "fail"), ("! warn", ("WARN",), "warn"), ("· other", (), ""))


@dataclass(frozen=True, slots=True)
class Lane:
    """One severity's counts, a step each; `tone` and `name` say which."""

    name: str
    tone: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts)

    @property
    def bars(self) -> str:
        """A bar for each step, to the scale of this lane; a step without a line is a dot."""
        return bars(self.counts)


def lanes_of(counts: LogCounts, start: datetime, end: datetime, rows: int) -> tuple[Lane, ...]:
    """Errors, warnings and all others over time; with room for two rows errors and all others, with one all."""
    size = max(1, -(-(end - start) // counts.step))
    kinds = {3: LANES, 2: (LANES[0], LANES[2])}.get(rows, (("all", (), ""),))
    place_of: Mapping[str, int] = {one: place for place, kind in enumerate(kinds) for one in kind[1]}
    found = [[0] * size for _ in kinds]
    seconds = counts.step.total_seconds()
    for bucket in counts.buckets:
        lane = found[place_of.get(severity_of(dict(bucket.labels).get("log_level", "")), len(kinds) - 1)]
        for at, count in bucket.points:
            place = int((at - start.timestamp()) / seconds + 1e-6)
            if 0 <= place < size:
                lane[place] += count
    return tuple(Lane(kind[0], kind[2], tuple(row)) for kind, row in zip(kinds, found, strict=True))


@lru_cache(maxsize=64)
def step_floor(at: datetime, step: timedelta) -> datetime:
    """The last multiple of a step before a time, so that bars do not shake from one look to the next."""
    seconds = step.total_seconds()
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC)


def lane_pieces(lane: Lane, width: int, marked_at: int | None, *, stale: bool) -> list[Piece]:
    """Name, bars and total; the step of the cursor is marked."""
    tone = "stale" if stale else lane.tone
    bars = lane.bars[: max(0, width - 20)]
    out: list[Piece] = [(fitted(lane.name, 8) + " ", tone or "dim")]
    if marked_at is not None and 0 <= marked_at < len(bars):
        out += [(bars[:marked_at], tone), (bars[marked_at], "cursor"), (bars[marked_at + 1 :], tone)]
    else:
        out.append((bars, tone))
    return [*out, (f" {lane.total:,}", tone or "dim")]
