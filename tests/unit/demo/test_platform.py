"""The platform computes the same bytes however it is asked, and its samples look like a real scrape's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from opsctl.demo.faults import FAULTS
from opsctl.demo.platform import Platform
from tests.unit.demo.samples import STALE_BITS, Kept

START = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def _platform(seed: int = 7, start: datetime = START) -> tuple[Platform, Kept]:
    kept = Kept()
    return Platform(seed, start, kept), kept


def test_same_seed_same_bytes_and_another_seed_others() -> None:
    """Two platforms of one seed agree in every byte; a third does not."""
    digests = []
    for seed in (7, 7, 8):
        platform, kept = _platform(seed)
        platform.advance(START + 30 * MINUTE)
        digests.append(kept.digest())
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


@pytest.mark.parametrize("fault", FAULTS)
def test_minute_by_minute_is_one_pass(fault: str) -> None:
    """Chunks cannot matter: not for counters, not for gauges, not for stale markers, with a fault in the middle."""
    whole, all_at_once = _platform()
    whole.inject(fault, START + 5 * MINUTE, 12 * MINUTE)
    whole.advance(START + 30 * MINUTE)
    stepped, one_by_one = _platform()
    for minute in range(31):
        if minute == 4:
            stepped.inject(fault, START + 5 * MINUTE, 12 * MINUTE)
        stepped.advance(START + minute * MINUTE)
    assert all_at_once.digest() == one_by_one.digest()


def test_long_history_crosses_passes_without_a_seam() -> None:
    """A history of more than a day is computed in several passes and equals one cut elsewhere."""
    one, a = _platform()
    one.advance(START + timedelta(days=1, hours=1))
    two, b = _platform()
    two.advance(START + timedelta(hours=7))
    two.advance(START + timedelta(days=1, hours=1))
    assert a.digest() == b.digest()


def test_scrapes_lie_on_the_minute_grid() -> None:
    """The first scrape is the first whole minute at or after the start; asking twice computes nothing twice."""
    platform, kept = _platform(start=START + timedelta(seconds=20))
    platform.advance(START + timedelta(seconds=199))
    platform.advance(START + timedelta(seconds=199))
    first = int((START + MINUTE).timestamp() * 1000)
    assert kept.stamps("up").tolist() == [first, first + 60_000, first + 120_000]
    assert platform.start == START + MINUTE
    assert platform.now == START + 3 * MINUTE


def test_counters_are_whole_numbers_that_grow() -> None:
    """Counters and cumulative buckets are integers and never fall; buckets grow with `le` up to the count."""
    platform, kept = _platform()
    platform.advance(START + 60 * MINUTE)
    for metric in kept.metrics():
        if metric.endswith(("_total", "_bucket", "_count")) and metric not in {"agones_gameservers_count"}:
            values = kept.values(metric)
            if metric != "pg_stat_activity_count":
                assert (values == np.floor(values)).all(), metric
                assert (np.diff(values, axis=1) >= 0).all(), metric
    buckets = kept.values("gaming_payment_duration_seconds_bucket")
    per_series = [labels["le"] for labels in kept.labels["gaming_payment_duration_seconds_bucket"]].index("+Inf") + 1
    shaped = buckets.reshape(-1, per_series, buckets.shape[1])
    assert (np.diff(shaped, axis=1) >= 0).all()
    assert (shaped[:, -1] == kept.values("gaming_payment_duration_seconds_count")).all()


def test_size_is_that_of_a_small_platform() -> None:
    """Between 1,000 and 2,500 series, each with service and region, no two alike."""
    platform, kept = _platform()
    platform.advance(START)
    every = [(m, tuple(sorted(labels.items()))) for m in kept.metrics() for labels in kept.labels[m]]
    assert len(every) == len(set(every)) == platform.series
    assert 1_000 <= platform.series <= 2_500
    assert all({"service", "region"} <= dict(labels).keys() for _, labels in every)


def test_traffic_follows_the_table_and_the_day() -> None:
    """A day's mean of gateway traffic is 8,000 requests a second, its swing 60 per cent."""
    platform, kept = _platform(start=datetime(2026, 3, 2, tzinfo=UTC))
    platform.advance(datetime(2026, 3, 3, tzinfo=UTC))
    per_second = kept.rate("gaming_edge_requests_total") / 60.0
    assert per_second.mean() == pytest.approx(8000, rel=0.01)
    assert per_second.max() == pytest.approx(8000 * 1.6, rel=0.03)
    assert per_second.min() == pytest.approx(8000 * 0.4, rel=0.03)


def test_lost_region_vanishes_with_a_stale_marker_and_returns() -> None:
    """eu-1 answers nothing for three minutes, then every series of it ends at once; afterwards they are back."""
    platform, kept = _platform()
    platform.inject("region-lost", START + 10 * MINUTE, 20 * MINUTE)
    platform.advance(START + 40 * MINUTE)
    for metric in kept.metrics():
        regions = np.array([labels["region"] for labels in kept.labels[metric]])
        lost = regions == "eu-1"
        present, values = kept.present(metric), kept.values(metric)
        assert present[~lost].all(), metric
        there = np.ones(41, dtype=np.bool_)
        there[15:31] = False
        assert (present[lost] == there).all(), metric
        assert (values[lost][:, 14].view(np.uint64) == STALE_BITS).all(), metric
        assert not np.isnan(values[lost][:, :14]).any(), metric


def test_silent_chat_takes_its_series_with_it_but_not_up() -> None:
    """Prometheus itself says that chat's targets are down; a restart brings the rest back in two minutes."""
    platform, kept = _platform()
    platform.inject("service-silent", START + 10 * MINUTE)
    platform.advance(START + 20 * MINUTE)
    assert platform.mitigate("chat.restart", START + 20 * MINUTE, {"reason": "test"}) == "chat is restarting"
    platform.advance(START + 30 * MINUTE)
    present = kept.present("gaming_chat_messages_total")
    assert not present[:, 12:22].any()
    assert present[:, :11].all()
    assert present[:, 22:].all()
    up = kept.values("up")[[labels["service"] == "chat" for labels in kept.labels["up"]]]
    assert (up[:, 11:21] == 0).all()
    assert (up[:, 22:] == 1).all()


def test_history_cannot_be_changed() -> None:
    """An order for a minute that was computed is refused, and so is one that nobody knows."""
    platform, _ = _platform()
    platform.advance(START + 10 * MINUTE)
    with pytest.raises(ValueError, match="history"):
        platform.inject("promo-surge", START + 9 * MINUTE)
    with pytest.raises(ValueError, match="unknown fault 'nonsense'; known: promo-surge"):
        platform.inject("nonsense", START + 10 * MINUTE)
    with pytest.raises(ValueError, match="unknown action"):
        platform.mitigate("nonsense", START + 10 * MINUTE, {})
    platform.inject("promo-surge", START + 10 * MINUTE)
    with pytest.raises(ValueError, match="already under way"):
        platform.inject("promo-surge", START + 20 * MINUTE)
