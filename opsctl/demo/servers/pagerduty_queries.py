"""How the REST API's parameters are read: pages, ranges of time, sets, sorting; each documented limit is enforced.

Pure. Must never guess: what is malformed or beyond a limit is refused, also where PagerDuty would cut it down silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from opsctl.demo.servers.pagerduty_answers import Refusal, error, invalid

Query = Mapping[str, list[str]]

DEFAULT_LIMIT = 25
MOST_LIMIT = 100
MOST_RECORDS = 10_000
MONTH = timedelta(days=30)
HALF_A_YEAR = timedelta(days=183)
_TRUE = {"true", "1"}
_FALSE = {"false", "0"}


class Page(NamedTuple):
    """One page of a list."""

    limit: int
    offset: int
    total: bool

    def answer(self, name: str, found: Sequence[Any], count: int) -> dict[str, Any]:
        """The body: this page's resources, of `count` in all."""
        return {
            name: list(found),
            "limit": self.limit,
            "offset": self.offset,
            "more": self.offset + len(found) < count,
            "total": count if self.total else None,
        }

    def of(self, name: str, everything: Sequence[Any]) -> dict[str, Any]:
        """The body, cut out of all there is."""
        return self.answer(name, everything[self.offset : self.offset + self.limit], len(everything))


class Range(NamedTuple):
    """From a time to another."""

    since: datetime
    until: datetime


def one(query: Query, name: str) -> str | None:
    """The last value of a parameter; an empty one is none."""
    values = query.get(name)
    return values[-1] if values and values[-1] else None


def flag(query: Query, name: str) -> bool:
    """A boolean: true, false, 1 or 0."""
    value = one(query, name) or "false"
    if value not in _TRUE | _FALSE:
        raise invalid(f"{name} must be true or false")
    return value in _TRUE


def several(query: Query, name: str, known: Sequence[str] | None = None) -> list[str]:
    """The values of a set filter, whose name ends in `[]`."""
    values = [value for value in query.get(f"{name}[]", []) if value]
    if known is not None and any(value not in known for value in values):
        if name == "statuses":
            raise invalid("Status must be a list of triggered, acknowledged, or resolved.")
        raise invalid(f"{name} must be a list of {', '.join(known)}")
    return values


def page(query: Query) -> Page:
    """Which page: 25 at a time, at most 100, of the first 10,000."""
    limit, offset = _count(query, "limit", DEFAULT_LIMIT), _count(query, "offset", 0)
    if not 1 <= limit <= MOST_LIMIT:
        raise invalid(f"limit must be from 1 to {MOST_LIMIT}")
    if limit + offset > MOST_RECORDS:
        raise invalid(f"Offset must be less than or equal to {MOST_RECORDS - limit}")
    return Page(limit, offset, flag(query, "total"))


def _count(query: Query, name: str, default: int) -> int:
    text = one(query, name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise invalid(f"{name} must be a whole number")
    return int(text)


def time_of(text: str) -> datetime:
    """A time in ISO 8601, in UTC where it has no zone; ValueError if it is none, or of no year that matters."""
    at = datetime.fromisoformat(text)
    if not 1970 < at.year < 9000:
        raise ValueError(f"{text!r} is not a time of this age")
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def moment(query: Query, name: str) -> datetime | None:
    """The time that a parameter names."""
    text = one(query, name)
    if text is None:
        return None
    try:
        return time_of(text)
    except ValueError as wrong:
        raise Refusal(error(400, 2004, "Invalid time values in 'since' and/or 'until' parameters")) from wrong


def created(query: Query, now: datetime) -> Range | None:
    """Which incidents, by the time of their creation: of one month by default, of six at most; None is all of them."""
    wanted = one(query, "date_range")
    if wanted not in {None, "all"}:
        raise invalid("date_range must be all")
    if wanted == "all":
        return None
    since, until = moment(query, "since"), moment(query, "until")
    if since is None:
        since = (until or now) - MONTH
    if until is None:
        until = since + MONTH
    if until < since or until - since > HALF_A_YEAR:
        raise Refusal(error(400, 2005, "Invalid Query Date Range"))
    return Range(since, until)


def order(query: Query, fields: Mapping[str, str], default: str) -> str:
    """An ORDER BY of at most two `field` or `field:asc|desc`, which come separated by a comma or as two values."""
    written = [part for name in ("sort_by", "sort_by[]") for value in query.get(name, []) for part in value.split(",")]
    if not written:
        return default
    if len(written) > 2:
        raise invalid("sort_by takes two fields at most")
    made = []
    for part in written:
        field, _, way = part.partition(":")
        if field not in fields or way not in {"", "asc", "desc"}:
            raise invalid(f"sort_by must be of {', '.join(fields)}, each with :asc or :desc")
        made.append(f"{fields[field]} {'DESC' if way == 'desc' else 'ASC'}")
    return ", ".join(made)


def shown(at: datetime | str) -> str:
    """A time as the API shows it: in UTC, in whole seconds."""
    made = datetime.fromisoformat(at) if isinstance(at, str) else at
    return made.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
