"""A recording holds what the rules and runbooks ask for, in few enough series, and the orders that runbooks give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsctl.demo.faults import ACTIONS, FAULTS
from opsctl.demo.platform import Platform
from opsctl.demo.recording import ORDERS, SELECT, SERIES_MAX, plan_recording, record, writer
from tests.unit.demo.samples import Kept

ROOT = Path(__file__).parents[3]
END = datetime(2026, 3, 5, 20, 0, tzinfo=UTC)
_SELECTOR = re.compile(r"\b([a-z][a-z0-9_]+)(?:\{([^}]*)\})?")


def _texts() -> Iterator[tuple[str, str]]:
    for folder in ("alert_rules/slo", "alert_rules/platform", "runbooks"):
        for path in sorted((ROOT / folder).rglob("*.*")):
            if not path.name.endswith(".test.yaml"):
                yield path.name, path.read_text()


@pytest.fixture(scope="module")
def kept() -> Kept:
    """One scrape of everything."""
    found = Kept()
    Platform(7, END, found).advance(END)
    return found


def test_every_metric_and_label_that_is_asked_for_is_recorded(kept: Kept) -> None:
    """Each selector of a bundled objective, platform rule or runbook finds its metric, with the labels it matches on."""
    asked = 0
    for name, text in _texts():
        for metric, matchers in _SELECTOR.findall(text):
            if metric not in kept.labels or (metric == "up" and not matchers and "(up" not in text):
                continue
            asked += 1
            assert metric in SELECT, (name, metric)
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            labels &= set(kept.labels[metric][0])
            assert labels <= {*SELECT[metric]}, (name, metric, labels)
    assert asked > 60


def test_series_are_few_enough_for_promtool() -> None:
    """Under the limit, with room."""
    taken = writer()
    Platform(7, END, taken).advance(END)
    assert 250 < taken.series <= SERIES_MAX


@pytest.mark.parametrize("fault", FAULTS)
def test_a_recording_has_its_fault_and_its_mitigation(fault: str) -> None:
    """Before it begins nothing is wrong, before the order something is, and a quarter of an hour later no more."""
    recording = plan_recording(fault, END)
    assert recording.begin - recording.start >= timedelta(days=3)
    platform = record(recording, 7, writer())
    assert platform.now == END
    assert platform.truth(recording.begin - timedelta(minutes=1)).healthy
    wrong = platform.truth(recording.mitigated)
    assert wrong.faults == (fault,)
    later = platform.truth(recording.mitigated + timedelta(minutes=15))
    assert sum(s.fail_ratio for s in later.services.values()) < 0.01


@pytest.mark.parametrize("fault", FAULTS)
def test_the_recorded_order_is_one_that_mitigates_the_fault(fault: str) -> None:
    """It is an action of the fault; the admin server takes it and refuses any other with what was recorded."""
    action, params = ORDERS[fault]
    assert action in FAULTS[fault].actions
    recording = plan_recording(fault, END)
    assert recording.order(action, {**params, "reason": "test"}).startswith(f"{action}: done")
    other = next(name for name in ACTIONS if name != action)
    with pytest.raises(ValueError, match=f"it was made with {action}"):
        recording.order(other, {})
