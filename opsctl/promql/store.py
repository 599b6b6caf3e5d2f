"""Series in memory: what the engine evaluates over.

Built for a live minute: appending one column to every metric costs what the column costs, and nothing that was computed
about series or resets is lost by it. Must never read a clock or drop a sample silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from opsctl.core.signals import Labels
from opsctl.promql.ast import Matcher
from opsctl.promql.errors import UnsupportedError
from opsctl.promql.regex import compile_anchored
from opsctl.promql.samples import NEVER, Bools, Floats, Ints, Samples, stale
from opsctl.promql.series import NAME, SeriesSet

_SELECTIONS_MAX = 8192


@dataclass(frozen=True, slots=True)
class Selection:
    """What a selector chose: `parts` hold the rows of `series`, in that order."""

    parts: tuple[tuple[Samples, Ints], ...]
    series: SeriesSet


class _Metric:
    """One metric's series."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.samples = Samples()
        self.labels: list[Labels] = []
        self.numbers: dict[Labels, int] = {}
        self.last_sets: Sequence[Mapping[str, str]] | None = None
        self.last_rows: Ints = np.zeros(0, np.int64)
        self.last_ms: Ints = np.zeros(0, np.int64)  # per row, also of marks
        self.native: list[Labels] = []

    def rows_of(self, label_sets: Sequence[Mapping[str, str]]) -> Ints:
        """The rows of label sets; new ones get the next numbers."""
        if label_sets is self.last_sets and isinstance(label_sets, tuple):
            return self.last_rows
        rows = np.fromiter((self._row(each) for each in label_sets), np.int64, len(label_sets))
        if len(np.unique(rows)) != len(rows):
            raise ValueError(f"{self.name}: a label set is given twice")
        self.last_sets, self.last_rows = label_sets, rows
        missing = len(self.labels) - len(self.last_ms)
        self.last_ms = np.concatenate([self.last_ms, np.full(missing, -NEVER, np.int64)])
        return rows

    def canonical(self, given: Mapping[str, str]) -> Labels:
        """A label set with the metric name, without empty values."""
        pairs = {k: v for k, v in given.items() if v != "" and k != NAME}
        return tuple(sorted([(NAME, self.name), *pairs.items()]))

    def _row(self, given: Mapping[str, str]) -> int:
        labels = self.canonical(given)
        row = self.numbers.get(labels)
        if row is None:
            row = self.numbers[labels] = len(self.labels)
            self.labels.append(labels)
        return row


class SeriesStore:
    """Samples by metric; one thread adds, and none evaluates meanwhile."""

    def __init__(self) -> None:
        self._metrics: dict[str, _Metric] = {}
        self._version = 0
        self._selected: dict[tuple[Matcher, ...], tuple[int, Selection]] = {}

    def add(
        self,
        metric: str,
        label_sets: Sequence[Mapping[str, str]],
        ts_ms: Ints,
        values: Floats,
        present: Bools | None = None,
    ) -> None:
        """Append samples of one metric: `values` is (series, times), NaN with the stale bits means "gone".

        Times rise and are later than what the series has (`ValueError`). The same tuple of label sets again is
        recognised by identity, which makes the live minute cheap.
        """
        times = np.ascontiguousarray(ts_ms, np.int64)
        block = np.ascontiguousarray(values, np.float64)
        self._check(metric, label_sets, times, block, present)
        if not block.size:
            return
        found = self._metrics.get(metric)
        if found is None:
            found = self._metrics[metric] = _Metric(metric)
        before = len(found.labels)
        rows = found.rows_of(label_sets)
        if len(found.labels) != before:
            self._version += 1
        if int(times[0]) <= int(found.last_ms[rows].max()):
            raise ValueError(f"{metric}: a sample at {int(times[0])} ms is not after the last one of its series")
        self._append(found, before, rows, times, block, present)
        found.last_ms[rows] = times[-1]

    def _append(
        self, found: _Metric, before: int, rows: Ints, times: Ints, block: Floats, present: Bools | None
    ) -> None:
        samples = found.samples
        whole = len(rows) == len(found.labels) and before in (0, len(rows)) and bool((rows[:-1] < rows[1:]).all())
        gaps = (present is not None and not present.all()) or bool(stale(block).any())
        if whole and not gaps and samples.axis is not None:
            samples.append_shared(times, block)
            return
        if samples.rows < before:
            samples.own_times()
        samples.append_rows(rows, times, block, np.ones(block.shape, bool) if present is None else present)

    @staticmethod
    def _check(
        metric: str, label_sets: Sequence[Mapping[str, str]], times: Ints, block: Floats, present: Bools | None
    ) -> None:
        shape = (len(label_sets), len(times))
        if block.shape != shape or (present is not None and present.shape != shape):
            raise ValueError(f"{metric}: values must have the shape (series, times) = {shape}, got {block.shape}")
        if len(times) > 1 and not (times[1:] > times[:-1]).all():
            raise ValueError(f"{metric}: times must rise")
        if len(times) and not (int(times[0]) > -NEVER and int(times[-1]) < NEVER):
            raise ValueError(f"{metric}: times must be within 278 years of the epoch")

    def add_native(self, metric: str, label_sets: Sequence[Mapping[str, str]]) -> None:
        """Remember series of native histograms: a selector that meets one is refused, not answered without it."""
        found = self._metrics.setdefault(metric, _Metric(metric))
        found.native.extend(found.canonical(each) for each in label_sets)
        self._version += 1

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all metrics."""
        return tuple(self._metrics)

    @property
    def series(self) -> int:
        """How many series there are."""
        return sum(len(metric.labels) for metric in self._metrics.values())

    def select(self, matchers: tuple[Matcher, ...]) -> Selection:
        """The series that fit all matchers; the same object until a new series appears."""
        kept = self._selected.get(matchers)
        if kept is not None and kept[0] == self._version:
            return kept[1]
        selection = self._select(matchers)
        if len(self._selected) >= _SELECTIONS_MAX:
            self._selected.clear()
        self._selected[matchers] = (self._version, selection)
        return selection

    def _select(self, matchers: tuple[Matcher, ...]) -> Selection:
        exact = next((m.value for m in matchers if m.name == NAME and m.op == "="), None)
        metrics = self._metrics.values() if exact is None else filter(None, [self._metrics.get(exact)])
        parts: list[tuple[Samples, Ints]] = []
        labels: list[Labels] = []
        tests = [(m.name, _test(m)) for m in matchers if not (m.name == NAME and m.op == "=" and m.value == exact)]
        for metric in metrics:
            if any(_fits(each, tests) for each in metric.native):
                raise UnsupportedError("native histograms are", hint=f"{metric.name} has them")
            rows = [i for i, each in enumerate(metric.labels) if _fits(each, tests)]
            if rows:
                parts.append((metric.samples, np.array(rows, np.int64)))
                labels.extend(metric.labels[i] for i in rows)
        return Selection(tuple(parts), SeriesSet(labels))


def _fits(labels: Labels, tests: list[tuple[str, _Test]]) -> bool:
    if not tests:
        return True
    pairs = dict(labels)
    return all(test(pairs.get(name, "")) for name, test in tests)


class _Test:
    """One matcher as a predicate; a label that is not there is the empty text."""

    __slots__ = ("_negated", "_pattern", "_value")

    def __init__(self, matcher: Matcher) -> None:
        self._value = matcher.value
        self._negated = matcher.op in ("!=", "!~")
        self._pattern = compile_anchored(matcher.value) if matcher.op in ("=~", "!~") else None

    def __call__(self, value: str) -> bool:
        hit = value == self._value if self._pattern is None else self._pattern.match(value) is not None
        return hit != self._negated


def _test(matcher: Matcher) -> _Test:
    return _Test(matcher)
