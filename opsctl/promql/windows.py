"""The windows of a range selector: for every series and step the bounds of its samples.

Must never copy samples for what first, last and count can answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from opsctl.promql.errors import PromqlError
from opsctl.promql.samples import Samples
from opsctl.promql.series import Bools, Floats, Ints

LOOKS_MAX = 1_000_000_000  # a sample counts once for every window that it is in
_CHUNK = 1 << 21  # samples gathered at once


@dataclass(slots=True)
class Runs:
    """Some windows' samples one after the other; `windows` are their numbers, row * steps + step."""

    windows: Ints
    values: Floats
    starts: Ints
    sizes: Ints
    index: Ints  # of each sample in the store


class Windows:
    """`low` and `high` bound each window's samples in `flat`, (series, steps); times in ms."""

    __slots__ = ("_columns", "closed", "ends", "flat", "high", "low", "range_ms", "samples")

    def __init__(self, samples: Samples, rows: Ints, ends: Ints, range_ms: int, closed: bool) -> None:
        self.samples = samples
        self.ends = ends
        self.range_ms = range_ms
        self.closed = closed
        self.flat = samples.flat
        starts = ends - range_ms - (1 if closed else 0)
        self._columns: tuple[Ints, Ints] | None = None
        if samples.axis is not None:
            low, high = samples.columns_upto(starts), samples.columns_upto(ends)
            self._columns = low, high
            base = (rows * samples.capacity)[:, None]
            self.low, self.high = base + low, base + high
        else:
            self.low, self.high = samples.upto(rows, starts), samples.upto(rows, ends)

    def count(self) -> Ints:
        """How many samples each window has; (1, steps) where all series have the same times."""
        if self._columns is not None:
            return (self._columns[1] - self._columns[0])[None, :]
        return self.high - self.low

    def first_times(self, enough: Bools) -> Ints:
        """When each window's first sample was taken; anything where there are not `enough`."""
        if self._columns is not None and self.samples.axis is not None:
            return self.samples.axis[np.minimum(self._columns[0], self.samples.capacity - 1)][None, :]
        return self.samples.times_at(np.where(enough, self.low, 0))

    def last_times(self, enough: Bools) -> Ints:
        """When each window's last sample was taken; anything where there are not `enough`."""
        if self._columns is not None and self.samples.axis is not None:
            return self.samples.axis[np.maximum(self._columns[1] - 1, 0)][None, :]
        return self.samples.times_at(np.where(enough, self.high - 1, 0))

    @property
    def loaded(self) -> int:
        """How many samples there are from the first window's beginning to the last one's end."""
        return int((self.high[:, -1] - self.low[:, 0]).sum())

    @property
    def shape(self) -> tuple[int, int]:
        """(series, steps)."""
        return self.low.shape[0], self.low.shape[1]

    def runs(self, at_least: int = 1) -> Iterator[Runs]:
        """The samples of the windows that have enough, in pieces that fit into memory."""
        low, sizes = self.low.ravel(), (self.high - self.low).ravel()
        chosen = np.flatnonzero(sizes >= at_least)
        if not chosen.size:
            return
        sizes = sizes[chosen]
        low = low[chosen]
        if int(sizes.sum()) > LOOKS_MAX:
            message = f"the windows of the query hold {int(sizes.sum())} samples together; {LOOKS_MAX} is the cap"
            raise PromqlError(message, hint="take a larger step or a shorter window")
        piece = np.cumsum(sizes) // _CHUNK
        cuts = [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(chosen)]
        for begin, end in pairwise(cuts):
            n = sizes[begin:end]
            starts = np.cumsum(n) - n
            index = np.arange(int(n.sum())) + np.repeat(low[begin:end] - starts, n)
            yield Runs(chosen[begin:end], self.flat[index], starts, n, index)

    def filled(self, runs_to_values: Iterator[tuple[Runs, Floats]]) -> Floats:
        """A (series, steps) matrix of what was computed for runs; 0 elsewhere."""
        out = np.zeros(self.low.size)
        for runs, values in runs_to_values:
            out[runs.windows] = values
        return out.reshape(self.low.shape)
