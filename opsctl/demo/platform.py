"""The simulated platform on a clock of its own: it computes its minutes when it is told how late it is.

It never asks the machine's clock, sends nothing and writes to nothing but the store it was given.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from opsctl.demo.controls import Controls
from opsctl.demo.model import Model, State
from opsctl.demo.noise import Floats, Minutes
from opsctl.demo.series import Block, Book
from opsctl.demo.truth import Truth, judge_truth

_MINUTES_A_PASS = 1440  # bounds the memory of a long history


class Store(Protocol):
    """What takes the samples: `opsctl.promql.store.SeriesStore`, or a writer of files."""

    def add(
        self,
        metric: str,
        label_sets: Sequence[Mapping[str, str]],
        ts_ms: NDArray[np.int64],
        values: Floats,
        present: NDArray[np.bool_] | None = None,
    ) -> None:
        """Appends samples (series, minutes); see `SeriesStore.add`."""


def _minute(at: datetime) -> int:
    """The last whole minute at or before `at`, in minutes since the epoch."""
    return int(at.timestamp() // 60)


class Platform:
    """The services, their traffic and their faults from `start` on, one scrape a minute; same seed, same bytes.

    Orders take effect from the next minute that is computed: what was computed is history. One thread advances; any
    may inject and mitigate.
    """

    def __init__(self, seed: int, start: datetime, store: Store) -> None:
        self._model = Model(seed)
        self._book = Book(seed)
        self._controls = Controls()
        self._store = store
        self._next = _minute(start - timedelta(microseconds=1)) + 1
        self._first = self._next
        self._lock = threading.Lock()

    @property
    def series(self) -> int:
        """How many series it exports."""
        return self._book.series

    @property
    def start(self) -> datetime:
        """The first scrape."""
        return datetime.fromtimestamp(self._first * 60, UTC)

    @property
    def now(self) -> datetime | None:
        """The last scrape that was computed."""
        return None if self._next == self._first else datetime.fromtimestamp((self._next - 1) * 60, UTC)

    def advance(self, to: datetime) -> None:
        """Computes every scrape that is missing up to and including `to` and appends it to the store."""
        with self._lock:
            last = _minute(to)
            while self._next <= last:
                end = min(last, self._next + _MINUTES_A_PASS - 1)
                minutes = np.arange(self._next, end + 1, dtype=np.int64)
                for block in self._compute(minutes):
                    self._store.add(block.metric, block.label_sets, minutes * 60_000, block.values, block.present)
                self._next = end + 1

    def _compute(self, minutes: Minutes) -> Iterator[Block]:
        before = np.concatenate([minutes[:1] - 1, minutes])
        seen = self._controls.gone(before)
        if minutes[0] == self._first:  # nothing can vanish that was never there
            seen.region[:, 0] = seen.region[:, 1]
            seen.chat[0] = seen.chat[1]
        return self._book.write(self._model.state(minutes, self._controls.levels(minutes)), seen)

    def inject(self, fault: str, at: datetime, duration: timedelta = timedelta(minutes=60)) -> None:
        """Lets a fault of `faults.FAULTS` begin at `at` and last; `ValueError` if it is unknown or too late for it."""
        with self._lock:
            start = self._due(at)
            self._controls.inject(fault, start, start + duration.total_seconds())

    def mitigate(self, action: str, at: datetime, params: Mapping[str, str]) -> str:
        """Does an action of `faults.ACTIONS`, or its undo, at `at`; the answer is one line for a person."""
        with self._lock:
            return self._controls.mitigate(action, self._due(at), params)

    def _due(self, at: datetime) -> float:
        """Epoch seconds of an order: it cannot change minutes that are history."""
        if at.timestamp() < (self._next - 1) * 60.0 and self._next != self._first:
            raise ValueError(f"{at.isoformat()} is history: the platform is at {self.now}")
        return at.timestamp()

    def state(self, minute: int) -> State:
        """What the model does in the minute that ends at that epoch minute, by what was ordered up to now."""
        minutes = np.array([minute], dtype=np.int64)
        with self._lock:
            return self._model.state(minutes, self._controls.levels(minutes))

    def truth(self, at: datetime) -> Truth:
        """What is really wrong in the minute that ends at or after `at`: per service, the fault behind it and why."""
        with self._lock:
            return judge_truth(self._model, self._controls, at)
