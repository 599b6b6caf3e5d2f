"""The embedded engine against a real Prometheus over HTTP, on the same day of the demo's platform at one minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from benchmarks.pairs import Figure, ratio
from collectors.prometheus import PrometheusSource
from opsctl.core.signals import Failed
from opsctl.http import Endpoint
from tests.servers import prometheus

if TYPE_CHECKING:
    from opsctl.ports import MetricsSource

PAIRS = 5
SEED = 7
START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=31)
STEP = timedelta(minutes=1)
METRICS = (
    "http_server_request_duration_seconds_count",
    "grpc_server_handled_total",
    "gaming_wallet_operations_total",
    "gaming_matchmaking_wait_seconds_count",
    "gaming_matchmaking_wait_seconds_bucket",
    "up",
)
# Of the shipped rules, with the windows of their fastest row.
QUERIES = (
    'sum(increase(http_server_request_duration_seconds_count{http_response_status_code=~"5.."}[1h]))',
    "sum(increase(http_server_request_duration_seconds_count[5m]))",
    "sum(increase(grpc_server_handled_total[6h]))",
    'sum(increase(gaming_wallet_operations_total{result="error"}[1h]))',
    "sum(increase(gaming_matchmaking_wait_seconds_count[1h]))"
    ' - sum(increase(gaming_matchmaking_wait_seconds_bucket{le="30.0"}[1h]))',
    "count by (region) (up offset 15m) unless count by (region) (up)",
)


class _Both:
    """Takes the platform's samples: into a store, and as OpenMetrics text by metric."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._lines: dict[str, dict[str, list[str]]] = {metric: {} for metric in METRICS}

    def add(
        self, metric: str, label_sets: Sequence[Mapping[str, str]], ts_ms: Any, values: Any, present: Any = None
    ) -> None:
        if metric not in self._lines:
            return
        self._store.add(metric, label_sets, ts_ms, values, present=present)
        times = [str(ms // 1000) for ms in ts_ms.tolist()]
        for i, labels in enumerate(label_sets):
            shown = ",".join(f'{name}="{value}"' for name, value in labels.items())
            lines = self._lines[metric].setdefault(f"{metric}{{{shown}}}", [])
            there = [True] * len(times) if present is None else present[i].tolist()
            row = zip(times, values[i].tolist(), there, strict=True)
            lines += [f"{metric}{{{shown}}} {value!r} {at}" for at, value, is_there in row if is_there]

    def text(self) -> str:
        parts: list[str] = []
        for metric, series in self._lines.items():
            parts.append(f"# TYPE {metric} unknown")
            for lines in series.values():
                parts += lines
        return "\n".join([*parts, "# EOF", ""])


def engine_range() -> Figure:
    """Six expressions of the shipped rules over a day at one minute, all of them in turn."""
    from collectors.memory import MemorySource
    from opsctl.demo.platform import Platform
    from opsctl.promql.store import SeriesStore

    store = SeriesStore()
    both = _Both(store)
    Platform(SEED, START, both).advance(END)
    server = prometheus.start(both.text(), "3.16")
    embedded, real = MemorySource(store), PrometheusSource(Endpoint(server.url))
    try:
        value = ratio(lambda: _ask(embedded), lambda: _ask(real), PAIRS)
    finally:
        real.close()
        server.stop()
    return Figure("engine_range", value, None, "lower", "embedded engine / Prometheus 3.16, 6 rules, 1 d at 1 m")


def _ask(source: MetricsSource) -> None:
    for query in QUERIES:
        reading = source.range(query, END - timedelta(days=1), END, STEP, 60)
        if isinstance(reading, Failed):
            raise RuntimeError(f"{reading.backend}: {reading.message}: {query}")
