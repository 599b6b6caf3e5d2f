"""Samples of many series in rows that grow: the layout under the store and under subqueries.

Rows are dense: a row holds only samples that are there, oldest first, in `values[row, :length]`. While all rows have
the same times there is one time axis for all; the first gap makes every row carry its own, as sorted keys
`(row << 44) + time`, so that one search finds the bounds of all rows. Must never know labels or expressions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

ROW_BITS = 44
BIAS = 1 << 43  # times before the epoch are keys too
_MASK = (1 << ROW_BITS) - 1
NEVER = (1 << 43) - 1
_STALE = 0x7FF0000000000002
_STEPWISE_MAX = 16


def stale(values: Floats) -> Bools:
    """Which values are the mark that says: this series is gone."""
    gone: Bools = values.view(np.int64) == _STALE
    return gone


def stale_mark() -> float:
    """The NaN that marks a series as gone."""
    return float(np.array([_STALE], np.int64).view(np.float64)[0])


class Samples:
    """Rows of samples; `base` is where a row begins in `flat`."""

    def __init__(self) -> None:
        self.rows = 0
        self.capacity = 0
        self.values: Floats = np.zeros((0, 0))
        self.axis: Ints | None = np.zeros(0, np.int64)  # the shared times; None once rows have their own
        self.length = 0  # of every row, while the axis is shared
        self.lengths: Ints = np.zeros(0, np.int64)
        self.keys: Ints = np.zeros((0, 0), np.int64)
        self.until: Ints | None = None  # when a mark ended the validity of the sample before it
        self._resets: Floats = np.zeros((0, 0))
        self._reset_to: Ints | int = 0
        self._resets_sound = True

    # -- growth ---------------------------------------------------------------------------------------------------

    def reserve(self, rows: int, columns: int) -> None:
        """Make room; at least one column stays free behind the last sample."""
        if rows <= self.values.shape[0] and columns < self.capacity:
            return
        if columns >= self.capacity:
            self.capacity = max(columns + 1, 8, self.capacity + self.capacity // 4 if self.capacity else columns + 1)
        height = self.values.shape[0]
        if rows > height:
            height = rows if height == 0 else max(rows, height + height // 4)
        self.values = _grown(self.values, height, self.capacity, 0.0)
        if self.axis is not None:
            wider = np.zeros(self.capacity, np.int64)
            wider[: self.length] = self.axis[: self.length]
            self.axis = wider
        else:
            self.keys = self._padded(self.keys, height)
            self.until = None if self.until is None else _grown(self.until, height, self.capacity, NEVER)
        if self._resets.size:
            self._resets = _grown(self._resets, height, self.capacity, 0.0)

    def _padded(self, keys: Ints, height: int) -> Ints:
        """Keys with room: what is free sorts behind the row's samples."""
        out = np.repeat(np.arange(height, dtype=np.int64) << ROW_BITS, self.capacity).reshape(height, self.capacity)
        out += _MASK
        out[: keys.shape[0], : keys.shape[1]] = keys
        return out

    def own_times(self) -> None:
        """Give every row its own times."""
        if self.axis is None:
            return
        height = self.values.shape[0]
        keys = self._padded(np.zeros((0, 0), np.int64), height)
        numbers = np.arange(self.rows, dtype=np.int64)[:, None] << ROW_BITS
        keys[: self.rows, : self.length] = numbers + (self.axis[: self.length] + BIAS)
        self.keys, self.axis = keys, None
        self.lengths = np.full(self.rows, self.length, np.int64)
        if isinstance(self._reset_to, int):
            self._reset_to = np.full(self.rows, self._reset_to, np.int64)

    def append_shared(self, times: Ints, values: Floats) -> None:
        """Append the same times to all rows; only while the axis is shared and nothing is missing."""
        n = len(times)
        if self.rows == 0:
            self.rows = values.shape[0]
        self.reserve(self.rows, self.length + n)
        assert self.axis is not None
        self.axis[self.length : self.length + n] = times
        self.values[: self.rows, self.length : self.length + n] = values
        self.length += n

    def append_rows(self, rows: Ints, times: Ints, values: Floats, present: Bools) -> None:
        """Append to some rows, new ones too; marks of staleness among `values` end the sample before them."""
        self.own_times()
        highest = int(rows.max(initial=-1)) + 1
        if highest > self.rows:
            self.lengths = np.concatenate([self.lengths, np.zeros(highest - self.rows, np.int64)])
            done = np.zeros(highest - self.rows, np.int64)
            self._reset_to = np.concatenate([np.asarray(self._reset_to, np.int64).reshape(-1), done])
        gone = stale(values) & present
        kept = present & ~gone
        position = self.lengths[rows][:, None] + np.cumsum(kept, axis=1) - 1
        total = np.count_nonzero(kept, axis=1)
        self.reserve(max(highest, self.rows), int((self.lengths[rows] + total).max(initial=0)))
        self.rows = max(highest, self.rows)
        at = (rows[:, None] * self.capacity + position)[kept]
        self.values.reshape(-1)[at] = values[kept]
        keys = (rows[:, None] << ROW_BITS) + (times + BIAS)
        self.keys.reshape(-1)[at] = keys[kept]
        self.lengths[rows] += total
        if gone.any():
            self._end(rows, times, position, gone)

    def _end(self, rows: Ints, times: Ints, position: Ints, gone: Bools) -> None:
        if self.until is None:
            self.until = np.full(self.values.shape, NEVER, np.int64)
        which, when = np.nonzero(gone & (position >= 0))
        at = rows[which] * self.capacity + position[which, when]
        np.minimum.at(self.until.reshape(-1), at, times[when])

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def flat(self) -> Floats:
        """All values in one row."""
        return self.values.reshape(-1)

    def upto(self, rows: Ints, times: Ints) -> Ints:
        """Per row and time, the index in `flat` behind the last sample at or before that time."""
        assert self.axis is None
        bounded = np.clip(times, -NEVER, NEVER - 1) + BIAS
        needles = (rows[:, None] << ROW_BITS) + bounded
        return np.searchsorted(self.keys.reshape(-1), needles, side="right")

    def columns_upto(self, times: Ints) -> Ints:
        """How many samples there are at or before each time, while the axis is shared."""
        assert self.axis is not None
        return self.axis[: self.length].searchsorted(times, side="right")

    def times_at(self, index: Ints) -> Ints:
        """The times of samples by their index in `flat`."""
        if self.axis is not None:
            return self.axis[index % self.capacity]
        return (self.keys.reshape(-1)[index] & _MASK) - BIAS

    # -- counters -------------------------------------------------------------------------------------------------

    def resets(self) -> Floats | None:
        """Per sample, what resets took away from the counter up to it; flat; None if infinities make sums useless."""
        if not self.values.size:
            return self.flat
        if not self._resets.size:
            self._resets = np.zeros(self.values.shape)
        if self.axis is not None:
            done = self._reset_to if isinstance(self._reset_to, int) else 0
            if done < self.length:
                self._extend_columns(max(done, 1))
                self._reset_to = self.length
        elif np.any(np.asarray(self._reset_to) < self.lengths):
            self._extend_rows()
        return self._resets.reshape(-1) if self._resets_sound else None

    def _extend_columns(self, start: int) -> None:
        values = self.values[: self.rows, start - 1 : self.length]
        before = values[:, :-1]
        lost = np.where(values[:, 1:] < before, before, 0.0)
        if lost.shape[1]:
            lost[:, 0] += self._resets[: self.rows, start - 1]
            np.cumsum(lost, axis=1, out=self._resets[: self.rows, start : self.length])
            self._resets_sound = self._resets_sound and bool(np.isfinite(lost).all())

    def _extend_rows(self) -> None:
        done = np.asarray(self._reset_to, np.int64)
        if int((self.lengths - done).max(initial=0)) > _STEPWISE_MAX:
            inside = np.arange(self.capacity) < self.lengths[:, None]
            values = self.values[: self.rows]
            lost = np.zeros(values.shape)
            lost[:, 1:] = np.where((values[:, 1:] < values[:, :-1]) & inside[:, 1:], values[:, :-1], 0.0)
            self._resets_sound = bool(np.isfinite(lost).all())
            np.cumsum(lost, axis=1, out=self._resets[: self.rows])
        else:
            flat, sums = self.flat, self._resets.reshape(-1)
            done = np.maximum(done, np.minimum(self.lengths, 1))
            while (behind := np.flatnonzero(done < self.lengths)).size:
                at = behind * self.capacity + done[behind]
                before = flat[at - 1]
                lost = np.where(flat[at] < before, before, 0.0)
                self._resets_sound = self._resets_sound and bool(np.isfinite(lost).all())
                sums[at] = sums[at - 1] + lost
                done[behind] += 1
        self._reset_to = self.lengths.copy()


def _grown(old: NDArray, height: int, width: int, fill: float) -> NDArray:  # type: ignore[type-arg]
    out = np.full((height, width), fill, old.dtype) if fill else np.zeros((height, width), old.dtype)
    out[: old.shape[0], : old.shape[1]] = old
    return out
