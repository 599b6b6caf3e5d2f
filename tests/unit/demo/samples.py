"""A store that just keeps what it is given, for tests of the simulated platform."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

STALE_BITS = 0x7FF0000000000002


class Kept:
    """Every metric's samples: labels, and values of all minutes with NaN where a sample is missing."""

    def __init__(self) -> None:
        self.labels: dict[str, Sequence[Mapping[str, str]]] = {}
        self._values: dict[str, list[Any]] = {}
        self._present: dict[str, list[Any]] = {}
        self._stamps: dict[str, list[Any]] = {}

    def add(self, metric: str, label_sets: Any, ts_ms: Any, values: Any, present: Any = None) -> None:
        """As `SeriesStore.add`."""
        self.labels[metric] = label_sets
        there = np.ones(values.shape, dtype=np.bool_) if present is None else present
        assert values.shape == there.shape == (len(label_sets), len(ts_ms))
        for held, new in ((self._values, values), (self._present, there), (self._stamps, ts_ms)):
            held.setdefault(metric, []).append(np.array(new))

    def metrics(self) -> list[str]:
        """All names."""
        return sorted(self.labels)

    def values(self, metric: str) -> Any:
        """(series, minutes), as added."""
        return np.concatenate(self._values[metric], axis=1)

    def present(self, metric: str) -> Any:
        """(series, minutes): whether a sample, or a stale marker, is there."""
        return np.concatenate(self._present[metric], axis=1)

    def stamps(self, metric: str) -> Any:
        """Milliseconds since the epoch."""
        return np.concatenate(self._stamps[metric])

    def rate(self, metric: str, wanted: Callable[[Mapping[str, str]], bool] = lambda _: True) -> Any:
        """Events in each minute but the first, over all series that are wanted."""
        rows = [row for row, labels in enumerate(self.labels[metric]) if wanted(labels)]
        assert rows, f"no series of {metric} is wanted"
        return np.nansum(np.diff(self.values(metric)[rows], axis=1), axis=0)

    def digest(self) -> dict[str, tuple[bytes, bytes, bytes]]:
        """Every byte of it."""
        return {
            m: (self.values(m).tobytes(), self.present(m).tobytes(), self.stamps(m).tobytes()) for m in self.metrics()
        }
