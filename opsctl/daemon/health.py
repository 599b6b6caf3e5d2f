"""Whether the daemon lives and does its work: two questions that a service manager asks, and the reasons for a no.

Pure. Must never call a daemon healthy that judges nothing or tells nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from opsctl.loop import LOOK_SECONDS, Pulse

FAILURES_IN_A_ROW = 5
UNDELIVERED = timedelta(minutes=5)
"""So long a page may be on its way."""
_TICK_SECONDS = 6 * LOOK_SECONDS


@dataclass(frozen=True)
class Patience:
    """`run_seconds`: the longest that a run can take by its own limits, and some more."""

    interval: timedelta
    run_seconds: float


@dataclass(frozen=True)
class Standing:
    """What the last run left behind, as far as health is about it."""

    begun: datetime  # when the daemon began
    last_success: datetime | None
    journal_problem: str | None = None
    undelivered: datetime | None = None  # when the oldest page was decided that no sink took yet
    config_problem: str | None = None


def dead(pulse: Pulse, patience: Patience, monotonic: float) -> Iterator[str]:
    """Why the loop is not alive."""
    since = pulse.running_since
    if since is not None and monotonic - since > patience.run_seconds:
        yield f"a run has been going on for {monotonic - since:.0f} s; it may take {patience.run_seconds:.0f} s"
    if since is None and monotonic - pulse.ticked > _TICK_SECONDS:
        yield f"the loop has not moved for {monotonic - pulse.ticked:.0f} s"
    if pulse.failures >= FAILURES_IN_A_ROW:
        yield f"{pulse.failures} runs in a row ended with an error, the last: {pulse.failure}"


def unready(standing: Standing, patience: Patience, now: datetime) -> Iterator[str]:
    """Why it does not do its work."""
    limit = 3 * patience.interval
    last = standing.last_success
    if last is None:
        yield f"no run has ended well yet (begun {_ago(standing.begun, now)} ago)"
    elif now - last > limit:
        yield f"the last run that ended well was {_ago(last, now)} ago; expected within {limit.total_seconds():.0f} s"
    if standing.journal_problem is not None:
        yield standing.journal_problem
    if standing.undelivered is not None and now - standing.undelivered > UNDELIVERED:
        yield f"a page has not been delivered for {_ago(standing.undelivered, now)}: `opsctl incident ls` shows which"


def _ago(then: datetime, now: datetime) -> str:
    return f"{max(0.0, (now - then).total_seconds()):.0f} s"
