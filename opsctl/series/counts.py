"""Counts of events in the time between neighbouring boundaries, and from them what an expression reads.

Pure arithmetic. A series is there while it had an event in the last five minutes, as the Collector's Prometheus
exporter and `deltatocumulative` keep one; a window is there while an event is in it, and for as long after as the
backend makes that cheap to know. Must never depend on how much more was asked for: an instant query is the middle of a
range query.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opsctl.core.signals import Labels
from opsctl.promql import PromqlError
from opsctl.promql.samples import stale_mark
from opsctl.promql.store import SeriesStore
from opsctl.series.needs import Family, Ints, Need

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

KEPT_MS = 300_000
"""How long a series stays without an event; Prometheus's lookback is as long."""

_RUNS_MAX = 6
_STEPS_MAX = 100_000
CELLS_MAX = 20_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """Equal steps of time one after the other: (start, start + step], …; `first` is the number of the first bucket."""

    first: int
    start_ms: int
    step_ms: int
    steps: int

    @property
    def end_ms(self) -> int:
        """Where the last step ends."""
        return self.start_ms + self.step_ms * self.steps


@dataclass(frozen=True, slots=True)
class Buckets:
    """Times in order and which of the stretches (edge, next edge] between them are asked for."""

    edges: Ints
    wanted: Bools  # one fewer
    kept_ms: int

    def spans(self) -> tuple[tuple[int, int], ...]:
        """The stretches of time that are asked for: (after, up to), in ms; neighbours are joined."""
        out: list[tuple[int, int]] = []
        for i in np.flatnonzero(self.wanted).tolist():
            start, end = int(self.edges[i]), int(self.edges[i + 1])
            if out and out[-1][1] == start:
                start = out.pop()[0]
            out.append((start, end))
        return tuple(out)

    def runs(self) -> tuple[Run, ...]:
        """The wanted stretches in as few runs of equal steps as they have."""
        out: list[Run] = []
        widths = np.diff(self.edges)
        for i in np.flatnonzero(self.wanted).tolist():
            start, width = int(self.edges[i]), int(widths[i])
            last = out[-1] if out else None
            if last is not None and last.end_ms == start and last.step_ms == width:
                out[-1] = Run(last.first, last.start_ms, width, last.steps + 1)
            else:
                out.append(Run(i, start, width, 1))
        return tuple(out)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked at once: a family's events between some times, and the needs that are read from them."""

    family: Family
    buckets: Buckets
    needs: tuple[Need, ...]

    @property
    def presence_only(self) -> bool:
        """Whether any one event answers it."""
        return all(need.presence_only and len(need.times) == 1 for need in self.needs)


def questions_of(needs: Iterable[Need], kept_ms: int) -> tuple[Question, ...]:
    """One question a family, where its needs fit the same few steps of time; else one a need.

    `kept_ms` is how long a window stays after its last event has left it.
    """
    by_family: dict[Family, list[Need]] = {}
    for need in needs:
        by_family.setdefault(need.family, []).append(need)
    out: list[Question] = []
    for family, mine in by_family.items():
        together = _buckets_of(mine, kept_ms)
        if len(together.runs()) <= _RUNS_MAX:
            out.append(Question(family, together, tuple(mine)))
        else:
            out += [Question(family, _alone(need, kept_ms), (need,)) for need in mine]
    return tuple(out)


def _buckets_of(needs: Sequence[Need], kept_ms: int) -> Buckets:
    """The stretches that the needs take together, cut so that every window is a sum of them."""
    edges: list[Ints] = []
    covers: list[tuple[Ints, Ints]] = []
    for need in needs:
        times = need.times
        oldest = _oldest(need, kept_ms)
        edges += [times, times - need.range_ms, oldest]
        whole = need.range_ms == 0  # a counter goes on from the first time to the last
        covers.append((oldest[:1], times[-1:]) if whole else (oldest, times))
    every = np.unique(np.concatenate(edges))
    return Buckets(every, _wanted(every, covers), kept_ms)


def _oldest(need: Need, kept_ms: int) -> Ints:
    """Since when an event says that a need is there."""
    return need.times - need.range_ms - (kept_ms if need.range_ms else KEPT_MS)


def _alone(need: Need, kept_ms: int) -> Buckets:
    buckets = _buckets_of((need,), kept_ms)
    return buckets if len(buckets.runs()) <= _RUNS_MAX else _even(buckets)


def _wanted(edges: Ints, covers: Sequence[tuple[Ints, Ints]]) -> Bools:
    depth = np.zeros(len(edges), np.int64)
    for starts, ends in covers:
        np.add.at(depth, np.searchsorted(edges, starts), 1)
        np.add.at(depth, np.searchsorted(edges, ends), -1)
    wanted: Bools = np.cumsum(depth)[:-1] > 0
    return wanted


def _even(buckets: Buckets) -> Buckets:
    """The same stretches in steps of one width each: more buckets, fewer questions."""
    edges: list[Ints] = []
    for start, end in buckets.spans():
        inside = buckets.edges[(buckets.edges >= start) & (buckets.edges <= end)]
        step = int(np.gcd.reduce(np.diff(inside)))
        if (end - start) // step > _STEPS_MAX:
            raise PromqlError(
                f"the expression needs counts every {step} ms of {(end - start) // 60_000} minutes, which is too fine",
                hint="give it whole minutes as ranges, offsets and steps",
            )
        edges.append(np.arange(start, end + 1, step, dtype=np.int64))
    every = np.unique(np.concatenate(edges))
    spans = buckets.spans()
    starts = np.array([span[0] for span in spans], np.int64)
    ends = np.array([span[1] for span in spans], np.int64)
    return Buckets(every, _wanted(every, [(starts, ends)]), buckets.kept_ms)


class Counted:
    """Events of one family by labels and bucket: `add` them, then read windows and counters."""

    def __init__(self, buckets: Buckets) -> None:
        self.buckets = buckets
        self._edges: list[int] = buckets.edges.tolist()
        self._wanted: list[bool] = buckets.wanted.tolist()
        self._rows: dict[Labels, int] = {}
        self._adds: list[tuple[int, int, float, int]] = []

    def add(self, labels: Mapping[str, str], bucket: int, weight: float, events: int = 1) -> None:
        """Count `events` with a weight together; a weight of nothing still says that the series is there."""
        key = tuple(sorted((name, value) for name, value in labels.items() if value != ""))
        row = self._rows.setdefault(key, len(self._rows))
        self._adds.append((row, bucket, weight, events))

    def bucket_of(self, at_ms: float) -> int | None:
        """The wanted bucket of a time; None outside of all."""
        found = bisect_left(self._edges, at_ms) - 1
        inside = 0 <= found < len(self._wanted) and self._wanted[found]
        return found if inside else None

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return not self._rows

    @property
    def cells(self) -> int:
        """How large the table of counts is."""
        return len(self._rows) * len(self.buckets.edges)

    def store(self, needs: Iterable[Need], store: SeriesStore) -> None:
        """Put the numbers of each need into a store under its name."""
        if not self._rows:
            return
        weights, events = self._sums()
        labels = tuple(dict(row) for row in self._rows)
        for need in needs:
            times = need.times
            values, there = self._read(need, times, weights, events)
            store.add(need.name, labels, times, np.where(there, values, stale_mark()))

    def _sums(self) -> tuple[Floats, Ints]:
        """Weights and events up to each edge, (series, edges)."""
        shape = (len(self._rows), len(self.buckets.edges))
        weights, events = np.zeros(shape), np.zeros(shape, np.int64)
        rows, where, weight, count = zip(*self._adds, strict=True)
        at = (np.array(rows), np.array(where) + 1)
        np.add.at(weights, at, np.array(weight))
        np.add.at(events, at, np.array(count))
        return np.cumsum(weights, axis=1), np.cumsum(events, axis=1)

    def _read(self, need: Need, times: Ints, weights: Floats, events: Ints) -> tuple[Floats, Bools]:
        edges = self.buckets.edges
        end = np.searchsorted(edges, times)
        start = np.searchsorted(edges, times - need.range_ms)
        oldest = np.searchsorted(edges, _oldest(need, self.buckets.kept_ms))
        there: Bools = events[:, end] > events[:, oldest]
        if need.range_ms == 0:
            return weights[:, end], there
        return weights[:, end] - weights[:, start], there
