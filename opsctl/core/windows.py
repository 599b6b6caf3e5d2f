"""Durations as Prometheus and OpenSLO write them, and the evaluation grid."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

MINUTE = timedelta(minutes=1)
_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_LONGEST = 100  # characters; Python refuses to read numbers of thousands of digits
_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")


def parse_duration(text: str) -> timedelta:
    """Read `1h30m`, `5m`, `30d`, `250ms` (Prometheus's grammar: falling units, each once); ValueError otherwise."""
    if text == "0":
        return timedelta(0)
    match = _DURATION.fullmatch(text) if len(text) <= _LONGEST else None
    if not text or match is None:
        raise ValueError(f"not a duration: {text!r}")
    total = sum(
        int(n) * _UNITS[u] for n, u in zip(match.groups(), ("y", "w", "d", "h", "m", "s", "ms"), strict=True) if n
    )
    try:
        return timedelta(milliseconds=total)
    except OverflowError:
        raise ValueError(f"too long a duration: {text!r}") from None


def format_duration(value: timedelta) -> str:
    """Write a duration with the fewest units that Prometheus reads back to the same length."""
    left = round(value / timedelta(milliseconds=1))
    if left == 0:
        return "0s"
    out = []
    for unit in ("d", "h", "m", "s", "ms"):
        n, left = divmod(left, _UNITS[unit])
        if n:
            out.append(f"{n}{unit}")
    return "".join(out)


def grid_point(now: datetime, step: timedelta = MINUTE) -> datetime:
    """The last multiple of `step` since the epoch that is not after `now`, so two hosts ask the same question."""
    size = round(step / timedelta(milliseconds=1))
    ms = round(now.timestamp() * 1000)
    return datetime.fromtimestamp((ms - ms % size) / 1000, UTC)
