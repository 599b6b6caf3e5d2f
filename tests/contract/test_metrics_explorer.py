"""The second half of the metrics contract, looking around: the embedded source and Prometheus 3.16 and 2.42."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from opsctl.core.exploring import RuleQuery, SeriesQuery
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.ports.metrics import MetricsExplorer
from tests.contract.history import END, HOSTILE, START, recorded
from tests.contract.test_metrics_source import TIMEOUT_SECONDS, make, source

__all__ = ["make", "source"]

ALL = SeriesQuery((), START, END)
REQUESTS = SeriesQuery(("requests_total",), START, END)
NEVER = SeriesQuery(("requests_total",), START - timedelta(days=900), END - timedelta(days=899))


def whole(reading: Reading[tuple[object, ...]]) -> tuple[object, ...]:
    """The data; fails unless the answer is whole."""
    assert isinstance(reading, Measured), reading
    return reading.data


def test_every_source_can_be_looked_around_in(source: MetricsExplorer) -> None:
    """The port is one class with `instant` and `range`: who has the one has the other."""
    assert isinstance(source, MetricsExplorer)


def test_series_are_sorted_label_sets_with_their_name(source: MetricsExplorer) -> None:
    """One selector, two that overlap, and none that fits."""
    name = ("__name__", "requests_total")
    expected = (
        (name, ("code", "200"), ("service", "lobby")),
        (name, ("code", "200"), ("service", "wallet")),
        (name, ("code", "500"), ("service", "wallet")),
    )
    assert whole(source.series(REQUESTS, TIMEOUT_SECONDS)) == expected
    both = replace(REQUESTS, selectors=("requests_total", 'requests_total{code="500"}', "gappy"))
    assert whole(source.series(both, TIMEOUT_SECONDS)) == ((("__name__", "gappy"),), *expected)
    assert isinstance(source.series(replace(REQUESTS, selectors=("no_such",)), TIMEOUT_SECONDS), Absent)


def test_label_names_and_values_are_sorted_and_each_once(source: MetricsExplorer) -> None:
    """Of all series, and of those that a selector takes."""
    assert whole(source.label_names(REQUESTS, TIMEOUT_SECONDS)) == ("__name__", "code", "service")
    assert whole(source.label_names(ALL, TIMEOUT_SECONDS)) == (
        "__name__",
        "code",
        "kind",
        "le",
        "service",
        "text",
    )
    assert whole(source.label_values("code", ALL, TIMEOUT_SECONDS)) == ("200", "500")
    one = replace(ALL, selectors=('requests_total{service="lobby"}',))
    assert whole(source.label_values("code", one, TIMEOUT_SECONDS)) == ("200",)
    assert isinstance(source.label_values("no_such", ALL, TIMEOUT_SECONDS), Absent)


def test_metric_names_are_the_values_of_a_label(source: MetricsExplorer) -> None:
    """`__name__` has every metric of the history."""
    names = whole(source.label_values("__name__", ALL, TIMEOUT_SECONDS))
    assert names == tuple(sorted({one.metric for one in recorded()}))


def test_hostile_values_are_listed_as_they_are(source: MetricsExplorer) -> None:
    """Quotes, line ends and escape sequences come back unchanged."""
    assert whole(source.label_values("text", ALL, TIMEOUT_SECONDS)) == tuple(sorted(HOSTILE))


def test_nothing_in_the_time_is_absent(source: MetricsExplorer) -> None:
    """A span years before the history has no series, names or values."""
    for reading in (
        source.series(NEVER, TIMEOUT_SECONDS),
        source.label_names(NEVER, TIMEOUT_SECONDS),
        source.label_values("code", NEVER, TIMEOUT_SECONDS),
    ):
        assert isinstance(reading, Absent), reading


def test_more_than_the_limit_is_partial_with_as_many_as_were_asked_for(source: MetricsExplorer) -> None:
    """2.42 knows no limit and 3.16 cuts with a warning: neither is a whole answer, and both give the same number."""
    for reading in (
        source.series(replace(REQUESTS, limit=2), TIMEOUT_SECONDS),
        source.label_names(replace(ALL, limit=2), TIMEOUT_SECONDS),
        source.label_values("__name__", replace(ALL, limit=2), TIMEOUT_SECONDS),
    ):
        assert isinstance(reading, Failed), reading
        assert reading.reason is Reason.PARTIAL
        assert reading.partial is not None
        assert len(reading.partial) == 2
        assert reading.warnings


def test_a_limit_that_is_not_reached_changes_nothing(source: MetricsExplorer) -> None:
    """Exactly as many as the limit is a whole answer."""
    assert len(whole(source.series(replace(REQUESTS, limit=3), TIMEOUT_SECONDS))) == 3
    assert len(whole(source.label_values("code", replace(ALL, limit=2), TIMEOUT_SECONDS))) == 2


@pytest.mark.parametrize(
    "selectors",
    [(), ("requests_total[5m]",), ("sum(requests_total)",), ("requests_total{",), ("requests_total offset 5m",)],
)
def test_series_without_a_selector_are_rejected(source: MetricsExplorer, selectors: tuple[str, ...]) -> None:
    """Nothing, a range, an expression and half a selector: one line, no exception."""
    reading = source.series(replace(REQUESTS, selectors=selectors), TIMEOUT_SECONDS)
    assert isinstance(reading, Failed), reading
    assert reading.reason is Reason.REJECTED, reading
    assert "\n" not in reading.message


def test_a_label_without_a_name_is_rejected(source: MetricsExplorer) -> None:
    """No path is made of it."""
    reading = source.label_values("", ALL, TIMEOUT_SECONDS)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED


@pytest.mark.parametrize("label", ["service.name", "a/b", "a b", "héllo", "U__x", "../../query"])
def test_a_label_with_any_name_can_be_asked_for(source: MetricsExplorer, label: str) -> None:
    """It is not there, or an old server says that no label is called so; it never becomes another path."""
    reading = source.label_values(label, ALL, TIMEOUT_SECONDS)
    assert isinstance(reading, Absent) or (isinstance(reading, Failed) and reading.reason is Reason.REJECTED), reading


def test_what_a_source_does_not_have_is_absent_or_unsupported(source: MetricsExplorer) -> None:
    """A server without rules, exemplars or targets has nothing; the embedded source says that it cannot have them."""
    readings = (
        source.rules(RuleQuery(), TIMEOUT_SECONDS),
        source.alerts(TIMEOUT_SECONDS),
        source.exemplars("requests_total", START, END, TIMEOUT_SECONDS),
        source.metadata(None, TIMEOUT_SECONDS),
        source.metadata("requests_total", TIMEOUT_SECONDS),
    )
    for reading in readings:
        if source.name == "memory":
            assert isinstance(reading, Failed)
            assert reading.reason is Reason.UNSUPPORTED
        else:
            assert isinstance(reading, Absent), reading


def test_no_time_and_no_connection_are_a_deadline(source: MetricsExplorer) -> None:
    """A question with no time is not asked, and nothing is answered after `close()`."""
    readings = [source.series(REQUESTS, 0.0), source.label_names(ALL, -1.0), source.label_values("code", ALL, 0.0)]
    source.close()
    readings += [
        source.series(REQUESTS, 5),
        source.rules(RuleQuery(), 5),
        source.alerts(5),
        source.exemplars("up", START, END, 5),
        source.metadata(None, 5),
    ]
    assert [reading.reason for reading in readings if isinstance(reading, Failed)] == [Reason.DEADLINE] * 8
