"""History as OpenMetrics: the chosen series, summed over what nobody needs, in the order that the format wants."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from opsctl.demo.openmetrics import OpenMetricsWriter
from opsctl.demo.platform import Platform
from opsctl.errors import UsageError
from tests.unit.demo.samples import STALE_BITS, Kept

START = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)


def _text(writer: OpenMetricsWriter) -> str:
    out = io.StringIO()
    writer.write(out)
    return out.getvalue()


def test_samples_are_written_series_by_series_up_to_eof() -> None:
    """Labels are escaped, whole numbers have no fraction, times are seconds, and a stale marker leaves a gap."""
    writer = OpenMetricsWriter()
    stale = np.array([STALE_BITS], dtype=np.uint64).view(np.float64)[0]
    stamps = np.array([60_000, 120_000], dtype=np.int64)
    writer.add("lag", [{"q": 'a"b\\'}], stamps, np.array([[1.5, 2.0]]))
    writer.add("x_total", [{"r": "1"}, {"r": "2"}], stamps, np.array([[1.0, 2.0], [3.0, stale]]))
    assert _text(writer) == (
        '# TYPE lag unknown\nlag{q="a\\"b\\\\"} 1.5 60\nlag{q="a\\"b\\\\"} 2 120\n'
        '# TYPE x counter\nx_total{r="1"} 1 60\nx_total{r="1"} 2 120\nx_total{r="2"} 3 60\n# EOF\n'
    )


def test_labels_that_nobody_needs_are_summed_away() -> None:
    """A subset keeps the totals: campaigns and reasons go, the sum by result and region stays."""
    writer = OpenMetricsWriter({"gaming_redemption_total": ("result", "region")}, series_limit=6)
    kept = Kept()
    for store in (writer, kept):
        Platform(7, START, store).advance(START + timedelta(minutes=3))
    lines = _text(writer).splitlines()
    assert writer.series == 6
    assert len(lines) == 2 + 6 * 4
    errors = [float(line.split()[1]) for line in lines if 'result="ok"' in line and line.endswith(str(_last(3)))]
    ok = [labels["result"] == "ok" for labels in kept.labels["gaming_redemption_total"]]
    assert sum(errors) == kept.values("gaming_redemption_total")[ok, -1].sum()


def test_summed_counter_does_not_fall_when_one_part_vanishes() -> None:
    """What was counted before a region was lost stays counted, or the sum would look like a counter's reset."""
    writer = OpenMetricsWriter({"gaming_session_join_total": ("result",)})
    platform = Platform(7, START, writer)
    platform.inject("region-lost", START + timedelta(minutes=2), timedelta(minutes=10))
    for minute in (4, 5, 6, 20):
        platform.advance(START + timedelta(minutes=minute))
    values = [float(line.split()[1]) for line in _text(writer).splitlines() if 'result="ok"' in line]
    assert len(values) == 21
    assert values == sorted(values)


def _last(minutes: int) -> int:
    return int((START + timedelta(minutes=minutes)).timestamp())


def test_too_many_series_are_refused() -> None:
    """The limit of the tests' servers is a limit, said before anything is written."""
    writer = OpenMetricsWriter({"gaming_redemption_total": None}, series_limit=6)
    with pytest.raises(UsageError, match="more than 6"):
        Platform(7, START, writer).advance(START)


def test_whole_platform_is_well_formed() -> None:
    """Every family has one TYPE before its samples, counters end in _total, and the last line is EOF."""
    writer = OpenMetricsWriter()
    platform = Platform(7, START, writer)
    platform.advance(START + timedelta(minutes=2))
    lines = _text(writer).splitlines()
    assert writer.series == platform.series
    assert lines[-1] == "# EOF"
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    current, kind = "", ""
    for line in lines[:-1]:
        if line.startswith("#"):
            _, _, current, kind = line.split()
            continue
        name = line.split("{")[0]
        suffixes = {"counter": r"_total", "histogram": r"_(bucket|count|sum)", "unknown": ""}
        assert re.fullmatch(re.escape(current) + suffixes[kind], name), line
