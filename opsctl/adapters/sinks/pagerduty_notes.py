"""Notes on PagerDuty's incidents: one note for each event, however often it is tried.

A note ends with a short mark of its event, so that one whose answer was lost is found again. Must never write a second
note with the same mark.
"""

from __future__ import annotations

import hashlib

from opsctl.adapters.sinks.pagerduty_reader import newest
from opsctl.adapters.sinks.pagerduty_rest import Budget, Rest, Unanswered, items_of, of_id, text_of
from opsctl.ports import Delivery

_REQUESTS = 5  # find the incident, read its notes, write one; two of them once more after a 429
_NOTES = "/incidents/{}/notes"


class RestNotes:
    """Writes notes with one account's token."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def write(self, key: str, text: str, id_: str, timeout_seconds: float) -> Delivery:
        """Write a line on the newest incident of a dedup key; `retry` where none shows yet."""
        budget = Budget(timeout_seconds, _REQUESTS)
        try:
            incident = newest(self._rest, key, budget)
            if incident is None:
                return Delivery("retry", None, "PagerDuty shows no incident with this key yet")
            path, content = of_id(_NOTES, text_of(incident, "id")), marked(text, id_)
            there = items_of(self._rest.get(path, budget), "notes")
            if not any(text_of(one, "content").strip() == content for one in there):
                self._rest.post(path, budget, {"note": {"content": content}})
        except Unanswered as wrong:
            return Delivery("permanent" if wrong.permanent else "retry", wrong.status, str(wrong), wrong.wait_seconds)
        return Delivery("accepted", 201, "")

    def close(self) -> None:
        """Drop connections."""
        self._rest.close()


def marked(text: str, id_: str) -> str:
    """The note as it is written; without an event's id the text alone tells it from others."""
    words = text.strip()
    return f"{words} [opsctl {hashlib.sha256(id_.encode()).hexdigest()[:8]}]" if id_ else words
