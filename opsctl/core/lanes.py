"""How the ways out do while events are sent: which rest, and what failed on each since something last went through.

A lane is what shares one rate limit: a routing key, an account, a receiver. Pure; times are seconds of a monotonic
clock. Must never let one lane's trouble hold up another lane, nor one bad event the rest of its lane.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from opsctl.core.outbox import wait_seconds

SHORTEST_REST_SECONDS = 0.01


@dataclass
class _Lane:
    rests_until: float = float("-inf")
    failures: int = 0  # in a row
    tried: set[int] = field(default_factory=set)  # the rows of these failures


class Lanes:
    """What a drain knows of its lanes, by name, and of the servers behind them."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._slow_until: dict[str, float] = {}

    def rest(self, lane: str, now: float, seconds: float) -> None:
        """Nothing goes out there for so long."""
        one = self._lanes.setdefault(lane, _Lane())
        one.rests_until = max(one.rests_until, now + max(seconds, SHORTEST_REST_SECONDS))

    def wait(self, lane: str, now: float) -> float:
        """Seconds until something may go out there; 0.0 where it does not rest."""
        one = self._lanes.get(lane)
        return max(0.0, one.rests_until - now) if one else 0.0

    def passed(self, lane: str) -> None:
        """An event was taken or refused for good: somebody is there."""
        one = self._lanes.get(lane)
        if one is not None:
            one.failures, one.tried = 0, set()

    def throttled(self, lane: str, row: int, now: float, chance: float, retry_after_seconds: float | None) -> None:
        """It asked to be left alone: that is for every event of the lane."""
        failures = self._failed(lane, row)
        self.rest(lane, now, wait_seconds(failures, chance, retry_after_seconds))

    def failed(self, lane: str, row: int, now: float, chance: float) -> None:
        """No answer, or a broken one: one may be the event's fault or the connection's, from two on the lane rests."""
        failures = self._failed(lane, row)
        if failures > 1:
            self.rest(lane, now, wait_seconds(failures - 1, chance, None))

    def was_tried(self, lane: str, row: int) -> bool:
        """Whether the row is one of those that failed since something last went through: another is the better try."""
        one = self._lanes.get(lane)
        return one is not None and row in one.tried

    def took(self, server: str, now: float, seconds: float) -> None:
        """A failure took so long: for as long again, what goes to other servers goes first."""
        self._slow_until[server] = now + seconds

    def is_slow(self, server: str, now: float) -> bool:
        """Whether the others go first."""
        return now < self._slow_until.get(server, now)

    def _failed(self, lane: str, row: int) -> int:
        one = self._lanes.setdefault(lane, _Lane())
        one.failures += 1
        one.tried.add(row)
        return one.failures
