"""Metrics, logs and traces in one cycle: side by side, each with its own time, failures and memory."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from opsctl.adapters.journal import open_journal
from opsctl.core.catalogue import Catalogue
from opsctl.core.memory import Memory
from opsctl.core.routing import Routing
from opsctl.core.rules import Outcome, Rule
from opsctl.core.signals import Failed, Matrix, Reading, Reason, Signal, Vector
from opsctl.core.slo import Severity
from opsctl.engine import CycleReport, Limits, run_cycle
from opsctl.engine.missing import Missing
from opsctl.engine.stale import BACKEND_UID
from opsctl.ports import Sinks
from opsctl.schedule import World, run_once
from opsctl.series.routing import prometheus_first
from tests.unit.engine.fakes import AT, MINUTE, ONE_ROW, History, Value, rule, slo, steady

METRICS, LOGS, TRACES = Signal.METRICS, Signal.LOGS, Signal.TRACES
ELASTIC, JAEGER, PROMETHEUS = "elasticsearch http://e", "jaeger http://j", "prometheus http://p"
REFUSED: Failed[object] = Failed(Reason.UNREACHABLE, "connection refused", ELASTIC)


def of(signal: Signal, name: str = "", severity: Severity = Severity.PAGE) -> Rule:
    return replace(slo(name or signal.value, burn=ONE_ROW, severity=severity), signal=signal)


ALL = [of(LOGS), of(METRICS), of(TRACES)]


def sources(**instead: object) -> dict[Signal, object]:
    fine = {
        METRICS: History(steady(0.0), PROMETHEUS),
        LOGS: History(steady(0.0), ELASTIC),
        TRACES: History(steady(0.0), JAEGER),
    }
    return {**fine, **{Signal(name): source for name, source in instead.items()}}


def cycle(
    rules: list[Rule], given: dict[Signal, object], at: object = AT, *args: object, **named: object
) -> CycleReport:
    return run_cycle(rules, given, at, *args, **named)  # type: ignore[arg-type]


def outcomes(report: CycleReport) -> list[Outcome]:
    return [verdict.outcome for verdict in report.verdicts]


def test_each_rule_is_asked_of_its_own_backend_and_verdicts_keep_the_order_of_the_rules() -> None:
    given = sources()
    report = cycle(ALL, given)
    assert [v.rule.uid for v in report.verdicts] == ["logs", "metrics", "traces"]
    assert outcomes(report) == [Outcome.PASS] * 3
    for signal, source in given.items():
        assert {query.split(":")[0] for query, _ in source.instants} == {signal.value}  # type: ignore[attr-defined]
    assert [(b.name, b.signal, b.status) for b in report.backends] == [
        (PROMETHEUS, METRICS, "ok"),
        (ELASTIC, LOGS, "ok"),
        (JAEGER, TRACES, "ok"),
    ]


def test_each_signal_has_its_own_time() -> None:
    given = sources()
    times = {METRICS: AT, LOGS: AT - MINUTE, TRACES: AT - 2 * MINUTE}
    report = cycle(ALL, given, times)
    assert [v.evidence.at for v in report.verdicts] == [AT - MINUTE, AT, AT - 2 * MINUTE]
    assert {at for _, at in given[LOGS].instants} == {AT - MINUTE}  # type: ignore[attr-defined]
    assert report.at == AT
    again = cycle(ALL, sources(), {signal: at + MINUTE for signal, at in times.items()}, report.memory)
    assert again.facts == ()  # the state of the minute before was each signal's own


def test_a_dead_backend_costs_its_own_signal_only() -> None:
    report = cycle(ALL, sources(logs=History(lambda q, at: REFUSED, ELASTIC)))
    assert outcomes(report) == [Outcome.UNKNOWN, Outcome.PASS, Outcome.PASS]
    assert report.fresh >= {"metrics", "traces"}
    assert "logs" not in report.fresh
    assert [b.status for b in report.backends] == ["ok", "failed", "ok"]


def test_giving_up_on_one_backend_is_not_giving_up_on_another() -> None:
    dead = History(lambda q, at: REFUSED, ELASTIC)
    rules = [of(signal, f"{signal.value}-{i}") for i in range(30) for signal in (LOGS, METRICS)]
    report = cycle(rules, sources(logs=dead))
    assert len(dead.instants) == 8
    assert outcomes(report) == [Outcome.UNKNOWN, Outcome.PASS] * 30


def test_a_signal_without_a_source_is_unknown_in_one_line_and_wakes_nobody() -> None:
    line = "no [contexts.prod.elasticsearch] in the configuration"
    memory = Memory()
    for minute in range(15):
        report = cycle(ALL, sources(logs=Missing("logs", line)), AT + minute * MINUTE, memory)
        memory = report.memory
    assert outcomes(report) == [Outcome.UNKNOWN, Outcome.PASS, Outcome.PASS]
    assert report.verdicts[0].headline == f"5m: no answer from logs: {line}"
    assert (report.stale, dict(memory.frozen_since)) == ((), {})
    assert not report.auth_failed


def test_one_source_alone_answers_metrics_and_nothing_else() -> None:
    report = run_cycle(ALL, History(steady(0.0)), AT)  # type: ignore[arg-type]
    assert outcomes(report) == [Outcome.UNKNOWN, Outcome.PASS, Outcome.UNKNOWN]
    assert "no backend for logs is configured" in report.verdicts[0].headline


class Sleepy(History):
    """Takes its time for every question."""

    def __init__(self, seconds: float) -> None:
        super().__init__(steady(0.0))
        self.seconds = seconds

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        time.sleep(self.seconds)
        return super().instant(query, at, timeout_seconds)


def test_a_cycle_waits_for_the_slowest_signal_not_for_their_sum() -> None:
    slow = {signal: Sleepy(0.05) for signal in Signal}
    begun = time.monotonic()
    report = cycle(ALL, dict(slow))
    took = time.monotonic() - begun
    assert outcomes(report) == [Outcome.PASS] * 3
    alone = max(backend.took_seconds for backend in report.backends)
    assert took < 1.5 * alone
    assert took < sum(backend.took_seconds for backend in report.backends) / 2


class Stuck(History):
    """Never answers, and takes one question at a time: nothing frees its thread."""

    def __init__(self) -> None:
        super().__init__(steady(0.0), ELASTIC)
        self.gate = threading.Event()

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        self.gate.wait(60)
        return Failed(Reason.DEADLINE, "hung up", self.name)

    def close(self) -> None:
        super().close()
        self.gate.set()


def test_a_backend_that_holds_its_thread_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsctl.engine.cycle._GRACE_SECONDS", 0.1)
    stuck = Stuck()
    report = cycle(ALL, sources(logs=stuck), AT, limits=Limits(cycle=timedelta(seconds=0.2)))
    assert outcomes(report) == [Outcome.UNKNOWN, Outcome.PASS, Outcome.PASS]
    assert "no answer before the cycle's deadline" in report.verdicts[0].headline
    assert stuck.closed
    assert [b.status for b in report.backends] == ["ok", "failed", "ok"]


class Hung(Stuck):
    """Never answers, but lets go when it is hung up on."""

    concurrency = 4


def test_a_backend_that_hangs_costs_nobody_else_their_time() -> None:
    report = cycle(ALL, sources(traces=Hung()), AT, limits=Limits(cycle=timedelta(seconds=0.2)))
    assert outcomes(report) == [Outcome.PASS, Outcome.PASS, Outcome.UNKNOWN]


class Broken(History):
    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        raise ValueError("a bug")


def test_a_source_that_raises_costs_its_own_signal_only() -> None:
    burning = Broken(steady(0.5), ELASTIC)
    report = cycle(ALL, sources(logs=burning))
    assert outcomes(report)[1:] == [Outcome.PASS] * 2
    assert "a bug" in str(report.verdicts[0])


# Answers that stay away


def minutes(given: list[dict[Signal, object]], memory: Memory | None = None, **named: object) -> list[CycleReport]:
    out: list[CycleReport] = []
    for minute, each in enumerate(given):
        out.append(cycle(ALL, each, AT + minute * MINUTE, out[-1].memory if out else memory, **named))
    return out


def dead_logs() -> dict[Signal, object]:
    return sources(logs=History(lambda q, at: REFUSED, ELASTIC))


def test_a_backend_that_stays_away_is_an_alert_under_its_own_name() -> None:
    reports = minutes([sources()] + [dead_logs() for _ in range(13)] + [sources()])
    assert [len(report.stale) for report in reports] == [0] * 11 + [1] * 3 + [0]
    (alert,) = reports[12].stale
    assert (alert.rule_uid, alert.identity) == (BACKEND_UID, (("backend", ELASTIC),))
    assert "1 rule is blind" in alert.summary
    assert dict(reports[-1].memory.frozen_since) == {}


def test_two_dead_backends_are_two_alerts() -> None:
    def refused(name: str) -> History:
        return History(lambda q, at: Failed(Reason.UNREACHABLE, "refused", name), name)

    both = [sources(logs=refused(ELASTIC), traces=refused(JAEGER)) for _ in range(12)]
    stale = minutes(both)[-1].stale
    assert sorted(alert.identity for alert in stale) == [(("backend", ELASTIC),), (("backend", JAEGER),)]


def test_a_run_of_other_signals_keeps_a_stale_backend_and_since_when() -> None:
    before = minutes([dead_logs() for _ in range(12)])[-1]
    loaded = frozenset(one.uid for one in ALL)
    other = cycle([of(METRICS)], sources(), AT + 12 * MINUTE, before.memory, loaded=loaded)
    assert other.stale == before.stale
    assert other.memory.frozen_since == before.memory.frozen_since
    back = cycle(ALL, dead_logs(), AT + 13 * MINUTE, other.memory, loaded=loaded)
    assert [alert.since for alert in back.stale] == [AT]
    healed = cycle(ALL, sources(), AT + 14 * MINUTE, back.memory, loaded=loaded)
    assert healed.stale == ()


def test_a_backend_that_no_loaded_rule_reads_any_more_is_forgotten() -> None:
    before = minutes([dead_logs() for _ in range(12)])[-1]
    after = cycle([of(METRICS)], sources(), AT + 12 * MINUTE, before.memory, loaded=frozenset({"metrics"}))
    assert after.stale == ()
    assert dict(after.memory.frozen_since) == {}


def test_signals_behind_one_backend_share_its_alert() -> None:
    """A server that answers for two signals is silent only when it answers neither."""
    dead = History(lambda q, at: Failed(Reason.UNREACHABLE, "refused", ELASTIC), ELASTIC)
    both = [sources(logs=dead, traces=dead) for _ in range(12)]
    (alert,) = minutes(both)[-1].stale
    assert "2 rules are blind" in alert.summary

    half = [sources(logs=dead, traces=History(steady(0.0), ELASTIC)) for _ in range(12)]
    assert [alert.identity for alert in minutes(half)[-1].stale] == [(("rule", "logs"),)]


def value(query: str, at: datetime) -> Value:
    return 1.0


def test_alerting_rules_of_any_signal_are_judged_on_their_own_grid() -> None:
    logs = History(lambda q, at: value(q, at), ELASTIC)
    ours = replace(rule("errors", interval=5 * MINUTE), signal=LOGS)
    report = cycle([ours, of(METRICS)], sources(logs=logs), {METRICS: AT + 8 * MINUTE, LOGS: AT + 7 * MINUTE})
    assert logs.instants == [("errors", AT + 5 * MINUTE)]
    assert outcomes(report) == [Outcome.FAIL, Outcome.PASS]


class Still:
    """A clock that stands at 12:00:20."""

    def now(self) -> datetime:
        return AT + timedelta(seconds=20)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


def test_a_run_takes_each_signals_offset_off_before_the_grid(tmp_path: Path) -> None:
    """At 12:00:20, logs that may be 30 s late are asked for 11:59, metrics for 12:00; a look at a time is at it."""
    given = sources()
    clock = Still()
    world = World(
        rules=ALL,
        catalogue=Catalogue({}),
        sources=given,  # type: ignore[arg-type]
        journal=open_journal(tmp_path, "test", clock),
        sinks=lambda: Sinks({}),
        routing=Routing,
        clock=clock,
        offsets={LOGS: timedelta(seconds=30), TRACES: timedelta(seconds=90)},
    )
    once = run_once(world, ALL, full=True, notify=False)
    assert [v.evidence.at for v in once.report.verdicts] == [AT - MINUTE, AT, AT - 2 * MINUTE]
    asked = run_once(world, ALL, full=True, notify=False, at=AT - 7 * MINUTE)
    assert {v.evidence.at for v in asked.report.verdicts} == {AT - 7 * MINUTE}


# What a wrong name or a wrong clock would hide


def test_a_dead_prometheus_that_also_has_the_series_of_spans_is_one_page() -> None:
    """It is one server, whichever signal it was asked for."""
    dead = History(lambda q, at: Failed(Reason.UNREACHABLE, "refused", PROMETHEUS), PROMETHEUS)
    both = [sources(metrics=dead, traces=prometheus_first(lambda: dead, lambda: dead)) for _ in range(12)]
    (alert,) = minutes(both)[-1].stale
    assert alert.identity == (("backend", PROMETHEUS),)
    assert "2 rules are blind" in alert.summary


def test_a_failure_of_another_backend_says_whose_it_is() -> None:
    """What only opsctl counts is asked of Jaeger, also where a Prometheus has the other series of spans."""
    dead: Failed[object] = Failed(Reason.UNREACHABLE, "refused", JAEGER)
    fine, jaeger = History(steady(0.0), PROMETHEUS), History(lambda q, at: dead, JAEGER)
    ours = replace(rule("sum(traces_span_without_total)"), signal=TRACES)
    report = cycle([of(METRICS), ours], sources(traces=prometheus_first(lambda: fine, lambda: jaeger)))
    assert [b.error for b in report.backends] == [None, f"{JAEGER}: refused"]


def test_a_clock_that_was_ahead_does_not_silence_a_dead_backend() -> None:
    """A beginning in the future would be older than ten minutes in a year."""
    ahead = AT + timedelta(days=365)
    memory = Memory(frozen_since={f"backend:{ELASTIC}": ahead, "rule:logs": ahead})
    reports = minutes([dead_logs() for _ in range(12)], memory)
    assert [alert.since for alert in reports[-1].stale] == [AT]


def test_a_run_of_some_rules_between_two_silences_makes_no_page_of_each_rule() -> None:
    """Somebody looks at one service while the backend is back for a minute: the next silence is still one page."""
    rules = [of(METRICS, f"rule-{i}") for i in range(10)]
    loaded = frozenset(one.uid for one in rules)
    dead = {METRICS: History(lambda q, at: Failed(Reason.UNREACHABLE, "refused", PROMETHEUS), PROMETHEUS)}
    memory, seen = Memory(), []
    for minute in range(20):
        some = minute == 4
        report = cycle(
            rules[:1] if some else rules, sources() if some else dict(dead), AT + minute * MINUTE, memory, loaded=loaded
        )
        memory = report.memory
        seen.append([alert.identity for alert in report.stale])
    assert seen == [[]] * 15 + [[(("backend", PROMETHEUS),)]] * 5


def test_a_rule_that_was_told_to_be_stale_stays_so_when_another_backend_is_back() -> None:
    """Its own questions fail, and nobody asked it since."""
    deaf = History(lambda q, at: REFUSED if q.startswith("deaf") else steady(0.0)(q, at), ELASTIC)
    rules = [of(LOGS, "deaf"), of(LOGS, "fine"), of(METRICS)]
    loaded = frozenset(one.uid for one in rules)
    dead = History(lambda q, at: Failed(Reason.UNREACHABLE, "refused", PROMETHEUS), PROMETHEUS)
    memory = Memory()
    for minute in range(12):
        report = cycle(rules, sources(logs=deaf, metrics=dead), AT + minute * MINUTE, memory, loaded=loaded)
        memory = report.memory
    assert sorted(alert.rule_name for alert in report.stale) == ["BackendStale", "RuleStale"]
    some = cycle(rules[2:], sources(), AT + 12 * MINUTE, memory, loaded=loaded)
    assert [alert.identity for alert in some.stale] == [(("rule", "deaf"),)]
    after = cycle(rules, sources(logs=deaf), AT + 13 * MINUTE, some.memory, loaded=loaded)
    assert [(alert.identity, alert.since) for alert in after.stale] == [((("rule", "deaf"),), AT)]
