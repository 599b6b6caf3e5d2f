"""The fault table holds row by row, and a healthy day wakes nobody: judged in range queries over three days.

Each fault runs for an hour on a history of its own, computed anew (that is cheaper than copying one). A burn row is
over where both of its windows exceed factor × (1 − target), as its file says; `for` is counted as Prometheus does.
"""

from __future__ import annotations

import io
import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opsctl.core.rules import AlertingRule
from opsctl.core.slo import BurnRow, Severity, Slo
from opsctl.demo.faults import FAULTS, MustFire
from opsctl.demo.openmetrics import OpenMetricsWriter
from opsctl.demo.platform import Platform
from opsctl.files.catalogue import load_catalogue
from opsctl.files.rules import RuleSet, load_rules
from opsctl.promql.engine import Engine
from opsctl.promql.store import SeriesStore

HERE = Path(__file__).parent
SEED = 7
START = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
BEGIN = START + timedelta(days=3)  # of the fault
BEFORE = 10  # minutes of the range that lie before it
AFTER = 60
MINUTE = timedelta(minutes=1)


@cache
def _rules() -> RuleSet:
    return load_rules(["bundled:slo", "bundled:platform"], HERE, load_catalogue("bundled:", HERE))


def _slo(name: str) -> Slo:
    return next(slo for slo in _rules().slos if slo.name == name)


def _alert(name: str) -> AlertingRule | None:
    return next((rule for rule in _rules().alerting if rule.name == name), None)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


@dataclass
class Span:
    """A range of steps on one engine; asks each expression once."""

    engine: Engine
    start: datetime
    end: datetime
    step: timedelta = MINUTE

    def __post_init__(self) -> None:
        self._asked: dict[str, tuple[Any, Any]] = {}

    @property
    def steps(self) -> int:
        """How many there are."""
        return int((self.end - self.start) / self.step) + 1

    def ask(self, text: str) -> tuple[Any, Any]:
        """Values and presence, (elements, steps)."""
        if text not in self._asked:
            result = self.engine.range(text, _ms(self.start), _ms(self.end), int(self.step.total_seconds() * 1000))
            self._asked[text] = (result.values, result.present)
        return self._asked[text]

    def one(self, text: str) -> Any:
        """The only element's values, NaN where it is absent."""
        values, present = self.ask(text)
        assert len(values) <= 1, text
        return np.where(present[0], values[0], np.nan) if len(values) else np.full(self.steps, np.nan)


def _ratio(span: Span, slo: Slo, window: timedelta) -> Any:
    """Bad over total in each step; NaN without data or events."""
    queries = slo.queries[window]
    total, part = span.one(queries.total), span.one(queries.part)
    if slo.missing_part == "zero":
        part = np.where(np.isnan(part) & ~np.isnan(total), 0.0, part)
    with np.errstate(all="ignore"):
        ratio = np.where(total > 0, part / total, np.nan)
    seen = ratio[~np.isnan(ratio)]
    assert ((seen >= 0) & (seen <= 1)).all(), slo.name
    return ratio if slo.part == "bad" else 1.0 - ratio


def _over(span: Span, slo: Slo, row: BurnRow) -> Any:
    threshold = row.factor * slo.budget
    return (_ratio(span, slo, row.long) > threshold) & (_ratio(span, slo, row.short) > threshold)


def _burning(span: Span, slo: Slo, severity: Severity) -> Any:
    """Steps in which a row of that severity fires."""
    rows = [_over(span, slo, row) for row in slo.burn.rows if row.severity is severity]
    return np.any(rows, axis=0) if rows else np.zeros(span.steps, dtype=np.bool_)


def _firing(span: Span, rule: AlertingRule) -> Any:
    """Steps in which an element of the rule has been there for its `for`."""
    _, present = span.ask(rule.expr)
    needed = int(rule.for_ / span.step)
    fires = np.zeros(span.steps, dtype=np.bool_)
    for element in present:
        run = 0
        for step, there in enumerate(element):
            run = run + 1 if there else 0
            fires[step] |= run > needed
    return fires


def _pages(span: Span, name: str) -> Any:
    rule = _alert(name)
    if rule is None:
        return _burning(span, _slo(name), Severity.PAGE)
    return _firing(span, rule) if rule.severity is Severity.PAGE else np.zeros(span.steps, dtype=np.bool_)


def _no_data(span: Span, slo: Slo) -> Any:
    """Steps in which the SLO's alert for missing data fires: absent in its shortest window for the whole grace."""
    fastest = max((row for row in slo.burn.rows if row.severity is Severity.PAGE), key=lambda row: row.factor)
    grace = max(timedelta(minutes=5), fastest.factor * slo.budget * fastest.long)
    absent = np.isnan(span.one(slo.queries[min(slo.burn.windows())].total))
    fires = np.zeros(span.steps, dtype=np.bool_)
    first = 0
    for step in range(span.steps):
        first = first if absent[step] else step + 1
        fires[step] = absent[step] and (step - first) * span.step >= min(grace, timedelta(minutes=15))
    return fires


def _span_under(fault: str) -> Span:
    store = SeriesStore()
    platform = Platform(SEED, START, store)
    platform.advance(BEGIN)
    platform.inject(fault, BEGIN, AFTER * MINUTE)
    platform.advance(BEGIN + AFTER * MINUTE)
    return Span(Engine(store), BEGIN - BEFORE * MINUTE, BEGIN + AFTER * MINUTE)


@pytest.fixture(scope="module", params=FAULTS)
def under(request: pytest.FixtureRequest) -> tuple[str, Span]:
    """One fault's hour, with the ten minutes before it."""
    return request.param, _span_under(request.param)


def _first(steps: Any) -> float:
    """Minutes after the fault began; infinite if never."""
    found = np.nonzero(steps)[0]
    return float(found[0]) - BEFORE if len(found) else float("inf")


def _steps_of(span: Span, must: MustFire) -> Any:
    return _no_data(span, _slo(must.rule)) if must.no_data else _pages(span, must.rule)


def test_what_must_fire_does_in_time(under: tuple[str, Span]) -> None:
    """Every rule of the row fires within its minutes, and none of them before the fault began."""
    fault, span = under
    late = {}
    for must in FAULTS[fault].must_fire:
        first = _first(_steps_of(span, must))
        print(f"{fault}: {must.rule} after {first:g} of {must.minutes} min")
        if not 0 < first <= must.minutes:
            late[must.rule] = first
    assert late == {}


def test_what_must_not_page_does_not(under: tuple[str, Span]) -> None:
    """No page row of the named services' objectives fires during the hour, nor any alert rule of theirs."""
    fault, span = under
    quiet = FAULTS[fault].must_not_page
    services = {name for name in quiet if not name.startswith("slo:")}
    named = [slo.name for slo in _rules().slos if slo.service in services]
    named += [rule.name for rule in _rules().alerting if rule.service in services]
    named += [name.removeprefix("slo:") for name in quiet if name.startswith("slo:")]
    assert named
    assert {name: _first(_pages(span, name)) for name in named if _pages(span, name).any()} == {}


def test_fault_announces_itself_as_its_kind(under: tuple[str, Span]) -> None:
    """The rules whose severity is said to be a ticket belong to services of the second tier, the others page."""
    fault, _ = under
    for must in FAULTS[fault].must_fire:
        rule = _alert(must.rule) or _slo(must.rule)
        assert rule.severity == must.severity, must.rule


def test_a_healthy_day_wakes_nobody() -> None:
    """No rule of any severity fires on a whole day, with three days before it; the step is the shortest window."""
    store = SeriesStore()
    Platform(SEED, START, store).advance(BEGIN + timedelta(days=1))
    span = Span(Engine(store), BEGIN, BEGIN + timedelta(days=1), timedelta(minutes=5))
    fired = {
        slo.name for slo in _rules().slos for s in (Severity.PAGE, Severity.TICKET) if _burning(span, slo, s).any()
    }
    fired |= {rule.name for rule in _rules().alerting if _firing(span, rule).any()}
    assert fired == set()
    assert len(_rules().slos) == 30
    assert len(_rules().alerting) == 8
    empty = [slo.name for slo in _rules().slos if np.isnan(_ratio(span, slo, slo.burn.rows[0].short)).any()]
    assert empty == [], "a healthy platform has an answer to every objective"


# What promo-surge's objectives need, and no more: a test's server takes at most 400 series.
_SURGE: Mapping[str, None] = dict.fromkeys(
    (
        "gaming_redemption_total",
        "gaming_wallet_operations_total",
        "gaming_redemption_duration_seconds_count",
        "gaming_redemption_duration_seconds_bucket",
    )
)


def _asked_of(url: str, text: str, span: Span) -> Any:
    """The one series of a range query on a real server, NaN where it is absent."""
    step = span.step.total_seconds()
    asked = {"query": text, "start": span.start.timestamp(), "end": span.end.timestamp(), "step": step}
    with urllib.request.urlopen(f"{url}/api/v1/query_range", urllib.parse.urlencode(asked).encode(), timeout=30) as got:
        series = json.load(got)["data"]["result"]
    values = np.full(span.steps, np.nan)
    for at, value in series[0]["values"] if series else ():
        values[round((at - span.start.timestamp()) / step)] = float(value)
    return values


def test_a_real_prometheus_sees_the_same_surge(start_prometheus: Callable[..., Any]) -> None:
    """The history that is written for a real server holds the same events: it answers as the engine does."""
    writer = OpenMetricsWriter(_SURGE, series_limit=400)
    platform = Platform(SEED, START, writer)
    platform.inject("promo-surge", BEGIN)
    platform.advance(BEGIN + AFTER * MINUTE)
    out = io.StringIO()
    writer.write(out)
    server = start_prometheus(out.getvalue())
    span = _span_under("promo-surge")
    for must in FAULTS["promo-surge"].must_fire:
        slo = _slo(must.rule)
        for window in (timedelta(minutes=5), timedelta(hours=1)):
            for text in (slo.queries[window].part, slo.queries[window].total):
                theirs, ours = _asked_of(server.url, text, span), span.one(text)
                assert not np.isnan(ours).any()
                np.testing.assert_allclose(theirs, ours, rtol=1e-9)
