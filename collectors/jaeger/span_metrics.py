"""Jaeger's service performance metrics (SPM): what it computes from span metrics in a Prometheus of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from collectors.jaeger.answers import decoded
from opsctl.core.signals import Matrix, Reason, Series
from opsctl.http import Answer, HttpProblem

SpanMetric = Literal["calls", "errors", "latencies"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Label(msgspec.Struct):
    name: str
    value: str = ""


class _Gauge(msgspec.Struct):
    doubleValue: float | Literal["NaN", "Infinity", "-Infinity"] = 0.0


class _Point(msgspec.Struct):
    timestamp: datetime
    gaugeValue: _Gauge | None = None


class _Metric(msgspec.Struct):
    labels: list[_Label] | None = None
    metricPoints: list[_Point] | None = None


class _Family(msgspec.Struct):
    name: str
    metrics: list[_Metric] | None = None


_decode = msgspec.json.Decoder(_Family).decode


def parameters(
    services: Sequence[str],
    end: datetime,
    lookback: timedelta,
    step: timedelta,
    rate_per: timedelta,
    quantile: float | None,
    group_by_operation: bool,
    span_kinds: Sequence[str],
) -> list[tuple[str, str]]:
    """The question's parameters; times are in milliseconds."""
    if not services:
        raise HttpProblem(Reason.REJECTED, "span metrics need at least one service")
    out = [("service", name) for name in services]
    out += [("endTs", str(_ms(end - _EPOCH))), ("lookback", str(_ms(lookback))), ("step", str(_ms(step)))]
    out += [("ratePer", str(_ms(rate_per))), ("groupByOperation", "true" if group_by_operation else "false")]
    out += [("spanKind", kind) for kind in span_kinds]
    if quantile is not None:
        out.append(("quantile", f"{quantile:.10g}"))
    return out


def read_family(answer: Answer, address: str) -> Matrix:
    """The series of an answer, which has no envelope; raises `HttpProblem`, nothing else."""
    family = decoded(answer, _decode, address)
    return Matrix(tuple(_series(family.name, metric) for metric in family.metrics or () if metric.metricPoints))


def _series(name: str, metric: _Metric) -> Series:
    labels = {label.name: label.value for label in metric.labels or ()} | {"__name__": name}
    points = [
        (point.timestamp.timestamp(), float(point.gaugeValue.doubleValue))
        for point in metric.metricPoints or ()
        if point.gaugeValue is not None
    ]
    return Series(tuple(sorted(labels.items())), tuple(sorted(points)))


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
