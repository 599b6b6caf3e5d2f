"""From expected rates to samples: which series there are, and their values minute by minute.

Counters and bucket counts are whole numbers that only grow; what was counted so far is all that is carried along.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from opsctl.core.frozen import dataclass
from opsctl.demo.controls import Bools, Gone
from opsctl.demo.families import Counter, Family, Gauge, Histogram, lognormal_share
from opsctl.demo.faults import REGIONS
from opsctl.demo.fleet import fleet_families
from opsctl.demo.model import State
from opsctl.demo.money import money_families
from opsctl.demo.noise import Floats, Ids, events, series_id, uniform
from opsctl.demo.play import play_families
from opsctl.demo.requests import request_families

Kind = Literal["counter", "gauge", "histogram"]
LabelSets = Sequence[Mapping[str, str]]
# The bits by which Prometheus marks a series that ended.
STALE = np.array([0x7FF0000000000002], dtype=np.uint64).view(np.float64)[0]
_SECONDS_A_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Block:
    """One metric over some minutes: values are (series, minutes); `present` is None where every sample is there."""

    metric: str
    kind: Kind
    family: str
    label_sets: LabelSets
    values: Floats
    present: Bools | None


@dataclass(slots=True)
class _Group:
    """All families of one metric."""

    metric: str
    families: list[Family]
    label_sets: tuple[Mapping[str, str], ...]  # the same object each minute: a store may know it again by that
    ids: Ids
    ids_2: Ids  # a second, independent draw
    counted: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    buckets: Floats = field(default_factory=lambda: np.zeros((0, 1, 1)))
    micros: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 1), dtype=np.int64))
    bucket_sets: tuple[Mapping[str, str], ...] = ()


def _label_sets(family: Family) -> list[Mapping[str, str]]:
    return [{"service": family.service, **combo, "region": region} for combo in family.combos for region in REGIONS]


def _group(seed: int, metric: str, families: list[Family]) -> _Group:
    sets = tuple(labels for family in families for labels in _label_sets(family))
    names = [metric + repr(sorted(labels.items())) for labels in sets]
    ids = np.array([series_id(seed, name) for name in names], dtype=np.uint64)
    ids_2 = np.array([series_id(seed, name + "/2") for name in names], dtype=np.uint64)
    group = _Group(metric, families, sets, ids, ids_2)
    first = families[0]
    if isinstance(first, Histogram):
        bounds = [repr(bound) for bound in first.bounds] + ["+Inf"]
        group.bucket_sets = tuple({**labels, "le": le} for labels in sets for le in bounds)
        group.buckets = np.zeros((len(sets), len(bounds), 1))
        group.micros = np.zeros((len(sets), 1), dtype=np.int64)
    group.counted = np.zeros((len(sets), 1))
    return group


@dataclass(frozen=True, slots=True)
class Described:
    """What a metric is; `bounds` are a histogram's, in seconds and without +Inf."""

    kind: Kind
    bounds: tuple[float, ...] = ()


def metric_kinds() -> Mapping[str, Described]:
    """Every metric of the platform."""
    found: dict[str, Described] = {}
    for family in _families():
        match family:
            case Histogram():
                found[family.metric] = Described("histogram", family.bounds)
            case Counter():
                found[family.metric] = Described("counter")
            case Gauge():
                found[family.metric] = Described("gauge")
    return found


def _families() -> list[Family]:
    return [*request_families(), *play_families(), *money_families(), *fleet_families()]


class Book:
    """Every series of the platform, and how far its counters have come."""

    def __init__(self, seed: int) -> None:
        by_metric: dict[str, list[Family]] = {}
        for family in _families():
            by_metric.setdefault(family.metric, []).append(family)
        self._groups = [_group(seed, metric, by_metric[metric]) for metric in sorted(by_metric)]

    @property
    def series(self) -> int:
        """How many series there are."""
        return sum(len(g.label_sets) * (2 if g.bucket_sets else 1) + len(g.bucket_sets) for g in self._groups)

    def write(self, state: State, gone: Gone) -> Iterator[Block]:
        """The next minutes' samples, one block for each metric; counters advance as blocks are taken.

        `gone` has one minute more, at its front: the one before.
        """
        missing = gone.anything()
        ids = np.concatenate([group.ids for group in self._groups])
        drawn = np.split(uniform(ids, state.minutes), np.cumsum([len(g.ids) for g in self._groups])[:-1])
        for group, numbers in zip(self._groups, drawn, strict=True):
            for block in _blocks(group, state, numbers):
                yield _mark(block, gone) if missing else block


def _blocks(group: _Group, state: State, drawn: Floats) -> Iterator[Block]:
    match group.families[0]:
        case Counter():
            yield _count(group, state, drawn)
        case Gauge():
            yield _measure(group, state, drawn)
        case Histogram():
            yield from _observe(group, state, drawn)


def _rows(arrays: Sequence[Floats], minutes: int) -> Floats:
    """The families' (combos, regions, minutes) as (series, minutes)."""
    return np.concatenate([array.reshape(-1, minutes) for array in arrays])


def _grown(counted: Floats, new: Floats) -> Floats:
    """Running totals from where they were; `counted` then holds where they are."""
    grown = np.cumsum(new, axis=-1) + counted
    counted[...] = grown[..., -1:]
    return grown


def _count(group: _Group, state: State, drawn: Floats) -> Block:
    minutes = len(state.minutes)
    rates = _rows([f.rate(state) for f in group.families if isinstance(f, Counter)], minutes)
    values = _grown(group.counted, events(rates * _SECONDS_A_MINUTE, drawn))
    return Block(group.metric, "counter", group.metric, group.label_sets, values, None)


def _measure(group: _Group, state: State, drawn: Floats) -> Block:
    minutes = len(state.minutes)
    gauges = [family for family in group.families if isinstance(family, Gauge)]
    values = _rows([gauge.value(state) for gauge in gauges], minutes)
    jitter = np.repeat([g.jitter for g in gauges], [len(g.combos) * len(REGIONS) for g in gauges])
    values = np.round(values * (1.0 + jitter[:, None] * (drawn - 0.5)), 6)
    return Block(group.metric, "gauge", group.metric, group.label_sets, values, None)


def _observe(group: _Group, state: State, drawn: Floats) -> Iterator[Block]:
    minutes = len(state.minutes)
    families = [family for family in group.families if isinstance(family, Histogram)]
    rates = [family.rate(state) for family in families]
    times = [family.time(state) for family in families]
    means = _rows([np.broadcast_to(mean, r.shape) for r, (mean, _) in zip(rates, times, strict=True)], minutes)
    count = events(_rows(rates, minutes) * _SECONDS_A_MINUTE, drawn)
    bounds = np.array(families[0].bounds)
    shares = [
        np.broadcast_to(lognormal_share(bounds, mean, variance), (*r.shape[:2], len(bounds), minutes)).reshape(
            -1, len(bounds), minutes
        )
        for r, (mean, variance) in zip(rates, times, strict=True)
    ]
    again = uniform(group.ids_2, state.minutes)
    below = np.minimum(np.floor(np.concatenate(shares) * count[:, None] + again[:, None]), count[:, None])
    np.maximum.accumulate(below, axis=1, out=below)
    buckets = _grown(group.buckets, np.concatenate([below, count[:, None]], axis=1))
    micros = np.round(count * means * (1.0 + 0.02 * (again - 0.5)) * 1e6).astype(np.int64)
    total = np.cumsum(micros, axis=1) + group.micros
    group.micros[...] = total[:, -1:]
    name, sets = group.metric, group.label_sets
    yield Block(f"{name}_bucket", "histogram", name, group.bucket_sets, buckets.reshape(-1, minutes), None)
    yield Block(f"{name}_count", "histogram", name, sets, buckets[:, -1], None)
    yield Block(f"{name}_sum", "histogram", name, sets, np.round(total / 1e6, 6), None)


def _mark(block: Block, gone: Gone) -> Block:
    """The block with what is gone taken out, and a stale marker where it went."""
    regions = np.array([REGIONS.index(labels["region"]) for labels in block.label_sets])
    chat = np.array([labels["service"] == "chat" and block.metric != "up" for labels in block.label_sets])
    missing = gone.region[regions] | (chat[:, None] & gone.chat[None, :])
    ended = missing[:, 1:] & ~missing[:, :-1]
    values = np.where(ended, STALE, block.values)
    return Block(block.metric, block.kind, block.family, block.label_sets, values, ~missing[:, 1:] | ended)
