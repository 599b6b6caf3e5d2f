"""A verdict can be judged again from its saved evidence alone, to the same words."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest

from opsctl.core.evidence import digest
from opsctl.core.judge import Judged, judge_slo
from opsctl.core.judge_rule import judge_alerting
from opsctl.core.memory import BudgetAnswer
from opsctl.core.rules import Asked, Evidence, Rule
from opsctl.core.signals import Absent, Failed, Matrix, Measured, Reading, Reason, Sample, Vector
from opsctl.core.slo import Slo
from opsctl.engine import run_cycle
from tests.unit.engine.fakes import AT, BACKEND, MINUTE, ONE_ROW, History, Value, element, rule, slo, steady


def instant(asked: Asked) -> Reading[Vector]:
    if asked.result == "absent":
        return Absent(asked.backend)
    if asked.result == "failed":
        assert asked.reason is not None
        return Failed(asked.reason, asked.message or "", asked.backend, warnings=asked.warnings)
    found = asked.samples or (() if asked.value is None else (Sample((), asked.value),))
    return Measured(Vector(found), asked.backend)


def past(asked: Asked) -> Reading[Matrix]:
    if asked.result == "measured":
        return Measured(Matrix(asked.series), asked.backend)
    return Absent(asked.backend) if asked.result == "absent" else Failed(Reason.PARTIAL, asked.message or "", "x")


def again(rule: Rule, evidence: Evidence) -> Judged:
    """Judge from evidence that went through JSON."""
    evidence = msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence)
    records = {(a.expression, a.since, a.at): past(a) for a in evidence.asked if a.since is not None}
    answers = {a.expression: instant(a) for a in evidence.asked if a.since is None}

    def ask(query: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
        return records[query, start, end]

    if isinstance(rule, Slo):
        budget = BudgetAnswer(evidence.at, problem=evidence.budget_problem) if evidence.budget_problem else None
        if evidence.budget is not None:
            budget = BudgetAnswer(evidence.budget.asked_at, evidence.budget.bad, evidence.budget.total)
        return judge_slo(
            rule, evidence.at, answers, ask, budget=budget, was=evidence.remembered, had_data=evidence.had_data
        )
    return judge_alerting(
        rule,
        evidence.at,
        answers[rule.expr],
        ask,
        presence=answers,
        was=evidence.remembered,
        had_data=evidence.had_data,
    )


REFUSED: Failed[object] = Failed(Reason.UNREACHABLE, "connection refused", BACKEND)
SEVERAL: Value = (element(1.0, a="1"), element(2.0, a="2"))


@pytest.mark.parametrize(
    "ours",
    [
        slo(),
        slo(burn=ONE_ROW),
        rule("x:part:60", for_=3 * MINUTE, keep_firing_for=MINUTE),
        rule("x:part:60", metrics=("a:60", "b:60")),
    ],
)
@pytest.mark.parametrize("first", ["fine", "burns", None, REFUSED, 0.0, SEVERAL])
@pytest.mark.parametrize("second", ["fine", "burns", None, REFUSED, 0.0, SEVERAL])
def test_replay_gives_the_same_verdict(ours: Rule, first: Value, second: Value) -> None:
    """Two cycles in a row, so that a remembered state takes part too."""
    memory = None
    for minute, answer in enumerate((first, second)):
        source = History(lambda q, at, v=answer: v)
        if answer in ("fine", "burns"):
            source = History(steady(0.0 if answer == "fine" else 0.5))
        report = run_cycle([ours], source, AT + minute * MINUTE, memory)
        memory = report.memory
        (verdict,) = report.verdicts
        replayed = again(ours, verdict.evidence).verdict
        assert (replayed.outcome, replayed.headline) == (verdict.outcome, verdict.headline)
        assert (replayed.alerts, replayed.fresh) == (verdict.alerts, verdict.fresh)
        assert digest(verdict.evidence) == verdict.evidence.digest
