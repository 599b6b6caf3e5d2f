"""What all senders share: a backend that fails is counted and said once, and never stops the platform."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
PAUSE_SECONDS = 10.0


class Delivery(Generic[T]):
    """Sends items in batches; `send` answers how many arrived and why others did not, and may raise.

    What did not arrive is gone: the platform lives on, as services do whose collector is away. One that failed is left
    in peace for `pause_seconds`.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[T]], tuple[int, str]],
        say: Callable[[str], None],
        batch: int,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._name, self._send, self._say, self._batch = name, send, say, batch
        self._failing = False
        self._pause, self._again = pause_seconds, 0.0
        self.sent = 0
        self.lost = 0

    def deliver(self, items: Sequence[T]) -> None:
        """Send all of them now; never raises for what the backend does."""
        for at in range(0, len(items), self._batch):
            part = items[at : at + self._batch]
            if self._failing and time.monotonic() < self._again:
                self.lost += len(part)
                continue
            try:
                arrived, why = self._send(part)
            except Exception as wrong:  # noqa: BLE001 -- whatever a client library raises for its backend
                arrived, why = 0, f"{type(wrong).__name__}: {wrong}"
            self.sent += arrived
            self.lost += len(part) - arrived
            self._tell(why if arrived < len(part) else "")

    def _tell(self, why: str) -> None:
        """Once when it begins to fail, once when it works again."""
        if why and not self._failing:
            self._say(f"{self._name} does not take what the platform sends; it is counted and lost: {why}")
        elif self._failing and not why:
            self._say(f"{self._name} takes what the platform sends again; {self.lost} were lost")
        self._failing, self._again = bool(why), time.monotonic() + self._pause
