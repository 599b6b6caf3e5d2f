"""Options that several commands share: one spelling, one meaning, one way to read their values."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from opsctl.cli.frame import Frame
from opsctl.core.windows import parse_duration
from opsctl.errors import UsageError
from opsctl.views.moments import read_moment

Output = Annotated[
    str | None,
    typer.Option("-o", "--output", help="How to print; the default is table on a terminal, plain when piped."),
]
Json = Annotated[bool, typer.Option("--json", help="The same as -o json.")]
At = Annotated[str | None, typer.Option("--at", help="Evaluate at this time: RFC 3339, unix seconds, or 15m (ago).")]
Since = Annotated[str, typer.Option("--since", help="Start this long ago, or at this time.")]
To = Annotated[str | None, typer.Option("--to", help="End at this time; default now.")]
_LONGEST_TIMEOUT = 3600.0
Timeout = Annotated[
    str | None, typer.Option("--timeout", help="Per request, such as 5s; default from the configuration.")
]


def chosen_output(
    frame: Frame, output: str | None, json: bool, known: tuple[str, ...] = ("table", "plain", "json")
) -> str:
    """The format to print in."""
    if json:
        if output not in (None, "json"):
            raise UsageError(f"--json and --output {output} contradict each other")
        return "json"
    if output is None:
        return "table" if frame.stdout_is_terminal else "plain"
    if output not in known:
        raise UsageError(f"--output {output}: expected one of {', '.join(known)}")
    return output


def duration(flag: str, text: str) -> timedelta:
    """A duration given to a flag."""
    try:
        return parse_duration(text)
    except ValueError:
        raise UsageError(f"{flag} {text}: expected a duration like 10s, 5m or 1h30m") from None


def moment(flag: str, text: str, now: datetime) -> datetime:
    """A time given to a flag: RFC 3339 (with a zone), unix seconds, `now`, or a duration ago."""
    try:
        return read_moment(text, now)
    except ValueError as wrong:
        raise UsageError(f"{flag} {text}: {wrong}") from None


def past(flag: str, text: str, now: datetime) -> datetime:
    """`moment`, for what is judged: nothing is known of a time to come."""
    at = moment(flag, text, now)
    if at > now:
        raise UsageError(f"{flag} {text}: that is in the future, now is {now:%Y-%m-%dT%H:%M:%SZ}")
    return at


def timeout_seconds(text: str) -> float:
    """The seconds of --timeout: more than none, at most an hour."""
    seconds = duration("--timeout", text).total_seconds()
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        raise UsageError(f"--timeout {text}: expected longer than 0s and at most 1h")
    return seconds
