"""Looks through more traces than one answer holds, for what Jaeger cannot be asked for: half of them after the other.

Must never take a page that was full for all that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from collectors.jaeger.answers import Got
from opsctl.core.traces import Trace
from opsctl.http import HttpProblem
from opsctl.ports.traces import TraceQuery

SEARCHES = 12
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHORTEST = timedelta(milliseconds=2)

Fetch = Callable[[TraceQuery, int], tuple[Got[list[Trace]], int]]
"""A question and how many traces it may bring, to what came and how many it could have been."""


def look_through(
    query: TraceQuery, asked: int, fetch: Fetch, searches: int = SEARCHES
) -> tuple[Got[list[Trace]], bool]:
    """Traces of the newest halves first until enough of them fit, and whether there are more that nobody looked at.

    Only the first search may fail; after it, what came is kept.
    """
    waiting = [(query.start, query.end)]
    seen: dict[str, Trace] = {}
    errors: dict[str, None] = {}
    left_out = False
    fits = 0
    for number in range(searches):
        if not waiting or fits >= query.limit:
            break
        start, end = waiting.pop()
        part = replace(query, start=start, end=end)
        try:
            got, asked = fetch(part, asked)
        except HttpProblem:
            if not number:
                raise
            left_out = True
            break
        errors |= dict.fromkeys(got.errors)
        new = [trace for trace in got.data if trace.trace_id not in seen]
        seen |= {trace.trace_id: trace for trace in new}
        fits += sum(map(query.matches, new))
        if len(got.data) < asked:
            continue
        if end - start < _SHORTEST:
            left_out = True
        else:
            middle = _middle(part, got.data)
            waiting += [(start, middle), (middle, end)]
    return Got(list(seen.values()), tuple(errors)), bool(waiting) or left_out


def _middle(part: TraceQuery, traces: Sequence[Trace]) -> datetime:
    """A time with about as many traces before it as after it, as far as a page of them tells."""
    times = sorted(trace.start_us for trace in traces if part.start_us < trace.start_us < part.end_us)
    if not times:
        return part.start + (part.end - part.start) / 2
    return EPOCH + timedelta(microseconds=times[len(times) // 2])
