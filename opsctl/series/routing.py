"""Each expression to the backend that its series belong to. Imports no numpy.

Must never open a backend that nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from opsctl.core.signals import Failed, Matrix, Reading, Reason, Signal, Vector
from opsctl.ports import MetricsSource, Probe
from opsctl.promql import PromqlError, rewrite
from opsctl.series.names import OURS_ALONE, signal_of


class OnUse(Mapping[Signal, MetricsSource]):
    """Sources by signal, each opened when it is first asked for."""

    def __init__(self, makers: Mapping[Signal, Callable[[], MetricsSource]]) -> None:
        self._makers = makers
        self._made: dict[Signal, MetricsSource] = {}

    def __getitem__(self, signal: Signal) -> MetricsSource:
        if signal not in self._made:
            self._made[signal] = self._makers[signal]()
        return self._made[signal]

    def __iter__(self) -> Iterator[Signal]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    @property
    def opened(self) -> tuple[MetricsSource, ...]:
        """Those that were asked for."""
        return tuple(self._made.values())


class BySeries:
    """A source that asks another one for each expression: `choose` gives it from the metric names."""

    concurrency = 1
    query_bytes = 0  # a question about several metrics by a pattern of their names has no one source

    def __init__(self, name: str, choose: Callable[[frozenset[str]], MetricsSource]) -> None:
        self.name = name
        self._choose = choose

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        """Evaluate at one time, by whoever has the series."""
        source = self._source(query)
        return source if isinstance(source, Failed) else source.instant(query, at, timeout_seconds)

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        """Evaluate over time, by whoever has the series."""
        source = self._source(query)
        return source if isinstance(source, Failed) else source.range(query, start, end, step, timeout_seconds)

    def probe(self, timeout_seconds: float) -> Probe:
        """As whoever answers an expression without series."""
        return self._choose(frozenset()).probe(timeout_seconds)

    def close(self) -> None:
        """Whoever made the sources closes them."""

    def _source(self, query: str) -> MetricsSource | Failed[Any]:
        try:
            metrics = rewrite.metric_names(query)
        except PromqlError:
            metrics = frozenset()  # whoever answers metrics says what is wrong with it
        signals = signal_of(metrics)
        if len(signals) > 1:
            names = " and ".join(str(signal) for signal in signals)
            return Failed(Reason.REJECTED, f"one signal per expression, this reads series of {names}", self.name)
        return self._choose(metrics)


def by_signal(sources: Mapping[Signal, MetricsSource]) -> BySeries:
    """A source that answers every expression of one signal from that signal's source."""

    def choose(metrics: frozenset[str]) -> MetricsSource:
        return sources[signal_of(metrics)[0]]

    return BySeries("opsctl", choose)


def prometheus_first(prometheus: Callable[[], MetricsSource], ours: Callable[[], MetricsSource]) -> BySeries:
    """Series of spans from a Prometheus, but for those that only opsctl counts.

    It has the server's own name: one that is dead is one page, whatever it was asked for.
    """
    server = prometheus()

    def choose(metrics: frozenset[str]) -> MetricsSource:
        return ours() if metrics & OURS_ALONE else server

    return BySeries(server.name, choose)
