"""A real Prometheus takes every expression of the shipped dashboards and has series for it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from collectors.prometheus import PrometheusSource
from opsctl.core.signals import Measured, Reading, Vector
from opsctl.demo.openmetrics import OpenMetricsWriter
from opsctl.demo.platform import Platform
from opsctl.http import Endpoint
from opsctl.promql.engine import Engine
from opsctl.promql.rewrite import metric_names
from opsctl.promql.store import SeriesStore
from tests.servers.fixtures import StartPrometheus
from tests.unit.grafana.dashboards import SHIPPED, asked_of_the_server, panels, substituted

START = datetime(2026, 5, 14, 12, tzinfo=UTC)
END = START + timedelta(minutes=75)
CHOSEN = {"opsctl-overview": "(wallet|payments|chat)", "opsctl-service": "payments"}
DEPENDENCIES = "(wallet|fraud|vault)"
SOME = 1e-9  # relative; a sum of many series is added in another order

EXPRESSIONS = {
    f"{uid}: {where}": substituted(expression, CHOSEN[uid], DEPENDENCIES)
    for uid, dashboard in SHIPPED.items()
    for where, expression in (
        *((f"{p['title']} {t['refId']}", t["expr"]) for p in panels(dashboard) for t in p.get("targets", ())),
        *asked_of_the_server(dashboard).items(),
    )
}


@pytest.fixture(scope="module")
def asked(start_prometheus: StartPrometheus) -> Iterator[dict[str, Reading[Vector]]]:
    """What the server says to each, with the metrics that they read in it."""
    names = {name for expression in EXPRESSIONS.values() for name in metric_names(expression)}
    writer = OpenMetricsWriter(dict.fromkeys(names))
    Platform(7, START, writer).advance(END)
    text = io.StringIO()
    writer.write(text)
    source = PrometheusSource(Endpoint(start_prometheus(text.getvalue(), "3.16").url))
    with ThreadPoolExecutor(4) as pool:
        readings = pool.map(lambda expression: source.instant(expression, END, 30.0), EXPRESSIONS.values())
        yield dict(zip(EXPRESSIONS, readings, strict=True))
    source.close()


def test_every_expression_has_series_on_a_real_server(asked: dict[str, Reading[Vector]]) -> None:
    """Measured, whole, and without a note that PromQL was misused."""
    assert len(asked) > 20
    for where, reading in asked.items():
        assert isinstance(reading, Measured), (where, reading)
        assert reading.data.samples, where
        # Envoy calls a counter envoy_http_downstream_rq_xx; that is the one note there may be.
        assert [note for note in reading.notes if '"envoy_http_downstream_rq_xx"' not in note] == [], where


def test_the_embedded_engine_says_the_same(asked: dict[str, Reading[Vector]]) -> None:
    """The demo's dashboards and a server's show the same numbers."""
    store = SeriesStore()
    Platform(7, START, store).advance(END)
    engine, at = Engine(store), round(END.timestamp() * 1000)
    for where, reading in asked.items():
        assert isinstance(reading, Measured)
        ours = engine.instant(EXPRESSIONS[where], at)
        mine = {labels: float(row[0]) for labels, row in zip(ours.labels, ours.values, strict=True)}
        theirs = {sample.labels: sample.value for sample in reading.data.samples}
        assert mine.keys() == theirs.keys(), where
        for labels, value in theirs.items():
            assert mine[labels] == pytest.approx(value, rel=SOME, abs=1e-12), (where, labels)
