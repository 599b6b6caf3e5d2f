"""Span metrics of a real Jaeger 2.13, which computes them from a real Prometheus that scrapes its own spans."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from collectors.jaeger import JaegerSource
from opsctl.core.signals import Absent, Failed, Matrix, Measured, Reason
from opsctl.http import Endpoint
from tests.contract.trace_world import MS, otlp, post, span
from tests.servers.jaeger import Jaeger
from tests.servers.prometheus import Prometheus

HOUR, STEP = timedelta(hours=1), timedelta(seconds=5)
SECONDS = 10.0


def feed(jaeger: Jaeger, first_id: int) -> None:
    """Ten requests of `spm-shop`, four of them failed, each 100 ms long."""
    now = int(time.time()) * 1_000_000
    spans = [
        span(first_id + n, 1 + n, None, "spm-shop", "buy", "server", now, 100 * MS, "error" if n < 4 else "ok")
        for n in range(10)
    ]
    from opsctl.core.traces import Trace

    post(f"{jaeger.otlp}/v1/traces", otlp([Trace(one.trace_id, (one,)) for one in spans]))


def last(matrix: Matrix) -> dict[str, float]:
    """The last value of each series by its operation, or by its name."""
    return {dict(s.labels).get("operation", dict(s.labels)["__name__"]): s.points[-1][1] for s in matrix.series}


@pytest.fixture(scope="module")
def source(jaeger_with_spm: tuple[Jaeger, Prometheus]) -> JaegerSource:
    """A source of a Jaeger with SPM that has had traffic for some seconds."""
    jaeger, _ = jaeger_with_spm
    one = JaegerSource(Endpoint(jaeger.url))
    until = time.monotonic() + 40
    first_id = 0x5B0000
    while time.monotonic() < until:
        feed(jaeger, first_id)
        first_id += 16
        now = datetime.now(UTC)
        reading = one.span_metrics("calls", ["spm-shop"], now, HOUR, STEP, SECONDS, rate_per=timedelta(minutes=1))
        if isinstance(reading, Measured) and any(v > 0 for v in last(reading.data).values()):
            return one
        time.sleep(1.0)
    raise AssertionError(f"no span metrics: {reading}")


def test_calls_errors_and_latencies_are_series(source: JaegerSource) -> None:
    """Calls a second, a ratio of errors in [0, 1] and milliseconds, with the operation where it is asked for."""
    now = datetime.now(UTC)
    calls = source.span_metrics("calls", ["spm-shop"], now, HOUR, STEP, SECONDS, group_by_operation=True)
    assert isinstance(calls, Measured)
    assert last(calls.data)["buy"] > 0
    assert dict(calls.data.series[0].labels)["service_name"] == "spm-shop"
    errors = source.span_metrics("errors", ["spm-shop"], now, HOUR, STEP, SECONDS, span_kinds=("server",))
    assert isinstance(errors, Measured)
    assert list(last(errors.data).values()) == [pytest.approx(0.4, abs=0.1)]
    slow = source.span_metrics("latencies", ["spm-shop"], now, HOUR, STEP, SECONDS, quantile=0.95)
    assert isinstance(slow, Measured)
    assert 50 <= next(iter(last(slow.data).values())) <= 200


def test_a_service_without_calls_is_absent(source: JaegerSource) -> None:
    """Not zero."""
    now = datetime.now(UTC)
    assert isinstance(source.span_metrics("calls", ["nobody"], now, HOUR, STEP, SECONDS), Absent)


def test_without_spm_it_is_unsupported(jaeger: Jaeger) -> None:
    """A real Jaeger that has no metrics storage says 501."""
    one = JaegerSource(Endpoint(jaeger.url))
    reading = one.span_metrics("calls", ["shop"], datetime.now(UTC), HOUR, STEP, SECONDS)
    one.close()
    assert isinstance(reading, Failed)
    assert (reading.reason, reading.message.partition(":")[0]) == (
        Reason.UNSUPPORTED,
        "SPM is not configured on this Jaeger",
    )


def test_the_server_itself_refuses_what_is_wrong(source: JaegerSource) -> None:
    """A span kind that it does not know, in its own words."""
    now = datetime.now(UTC)
    reading = source.span_metrics("calls", ["spm-shop"], now, HOUR, STEP, SECONDS, span_kinds=("nonsense",))
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED
