"""A mapping that finds values whatever their case: a series is still of the value as it is spelled, alone or in a batch."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from collectors.elasticsearch import ElasticsearchSource
from opsctl.core.signals import Absent, Measured, Reading, Vector
from opsctl.http import Endpoint
from opsctl.series.logs import LogSeries
from tests.servers.elasticsearch import Elasticsearch

INDEX = "log-series-spelling"
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECONDS = 20.0


@pytest.fixture(scope="module")
def series(elasticsearch9: Elasticsearch) -> Iterator[LogSeries]:
    """Ten lines of `Auth` in an index that keeps service names in lower case."""
    name = {"properties": {"name": {"type": "keyword", "normalizer": "lowercase"}}}
    mapping = {"mappings": {"properties": {"@timestamp": {"type": "date"}, "service": name}}}
    _send("PUT", f"{elasticsearch9.url}/{INDEX}", json.dumps(mapping))
    rows = []
    for i in range(10):
        at = AT - timedelta(seconds=20 * i)
        rows += [{"create": {}}, {"@timestamp": at.isoformat(), "message": "hello", "service": {"name": "Auth"}}]
    _send("POST", f"{elasticsearch9.url}/{INDEX}/_bulk?refresh=true", "".join(json.dumps(row) + "\n" for row in rows))
    found = LogSeries(ElasticsearchSource(Endpoint(elasticsearch9.url), index=[INDEX]))
    yield found
    found.close()


def _send(method: str, url: str, body: str) -> None:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/x-ndjson"}, method=method)
    if method == "PUT":
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert not json.load(answer).get("errors")


def counted(series: LogSeries, matcher: str) -> Reading[Vector]:
    """The records of five minutes, by service."""
    text = f"sum by (service_name) (increase(log_record_count_total{{service_name{matcher}}}[5m]))"
    return series.instant(text, AT, SECONDS)


def test_a_value_is_the_one_that_the_index_keeps(series: LogSeries) -> None:
    """The same for a rule alone and for rules together: no rule passes in one and fires in the other."""
    for matcher in ('="auth"', '=~"auth|Auth"', '=~"auth"'):
        reading = counted(series, matcher)
        assert isinstance(reading, Measured), matcher
        assert [(sample.labels, sample.value) for sample in reading.data.samples] == [
            ((("service_name", "auth"),), 10.0)
        ]
    assert isinstance(counted(series, '="Auth"'), Absent)
    assert isinstance(counted(series, '=~"Auth|Other"'), Absent)
