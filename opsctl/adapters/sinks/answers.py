"""What an HTTP answer, or its absence, means for the delivery of an event: one table for every sink on our own client.

202 (or what the sink calls accepted) is done; 400, 401, 402, 403, 404, 413, 422 and their like will not get better by
a repeat; everything else may. Must never let an answer silence a page for long, nor show more of it than a line.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from opsctl.http import Answer, HttpProblem
from opsctl.ports import Delivery

LONGEST_RETRY_AFTER_SECONDS = 600.0
LINE_CHARACTERS = 400
_RETRY_STATUSES = frozenset({408, 421, 425, 429})


def delivered(answer: Answer, accepted: Collection[int]) -> Delivery:
    """Of an answer that came."""
    status = answer.status
    if status in accepted:
        return Delivery("accepted", status, "")
    message = line(f"HTTP {status}: {said(answer)}")
    if is_permanent(status):
        return Delivery("permanent", status, message)
    return Delivery("retry", status, message, retry_after(answer.headers.get("retry-after")))


def failed(wrong: HttpProblem, where: str) -> Delivery:
    """Of a request without a usable answer: `where` is the address for people."""
    message = line(f"{where}: {wrong}")
    if wrong.status is not None and is_permanent(wrong.status):
        return Delivery("permanent", wrong.status, message)
    return Delivery("retry", wrong.status, message)


def is_permanent(status: int) -> bool:
    """Whether the same request would be refused again."""
    return 400 <= status < 500 and status not in _RETRY_STATUSES


def said(answer: Answer) -> str:
    """What an error says: its `message` or `error`, and its `errors`; else its text."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return answer.body[:1000].decode(errors="replace")
    if not isinstance(body, dict):
        return str(body)
    parts = [body.get("message") or body.get("error"), *_errors(body.get("errors"))]
    return ": ".join(str(part) for part in parts if part)


def _errors(errors: Any) -> list[str]:
    if isinstance(errors, dict):
        return [f"{name}: {why}" for name, why in errors.items()]
    if isinstance(errors, list):
        return [str(one.get("title") or one) if isinstance(one, dict) else str(one) for one in errors]
    return []


def retry_after(text: str | None) -> float | None:
    """Seconds, of a number or an HTTP date; capped, so that no answer can silence a page for long."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS) if seconds == seconds else None


def line(text: str) -> str:
    """One short line."""
    return " ".join(text.split())[:LINE_CHARACTERS]
