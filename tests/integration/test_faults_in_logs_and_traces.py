"""The shipped rules on logs and spans under the demo's faults: what must fire does, in time, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec
import pytest

from collectors.memory_logs import MemoryLogs
from collectors.memory_traces import MemoryTraceSource
from opsctl.core.rules import AlertingRule
from opsctl.core.signals import Absent, Measured, Signal
from opsctl.core.slo import Severity
from opsctl.core.traces import Trace
from opsctl.demo.faults import FAULTS
from opsctl.files.catalogue import load_catalogue
from opsctl.files.rules import load_rules
from opsctl.ports import MetricsSource
from opsctl.series import fetching
from opsctl.series.logs import LogSeries
from opsctl.series.spans import SpanSeries
from tests.unit.demo.minutes import FIRST, telemetry

HERE = Path(__file__).parent
MINUTE = timedelta(minutes=1)
BEFORE, AFTER = 12, 16  # minutes of telemetry before the fault begins and after
BEGIN = datetime.fromtimestamp(FIRST * 60, UTC)
LATE = timedelta(seconds=30)  # the offset of logs and traces

# Rule -> fault -> minutes after which it has to be firing at the latest.
MUST: dict[str, dict[str, int]] = {
    "LoginAttackInLogs": {"login-attack": 10},
    "ServicePairErrors": {"wallet-db-slow": 15, "promo-surge": 15},
    "WalletCreditWithoutFraudCheck": {},
}


@pytest.fixture(autouse=True, scope="module")
def _one_search() -> object:
    """Memory answers with everything at once; halving is shown by tests of its own."""
    patch = pytest.MonkeyPatch()
    patch.setattr(fetching, "TRACES_AT_ONCE", 1_000_000)
    yield
    patch.undo()


@cache
def _rules() -> dict[str, AlertingRule]:
    rules = load_rules(["bundled:logs", "bundled:traces"], HERE, load_catalogue("bundled:", HERE))
    return {rule.name: rule for rule in rules.alerting}


def _sources(
    fault: str, minutes: Sequence[int], changed: dict[int, Sequence[Trace]] | None = None
) -> dict[Signal, MetricsSource]:
    made = telemetry(fault)
    logs, traces = MemoryLogs(capacity=1_000_000), MemoryTraceSource(max_spans=5_000_000)
    for minute in minutes:
        logs.add(made.records(FIRST + minute))
        traces.add((changed or {}).get(minute) or made.traces(FIRST + minute))
    return {Signal.LOGS: LogSeries(logs), Signal.TRACES: SpanSeries(traces)}


def _firing(rule: AlertingRule, sources: dict[Signal, MetricsSource], start: datetime, end: datetime) -> list[float]:
    """Minutes after the fault began at which an element has been there for its `for`; steps are thirty seconds late."""
    reading = sources[rule.signal].range(rule.expr, start - LATE, end - LATE, MINUTE, 120.0)
    if isinstance(reading, Absent):
        return []
    assert isinstance(reading, Measured), reading
    out: set[float] = set()
    for series in reading.data.series:
        seen = {round((at + LATE.total_seconds() - BEGIN.timestamp()) / 60) for at, _ in series.points}
        needed = int(rule.for_ / MINUTE)
        out.update(minute for minute in seen if all(minute - back in seen for back in range(needed + 1)))
    return sorted(out)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fires_the_rules_that_it_must_and_no_other(fault: str) -> None:
    """None of them before it begins."""
    sources = _sources(fault, range(-BEFORE, AFTER + 1))
    for name, rule in _rules().items():
        firing = _firing(rule, sources, BEGIN - 2 * MINUTE, BEGIN + AFTER * MINUTE)
        by = MUST[name].get(fault)
        if by is None:
            assert firing == [], name
        else:
            assert firing, name
            assert 0 < firing[0] <= by, (name, firing[0])
            print(f"{fault}: {name} after {firing[0]:g} of {by} min")


@pytest.mark.parametrize("hour", [6, 19])
def test_a_healthy_day_wakes_nobody(hour: int) -> None:
    """Half an hour of the morning's low and of the evening's peak: nothing fires, and all rules see."""
    first = hour * 60 - FIRST % 1440
    start = BEGIN + (first + 12) * MINUTE
    sources = _sources("", range(first, first + 31))
    for name, rule in _rules().items():
        assert _firing(rule, sources, start, start + 18 * MINUTE) == [], name
        for watched in rule.metrics:
            seen = sources[rule.signal].instant(f"group({watched})", start, 60.0)
            assert isinstance(seen, Measured), (name, watched)


def _bypassed(traces: Sequence[Trace]) -> list[Trace]:
    """The same minute with the fraud check left out of the promotions, as a caller's bug would."""
    out = []
    for trace in traces:
        scored = {one.span_id for one in trace.spans if one.name == "fraud.score"}
        gone = {below.span_id for span_id in scored for below in trace.subtree(span_id)}
        kept = tuple(one for one in trace.spans if one.span_id not in gone)
        out.append(msgspec.structs.replace(trace, spans=kept) if gone else trace)
    return out


def test_credits_without_a_fraud_check_fire_within_minutes() -> None:
    """One minute of a release that leaves the check out pages, and the page is a page."""
    rule = _rules()["WalletCreditWithoutFraudCheck"]
    made = telemetry("")
    sources = _sources("", range(-BEFORE, 18), {3: _bypassed(made.traces(FIRST + 3))})
    firing = _firing(rule, sources, BEGIN - 2 * MINUTE, BEGIN + 17 * MINUTE)
    assert firing[0] == 5.0  # the window ends two minutes ago, and thirty seconds of offset
    assert firing[-1] == 15.0  # and is ten minutes long
    assert rule.severity is Severity.PAGE


def test_traces_that_do_not_say_they_are_whole_leave_the_rule_blind() -> None:
    """Without `gaming.sampled` nothing is proved: there is no element, and what is watched is not there."""
    rule = _rules()["WalletCreditWithoutFraudCheck"]
    made = telemetry("")
    silent = {minute: [_unsaid(one) for one in made.traces(FIRST + minute)] for minute in range(-BEFORE, 1)}
    source = _sources("", range(-BEFORE, 1), silent)[Signal.TRACES]
    assert isinstance(source.instant(rule.expr, BEGIN, 60.0), Absent)
    (watched,) = rule.metrics
    assert isinstance(source.instant(f"group({watched})", BEGIN, 60.0), Absent)


def _unsaid(trace: Trace) -> Trace:
    spans = tuple(
        msgspec.structs.replace(one, attributes={k: v for k, v in one.attributes.items() if k != "gaming.sampled"})
        for one in trace.spans
    )
    return msgspec.structs.replace(trace, spans=spans)
