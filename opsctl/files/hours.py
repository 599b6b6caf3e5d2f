"""Times of the week as people write them: `Mon-Fri 09:00-17:00 Europe/Berlin`.

Pure but for the system's zone data. Must never guess a zone: hours without one would mean another time on each host.
"""

from __future__ import annotations

import re
from datetime import tzinfo

from opsctl.core.routing import Hours
from opsctl.files.text import meant

EXAMPLE = "Mon-Fri 09:00-17:00 Europe/Berlin"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = re.compile(r"([A-Za-z]+)(?:-([A-Za-z]+))?")
_SPAN = re.compile(r"(\d{2}):(\d{2})-(\d{2}):(\d{2})")
_WHOLE_DAY = (0, 24 * 60)


def parse_hours(text: str) -> Hours:
    """`[DAYS] [SPANS] ZONE`: days and spans with commas between; ValueError with what is wrong.

    Without days every day is meant, without spans the whole day. A span over midnight (`22:00-06:00`) belongs to the
    day that it begins on.
    """
    words = text.split()
    if not 2 <= len(words) <= 3:
        raise ValueError(f"expected days, spans and a zone, like {EXAMPLE}")
    zone = _zone(words[-1])
    rest = words[:-1]
    spanned = len(rest) == 2 or ":" in rest[0]
    spans = tuple(_span(part) for part in rest.pop().split(",")) if spanned else (_WHOLE_DAY,)
    days = frozenset(day for part in rest[0].split(",") for day in _days(part)) if rest else frozenset(range(7))
    return Hours(days, spans, zone, " ".join(words))


def _days(text: str) -> list[int]:
    match = _DAY.fullmatch(text)
    if match is None:
        raise ValueError(f"expected days like Mon-Fri or Sat,Sun, got {text[:40]!r}")
    first = _day(match[1])
    last = _day(match[2]) if match[2] else first
    return [(first + step) % 7 for step in range((last - first) % 7 + 1)]


def _day(word: str) -> int:
    short = word[:3].title()
    long = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    if short not in DAYS or (len(word) > 3 and word.lower() not in long):
        raise ValueError(f"no such day: {word[:40]}; expected one of {', '.join(DAYS)}")
    return DAYS.index(short)


def _span(text: str) -> tuple[int, int]:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a span like 09:00-17:00, got {text[:40]!r}")
    begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if int(match[2]) > 59 or int(match[4]) > 59 or begin >= 24 * 60 or end > 24 * 60:
        raise ValueError(f"{text}: expected times from 00:00 to 24:00")
    if begin == end:
        raise ValueError(f"{text} is empty; the whole day is 00:00-24:00")
    if end == 0:
        end = 24 * 60
    return begin, end


def _zone(name: str) -> tzinfo:
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    known = zoneinfo.available_timezones()
    if not known:
        raise ValueError("this system has no time zones: install its package tzdata")
    raise ValueError(f"no such time zone: {name[:60]}; {meant(name, known) if len(name) < 60 else 'expected UTC'}")
