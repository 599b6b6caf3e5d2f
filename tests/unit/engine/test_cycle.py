"""A cycle: each question once, deadlines, failures that cost their own readings, budgets, what is remembered."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from opsctl.core.alerts import AlertState
from opsctl.core.memory import BudgetAnswer, Memory
from opsctl.core.rules import Outcome
from opsctl.core.signals import Failed, Matrix, Reading, Reason, Vector
from opsctl.core.slo import Severity
from opsctl.engine import CycleReport, Limits, memory_of, run_cycle
from opsctl.engine.asking import GIVE_UP_AFTER
from opsctl.engine.stale import BACKEND_UID, RULE_UID
from opsctl.ports import Fact
from tests.unit.engine.fakes import (
    AT,
    BACKEND,
    MINUTE,
    ONE_ROW,
    History,
    Value,
    element,
    rule,
    slo,
    steady,
)

REFUSED: Failed[object] = Failed(Reason.UNREACHABLE, "connection refused", BACKEND)
PARTIAL: Failed[object] = Failed(Reason.PARTIAL, "shard 2 timed out", BACKEND, warnings=("shard 2",))
DENIED: Failed[object] = Failed(Reason.AUTH, "401 Unauthorized", BACKEND)


def outcomes(report: CycleReport) -> list[Outcome]:
    return [verdict.outcome for verdict in report.verdicts]


def test_each_distinct_question_is_asked_once() -> None:
    """Two SLOs on the same queries and two rules on the same expression cost no more than one each."""
    first = slo()
    twin = replace(first, name="twin", uid="twin")
    history = History(steady(0.0))
    rules = [first, twin, rule("x:total:60"), rule("x:total:60", uid="other")]
    run_cycle(rules, history, AT)
    assert max(Counter(history.instants).values()) == 1
    assert len(history.instants) == 2 * 7 + 2 + 1


def test_verdicts_come_in_the_order_of_the_rules() -> None:
    rules = [slo(f"s{i}", burn=ONE_ROW) for i in range(20)]
    history = History(steady(0.0))
    history.concurrency = 6
    report = run_cycle(rules, history, AT)
    assert [verdict.rule.uid for verdict in report.verdicts] == [r.uid for r in rules]
    assert set(outcomes(report)) == {Outcome.PASS}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_one_bad_query_costs_its_own_rule(concurrency: int) -> None:
    def answer(query: str, at: datetime) -> Value:
        if query.startswith("broken:"):
            return Failed(Reason.REJECTED, "parse error", BACKEND)
        return steady(0.0)(query, at)

    history = History(answer)
    history.concurrency = concurrency
    report = run_cycle([slo("broken"), slo("fine")], history, AT)
    assert outcomes(report) == [Outcome.UNKNOWN, Outcome.PASS]
    assert report.backends[0].status == "partial"
    assert report.backends[0].error == "parse error"
    assert "fine" in report.fresh
    assert "broken" not in report.fresh


def test_a_source_that_raises_costs_its_own_reading() -> None:
    def answer(query: str, at: datetime) -> Value:
        if query.startswith("broken:"):
            raise ValueError("a bug")
        return steady(0.0)(query, at)

    report = run_cycle([slo("broken"), slo("fine")], History(answer), AT)
    assert outcomes(report) == [Outcome.UNKNOWN, Outcome.PASS]
    assert "a bug" in report.verdicts[0].headline


class Blocked(History):
    """A backend that never answers until it is hung up on."""

    concurrency = 3

    def __init__(self) -> None:
        super().__init__(steady(0.0))
        self.gate = threading.Event()

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        self.gate.wait(60)
        return Failed(Reason.DEADLINE, "hung up", self.name)

    def close(self) -> None:
        super().close()
        self.gate.set()


def test_a_backend_that_hangs_is_failed_at_the_deadline() -> None:
    source = Blocked()
    report = run_cycle([slo(), rule()], source, AT, limits=Limits(cycle=timedelta(seconds=0.05)))
    assert outcomes(report) == [Outcome.UNKNOWN, Outcome.UNKNOWN]
    assert "no answer before the cycle's deadline" in report.verdicts[0].headline
    assert source.closed >= 1
    assert report.backends[0].status == "failed"


class Slow(History):
    """Every question takes seven seconds of a simulated clock."""

    def __init__(self) -> None:
        super().__init__(steady(0.0))
        self.clock = 0.0
        self.given: list[float] = []

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        self.given.append(timeout_seconds)
        self.clock += 7
        return super().instant(query, at, timeout_seconds)

    def monotonic(self) -> float:
        return self.clock


def test_one_deadline_a_question_and_one_a_cycle() -> None:
    source = Slow()
    report = run_cycle([slo()], source, AT, monotonic=source.monotonic)
    assert source.given == [10, 10, 10, 9, 2]
    assert outcomes(report) == [Outcome.UNKNOWN]
    assert not source.closed  # nothing was in flight


def test_a_dead_backend_is_not_asked_for_everything() -> None:
    history = History(lambda q, at: REFUSED)
    report = run_cycle([slo(f"s{i}") for i in range(40)], history, AT)
    assert len(history.instants) == GIVE_UP_AFTER
    assert set(outcomes(report)) == {Outcome.UNKNOWN}
    assert report.backends[0].queries == GIVE_UP_AFTER
    assert "connection refused" in report.verdicts[-1].headline


def test_a_backend_that_denies_says_so() -> None:
    report = run_cycle([slo()], History(lambda q, at: DENIED), AT)
    assert report.auth_failed
    assert not run_cycle([slo()], History(lambda q, at: REFUSED), AT).auth_failed


def test_a_partial_answer_freezes_and_carries_its_warnings() -> None:
    report = run_cycle([slo(burn=ONE_ROW)], History(lambda q, at: PARTIAL), AT)
    (verdict,) = report.verdicts
    assert (verdict.outcome, verdict.fresh) == (Outcome.UNKNOWN, False)
    assert verdict.evidence.warnings == ("shard 2",)
    assert report.backends[0].status == "partial"


# Budgets


def test_the_period_is_asked_every_quarter_of_an_hour() -> None:
    history, memory = History(steady(0.0)), Memory()
    asked = []
    for minute in range(32):
        history.instants.clear()
        report = run_cycle([slo()], history, AT + minute * MINUTE, memory)
        memory = report.memory
        if any(query.endswith(":2592000") for query, _ in history.instants):
            asked.append(minute)
    assert asked == [0, 15, 30]


def heavy(query: str, at: datetime) -> Value:
    if query.endswith(":2592000"):
        return Failed(Reason.DEADLINE, "timed out", BACKEND)
    return steady(0.0)(query, at)


def test_a_heavy_budget_that_fails_is_left_alone_for_a_while() -> None:
    history = History(heavy)
    first = run_cycle([slo()], history, AT)
    assert outcomes(first) == [Outcome.UNKNOWN]
    history.instants.clear()
    run_cycle([slo()], history, AT + MINUTE, first.memory)
    assert not any(query.endswith(":2592000") for query, _ in history.instants)


def test_an_older_budget_stands_in_with_its_age() -> None:
    memory = Memory(budgets={"redemption-success": BudgetAnswer(AT - 20 * MINUTE, 1.0, 10_000.0)})
    report = run_cycle([slo()], History(heavy), AT, memory)
    assert outcomes(report) == [Outcome.PASS]
    assert "(20m ago)" in report.verdicts[0].headline
    budget = report.verdicts[0].evidence.budget
    assert budget is not None
    assert budget.asked_at == AT - 20 * MINUTE


def test_a_budget_that_cannot_be_had_in_time_does_not_cost_the_alerts() -> None:
    source = Slow()
    source.instant = lambda q, at, t: (  # type: ignore[method-assign]
        setattr(source, "clock", source.clock + 4.6),
        History.instant(source, q, at, t),
    )[1]
    report = run_cycle([slo(burn=ONE_ROW)], source, AT, monotonic=source.monotonic)
    (verdict,) = report.verdicts
    assert verdict.fresh
    assert verdict.headline.startswith("budget:")


# What is remembered


def journal(reports: list[CycleReport]) -> Memory:
    """Memory read back from the facts that these cycles committed, as a journal would give it."""
    kept: dict[tuple[str, str], Fact] = {}
    for report in reports:
        for fact in report.facts:
            kept[fact.kind, fact.subject] = fact
    return memory_of(lambda kind: {subject: fact for (k, subject), fact in kept.items() if k == kind})


def test_facts_are_memory_through_a_journal() -> None:
    def answer(query: str, at: datetime) -> Value:
        if query == "expr":
            return (element(float("nan"), region="eu-1"),)
        return steady(0.5)(query, at)

    rules = [slo(), rule(for_=5 * MINUTE)]
    first = run_cycle(rules, History(answer), AT)
    memory = journal([first])
    assert memory.budgets == first.memory.budgets
    assert memory.had_data == {"redemption-success"}
    assert memory.rules["redemption-success"] == first.memory.rules["redemption-success"]
    history = History(answer)
    second = run_cycle(rules, history, AT + MINUTE, memory)
    assert history.ranges == []  # the state of the minute before is carried on
    assert [a.since for a in second.alerts] == [a.since for a in first.alerts]


def test_a_gap_in_the_runs_looks_back() -> None:
    history = History(steady(0.5))
    first = run_cycle([slo(burn=ONE_ROW)], History(steady(0.5)), AT)
    run_cycle([slo(burn=ONE_ROW)], history, AT + 3 * MINUTE, journal([first]))
    assert history.ranges


def test_a_calm_cycle_writes_few_facts() -> None:
    rules = [slo(f"s{i}") for i in range(40)]
    first = run_cycle(rules, History(steady(0.0)), AT)
    second = run_cycle(rules, History(steady(0.0)), AT + MINUTE, first.memory)
    assert {fact.kind for fact in second.facts} == set()


def test_a_broken_fact_is_no_fact() -> None:
    broken = Fact("rule_state", "x", '{"at": 3', AT)
    memory = memory_of(lambda kind: {"x": replace(broken, kind=kind)})
    assert memory == Memory(rules={}, budgets={}, frozen_since={}, had_data=frozenset())


def test_a_run_of_some_rules_keeps_what_it_knows_of_others() -> None:
    both = [slo("one"), slo("two")]
    first = run_cycle(both, History(steady(0.5)), AT)
    second = run_cycle(both[:1], History(steady(0.0)), AT + MINUTE, first.memory)
    assert second.memory.rules["two"] == first.memory.rules["two"]
    assert "two" not in second.fresh


def test_a_group_slower_than_the_cycle_is_evaluated_on_its_own_grid() -> None:
    history = History(lambda q, at: None)
    run_cycle([rule(interval=5 * MINUTE)], history, AT + 3 * MINUTE)
    assert history.instants == [("expr", AT)]


# Metrics of rules without an element


def test_each_metric_of_an_empty_rule_is_asked_for_once() -> None:
    """Rules share the questions; one that fires asks nothing more; the offset is the rule's own."""
    fires = rule("fires", uid="fires", metrics=("fires",))
    rules = [
        rule("e1", uid="one", metrics=("a", "b")),
        rule("e2", uid="two", metrics=("b", "c")),
        rule("e3", uid="late", metrics=("b",), query_offset=MINUTE),
        fires,
    ]

    def answer(query: str, at: datetime) -> Value:
        if query.startswith("count by"):
            return tuple(element(1.0, __name__=name) for name in "abc")
        return 1.0 if query in ("fires", "count(b)") else None

    history = History(answer)
    report = run_cycle(rules, history, AT)
    assert outcomes(report) == [Outcome.PASS] * 3 + [Outcome.FAIL]
    counts = [asked for asked in history.instants if asked[0].startswith("count")]
    assert counts == [('count by (__name__) ({__name__=~"a|b|c"})', AT), ("count(b)", AT - MINUTE)]
    assert {query for query, *_ in history.ranges} == {"fires"}
    assert report.memory.had_data == {"one", "two", "late"}
    assert [a.expression for a in report.verdicts[1].evidence.asked] == ["e2", "count(b)", "count(c)"]


def test_a_rule_whose_metrics_vanish_is_no_data_through_a_journal() -> None:
    """Their memory outlives the look back: a day later it still is not "never had data"."""
    ours = rule("e", metrics=("a",))
    first = run_cycle([ours], History(lambda q, at: 1.0 if q == "count(a)" else None), AT)
    facts: dict[str, dict[str, Fact]] = {}
    for fact in first.facts:
        facts.setdefault(fact.kind, {})[fact.subject] = fact
    later = run_cycle([ours], History(lambda q, at: None), AT + 3000 * MINUTE, memory_of(lambda k: facts.get(k, {})))
    assert outcomes(later) == [Outcome.NO_DATA]
    assert later.fresh >= {ours.uid}


def test_a_rule_that_never_had_data_is_remembered_as_such() -> None:
    """`doctor` reads it from the journal."""
    ours = rule("e", metrics=("a",))
    report = run_cycle([ours], History(lambda q, at: None), AT)
    assert (report.verdicts[0].never_had_data, report.alerts, report.memory.had_data) == (True, (), frozenset())
    assert [fact.subject for fact in report.facts if fact.kind == "rule_state"] == [ours.uid]


def test_a_question_about_a_metric_that_fails_is_not_a_pass() -> None:
    report = run_cycle([rule("e", metrics=("a",))], History(lambda q, at: PARTIAL if q == "count(a)" else None), AT)
    assert outcomes(report) == [Outcome.UNKNOWN]
    assert report.verdicts[0].fresh
    assert report.backends[0].status == "partial"


# Answers that stay away


def cycles(rules: list[object], answers: list[Value], memory: Memory | None = None) -> list[CycleReport]:
    """One cycle a minute; each answer is given to every question of its cycle."""
    out: list[CycleReport] = []
    memory = memory or Memory()
    for minute, value in enumerate(answers):
        source = History(steady(0.0) if value == "fine" else lambda q, at, v=value: v)
        out.append(run_cycle(rules, source, AT + minute * MINUTE, memory))  # type: ignore[arg-type]
        memory = out[-1].memory
    return out


def test_a_dead_prometheus_is_one_page_not_forty() -> None:
    rules = [slo(f"s{i}", severity=Severity.PAGE if i == 7 else Severity.TICKET) for i in range(40)]
    reports = cycles(rules, ["fine"] * 2 + [REFUSED] * 14 + ["fine"])  # type: ignore[list-item]
    counts = [len(report.stale) for report in reports]
    assert counts == [0] * 12 + [1] * 4 + [0]
    (alert,) = reports[12].stale
    assert (alert.rule_uid, alert.identity) == (BACKEND_UID, (("backend", BACKEND),))
    assert (alert.severity, alert.state, alert.since) == (Severity.PAGE, AlertState.FIRING, AT + 2 * MINUTE)
    assert "40 rules are blind" in alert.summary
    assert all(BACKEND_UID in report.fresh for report in reports)


def test_some_rules_without_answers_are_an_alert_each() -> None:
    def answer(query: str, at: datetime) -> Value:
        return PARTIAL if query.startswith("bad") else steady(0.0)(query, at)

    rules = [slo("bad-1"), slo("bad-2", severity=Severity.TICKET), slo("fine")]
    memory = Memory()
    for minute in range(11):
        report = run_cycle(rules, History(answer), AT + minute * MINUTE, memory)
        memory = report.memory
        assert bool(report.stale) is (minute >= 10)
    assert {(a.rule_uid, a.identity, a.severity) for a in report.stale} == {
        (RULE_UID, (("rule", "bad-1"),), Severity.PAGE),
        (RULE_UID, (("rule", "bad-2"),), Severity.TICKET),
    }


def test_a_run_that_does_not_ask_keeps_stale_alerts_open() -> None:
    def answer(query: str, at: datetime) -> Value:
        return PARTIAL if query.startswith("bad") else steady(0.0)(query, at)

    memory = Memory(frozen_since={"rule:bad": AT - 20 * MINUTE})
    full = run_cycle([slo("bad"), slo("fine")], History(answer), AT, memory)
    assert len(full.stale) == 1
    other = run_cycle([slo("fine")], History(answer), AT + MINUTE, full.memory)
    assert other.stale == full.stale
    assert other.memory.frozen_since == full.memory.frozen_since
    healed = run_cycle([slo("bad"), slo("fine")], History(steady(0.0)), AT + 2 * MINUTE, other.memory)
    assert healed.stale == ()
    assert journal([healed]).frozen_since == healed.memory.frozen_since == {}
    gone = run_cycle([slo("fine")], History(answer), AT + MINUTE, full.memory, loaded=frozenset({"fine"}))
    assert gone.stale == ()  # its rule is in no file any more


def test_a_rule_frozen_before_its_backend_keeps_its_own_alert() -> None:
    memory = Memory(frozen_since={"rule:one": AT - 30 * MINUTE})
    report = run_cycle([slo("one"), slo("two")], History(lambda q, at: REFUSED), AT, memory)
    assert [alert.identity for alert in report.stale] == [(("rule", "one"),)]


def test_missing_data_is_not_a_stale_backend() -> None:
    reports = cycles([slo()], ["fine"] * 2 + [None] * 20)  # type: ignore[list-item]
    assert all(report.stale == () for report in reports)
    assert [len(report.alerts) for report in reports[2:9]] == [1] * 7
    assert reports[-1].alerts[0].state is AlertState.FIRING


def test_an_unreachable_backend_never_resolves() -> None:
    rules = [slo(burn=ONE_ROW)]
    burning = run_cycle(rules, History(steady(0.5)), AT)
    memory = burning.memory
    for minute in range(1, 30):
        report = run_cycle(rules, History(lambda q, at: REFUSED), AT + minute * MINUTE, memory)
        memory = report.memory
        assert report.verdicts[0].alerts[0].state is AlertState.FIRING
        assert report.verdicts[0].alerts[0].since == burning.alerts[0].since
        assert "redemption-success" not in report.fresh
    healed = run_cycle(rules, History(steady(0.0)), AT + 30 * MINUTE, memory)
    assert healed.alerts == ()
    assert "redemption-success" in healed.fresh


def test_a_kept_summary_does_not_grow() -> None:
    rules = [slo(burn=ONE_ROW)]
    memory = run_cycle(rules, History(steady(0.5)), AT).memory
    for minute in range(1, 6):
        report = run_cycle(rules, History(lambda q, at: REFUSED), AT + minute * MINUTE, memory)
        memory = report.memory
    summary = report.alerts[0].summary
    assert summary.count("kept:") == 1
    assert summary.startswith("redemption-success burns 500×")


class Ranges(History):
    """Answers now, but hangs on every look back."""

    concurrency = 2

    def __init__(self) -> None:
        super().__init__(lambda q, at: (element(1.0, region="eu-1"),))
        self.gate = threading.Event()

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        self.gate.wait(60)
        return Failed(Reason.DEADLINE, "hung up", self.name)

    def close(self) -> None:
        super().close()
        self.gate.set()


def test_a_look_back_that_hangs_freezes_at_the_deadline() -> None:
    report = run_cycle([rule(for_=MINUTE)], Ranges(), AT, limits=Limits(cycle=timedelta(seconds=0.05)))
    (verdict,) = report.verdicts
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.alerts[0].state is AlertState.PENDING
    assert not verdict.fresh


def test_facts_of_an_earlier_version_are_read() -> None:
    """`facts.jsonl` is what an SLO and a rule that fire, and then a dead backend, left in a journal before this one."""
    lines = [json.loads(line) for line in (Path(__file__).parent / "facts.jsonl").read_text().splitlines()]
    kept: dict[str, dict[str, Fact]] = {}
    for kind, subject, text in lines:
        kept.setdefault(kind, {})[subject] = Fact(kind, subject, text, AT)
    memory = memory_of(lambda kind: kept.get(kind, {}))
    rules = [slo(burn=ONE_ROW), rule("x:part:60", for_=5 * MINUTE, keep_firing_for=MINUTE)]
    report = run_cycle(rules, History(lambda query, at: REFUSED), AT + 13 * MINUTE, memory)
    assert [verdict.outcome for verdict in report.verdicts] == [Outcome.UNKNOWN] * 2
    assert [[alert.state for alert in verdict.alerts] for verdict in report.verdicts] == [[AlertState.FIRING]] * 2
    assert [(alert.rule_name, alert.since) for alert in report.stale] == [("BackendStale", AT + 3 * MINUTE)]
    assert report.memory.budgets == memory.budgets
    assert [fact.kind for fact in report.facts] == ["rule_state"] * 3
