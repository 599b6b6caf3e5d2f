"""A value against its line: objectives by their windows, rules by the number they compare with, kept ones marked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from opsctl.core.alerts import Alert, Cause
from opsctl.core.rules import Evidence, Outcome, Verdict, WindowEvidence
from opsctl.core.signals import Series
from opsctl.views.active_alerts import ActiveAlert, active_alerts
from opsctl.views.alert_values import against, details, limit_of, trend
from tests.tui.reports import AT, HOUR, MINUTES, Maker

MAKER = Maker()


def firing(*windows: WindowEvidence) -> tuple[Alert, Verdict]:
    """An objective's alert with these windows, long before short."""
    verdict = MAKER.verdict("wallet", Outcome.FAIL, AT)
    return verdict.alerts[0], replace(verdict, evidence=Evidence(AT, (), windows))


def window(length: timedelta, ratio: float | None) -> WindowEvidence:
    """A burn window against a line of 1.44 %."""
    return WindowEvidence(length, 12.0, 100.0, ratio, None, 0.0144)


@pytest.mark.parametrize(
    ("expression", "sign", "limit"),
    [
        ("errors > 0.02", ">", 0.02),
        ("(rate(errors[5m]) / rate(all[5m])) >= 1", ">=", 1.0),
        ("0.5 < errors", ">", 0.5),
        ("up == 0", "==", 0.0),
        ("temperature < -3", "<", -3.0),
        ("errors > 0.02 and on() up == 1", ">", 0.02),
        ("errors > bool (7)", ">", 7.0),
        ("errors > other", "", None),
        ("absent(up)", "", None),
        ("not promql (", "", None),
        ("", "", None),
    ],
)
def test_the_number_that_an_expression_compares_with(expression: str, sign: str, limit: float | None) -> None:
    """On either side; none where it compares series, or cannot be read."""
    assert limit_of(expression) == (sign, limit)


def test_an_objective_is_held_against_its_row() -> None:
    """The long window's share of bad events, and the line."""
    alert, verdict = firing(window(HOUR, 0.045), window(MINUTES, 0.051))
    found = against(alert, verdict)
    assert (found.value, found.line, found.number) == ("4.5 % bad 1h", "> 1.44 %", 0.045)


def test_a_window_that_was_not_measured_is_no_zero() -> None:
    """The value of before is shown as kept, and is no point of a line."""
    alert, verdict = firing(window(HOUR, None), window(MINUTES, None))
    found = against(replace(alert, frozen="connection refused", value=37.0), verdict)
    assert found.value.startswith("~3.7 % bad")
    assert found.number is None
    assert against(replace(alert, value=None), verdict).value == ""


def test_no_data_is_no_value() -> None:
    """Nor is a backend that does not answer."""
    alert, verdict = firing()
    assert against(replace(alert, cause=Cause.NO_DATA), verdict).value == "no data"
    assert against(replace(alert, cause=Cause.STALE), None).value == "no answer"


def test_a_rules_value_has_the_unit_of_its_metric() -> None:
    """A latency in seconds."""
    verdict = MAKER.verdict("wallet", Outcome.FAIL, AT, rule=True)
    rule = replace(verdict.rule, expr="max(request_duration_seconds) > 0.5")  # type: ignore[call-arg]
    alert = replace(verdict.alerts[0], cause=Cause.RULE, value=0.84)
    found = against(alert, replace(verdict, rule=rule))
    assert (found.value, found.line, found.number) == ("840 ms", "> 500 ms", 0.84)


def active(verdict: Verdict) -> ActiveAlert:
    """Its alert as it is shown."""
    return active_alerts([verdict], (), (), (), "prod", AT, live=True)[0]


def test_the_evidence_names_what_was_asked_what_came_and_why_a_state_is_kept() -> None:
    """Windows, answers, warnings, labels, and the frozen reason."""
    verdict = MAKER.verdict("wallet", Outcome.FAIL, AT)
    frozen = replace(verdict, alerts=(replace(verdict.alerts[0], frozen="connection refused"),))
    facts = details(active(frozen), AT)
    said = dict(facts)
    assert said["frozen"] == "the state is kept, not measured: connection refused"
    assert said["window 1h"].startswith("3.7 % bad (37 of 1,000), line 1.44 %: over")
    assert said["asked"] == "sum(increase(bad[5m]))"
    assert said["warning"] == "a warning of the whole"
    assert said["labels"] == "slo=wallet-success, zone=eu-1"
    assert ("", "→ 12, prometheus http://127.0.0.1:9090") in facts


def test_a_question_that_failed_is_not_shown_as_a_number() -> None:
    """Its message is."""
    verdict = MAKER.verdict("wallet", Outcome.UNKNOWN, AT)
    alert = MAKER.verdict("wallet", Outcome.FAIL, AT).alerts[0]
    texts = [text for _, text in details(active(replace(verdict, alerts=(alert,))), AT)]
    assert any("failed: connection refused" in text for text in texts)
    assert "not measured" in texts


def test_a_look_backs_own_series_is_the_trend() -> None:
    """Where the evidence has one."""
    verdict = MAKER.verdict("wallet", Outcome.FAIL, AT)
    asked = replace(verdict.evidence.asked[0], series=(Series((), ((1.0, 2.0), (2.0, 5.0))),))
    assert trend(active(replace(verdict, evidence=Evidence(AT, (asked,))))) == (2.0, 5.0)
    assert trend(active(verdict)) == ()
