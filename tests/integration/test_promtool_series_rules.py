"""The shipped rules on logs and spans under Prometheus's own tool: a rule moves to a real Prometheus unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.integration.test_promtool_rules import _run

RULES = Path(__file__).parents[2] / "alert_rules"
FILES = sorted((*(RULES / "logs").glob("*.rules.yaml"), *(RULES / "traces").glob("*.rules.yaml")))
ALL = sorted(rule["alert"] for path in FILES for g in yaml.safe_load(path.read_text())["groups"] for rule in g["rules"])

LOGIN = 'log_record_count_total{service_name="auth",event_action="user-login"'
PAIR = 'client="payments",server="wallet"'
WITHOUT = 'traces_span_without_total{service_name="wallet",span_name="wallet.credit",without="fraud.score"}'


def _series(failing: str = "0x100", credits: str = "0x100", attack: str = "0x100") -> str:
    """A quiet platform: log-ins with a few wrong passwords, calls that hardly fail; parts of it may change."""
    return f"""
  - series: '{LOGIN},event_reason="bad_password",source_as_number="64496"}}'
    values: '0+2x100'
  - series: '{LOGIN},source_as_number="64496"}}'
    values: '0+60x100'
  - series: '{LOGIN},event_reason="bad_password",source_as_number="64506"}}'
    values: '{attack}'
  - series: '{LOGIN},source_as_number="64506"}}'
    values: '0+2x100'
  - series: 'traces_service_graph_request_total{{{PAIR}}}'
    values: '0+100x100'
  - series: 'traces_service_graph_request_failed_total{{{PAIR}}}'
    values: '{failing}'
  - series: '{WITHOUT}'
    values: '{credits}'
"""


def _firing(tmp_path: Path, series: str, minute: int, expected: dict[str, int]) -> None:
    lines = ["rule_files:", *(f"  - {path}" for path in FILES), "evaluation_interval: 1m", "tests:"]
    lines += ["- interval: 1m", f"  input_series:{series}", "  promql_expr_test:"]
    for name in ALL:
        lines += [
            f'    - expr: \'count(ALERTS{{alertname="{name}",alertstate="firing"}})\'',
            f"      eval_time: {minute}m",
        ]
        found = expected.get(name)
        lines += (
            ["      exp_samples:", f"        - {{value: {found}, labels: '{{}}'}}"]
            if found
            else ["      exp_samples: []"]
        )
    file = tmp_path / "rules.test.yaml"
    file.write_text("\n".join(lines) + "\n")
    _run("3.16", "test", "rules", str(file))


@pytest.mark.parametrize("version", ["3.16", "2.42"])
def test_promtool_accepts_every_rule_file(version: str) -> None:
    """Both a present and an old Prometheus take the files as they are, and the linter finds nothing to say."""
    out = _run(version, "check", "rules", "--lint=all", "--lint-fatal", *(str(path) for path in FILES))
    assert out.count("SUCCESS") == len(FILES) == 3
    assert ALL == ["LoginAttackInLogs", "ServicePairErrors", "WalletCreditWithoutFraudCheck"]


def test_nothing_fires_on_a_quiet_platform(tmp_path: Path) -> None:
    for minute in (1, 10, 90):
        _firing(tmp_path, _series(), minute, {})


def test_an_attack_from_one_network_fires_and_ends(tmp_path: Path) -> None:
    """Most of its log-ins are wrong passwords; after two minutes it is a page, and five minutes after the end none."""
    series = _series(attack="0+1x30 30+60x10 630+0x60")
    _firing(tmp_path, series, 31, {})
    _firing(tmp_path, series, 38, {"LoginAttackInLogs": 1})
    _firing(tmp_path, series, 50, {})


def test_many_wrong_passwords_of_a_large_provider_do_not_fire(tmp_path: Path) -> None:
    """A hundred in five minutes, of a thousand log-ins."""
    series = _series().replace("'0+2x100'", "'0+20x100'", 1).replace("'0+60x100'", "'0+200x100'", 1)
    _firing(tmp_path, series, 60, {})


def test_calls_that_fail_are_a_ticket(tmp_path: Path) -> None:
    """One in five, within minutes; one in twenty is not."""
    _firing(tmp_path, _series(failing="0x30 0+20x60"), 31, {})
    _firing(tmp_path, _series(failing="0x30 0+20x60"), 36, {"ServicePairErrors": 1})
    _firing(tmp_path, _series(failing="0x30 0+5x60"), 60, {})


def test_one_credit_without_a_check_fires(tmp_path: Path) -> None:
    """After the two minutes that late spans have, for the ten of its window."""
    series = _series(credits="0x30 1x60")
    _firing(tmp_path, series, 32, {})
    _firing(tmp_path, series, 34, {"WalletCreditWithoutFraudCheck": 1})
    _firing(tmp_path, series, 45, {})
