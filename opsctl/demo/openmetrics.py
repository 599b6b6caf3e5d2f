"""The platform's history as OpenMetrics text, for `promtool tsdb create-blocks-from openmetrics`.

Takes samples like a store does and writes them out at the end. The format has no stale marker: a series that vanished
just ends, and a server sees it for five minutes more than the embedded engine does.
A sum of counters is extrapolated a little differently than its parts: keep all labels where answers must be equal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from opsctl.demo.noise import Floats
from opsctl.errors import UsageError

Bools = NDArray[np.bool_]
Stamps = NDArray[np.int64]
_HISTOGRAM = ("_bucket", "_count", "_sum")


@dataclass(slots=True)
class _Metric:
    """One sample name: its series, and what came for them so far."""

    label_sets: list[dict[str, str]]
    rows: NDArray[np.int64]  # which of them each incoming series is added to
    last: Floats  # of each incoming series
    stamps: list[Stamps] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    present: list[Bools] = field(default_factory=list)

    def known(self, values: Floats, there: Bools) -> Floats:
        """The values; of a counter that will be summed its last one where it is missing, or the sum would fall."""
        filled = np.where(there, values, 0.0)
        if len(self.rows) > len(self.label_sets):
            filled = np.maximum.accumulate(np.concatenate([self.last, filled], axis=1), axis=1)[:, 1:]
            self.last = filled[:, -1:]
        return filled


class OpenMetricsWriter:
    """Collects the chosen samples, then writes them.

    `select` names sample names (`x_bucket`, not `x`) and the labels to keep of each, None for all; series that differ
    in other labels only are summed, so choose counters and sums. Without `select` it takes everything. `UsageError`
    above `series_limit` series.
    """

    def __init__(
        self, select: Mapping[str, Collection[str] | None] | None = None, series_limit: int | None = None
    ) -> None:
        self._select = select
        self._limit = series_limit
        self._metrics: dict[str, _Metric] = {}

    @property
    def series(self) -> int:
        """How many series it holds."""
        return sum(len(metric.label_sets) for metric in self._metrics.values())

    def add(
        self,
        metric: str,
        label_sets: Sequence[Mapping[str, str]],
        ts_ms: Stamps,
        values: Floats,
        present: Bools | None = None,
    ) -> None:
        """Takes samples as `SeriesStore.add` does; stale markers and what is not present leave a gap."""
        if self._select is not None and metric not in self._select:
            return
        if metric not in self._metrics:
            self._metrics[metric] = _metric(label_sets, self._select[metric] if self._select is not None else None)
            if self._limit is not None and self.series > self._limit:
                raise UsageError(f"{self.series} series up to {metric}: more than {self._limit}; keep fewer labels")
        held = self._metrics[metric]
        there = ~np.isnan(values) if present is None else present & ~np.isnan(values)
        shape = (len(held.label_sets), values.shape[1])
        total, seen = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
        np.add.at(total, held.rows, held.known(values, there))
        np.logical_or.at(seen, held.rows, there)
        held.stamps.append(ts_ms)
        held.values.append(total)
        held.present.append(seen)

    def write(self, out: TextIO) -> int:
        """Writes everything, series by series, and answers how many samples that were."""
        samples, typed = 0, ""
        for name in sorted(self._metrics, key=self._family):
            family = self._family(name)
            if family != typed:
                out.write(f"# TYPE {family} {self._kind(name)}\n")
                typed = family
            for lines in _lines(name, self._metrics[name]):
                out.write("".join(lines))
                samples += len(lines)
        out.write("# EOF\n")
        return samples

    def _family(self, name: str) -> str:
        match self._kind(name):
            case "counter":
                return name.removesuffix("_total")
            case "histogram":
                return name.rsplit("_", 1)[0]
            case _:
                return name

    def _kind(self, name: str) -> str:
        if name.endswith("_total"):
            return "counter"
        stem = name.rsplit("_", 1)[0]
        whole = all(stem + suffix in self._metrics for suffix in _HISTOGRAM)
        return "histogram" if name.endswith(_HISTOGRAM) and whole else "unknown"


def _metric(label_sets: Sequence[Mapping[str, str]], keep: Collection[str] | None) -> _Metric:
    kept = [{k: v for k, v in sorted(labels.items()) if keep is None or k in keep} for labels in label_sets]
    unique: dict[tuple[tuple[str, str], ...], int] = {}
    rows = [unique.setdefault(tuple(labels.items()), len(unique)) for labels in kept]
    return _Metric([dict(labels) for labels in unique], np.array(rows, dtype=np.int64), np.zeros((len(rows), 1)))


def _lines(name: str, metric: _Metric) -> Iterator[list[str]]:
    """The lines of each series, in the order of time."""
    stamps = (np.concatenate(metric.stamps) // 1000).tolist()
    values, present = np.concatenate(metric.values, axis=1), np.concatenate(metric.present, axis=1)
    for labels, row, there in zip(metric.label_sets, values, present, strict=True):
        inside = ",".join(f'{key}="{_escape(value)}"' for key, value in labels.items())
        head = f"{name}{{{inside}}} "
        numbers = row.tolist()
        if there.all():
            yield [f"{head}{_number(v)} {t}\n" for v, t in zip(numbers, stamps, strict=True)]
        else:
            seen = there.tolist()
            yield [
                f"{head}{_number(v)} {t}\n" for v, t, is_there in zip(numbers, stamps, seen, strict=True) if is_there
            ]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
