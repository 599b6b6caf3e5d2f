"""When the daemon says that it is not alive, or not at work, and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from opsctl.daemon.health import FAILURES_IN_A_ROW, UNDELIVERED, Patience, Standing, dead, unready
from opsctl.loop import Pulse
from tests.unit.paging.world import T0

PATIENCE = Patience(timedelta(minutes=1), 95.0)
NOW = T0 + timedelta(hours=1)


def standing(**changes: Any) -> Standing:
    return Standing(**{"begun": T0, "last_success": NOW - timedelta(minutes=1), **changes})


@pytest.mark.parametrize(
    ("pulse", "now", "reason"),
    [
        (Pulse(100.0), 129.0, ""),
        (Pulse(100.0), 131.0, "the loop has not moved for 31 s"),
        (Pulse(100.0, running_since=100.0), 194.0, ""),
        (Pulse(100.0, running_since=100.0), 196.0, "a run has been going on for 96 s; it may take 95 s"),
        (Pulse(100.0, failures=FAILURES_IN_A_ROW - 1, failure="x"), 101.0, ""),
        (Pulse(100.0, failures=FAILURES_IN_A_ROW, failure="KeyError: x"), 101.0, "5 runs in a row ended with an error, the last: KeyError: x"),
    ],
)  # fmt: skip
def test_alive(pulse: Pulse, now: float, reason: str) -> None:
    assert "; ".join(dead(pulse, PATIENCE, now)) == reason


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (standing(), ""),
        (standing(last_success=None), "no run has ended well yet (begun 3600 s ago)"),
        (standing(last_success=NOW - timedelta(seconds=180)), ""),
        (standing(last_success=NOW - timedelta(seconds=181)), "the last run that ended well was 181 s ago; expected within 180 s"),
        (standing(journal_problem="journal x cannot be written"), "journal x cannot be written"),
        (standing(undelivered=NOW - UNDELIVERED), ""),
        (standing(undelivered=NOW - timedelta(seconds=301)), "a page has not been delivered for 301 s: `opsctl incident ls` shows which"),
        (standing(config_problem="wrong"), ""),
    ],
)  # fmt: skip
def test_at_work(left: Standing, reason: str) -> None:
    assert "; ".join(unready(left, PATIENCE, NOW)) == reason
