"""Prometheus rules: states, labels, identity, templates, limits, and what a failed query may not touch."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from opsctl.core.alerts import AlertState
from opsctl.core.judge import Judged
from opsctl.core.judge_rule import judge_alerting
from opsctl.core.memory import Remembered
from opsctl.core.rules import AlertingRule, Outcome
from opsctl.core.signals import Failed, Matrix, Reading, Reason
from opsctl.core.slo import Severity
from tests.unit.engine.fakes import AT, BACKEND, MINUTE, History, Value, element, rule, vector

EU, US = element(3.0, __name__="up", region="eu-1"), element(4.0, __name__="up", region="us-1")
REFUSED: Failed[object] = Failed(Reason.UNREACHABLE, "connection refused", BACKEND)
PARTIAL: Failed[object] = Failed(Reason.PARTIAL, "shard 2 timed out", BACKEND)


def judge(
    ours: AlertingRule, value: Value, *, past: Value = None, was: Remembered | None = None, at: datetime = AT
) -> Judged:
    """Judge with the same answer in all the past."""
    history = History(lambda q, when: past)

    def ask(query: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
        return history.range(query, start, end, step, 1.0)

    return judge_alerting(ours, at, vector(value), ask, was=was)


@pytest.mark.parametrize(
    ("severity", "outcome"),
    [(Severity.PAGE, Outcome.FAIL), (Severity.TICKET, Outcome.WARN), (Severity.SHOW, Outcome.PASS)],
)
def test_what_fires_is_as_loud_as_its_severity(severity: Severity, outcome: Outcome) -> None:
    verdict = judge(rule(severity=severity), (EU,)).verdict
    assert verdict.outcome is outcome
    assert verdict.headline.endswith("eu-1 is silent (3)")
    assert verdict.alerts[0].state is AlertState.FIRING


def test_no_element_passes_without_looking_back() -> None:
    history = History(lambda q, at: None)
    verdict = judge_alerting(rule(for_=MINUTE), AT, vector(None), lambda *a: history.range(*a, 1.0)).verdict
    assert verdict.outcome is Outcome.PASS
    assert history.ranges == []


def test_pending_warns_then_fires_after_its_for() -> None:
    ours = rule(for_=5 * MINUTE)
    first = judge(ours, (EU,))
    assert first.verdict.outcome is Outcome.WARN
    assert "pending since 12:00Z, fires after 5m" in first.verdict.headline
    long_ago = judge(ours, (EU,), past=(EU,))
    assert long_ago.verdict.outcome is Outcome.FAIL
    assert long_ago.verdict.alerts[0].since_at_least


def test_a_missing_element_resolves_at_once_but_for_keep_firing_for() -> None:
    fired = judge(rule(), (EU,)).remembered
    assert judge(rule(), None, was=fired, at=AT + MINUTE).verdict.alerts == ()
    keeping = rule(keep_firing_for=10 * MINUTE)
    fired = judge(keeping, (EU,)).remembered
    kept = judge(keeping, None, was=fired, at=AT + MINUTE)
    (alert,) = kept.verdict.alerts
    assert alert.state is AlertState.FIRING
    assert alert.absent_since == AT + MINUTE
    assert alert.frozen is not None
    assert "keep_firing_for" in alert.frozen
    assert kept.verdict.fresh


@pytest.mark.parametrize("failed", [REFUSED, PARTIAL])
def test_a_failed_query_touches_no_state(failed: Failed[object]) -> None:
    fired = judge(rule(), (EU,)).remembered
    judged = judge(rule(), failed, was=fired, at=AT + MINUTE)
    verdict = judged.verdict
    assert (verdict.outcome, verdict.fresh) == (Outcome.UNKNOWN, False)
    assert verdict.alerts[0].state is AlertState.FIRING
    assert verdict.alerts[0].since == AT
    assert failed.message in (verdict.alerts[0].frozen or "")
    assert judged.frozen
    assert not judged.remembered.exact


def test_a_look_back_that_fails_freezes_what_has_a_for() -> None:
    verdict = judge(rule(for_=5 * MINUTE), (EU,), past=REFUSED).verdict
    assert verdict.outcome is Outcome.UNKNOWN
    assert [alert.state for alert in verdict.alerts] == [AlertState.PENDING]
    at_once = judge(rule(), (EU,), past=REFUSED).verdict
    assert at_once.outcome is Outcome.FAIL  # it fires whatever the past was


def test_labels_are_the_elements_and_the_rules_and_identity_leaves_severity_out() -> None:
    ours = rule(labels={"severity": "page", "opsctl_rule": "x", "who": "{{ $labels.region }}!", "empty": ""})
    (alert,) = judge(ours, (EU,)).verdict.alerts
    assert alert.labels == (
        ("alertname", "RegionSilent"),
        ("opsctl_rule", "x"),
        ("region", "eu-1"),
        ("severity", "page"),
        ("who", "eu-1!"),
    )
    assert alert.identity == (("region", "eu-1"), ("who", "eu-1!"))


def test_a_value_in_a_label_makes_a_new_element() -> None:
    ours = rule(labels={"value": "{{ $value }}"}, for_=5 * MINUTE)
    verdict = judge(ours, (EU,), past=(US,)).verdict
    assert [alert.state for alert in verdict.alerts] == [AlertState.PENDING]


def test_named_identity_labels_merge_elements_under_one_key() -> None:
    ours = rule(identity_labels=("region",))
    pods = (element(1.0, region="eu-1", pod="a"), element(2.0, region="eu-1", pod="b"), element(9.0, region="us-1"))
    judged = judge(ours, pods)
    assert [alert.identity for alert in judged.verdict.alerts] == [(("region", "eu-1"),), (("region", "us-1"),)]
    assert "(and 1 more)" in judged.verdict.alerts[0].summary
    assert len(judged.remembered.alerts) == 3


def test_equal_labels_after_the_rules_own_are_an_error() -> None:
    ours = rule(labels={"region": "all"})
    verdict = judge(ours, (EU, US)).verdict
    assert verdict.outcome is Outcome.UNKNOWN
    assert "same labels" in verdict.headline


def test_the_limit() -> None:
    verdict = judge(rule(limit=1), (EU, US)).verdict
    assert verdict.outcome is Outcome.UNKNOWN
    assert "2 alerts are over the rule's limit of 1" in verdict.headline
    assert judge(rule(limit=2), (EU, US)).verdict.outcome is Outcome.FAIL


def test_many_elements_are_counted() -> None:
    many = tuple(element(1.0, region=f"r{i}") for i in range(9))
    verdict = judge(rule(), many).verdict
    assert verdict.headline.endswith("(and 6 more)")
    assert len(verdict.alerts) == 9


def test_the_query_offset_moves_every_question() -> None:
    history = History(lambda q, at: (EU,))
    ours = rule(for_=MINUTE, query_offset=30 * timedelta(seconds=1))
    judged = judge_alerting(ours, AT, vector((EU,)), lambda *a: history.range(*a, 1.0))
    assert history.ranges[0][2] == AT - MINUTE - timedelta(seconds=30)
    assert judged.verdict.alerts[0].state is AlertState.FIRING
    assert judged.verdict.evidence.asked[0].at == AT - timedelta(seconds=30)


def test_evidence_keeps_every_element() -> None:
    evidence = judge(rule(), (EU,)).verdict.evidence
    assert evidence.asked[0].samples == (EU,)
    assert evidence.digest


def test_a_hostile_label_is_text_in_a_template() -> None:
    hostile = element(1.0, region='{{ query "up" }} [bold]')
    (alert,) = judge(rule(), (hostile,)).verdict.alerts
    assert alert.summary == '{{ query "up" }} [bold] is silent (1)'


def test_carrying_on_equals_looking_back() -> None:
    """The same flapping, once from memory and once from the data."""
    pattern = [bool(i % 7 < 4 or i % 31 < 9) for i in range(400)]
    ours = rule(for_=2 * MINUTE, keep_firing_for=3 * MINUTE)

    def value(query: str, at: datetime) -> Value:
        i = (at - AT) // MINUTE
        return (EU,) if 0 <= i < len(pattern) and pattern[i] else None

    history = History(value)
    was: Remembered | None = None
    for i in range(len(pattern)):
        at = AT + i * MINUTE
        kept = judge_alerting(ours, at, vector(value("", at)), lambda *a: history.range(*a, 1.0), was=was)
        fresh = judge_alerting(ours, at, vector(value("", at)), lambda *a: history.range(*a, 1.0))
        assert [replace(a, value=0) for a in kept.verdict.alerts] == [replace(a, value=0) for a in fresh.verdict.alerts]
        was = kept.remembered
