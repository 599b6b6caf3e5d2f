"""The series that are counted from log records and spans, by name; docs/series.md describes them.

Must never import numpy or a parser: a check of metrics reads this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from opsctl.core.signals import Signal

LOG_RECORDS = "log_record_count_total"

CALLS = "traces_span_metrics_calls_total"
DURATION_BUCKET = "traces_span_metrics_duration_milliseconds_bucket"
DURATION_SUM = "traces_span_metrics_duration_milliseconds_sum"
DURATION_COUNT = "traces_span_metrics_duration_milliseconds_count"
PAIR_REQUESTS = "traces_service_graph_request_total"
PAIR_FAILED = "traces_service_graph_request_failed_total"
SPAN_WITHOUT = "traces_span_without_total"

OURS_ALONE = frozenset({SPAN_WITHOUT})
"""What no connector of the Collector computes, so that no Prometheus has it."""

SIGNAL_OF: Mapping[str, Signal] = MappingProxyType(
    {
        LOG_RECORDS: Signal.LOGS,
        CALLS: Signal.TRACES,
        DURATION_BUCKET: Signal.TRACES,
        DURATION_SUM: Signal.TRACES,
        DURATION_COUNT: Signal.TRACES,
        PAIR_REQUESTS: Signal.TRACES,
        PAIR_FAILED: Signal.TRACES,
        SPAN_WITHOUT: Signal.TRACES,
    }
)

SUBJECT_LABELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        LOG_RECORDS: ("service_name",),
        PAIR_REQUESTS: ("client", "server"),
        PAIR_FAILED: ("client", "server"),
        SPAN_WITHOUT: ("service_name", "span_name", "without"),
    }
)
"""The labels that say whose records or spans a series counts; those of the others are `SPAN_SUBJECT`."""

SPAN_SUBJECT = ("service_name",)


def signal_of(metrics: Iterable[str]) -> tuple[Signal, ...]:
    """The signals that these metric names belong to, each once, metrics first; no name at all is metrics."""
    found = {SIGNAL_OF.get(name, Signal.METRICS) for name in metrics}
    return tuple(signal for signal in Signal if signal in found) or (Signal.METRICS,)
