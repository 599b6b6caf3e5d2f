"""Whether a server is there, lets us in and agrees on the time, asked by one GET that changes nothing.

For servers that no collector asks in this run; a collector's own `probe` knows more. Must never raise for what the
server does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime

from opsctl.core.signals import Reason
from opsctl.http import Answer, Client, Endpoint, HttpProblem
from opsctl.ports import Probe

_SILENT = frozenset({Reason.UNREACHABLE, Reason.DEADLINE})


def probe(
    kind: str, endpoint: Endpoint, timeout_seconds: float, now: Callable[[], datetime], *, path: str = "/"
) -> Probe:
    """Ask a server for `path`; any HTTP answer counts as reachable, one of 401 or 403 as not authorised."""
    client = Client(endpoint, connect_seconds=timeout_seconds, request_seconds=timeout_seconds, pool_size=1)
    begun, sent = time.monotonic(), now()
    try:
        answer = client.get(path)
    except HttpProblem as wrong:
        reachable = wrong.status is not None or wrong.reason not in _SILENT
        authorised = reachable and wrong.reason is not Reason.AUTH
        took = time.monotonic() - begun
        return Probe(kind, endpoint.address, reachable, authorised, wrong.message, took_seconds=took)
    finally:
        client.close()
    took = time.monotonic() - begun
    return Probe(kind, endpoint.address, True, True, f"answers {answer.status}", "", _skew(answer, sent, now()), took)


def _skew(answer: Answer, sent: datetime, came: datetime) -> float | None:
    """Theirs minus ours in seconds, by the header `Date`, which has whole seconds."""
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    if theirs.tzinfo is None:
        return None
    return round((theirs - (sent + (came - sent) / 2)).total_seconds(), 3)
