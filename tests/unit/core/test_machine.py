"""Alert state from history against a plain run of each machine, over long random histories."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from opsctl.core.alerts import AlertState
from opsctl.core.look_back import rule_history
from opsctl.core.machine import CAP, advance, chunks
from opsctl.core.signals import Absent, Labels, Matrix, Measured, Reading, Series
from tests.unit.engine.fakes import AT, BACKEND, MINUTE, rule

NAMES: tuple[Labels, ...] = ((("region", "eu-1"),), (("region", "us-1"),))


@dataclass
class PlainAlert:
    """What Prometheus keeps of one element."""

    state: str
    active_at: datetime
    fired_at: datetime | None = None
    keep_firing_since: datetime | None = None


class PlainPrometheus:
    """Prometheus's evaluation of an alerting rule, told step by step and kept in memory."""

    def __init__(self, hold: timedelta, keep: timedelta) -> None:
        self.hold, self.keep = hold, keep
        self.active: dict[Labels, PlainAlert] = {}

    def step(self, at: datetime, present: set[Labels] | None) -> None:
        if present is None:
            return  # the query failed: no state is touched
        for labels in present:
            found = self.active.get(labels)
            if found is None or found.state == "inactive":
                self.active[labels] = PlainAlert("pending", at)
        for labels, alert in list(self.active.items()):
            if labels not in present:
                keeps = self.keeps(alert, at)
                if alert.state == "pending":
                    del self.active[labels]
                elif alert.state != "inactive" and not keeps:
                    alert.state = "inactive"
                if not keeps:
                    continue
            else:
                alert.keep_firing_since = None
            if alert.state == "pending" and at - alert.active_at >= self.hold:
                alert.state, alert.fired_at = "firing", at

    def keeps(self, alert: PlainAlert, at: datetime) -> bool:
        if alert.state != "firing" or self.keep == timedelta(0):
            return False
        if alert.keep_firing_since is None:
            alert.keep_firing_since = at
        return at - alert.keep_firing_since < self.keep

    def shown(self) -> dict[Labels, tuple[str, datetime, datetime | None]]:
        return {k: (a.state, a.active_at, a.fired_at) for k, a in self.active.items() if a.state != "inactive"}


def flapping(minutes: int, seed: int) -> list[set[Labels]]:
    """Elements that come and go: spells of calm, flapping and standing fire."""
    random_ = random.Random(seed)
    out: list[set[Labels]] = []
    moods = {name: 0.5 for name in NAMES}
    for minute in range(minutes):
        if minute % 97 == 0:
            moods = {name: random_.choice([0.0, 0.02, 0.3, 0.5, 0.8, 0.95]) for name in NAMES}
        out.append({name for name in NAMES if random_.random() < moods[name]})
    return out


class Kept:
    """A history that answers range questions."""

    def __init__(self, history: list[set[Labels]], begin: datetime) -> None:
        self.times = [(begin + i * MINUTE).timestamp() for i in range(len(history))]
        self.points = {
            name: [(self.times[i], 1.0) for i, present in enumerate(history) if name in present] for name in NAMES
        }
        self.stamps = {name: [at for at, _ in points] for name, points in self.points.items()}
        self.asked = 0

    def __call__(self, query: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
        first, last = start.timestamp(), end.timestamp()
        self.asked += 1
        series = []
        for name, stamps in self.stamps.items():
            points = self.points[name][bisect_left(stamps, first) : bisect_right(stamps, last)]
            if points:
                series.append(Series(name, tuple(points)))
        return Measured(Matrix(tuple(series)), BACKEND) if series else Absent(BACKEND)


CASES = [(0, 0), (1, 0), (5, 0), (15, 0), (0, 5), (5, 3), (10, 10), (3, 15)]


@pytest.mark.parametrize(("hold", "keep"), CASES)
def test_state_from_history_is_prometheus_own(hold: int, keep: int) -> None:
    """No mismatch in 60,800 minutes of flapping, each minute computed from the data alone."""
    minutes = 3_000 if keep else 12_200
    history = flapping(minutes, seed=hold * 100 + keep)
    kept = Kept(history, AT)
    ours = rule(for_=hold * MINUTE, keep_firing_for=keep * MINUTE)
    plain = PlainPrometheus(ours.for_, ours.keep_firing_for)
    fired = 0
    for i, present in enumerate(history):
        at = AT + i * MINUTE
        plain.step(at, present)
        now = dict.fromkeys(present, 1.0)
        before = rule_history(ours, at, now, lambda labels, value: labels, kept, None)
        active = advance(before.active, now, at, ours.for_, ours.keep_firing_for)
        found = {k: (e.state.value, e.since, e.fired_at) for k, e in active.items()}
        assert found == plain.shown(), f"minute {i}"
        fired += any(e.state is AlertState.FIRING for e in active.values())
    assert fired > 500  # the history did exercise the machine


@pytest.mark.parametrize(("hold", "keep"), CASES)
def test_the_machine_forward_is_prometheus_own_also_over_failed_queries(hold: int, keep: int) -> None:
    """A step whose query failed touches nothing; 8 × 2,500 minutes with one failure in ten."""
    random_ = random.Random(hold + 1000 * keep)
    plain, active = PlainPrometheus(hold * MINUTE, keep * MINUTE), {}
    for i, present in enumerate(flapping(2_500, seed=hold * 7 + keep)):
        at = AT + i * MINUTE
        failed = random_.random() < 0.1
        plain.step(at, None if failed else present)
        if not failed:
            active = advance(active, dict.fromkeys(present, 1.0), at, hold * MINUTE, keep * MINUTE)
        assert {k: (e.state.value, e.since, e.fired_at) for k, e in active.items()} == plain.shown(), f"minute {i}"


def test_a_fixed_look_back_would_be_wrong() -> None:
    """Why the search goes back to a reset point: flapping shorter than keep_firing_for fires for hours."""
    history = [{NAMES[0]} if i < 20 or i % 7 == 0 else set() for i in range(400)]
    kept = Kept(history, AT)
    ours = rule(for_=15 * MINUTE, keep_firing_for=10 * MINUTE)
    at = AT + 399 * MINUTE
    before = rule_history(ours, at, {}, lambda labels, value: labels, kept, None)
    (element,) = before.active.values()
    assert element.state is AlertState.FIRING
    assert element.since == AT


def test_calm_asks_for_one_chunk_only() -> None:
    history = [set() for _ in range(600)] + [{NAMES[0]}]
    kept = Kept(history, AT)
    rule_history(rule(for_=MINUTE), AT + 600 * MINUTE, dict.fromkeys([NAMES[0]], 1.0), lambda k, v: k, kept, None)
    assert kept.asked == 1


def test_the_cap_says_at_least() -> None:
    history = [{NAMES[0]} for _ in range(3_000)]
    at = AT + 2_999 * MINUTE
    before = rule_history(
        rule(for_=MINUTE), at, dict.fromkeys([NAMES[0]], 1.0), lambda k, v: k, Kept(history, AT), None
    )
    (element,) = before.active.values()
    assert element.since_at_least
    assert element.since == at - CAP


def test_chunks_double_touch_and_end_at_the_cap() -> None:
    spans = list(chunks(AT, MINUTE))
    sizes = [(end - start) // MINUTE + 1 for start, end in spans]
    assert sizes[:4] == [16, 32, 64, 128]
    assert sum(sizes) == CAP // MINUTE
    assert spans[0][1] == AT - MINUTE
    assert all(older[1] == newer[0] - MINUTE for newer, older in pairwise(spans))
    assert next(chunks(AT, MINUTE, 40 * MINUTE)) == (AT - 41 * MINUTE, AT - MINUTE)
