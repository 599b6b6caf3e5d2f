"""Verdicts on counted series: an empty log store, a silent service and half an answer are never healthy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors.memory_logs import MemoryLogs
from collectors.memory_traces import MemoryTraceSource
from opsctl.core.logs import LogQuery, LogRecord
from opsctl.core.memory import Memory
from opsctl.core.rules import AlertingRule, Outcome, Verdict
from opsctl.core.signals import Failed, Reason, Signal
from opsctl.core.traces import Span
from opsctl.engine import run_cycle
from opsctl.files.catalogue import load_catalogue
from opsctl.files.rules import load_rules
from opsctl.series.logs import LogSeries
from opsctl.series.spans import SpanSeries
from tests.unit.series.events import AT, ago, record, span, traces_of

HERE = Path(__file__).parent
ALWAYS = {"gaming.sampled": "always"}


def rule(name: str) -> AlertingRule:
    rules = load_rules(["bundled:logs", "bundled:traces"], HERE, load_catalogue("bundled:", HERE))
    return next(one for one in rules.alerting if one.name == name)


def judged(name: str, source: Any, at: datetime = AT, memory: Memory | None = None) -> tuple[Verdict, Memory]:
    one = rule(name)
    report = run_cycle((one,), {one.signal: source}, {signal: at for signal in Signal}, memory)
    return report.verdicts[0], report.memory


def login(seconds_ago: float, network: str, reason: str = "") -> LogRecord:
    outcome = "failure" if reason else "success"
    one = record(seconds_ago, event_action="user-login", event_outcome=outcome, source_as_number=network)
    return LogRecord(one.at, one.message, one.severity, one.service, fields={**one.fields, "event.reason": reason})


def quiet(minutes: int = 30) -> list[LogRecord]:
    """A few log-ins a minute."""
    return [login(i * 5.0, "64496", "bad_password" if i % 30 == 0 else "") for i in range(minutes * 12)]


def attack(minutes: int) -> list[LogRecord]:
    """A wrong password a second from one network."""
    return [login(float(i), "64506", "bad_password") for i in range(minutes * 60)]


def log_series(records: Sequence[LogRecord], kind: type[MemoryLogs] = MemoryLogs) -> LogSeries:
    source = kind()
    source.add(records)
    return LogSeries(source)


def test_a_quiet_day_passes_and_an_attack_fails() -> None:
    """No element while the logs are there is a pass; an attack pends for two minutes and then is a page."""
    verdict, _ = judged("LoginAttackInLogs", log_series(quiet()))
    assert (verdict.outcome, verdict.headline) == (Outcome.PASS, "no element")
    young, _ = judged("LoginAttackInLogs", log_series([*quiet(), *attack(2)]))
    assert young.outcome is Outcome.WARN
    assert "pending" in young.headline
    old, _ = judged("LoginAttackInLogs", log_series([*quiet(), *attack(8)]))
    assert old.outcome is Outcome.FAIL
    assert old.headline == "Somebody tries passwords from AS64506"
    assert dict(old.alerts[0].labels)["source_as_number"] == "64506"


def test_an_empty_log_store_is_not_healthy() -> None:
    """Nothing in the last day either: never had data, unknown, nobody is woken."""
    verdict, _ = judged("LoginAttackInLogs", log_series([]))
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.never_had_data
    assert verdict.headline.startswith(
        'never had data: none of its metrics is there: log_record_count_total{service_name="auth"}'
    )


def test_a_service_that_stopped_logging_has_no_data() -> None:
    """Others log on; the service that the rule is about was there an hour ago."""
    old = [login(3_600.0 + i, "64496", "bad_password" if i % 30 == 0 else "") for i in range(600)]
    others = [record(i * 5.0, service="wallet", event_action="wallet-credit") for i in range(360)]
    verdict, _ = judged("LoginAttackInLogs", log_series([*old, *others]))
    assert verdict.outcome is Outcome.NO_DATA
    assert 'log_record_count_total{service_name="auth"}' in verdict.headline


class Partial(MemoryLogs):
    """Shards that do not answer a count."""

    def count(self, query: LogQuery, step: timedelta, by: Sequence[str], timeout_seconds: float) -> Any:
        return Failed(Reason.PARTIAL, "1 of 3 shards failed", self.name)


def test_half_an_answer_freezes_what_was_known() -> None:
    """A firing attack neither ends nor is called over because a shard is away."""
    firing, memory = judged("LoginAttackInLogs", log_series([*quiet(), *attack(10)]))
    assert firing.outcome is Outcome.FAIL
    later, _ = judged("LoginAttackInLogs", log_series(quiet(), Partial), AT + timedelta(minutes=1), memory)
    assert later.outcome is Outcome.UNKNOWN
    assert "1 of 3 shards failed" in later.headline
    assert [alert.state for alert in later.alerts] == [alert.state for alert in firing.alerts]


def span_series(spans: Sequence[Span]) -> SpanSeries:
    source = MemoryTraceSource()
    source.add(traces_of(spans))
    return SpanSeries(source)


def credits(scored: bool, attributes: dict[str, str]) -> list[Span]:
    """A credit every five seconds of twenty minutes, each in a trace of its own, with a score before it or without."""
    out = []
    for i in range(240):
        out.append(span(i * 5.0, 2 * i + 1, i, attributes=attributes))
        if scored:
            out.append(span(i * 5.0 + 0.1, 2 * i + 2, i, service="fraud", name="fraud.score"))
    return out


@pytest.mark.parametrize(
    ("spans", "outcome"),
    [
        (credits(True, ALWAYS), Outcome.PASS),
        (credits(False, ALWAYS), Outcome.FAIL),
        (credits(False, {}), Outcome.UNKNOWN),
        (credits(True, {}), Outcome.UNKNOWN),
        ([], Outcome.UNKNOWN),
    ],
    ids=["scored", "not scored", "not scored, maybe sampled", "scored, maybe sampled", "no trace"],
)
def test_a_check_that_is_not_there_pages_only_where_traces_are_whole(spans: list[Span], outcome: Outcome) -> None:
    """On sampled traces the rule says that it sees nothing, whatever it would count."""
    verdict, _ = judged("WalletCreditWithoutFraudCheck", span_series(spans))
    assert verdict.outcome is outcome, verdict.headline
    assert verdict.never_had_data is (outcome is Outcome.UNKNOWN)


def test_failing_pairs_are_a_ticket() -> None:
    """One in five calls fails for half an hour: a warning that names the pair, not a page."""
    spans = []
    for i in range(900):
        status = "error" if i % 5 == 0 else "unset"
        spans.append(span(i * 2.0 + 0.1, 2 * i + 1, i, service="payments", name="payment.authorize"))
        spans.append(
            span(i * 2.0, 2 * i + 2, i, parent=2 * i + 1, service="wallet", name="wallet.debit", status=status)
        )
    verdict, _ = judged("ServicePairErrors", span_series(spans))
    assert verdict.outcome is Outcome.WARN
    assert verdict.headline == "Calls from payments to wallet fail"
    assert verdict.alerts[0].fired_at is not None
    assert verdict.alerts[0].since <= ago(300)


OBJECTIVE = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: logins-logged, annotations: {opsctl.dev/tier: page}}
spec:
  service: auth
  indicator:
    metadata: {name: logins-logged}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: Prometheus, spec: {query: 'sum(increase(log_record_count_total{service_name="auth",severity_text="ERROR"}[{{.window}}]))'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(increase(log_record_count_total{service_name="auth"}[{{.window}}]))'}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: Log-ins, target: 0.99}]
"""


@pytest.mark.parametrize(
    ("every", "outcome"),
    [(None, Outcome.PASS), (4, Outcome.FAIL), (200, Outcome.PASS)],
    ids=["none", "1 in 4", "1 in 200"],
)
def test_an_objective_on_log_lines_burns_its_budget(tmp_path: Path, every: int | None, outcome: Outcome) -> None:
    """Counts of lines are counts of events: windows of five minutes to three days, and the month's budget."""
    (tmp_path / "mine.slo.yaml").write_text(OBJECTIVE)
    (slo,) = load_rules(["mine.slo.yaml"], tmp_path, load_catalogue("bundled:", HERE)).slos
    lines = [record(i * 6.0, level="ERROR" if every and i % every == 0 else "INFO") for i in range(6 * 600)]
    report = run_cycle((slo,), {Signal.LOGS: log_series(lines)}, {signal: AT for signal in Signal})
    (verdict,) = report.verdicts
    assert verdict.outcome is outcome, verdict.headline
    counts = {evidence.window: evidence for evidence in verdict.evidence.windows}
    hour = counts[timedelta(hours=1)]
    assert (hour.total, hour.bad) == (600.0, 0.0 if every is None else 600.0 / every)
    assert verdict.evidence.budget is not None
    assert verdict.evidence.budget.total == 3_600.0


def test_an_objective_on_logs_that_stopped_has_no_data(tmp_path: Path) -> None:
    """No line of the service in its window: not zero errors."""
    (tmp_path / "mine.slo.yaml").write_text(OBJECTIVE)
    (slo,) = load_rules(["mine.slo.yaml"], tmp_path, load_catalogue("bundled:", HERE)).slos
    lines = [record(3_600.0 + i) for i in range(600)] + [
        record(float(i), service="wallet", level="ERROR") for i in range(600)
    ]
    report = run_cycle((slo,), {Signal.LOGS: log_series(lines)}, {signal: AT for signal in Signal})
    assert report.verdicts[0].outcome is Outcome.NO_DATA
