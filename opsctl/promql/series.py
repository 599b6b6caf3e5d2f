"""Sets of label sets, and what is computed from them once: groups, matches, names.

A set is immutable and remembers what was derived from it, so a query that is asked every minute pays for its labels
once. Must never hold samples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from opsctl.core.signals import Labels

T = TypeVar("T")
NAME = "__name__"
_REMEMBERED_MAX = 256  # derivations a set keeps before it forgets them all

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class SeriesSet:
    """Label sets in rows; `drops` marks rows whose metric name goes at the end (delayed name removal)."""

    __slots__ = ("_derived", "drops", "labels")

    def __init__(self, labels: Sequence[Labels], drops: Bools | None = None) -> None:
        self.labels = tuple(labels)
        self.drops: Bools = np.zeros(len(self.labels), bool) if drops is None else drops
        self._derived: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def derive(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, kept under `key`."""
        try:
            return self._derived[key]  # type: ignore[no-any-return]
        except KeyError:
            if len(self._derived) >= _REMEMBERED_MAX:
                self._derived.clear()
            made = self._derived[key] = make()
            return made

    def dropping(self) -> SeriesSet:
        """The same rows, all to lose their metric name."""
        if self.drops.all():
            return self
        return self.derive("dropping", lambda: SeriesSet(self.labels, np.ones(len(self), bool)))

    def take(self, rows: Ints) -> SeriesSet:
        """Some of the rows, in that order."""
        return SeriesSet([self.labels[i] for i in rows.tolist()], self.drops[rows])

    def grouped(self, names: tuple[str, ...], without: bool) -> Groups:
        """The rows grouped by these labels, or by all others but the metric name."""
        return self.derive(("groups", names, without), lambda: _group(self, names, without))

    def keys(self, names: tuple[str, ...], on: bool) -> tuple[Labels, ...]:
        """What each row is matched by: `on` these labels, or all but these and the metric name."""
        return self.derive(("keys", names, on), lambda: _keys(self.labels, names, not on))

    def final(self) -> tuple[Labels, ...]:
        """The labels as they are shown: without the names to be dropped."""
        return self.derive("final", lambda: tuple(map(_shown, self.labels, self.drops.tolist())))


@dataclass(frozen=True, slots=True)
class Groups:
    """`ids[row]` is its group, `order` sorts rows by group, `starts` are the groups' beginnings in that order."""

    ids: Ints
    order: Ints
    starts: Ints
    sizes: Ints
    series: SeriesSet

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(self.starts)


def without(labels: Labels, names: frozenset[str] | set[str]) -> Labels:
    """The label set less some labels."""
    return tuple(pair for pair in labels if pair[0] not in names)


def only(labels: Labels, names: frozenset[str] | set[str]) -> Labels:
    """Some labels of the label set."""
    return tuple(pair for pair in labels if pair[0] in names)


def _shown(labels: Labels, drop: bool) -> Labels:
    return without(labels, {NAME}) if drop else labels


def _keys(labels: Sequence[Labels], names: tuple[str, ...], excluding: bool) -> tuple[Labels, ...]:
    if excluding:
        gone = frozenset((*names, NAME))
        return tuple(without(each, gone) for each in labels)
    if not names:
        return ((),) * len(labels)
    kept = frozenset(names)
    return tuple(only(each, kept) for each in labels)


def _group(rows: SeriesSet, names: tuple[str, ...], excluding: bool) -> Groups:
    found: dict[Labels, int] = {}
    keys = _keys(rows.labels, names, excluding)
    ids = np.fromiter((found.setdefault(key, len(found)) for key in keys), np.int64, len(keys))
    order = np.argsort(ids, kind="stable")
    sizes = np.bincount(ids, minlength=len(found)) if found else np.zeros(0, np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64) if found else np.zeros(0, np.int64)
    drops = np.zeros(len(found), bool)
    if NAME in names and not excluding:
        np.logical_or.at(drops, ids, rows.drops)
    return Groups(ids, order, starts, sizes, SeriesSet(tuple(found), drops))
