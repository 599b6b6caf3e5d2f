"""Time, and who answers PromQL: what every check needs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Matrix, Reading, Vector


class Clock(Protocol):
    """Time; the demo and the tests have their own."""

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a simulated clock may step instead."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """What `doctor` learns of a backend; `clock_skew_seconds` is theirs minus ours, None when they do not say."""

    name: str
    address: str
    reachable: bool
    authorised: bool
    message: str
    version: str = ""
    clock_skew_seconds: float | None = None
    took_seconds: float = 0.0


class MetricsSource(Protocol):
    """A backend that evaluates PromQL. Methods never raise for what the backend does: they answer `Failed`."""

    name: str  # "prometheus https://…" or "memory": for people
    concurrency: int  # how many questions it takes at once; 1 means: ask in the calling thread

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        """Evaluate at one time."""
        ...

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        """Evaluate at start, start+step, … ≤ end (both inclusive)."""
        ...

    def probe(self, timeout_seconds: float) -> Probe:
        """Ask whether it is there, lets us in and agrees on the time."""
        ...

    def close(self) -> None:
        """Drop connections, also ones in use: their readings become `Failed(deadline)`."""
        ...
