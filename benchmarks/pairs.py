"""Interleaved pairs: A, B, A, B, …, so that whatever else the machine does falls on both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One measured ratio; `goal` is None where there is none yet."""

    name: str
    ratio: float
    goal: float | None
    better: Literal["lower", "higher"]
    what: str

    @property
    def ok(self) -> bool:
        """Whether the goal is met."""
        if self.goal is None:
            return True
        return self.ratio <= self.goal if self.better == "lower" else self.ratio >= self.goal


def ratio(ours: Callable[[], object], unit: Callable[[], object], pairs: int) -> float:
    """The median time of `ours` over the median time of `unit`, after one pair that is not counted."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs + 1):
        for of, run in zip(taken, (ours, unit), strict=True):
            begun = time.perf_counter()
            run()
            if number:
                of.append(time.perf_counter() - begun)
    return median(taken[0]) / median(taken[1])
