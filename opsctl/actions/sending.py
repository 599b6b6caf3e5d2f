"""What an action put into the outbox goes out, and whether it got through.

Must never say that something was delivered which another drain, a moment earlier, found refused.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from opsctl.core.frozen import dataclass

if TYPE_CHECKING:
    from opsctl.actions.action import Acting
    from opsctl.ports import Journal
    from opsctl.sender import SendReport

_LOST = ("dead", "never delivered")


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one event: delivered, refused for good, or left for the next run; `error` is the last answer."""

    state: Literal["delivered", "refused", "left"]
    error: str = ""
    warnings: tuple[str, ...] = ()


class Sending:
    """The drains of one desk: one at a time, since connections are shared."""

    def __init__(self, acting: Acting) -> None:
        self._acting = acting
        self._guard = threading.Lock()

    def send(self, journal: Journal, episode: int, action: str, since: datetime) -> Sent:
        """Send what is due for at most `limits.send`; what became of this action, written down at `since`."""
        report = self._drain(journal)
        lost = (*report.dead, *report.never_delivered, *report.refused_notes)
        for row in lost:
            if (row.episode, row.action) == (episode, action):
                return Sent("refused", row.last_error, report.problems)
        for row in journal.unfinished():
            if (row.episode, row.action) == (episode, action):
                return Sent("left", row.last_error, report.problems)
        for moment in journal.timeline(episode):  # another drain may have had it
            if moment.at >= since and moment.kind in {f"{action} {state}" for state in _LOST}:
                return Sent("refused", moment.text, report.problems)
        return Sent("delivered", "", report.problems)

    def _drain(self, journal: Journal) -> SendReport:
        from opsctl.sender import SendReport, drain

        clock, budget = self._acting.clock, self._acting.context.limits.send.total_seconds()
        begun = clock.monotonic()
        if not self._guard.acquire(timeout=budget):
            return SendReport()
        try:
            left = max(0.0, budget - (clock.monotonic() - begun))
            return drain(journal, self._acting.sinks, clock, left)
        finally:
            self._guard.release()
