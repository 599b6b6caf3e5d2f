"""A time as a person writes one: RFC 3339, unix seconds, `now`, a duration ago, or the hand of a clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from opsctl.core.windows import parse_duration

EXPECTED = "expected 2026-05-01T03:00:00Z, unix seconds, or a duration ago like 15m"
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(Z?)")


def read_moment(text: str, now: datetime) -> datetime:
    """The time in UTC; ValueError says what was expected instead."""
    if text == "now":
        return now
    try:
        return now - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(EXPECTED) from None
    if at.tzinfo is None:
        raise ValueError("which zone? add Z or +02:00")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("too far away") from None


def clock_moment(text: str, now: datetime, *, utc: bool) -> datetime:
    """The same, and `03:02` or `03:02:30`: the last time that a clock showed it, in UTC or here; never after `now`."""
    found = _CLOCK.fullmatch(text.strip())
    at = _last(found, now, utc=utc) if found else read_moment(text.strip(), now)
    if at > now:
        raise ValueError(f"that is in the future, now is {now:%Y-%m-%dT%H:%M:%SZ}")
    return at


def _last(found: re.Match[str], now: datetime, *, utc: bool) -> datetime:
    try:
        hand = time(int(found[1]), int(found[2]), int(found[3] or 0))
    except ValueError:
        raise ValueError("a clock shows 00:00 to 23:59") from None
    here = utc or bool(found[4])
    today = (now.astimezone(UTC) if here else now.astimezone()).date()
    for back in (0, 1, 2):
        shown = datetime.combine(today - timedelta(days=back), hand)
        at = shown.replace(tzinfo=UTC) if here else shown.astimezone().astimezone(UTC)
        if at <= now:
            return at
    return at
