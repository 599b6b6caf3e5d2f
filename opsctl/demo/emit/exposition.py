"""The platform's newest scrape for a real Prometheus, through prometheus-client: classic histograms and exemplars.

Takes samples as a store does and keeps the last of each series. A target is one service in one region, as a scrape
configuration knows it: its page has no labels `service` and `region`, for the scrape adds them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from opsctl.demo.controls import Bools
from opsctl.demo.noise import Floats
from opsctl.demo.series import metric_kinds

Target = tuple[str, str]
"""A region and a service."""
Key = tuple[str, frozenset[tuple[str, str]]]
"""A histogram's name and the labels of one series of it, without `le`."""
_TARGET_LABELS = ("region", "service")
_SCRAPES_OWN = "up"  # Prometheus makes it


@dataclass(slots=True)
class _Last:
    """One sample name's newest values."""

    label_sets: Sequence[Mapping[str, str]]
    values: list[float]
    present: list[bool]
    grown: list[bool]  # more than one scrape ago
    rows: dict[Target, list[int]] = field(default_factory=dict)


class Exposition:
    """What every target would answer now; one thread adds, others collect."""

    def __init__(self) -> None:
        self._kinds = metric_kinds()
        self._last: dict[str, _Last] = {}
        self._exemplars: dict[Key, dict[str, Exemplar]] = {}
        self._lock = threading.Lock()

    def add(
        self,
        metric: str,
        label_sets: Sequence[Mapping[str, str]],
        ts_ms: NDArray[np.int64],
        values: Floats,
        present: Bools | None = None,
    ) -> None:
        """As `SeriesStore.add`; of several minutes the last one stays."""
        there = ~np.isnan(values[:, -1]) if present is None else present[:, -1] & ~np.isnan(values[:, -1])
        new = values[:, -1].tolist()
        with self._lock:
            before = self._last.get(metric)
            old = before.values if before is not None and before.label_sets is label_sets else [0.0] * len(new)
            grown = [now > then for now, then in zip(new, old, strict=True)]
            rows = before.rows if before is not None and before.label_sets is label_sets else _rows(label_sets)
            self._last[metric] = _Last(label_sets, new, there.tolist(), grown, rows)

    def note(self, exemplars: Iterable[tuple[Key, float, Exemplar]]) -> None:
        """Take exemplars, each for a histogram's series and a value; the newest in each bucket is shown."""
        with self._lock:
            for key, value, exemplar in exemplars:
                bounds = self._bounds(key[0])
                le = next((text for bound, text in bounds if value <= bound), "+Inf")
                self._exemplars.setdefault(key, {})[le] = exemplar

    def _bounds(self, histogram: str) -> list[tuple[float, str]]:
        return [(bound, repr(bound)) for bound in self._kinds[histogram].bounds]

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every service in every region that has ever been there."""
        with self._lock:
            return tuple(sorted({target for last in self._last.values() for target in last.rows}))

    def there(self, target: Target) -> bool:
        """Whether it answers scrapes now."""
        with self._lock:
            return any(
                last.present[row]
                for metric, last in self._last.items()
                if metric != _SCRAPES_OWN
                for row in last.rows.get(target, ())
            )

    def collector(self, target: Target | None = None) -> Collector:
        """What prometheus-client asks for one target's families, or for all with their labels."""
        return _Page(self, target)

    def families(self, target: Target | None) -> list[Metric]:
        """The metric families, each with every series that is there."""
        with self._lock:
            return [found for name in sorted(self._kinds) for found in self._family(name, target)]

    def _family(self, name: str, target: Target | None) -> Iterator[Metric]:
        described = self._kinds[name]
        if described.kind == "histogram":
            yield from self._histogram(name, target)
            return
        last = self._last.get(name)
        if last is None or name == _SCRAPES_OWN:
            return
        counter = described.kind == "counter"
        family = name.removesuffix("_total")
        kind = "counter" if counter and name != family else "unknown" if counter else "gauge"
        metric = Metric(family, _help(name), kind)
        for row in _chosen(last, target):
            if last.present[row]:
                metric.add_sample(name, _labels(last.label_sets[row], target), last.values[row])
        if metric.samples:
            yield metric

    def _histogram(self, name: str, target: Target | None) -> Iterator[Metric]:
        parts = [self._last.get(name + suffix) for suffix in ("_bucket", "_count", "_sum")]
        bucket, count, total = parts
        if bucket is None or count is None or total is None:
            return
        each = len(bucket.label_sets) // len(count.label_sets)
        metric = Metric(name, _help(name), "histogram")
        for row in _chosen(count, target):
            if not count.present[row]:
                continue
            labels = _labels(count.label_sets[row], target)
            noted = self._exemplars.get((name, frozenset(count.label_sets[row].items())), {})
            for at in range(row * each, (row + 1) * each):
                le = bucket.label_sets[at]["le"]
                exemplar = noted.get(le) if bucket.grown[at] else None
                metric.add_sample(f"{name}_bucket", {**labels, "le": le}, bucket.values[at], exemplar=exemplar)
            metric.add_sample(f"{name}_count", labels, count.values[row])
            metric.add_sample(f"{name}_sum", labels, total.values[row])
        if metric.samples:
            yield metric


class _Page(Collector):
    """One page of the exposition."""

    def __init__(self, exposition: Exposition, target: Target | None) -> None:
        self._exposition, self._target = exposition, target

    def collect(self) -> Iterable[Metric]:
        """The families now."""
        return self._exposition.families(self._target)


def _rows(label_sets: Sequence[Mapping[str, str]]) -> dict[Target, list[int]]:
    found: dict[Target, list[int]] = {}
    for row, labels in enumerate(label_sets):
        found.setdefault((labels["region"], labels["service"]), []).append(row)
    return found


def _chosen(last: _Last, target: Target | None) -> Iterable[int]:
    return range(len(last.label_sets)) if target is None else last.rows.get(target, ())


def _labels(labels: Mapping[str, str], target: Target | None) -> dict[str, str]:
    return {name: value for name, value in labels.items() if target is None or name not in _TARGET_LABELS}


def _help(name: str) -> str:
    return f"{name.removesuffix('_total').replace('_', ' ')} of the simulated platform"
