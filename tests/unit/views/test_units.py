"""The unit of an expression, and numbers as an axis shows them."""

from __future__ import annotations

from math import inf, nan

import pytest

from opsctl.views.units import shown, unit_of


@pytest.mark.parametrize(
    ("expression", "unit"),
    [
        ("process_resident_memory_bytes", "bytes"),
        ("took_seconds_sum", "seconds"),
        ("took_seconds_count", ""),
        ("took_seconds_bucket", ""),
        ("rate(sent_bytes_total[5m])", "bytes/s"),
        ("sum by (x) (rate(sent_bytes_total[5m]))", "bytes/s"),
        ("rate(requests_total[5m])", "/s"),
        ("increase(requests_total[5m])", ""),
        ("rate(took_seconds_sum[5m])", ""),
        ("rate(took_seconds_sum[5m]) / rate(took_seconds_count[5m])", ""),
        ("histogram_quantile(0.9, sum by (le) (rate(took_seconds_bucket[5m])))", "seconds"),
        ("avg_over_time(pool_busy_ratio[5m])", "ratio"),
        ("count(used_bytes)", ""),
        ("a_bytes / b_bytes", ""),
        ("a_bytes / b_seconds", ""),
        ("a_bytes - b_bytes", "bytes"),
        ("a_bytes > 5", "bytes"),
        ("a_bytes > bool 5", ""),
        ("a_bytes * 8", ""),
        ("a_bytes or b_seconds", ""),
        ("time()", ""),
        ("told", "furlongs"),
        ("max(told) by (a)", "furlongs"),
        ("no (", ""),
    ],
)
def test_the_unit_is_in_the_name_or_told(expression: str, unit: str) -> None:
    """Rates are per second, ratios of the same unit have none, and what is not plain has none."""
    assert unit_of(expression, lambda metric: "furlongs" if metric == "told" else "") == unit


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.25, "seconds", "250 ms"),
        (90.0, "seconds", "1.5 min"),
        (0.0, "seconds", "0 s"),
        (2048.0, "bytes", "2 KiB"),
        (2e6, "bytes/s", "1.907 MiB/s"),
        (1500.0, "", "1.5 k"),
        (1500.0, "/s", "1.5 k/s"),
        (0.125, "ratio", "12.5 %"),
        (-3000.0, "", "-3 k"),
        (1e-9, "", "1e-09"),
        (nan, "seconds", "NaN"),
        (inf, "", "+Inf"),
        (-inf, "bytes", "-Inf"),
        (5.0, "furlongs", "5 furlongs"),
    ],
)
def test_numbers_are_short_and_say_their_unit(value: float, unit: str, text: str) -> None:
    """What is no number says so."""
    assert shown(value, unit) == text
