"""Rules without an element: a pass only where their metrics are there."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from opsctl.core.judge import Judged
from opsctl.core.judge_rule import judge_alerting
from opsctl.core.memory import Remembered
from opsctl.core.presence import presence_query
from opsctl.core.rules import AlertingRule, Outcome
from opsctl.core.signals import Failed, Matrix, Reading, Reason
from opsctl.core.slo import Origin, Severity
from tests.unit.engine.fakes import AT, BACKEND, MINUTE, History, Value, element, rule, vector

REFUSED: Failed[object] = Failed(Reason.UNREACHABLE, "connection refused", BACKEND)
TWO = rule(metrics=("a", "b"))
RECORDED = replace(TWO, recorded={"a": Origin("x.rules.yaml", 7)})
NONE = "none of its metrics is there: a, b"
BY = f"a is recorded by x.rules.yaml:7, and not on {BACKEND}"
NEVER = "never had data: {}; nothing in the last 24h either"


def judge(
    ours: AlertingRule,
    there: dict[str, Value],
    *,
    value: Value = None,
    past: Value | History = None,
    was: Remembered | None = None,
    had_data: bool = False,
    at: datetime = AT,
) -> Judged:
    """Judge with these answers to `count(NAME)`; `past` is what every look back finds."""
    history = past if isinstance(past, History) else History(lambda q, when: past)

    def ask(query: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
        return history.range(query, start, end, step, 1.0)

    presence = {presence_query(name): vector(each) for name, each in there.items()}
    return judge_alerting(ours, at, vector(value), ask, presence=presence, was=was, had_data=had_data)


@pytest.mark.parametrize(
    ("ours", "a", "b", "outcome", "headline"),
    [
        (TWO, 3.0, 4.0, Outcome.PASS, "no element"),
        (TWO, None, 4.0, Outcome.PASS, "no element"),
        (TWO, None, None, Outcome.NO_DATA, NONE),
        (TWO, REFUSED, None, Outcome.UNKNOWN, f"no element, but is a there? {BACKEND}: connection refused"),
        (TWO, REFUSED, 4.0, Outcome.PASS, "no element"),
        (RECORDED, None, 4.0, Outcome.NO_DATA, BY),
        (RECORDED, None, None, Outcome.NO_DATA, BY),
        (RECORDED, 3.0, None, Outcome.PASS, "no element"),
        (RECORDED, REFUSED, 4.0, Outcome.UNKNOWN, f"no element, but is a there? {BACKEND}: connection refused"),
    ],
)
def test_an_empty_answer_passes_only_where_the_metrics_are_there(
    ours: AlertingRule, a: Value, b: Value, outcome: Outcome, headline: str
) -> None:
    """Blind without all of its metrics, or without one that only the server could record; a failure never passes."""
    judged = judge(ours, {"a": a, "b": b}, had_data=True)
    assert (judged.verdict.outcome, judged.verdict.headline) == (outcome, headline)
    assert judged.verdict.alerts == ()
    assert judged.verdict.fresh, "the machine is Prometheus's: what is missing resolves"
    assert judged.frozen is None


@pytest.mark.parametrize("severity", list(Severity))
def test_a_blind_rule_is_unknown_whatever_its_severity(severity: Severity) -> None:
    judged = judge(replace(TWO, severity=severity), {"a": None, "b": None}, had_data=True)
    assert judged.verdict.outcome is Outcome.NO_DATA


def test_the_questions_are_in_the_evidence() -> None:
    """What the verdict leans on: the rule's answer, each metric's, and whether it ever had data."""
    evidence = judge(TWO, {"a": None, "b": 4.0}, had_data=True).verdict.evidence
    assert [(a.expression, a.result) for a in evidence.asked] == [
        ("expr", "absent"),
        ("count(a)", "absent"),
        ("count(b)", "measured"),
    ]
    assert evidence.had_data


@pytest.mark.parametrize(("ours", "words"), [(TWO, NONE), (RECORDED, BY)])
def test_what_was_never_there_is_said_so_and_wakes_nobody(ours: AlertingRule, words: str) -> None:
    """One look back of a day; the next step knows it from memory and does not look again."""
    history = History(lambda q, at: None)
    first = judge(ours, {"a": None, "b": None}, past=history)
    assert (first.verdict.outcome, first.verdict.headline) == (Outcome.UNKNOWN, NEVER.format(words))
    assert first.verdict.never_had_data
    assert not first.had_data
    assert len(history.ranges) == 1
    again = judge(ours, {"a": None, "b": None}, past=history, was=first.remembered, at=AT + MINUTE)
    assert again.verdict.headline == first.verdict.headline
    assert len(history.ranges) == 1
    back = judge(ours, {"a": 1.0, "b": None}, past=history, was=again.remembered, at=AT + 2 * MINUTE)
    assert (back.verdict.outcome, back.had_data, back.verdict.never_had_data) == (Outcome.PASS, True, False)


def test_what_was_there_within_a_day_is_no_data() -> None:
    """Without memory, history says it; and it is remembered."""
    judged = judge(TWO, {"a": None, "b": None}, past=5.0)
    assert (judged.verdict.outcome, judged.verdict.headline) == (Outcome.NO_DATA, NONE)
    assert judged.had_data


def test_a_look_back_that_fails_does_not_say_never() -> None:
    history = History(lambda q, at: None)
    history.fail_ranges = REFUSED
    judged = judge(TWO, {"a": None, "b": None}, past=history)
    assert judged.verdict.outcome is Outcome.NO_DATA
    assert judged.verdict.headline == f"{NONE}; the look back failed: {BACKEND}: connection refused"
    assert (judged.had_data, judged.verdict.never_had_data) == (False, False)


def test_an_alert_whose_metrics_vanish_resolves_and_does_not_pass() -> None:
    """Prometheus's machine drops the missing element; the verdict says why nothing is seen."""
    fired = judge(TWO, {}, value=(element(3.0, region="eu-1"),))
    assert fired.verdict.outcome is Outcome.FAIL
    gone = judge(TWO, {"a": None, "b": None}, was=fired.remembered, at=AT + MINUTE)
    assert gone.verdict.alerts == ()
    assert (gone.verdict.outcome, gone.verdict.headline) == (Outcome.NO_DATA, NONE)


def test_a_kept_alert_stays_what_it_is() -> None:
    keeping = replace(TWO, keep_firing_for=10 * MINUTE)
    fired = judge(keeping, {}, value=(element(3.0, region="eu-1"),))
    kept = judge(keeping, {"a": None, "b": None}, was=fired.remembered, at=AT + MINUTE)
    assert kept.verdict.outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("metric", "query"),
    [
        ("up", "count(up)"),
        ("job:up:sum", "count(job:up:sum)"),
        ("weird.name", 'count({__name__="weird.name"})'),
        ('a"b\\c', 'count({__name__="a\\"b\\\\c"})'),
        ("offset", 'count({__name__="offset"})'),
        ("NaN", 'count({__name__="NaN"})'),
    ],
)
def test_any_name_can_be_asked_for(metric: str, query: str) -> None:
    """In words that a Prometheus 2 takes as well."""
    assert presence_query(metric) == query
