"""Rules and objectives know at load time which backend answers them; two in one expression are an error with a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsctl.core.presence import presence_query
from opsctl.core.signals import Signal
from opsctl.errors import ConfigError, ConfigErrors
from opsctl.files.catalogue import load_catalogue
from opsctl.files.rules import RuleSet, load_rules
from tests.unit.files.rule_texts import SLO

HERE = Path(__file__).parent


def rules_of(folder: Path, text: str, name: str = "mine.rules.yaml") -> RuleSet:
    (folder / name).write_text(text)
    return load_rules([name], folder, load_catalogue("bundled:", HERE))


def objective(bad: str, total: str) -> str:
    """The small objective with these sides."""
    text = SLO.replace('sum(increase(pay_total{ok="no"}[{{.window}}]))', bad)
    return text.replace("sum(increase(pay_total[{{.window}}]))", total)


def alert(expr: str, more: str = "") -> str:
    return f"groups:\n  - name: g\n    rules:\n{more}      - alert: Mine\n        expr: {expr!r}\n"


@pytest.mark.parametrize(
    ("expr", "signal", "watched"),
    [
        ("up == 0", Signal.METRICS, ("up",)),
        (
            'sum(increase(log_record_count_total{service_name="auth",event_action="a"}[5m])) > 1',
            Signal.LOGS,
            ('log_record_count_total{service_name="auth"}',),
        ),
        ("sum(increase(log_record_count_total[5m])) > 1", Signal.LOGS, ("log_record_count_total{}",)),
        (
            'rate(traces_span_metrics_calls_total{service_name="wallet",status_code="STATUS_CODE_ERROR"}[5m]) > 1',
            Signal.TRACES,
            ('traces_span_metrics_calls_total{service_name="wallet"}',),
        ),
        (
            'increase(traces_service_graph_request_failed_total{server=~"wallet|auth"}[5m]) > 1',
            Signal.TRACES,
            ('traces_service_graph_request_total{server=~"wallet|auth"}',),
        ),
        (
            'traces_span_without_total{span_name="a",without="b",user_id="c"} > 0',
            Signal.TRACES,
            ('traces_span_without_total{span_name="a",without="b"}',),
        ),
        ("absent(log_record_count_total)", Signal.LOGS, ()),
    ],
)
def test_a_rule_has_the_signal_of_its_series(
    tmp_path: Path, expr: str, signal: Signal, watched: tuple[str, ...]
) -> None:
    """And what must be there so that it sees anything is its subject: not its events, which a good day has none of."""
    (rule,) = rules_of(tmp_path, alert(expr)).alerting
    assert rule.signal is signal
    assert rule.metrics == watched


def test_what_is_watched_is_asked_as_a_selector() -> None:
    """Metrics are asked by name as before."""
    assert presence_query("up") == "count(up)"
    assert (
        presence_query('log_record_count_total{service_name="auth"}')
        == 'group(log_record_count_total{service_name="auth"})'
    )


def test_a_recorded_series_is_inlined_before_its_signal_is_known(tmp_path: Path) -> None:
    """The rule reads a recorded name; the recording reads logs."""
    more = "      - {record: 'auth:failed', expr: 'sum(increase(log_record_count_total[5m]))'}\n"
    (rule,) = rules_of(tmp_path, alert("auth:failed > 1", more)).alerting
    assert rule.signal is Signal.LOGS


@pytest.mark.parametrize(
    "expr", ["up and log_record_count_total", "traces_span_metrics_calls_total / log_record_count_total"]
)
def test_two_signals_in_a_rule_are_an_error_with_its_place(tmp_path: Path, expr: str) -> None:
    """One backend cannot answer it."""
    with pytest.raises((ConfigError, ConfigErrors)) as wrong:
        rules_of(tmp_path, alert(expr))
    assert "mine.rules.yaml:4: alert Mine: one signal per expression, this reads series of " in str(wrong.value)


def test_an_objective_has_the_signal_of_its_sides(tmp_path: Path) -> None:
    """Bad and total of the same backend."""
    bad = 'sum(increase(log_record_count_total{service_name="auth",severity_text="ERROR"}[{{.window}}]))'
    total = 'sum(increase(log_record_count_total{service_name="auth"}[{{.window}}]))'
    (slo,) = rules_of(tmp_path, objective(bad, total), "mine.slo.yaml").slos
    assert slo.signal is Signal.LOGS


def test_an_objective_of_two_signals_is_an_error_with_its_place(tmp_path: Path) -> None:
    """Bad from logs and total from metrics count different things."""
    bad = 'sum(increase(log_record_count_total{severity_text="ERROR"}[{{.window}}]))'
    text = objective(bad, "sum(increase(requests_total[{{.window}}]))")
    with pytest.raises((ConfigError, ConfigErrors)) as wrong:
        rules_of(tmp_path, text, "mine.slo.yaml")
    line = 1 + text[: text.index(bad)].count("\n")
    assert f"mine.slo.yaml:{line}" in str(wrong.value)
    assert "one signal per expression, this reads series of metrics and logs" in str(wrong.value)
