"""The page of metrics: what vanished is not on it, whole regions are no target, exemplars are in their buckets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar

from opsctl.demo.emit.exemplars import exemplars
from opsctl.demo.emit.exposition import Exposition
from opsctl.demo.emit.page import MetricsPages
from opsctl.demo.platform import Platform
from opsctl.demo.series import metric_kinds
from tests.unit.demo.minutes import traces
from tests.unit.demo.samples import Kept

START = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def page(pages: MetricsPages, path: str = "") -> str:
    """One page as OpenMetrics."""
    request = Request(f"http://{pages.address}/metrics{path}", headers={"Accept": "application/openmetrics-text"})
    with urlopen(request, timeout=5) as answer:
        return str(answer.read().decode())


def test_the_page_has_the_last_value_of_every_series() -> None:
    """All series but `up`, which Prometheus makes itself, with the values that a store has."""
    kept, exposition = Kept(), Exposition()
    for store in (kept, exposition):
        Platform(7, START, store).advance(START + 3 * MINUTE)
    with MetricsPages(exposition) as pages:
        families = list(text_string_to_metric_families(page(pages)))
        samples = {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}
    expected = {
        (metric, frozenset(labels.items())): float(value)
        for metric in kept.metrics()
        if metric != "up"
        for labels, value in zip(kept.labels[metric], kept.values(metric)[:, -1], strict=True)
    }
    assert samples == expected
    assert {family.name for family in families if family.type == "histogram"} == {
        name for name, described in metric_kinds().items() if described.kind == "histogram"
    }


def test_who_is_gone_answers_503_and_a_lost_region_is_no_target() -> None:
    """A silent chat is still scraped and fails; of a lost region nothing is scraped."""
    exposition = Exposition()
    platform = Platform(7, START, exposition)
    platform.inject("service-silent", START + 2 * MINUTE)
    platform.inject("region-lost", START + 10 * MINUTE)
    platform.advance(START + 5 * MINUTE)
    with MetricsPages(exposition) as pages:
        assert len(pages.scrape()) == 34
        with pytest.raises(HTTPError) as refused:
            page(pages, "/eu-1/chat")
        assert refused.value.code == 503
        assert "gaming_chat" not in page(pages)
        assert "gaming_wallet_operations" in page(pages, "/eu-1/wallet")
        platform.advance(START + 16 * MINUTE)
        assert {labels["region"] for _, _, labels in pages.scrape()} == {"us-1"}
        with pytest.raises(HTTPError) as unknown:
            page(pages, "/mars/chat")
        assert unknown.value.code == 404


@pytest.mark.parametrize("fault", ["", "promo-surge", "wallet-db-slow", "region-lost"])
def test_every_exemplar_is_of_a_series_that_there_is(fault: str) -> None:
    """Each span is a measurement of histograms of the platform, with all the labels of one series."""
    kept = Kept()
    Platform(7, START, kept).advance(START)
    series = {
        (metric.removesuffix("_count"), frozenset(labels.items()))
        for metric in kept.metrics()
        if metric.endswith("_count")
        for labels in kept.labels[metric]
    }
    found = list(exemplars(traces(fault)))
    assert len(found) > 2000
    assert {key for key, _, _ in found} <= series
    assert all(exemplar.labels.keys() == {"trace_id", "span_id"} for _, _, exemplar in found)


def test_an_exemplar_is_shown_in_the_bucket_of_its_value_if_that_grew() -> None:
    """0.3 s belongs to le=0.5; a bucket that counted nothing since the last scrape has none."""
    exposition = Exposition()
    platform = Platform(7, START, exposition)
    platform.advance(START + MINUTE)
    labels = {"service": "promo", "region": "eu-1", "stage": "e2e"}
    exemplar = Exemplar({"trace_id": "a" * 32, "span_id": "b" * 16}, 0.3, 1.0)
    exposition.note([(("gaming_redemption_duration_seconds", frozenset(labels.items())), 0.3, exemplar)])
    (family,) = [f for f in exposition.families(("eu-1", "promo")) if f.name == "gaming_redemption_duration_seconds"]
    shown = [s for s in family.samples if s.exemplar is not None]
    assert [(s.labels["stage"], s.labels["le"]) for s in shown] == [("e2e", "0.5")]
