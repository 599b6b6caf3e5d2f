"""A night on one screen: hours of reports leave nothing behind, and looking at everything meanwhile neither."""

from __future__ import annotations

import asyncio

from benchmarks.board import grown


def test_two_hours_of_reports_after_the_first_two_leave_less_than_a_mebibyte() -> None:
    assert asyncio.run(grown(reports=240, first=120)) < 1.0
