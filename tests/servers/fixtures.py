"""Pytest fixtures of real servers; a server that cannot be had skips the test and names the reason.

Servers are shared by the session: a test that stores something uses service names and index prefixes of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.servers import prometheus as real
from tests.servers.alertmanager import VERSIONS as ALERTMANAGERS
from tests.servers.alertmanager import Alertmanager
from tests.servers.alertmanager import start_alertmanager as _start_alertmanager
from tests.servers.elasticsearch import VERSIONS as ELASTICSEARCHES
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.elasticsearch import start_elasticsearch as _start_elasticsearch
from tests.servers.jaeger import Jaeger
from tests.servers.jaeger import start_jaeger as _start_jaeger
from tests.servers.making import Missing
from tests.servers.misbehaving import Behaviour, Misbehaving
from tests.servers.otelcol import Collector
from tests.servers.otelcol import start_otelcol as _start_otelcol
from tests.servers.prometheus import Prometheus
from tests.servers.running import Running
from tests.servers.zipkin import start_zipkin as _start_zipkin

R = TypeVar("R", bound=Running)
StartPrometheus = Callable[..., Prometheus]
StartElasticsearch = Callable[..., Elasticsearch]
StartJaeger = Callable[..., Jaeger]
StartAlertmanager = Callable[..., Alertmanager]
StartCollector = Callable[..., Collector]


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], Misbehaving]]:
    """Start servers that misbehave and end with the test."""
    started: list[Misbehaving] = []

    def start(behave: Behaviour) -> Misbehaving:
        started.append(Misbehaving(behave))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@contextmanager
def _shared(start: Callable[..., R]) -> Iterator[Callable[..., R]]:
    """A start function that gives the same running server for the same arguments, until somebody stops it."""
    running: dict[str, R] = {}
    missing: dict[str, str] = {}

    def once(*args: Any, **options: Any) -> R:
        key = repr((args, sorted(options.items())))
        if key in missing:
            pytest.skip(missing[key])
        if key not in running or running[key].stopped:
            try:
                running[key] = start(*args, **options)
            except Missing as reason:
                missing[key] = str(reason)
                pytest.skip(missing[key])
        return running[key]

    try:
        yield once
    finally:
        for one in running.values():
            one.stop()


@pytest.fixture(scope="session")
def start_prometheus() -> Iterator[StartPrometheus]:
    """`start_prometheus(openmetrics_text_or_path="", version="3.16", scrape=…, rules=…) -> Prometheus`, shared."""
    with _shared(real.start) as once:

        def start(history: str | Path = "", version: str = "3.16", **options: Any) -> Prometheus:
            return once(history.read_text() if isinstance(history, Path) else history, version, **options)

        yield start


@pytest.fixture(scope="session")
def prometheus3(start_prometheus: StartPrometheus) -> Prometheus:
    """A Prometheus 3.16 without a past; shared by the session."""
    return start_prometheus("", "3.16")


@pytest.fixture(scope="session")
def prometheus2(start_prometheus: StartPrometheus) -> Prometheus:
    """A Prometheus 2.42 without a past; shared by the session."""
    return start_prometheus("", "2.42")


@pytest.fixture(scope="session", params=["3.16", "2.42"])
def prometheus(request: pytest.FixtureRequest, start_prometheus: StartPrometheus) -> Prometheus:
    """Each of the two versions, without a past."""
    return start_prometheus("", request.param)


@pytest.fixture(scope="session")
def start_jaeger() -> Iterator[StartJaeger]:
    """`start_jaeger(spm_prometheus="") -> Jaeger`, shared."""
    with _shared(_start_jaeger) as once:
        yield once


@pytest.fixture(scope="session")
def jaeger(start_jaeger: StartJaeger) -> Jaeger:
    """A Jaeger 2.13 with a memory store, without SPM."""
    return start_jaeger()


@pytest.fixture(scope="session")
def jaeger_with_spm(start_jaeger: StartJaeger) -> Iterator[tuple[Jaeger, Prometheus]]:
    """A Jaeger 2.13 that serves SPM, and the Prometheus that scrapes its span metrics every second."""
    try:
        scraper = real.start()
    except Missing as reason:
        pytest.skip(str(reason))
    try:
        jaeger = start_jaeger(spm_prometheus=scraper.url)
        scraper.reconfigure(scrape=[("jaeger", jaeger.spanmetrics, {})])
        yield jaeger, scraper
    finally:
        scraper.stop()


@pytest.fixture(scope="session")
def zipkin() -> Iterator[Running]:
    """A Zipkin 3.6.1 with a memory store."""
    with _shared(_start_zipkin) as once:
        yield once()


@pytest.fixture(scope="session")
def start_elasticsearch() -> Iterator[StartElasticsearch]:
    """`start_elasticsearch(version="9.2.0", security=False) -> Elasticsearch`, shared; takes 7 to 25 seconds."""
    with _shared(_start_elasticsearch) as once:

        def start(version: str = ELASTICSEARCHES[-1], security: bool = False) -> Elasticsearch:
            return once(version, security)

        yield start


@pytest.fixture(scope="session")
def elasticsearch8(start_elasticsearch: StartElasticsearch) -> Elasticsearch:
    """An Elasticsearch 8.19 without security."""
    return start_elasticsearch("8.19.21")


@pytest.fixture(scope="session")
def elasticsearch9(start_elasticsearch: StartElasticsearch) -> Elasticsearch:
    """An Elasticsearch 9.2 without security."""
    return start_elasticsearch("9.2.0")


@pytest.fixture(scope="session", params=ELASTICSEARCHES)
def elasticsearch(request: pytest.FixtureRequest, start_elasticsearch: StartElasticsearch) -> Elasticsearch:
    """Each of the two versions without security."""
    return start_elasticsearch(request.param)


@pytest.fixture(scope="session")
def start_alertmanager() -> Iterator[StartAlertmanager]:
    """`start_alertmanager(configuration=…, version="0.31") -> Alertmanager`, shared."""
    with _shared(_start_alertmanager) as once:
        yield once


@pytest.fixture(scope="session", params=ALERTMANAGERS)
def alertmanager(request: pytest.FixtureRequest, start_alertmanager: StartAlertmanager) -> Alertmanager:
    """Each of the two versions, with a receiver that tells nobody."""
    return start_alertmanager(version=request.param)


@pytest.fixture(scope="session")
def start_otelcol() -> Iterator[StartCollector]:
    """`start_otelcol(configuration=…) -> Collector`, shared."""
    with _shared(_start_otelcol) as once:
        yield once


@pytest.fixture(scope="session")
def otelcol(start_otelcol: StartCollector) -> Collector:
    """An OpenTelemetry Collector 0.155.0 that counts, and whose series are at `prometheus`."""
    return start_otelcol()
