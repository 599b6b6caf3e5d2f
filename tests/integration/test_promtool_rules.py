"""The shipped alert rules under Prometheus's own tool: valid, and firing on what they are for and on nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.servers.build import Missing, server

RULES = Path(__file__).parents[2] / "alert_rules" / "platform"
FILES = sorted(RULES.glob("*.rules.yaml"))
ALL = sorted(rule["alert"] for path in FILES for g in yaml.safe_load(path.read_text())["groups"] for rule in g["rules"])

# A platform on which nothing is wrong, for two days: counters of what must not happen stay at zero.
HEALTHY = """
  - series: 'up{region="eu-1",instance="a"}'
    values: '1x3000'
  - series: 'up{region="us-1",instance="b"}'
    values: '1x3000'
  - series: 'redis_key_size{key="lb:global",region="eu-1"}'
    values: '1000x3000'
  - series: 'gaming_wallet_double_spend_total{region="eu-1"}'
    values: '0x3000'
  - series: 'gaming_pan_leak_detected_total{region="eu-1"}'
    values: '0x3000'
  - series: 'gaming_fraud_fail_open_total{region="eu-1"}'
    values: '0x3000'
  - series: 'gaming_inventory_duplicate_items_total{region="eu-1"}'
    values: '0x3000'
  - series: 'gaming_wallet_ledger_imbalance_minor_units{region="eu-1",currency="EUR"}'
    values: '0x3000'
  - series: 'gaming_auth_attempts_total{result="failure",reason="bad_password",network="AS64496",region="eu-1"}'
    values: '0+120x3000'
"""


def _tool(version: str) -> Path:
    try:
        return server("prometheus", version).program("promtool")
    except Missing as reason:
        pytest.skip(str(reason))


def _run(version: str, *arguments: str) -> str:
    done = subprocess.run(
        [str(_tool(version)), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _firing(tmp_path: Path, series: str, minute: int, expected: dict[str, int]) -> None:
    """Lets promtool evaluate all rules on the series and compare how many alerts of each name fire at that minute."""
    lines = ["rule_files:", *(f"  - {path}" for path in FILES), "evaluation_interval: 1m", "tests:"]
    lines += ["- interval: 1m", "  input_series:", *(f"  {line}" for line in series.strip("\n").splitlines())]
    lines += ["  promql_expr_test:"]
    for name in ALL:
        query = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
        lines += [f"    - expr: '{query}'", f"      eval_time: {minute}m"]
        found = expected.get(name)
        lines += (
            ["      exp_samples: []"]
            if not found
            else ["      exp_samples:", f"        - value: {found}", "          labels: '{}'"]
        )
    file = tmp_path / "rules.test.yaml"
    file.write_text("\n".join(lines) + "\n")
    _run("3.16", "test", "rules", str(file))


@pytest.mark.parametrize("version", ["3.16", "2.42"])
def test_promtool_accepts_every_rule_file(version: str) -> None:
    """Both a present and an old Prometheus take the files as they are, and the linter finds nothing to say."""
    out = _run(version, "check", "rules", "--lint=all", "--lint-fatal", *(str(path) for path in FILES))
    assert out.count("SUCCESS") == len(FILES) == 3
    assert len(ALL) == 8


def test_nothing_fires_on_a_healthy_platform(tmp_path: Path) -> None:
    """Two days of zeros and steady traffic: no rule fires, early or late."""
    for minute in (1, 20, 70, 1600, 2900):
        _firing(tmp_path, HEALTHY, minute, {})


@pytest.mark.parametrize(
    ("rule", "metric"),
    [
        ("WalletDoubleSpend", "gaming_wallet_double_spend_total"),
        ("PanInLogs", "gaming_pan_leak_detected_total"),
        ("FraudFailOpen", "gaming_fraud_fail_open_total"),
        ("InventoryDuplicateItem", "gaming_inventory_duplicate_items_total"),
    ],
)
def test_first_event_fires_at_once(tmp_path: Path, rule: str, metric: str) -> None:
    """One event fires in its minute, whether the counter was there at zero or is born at one; ten minutes later not."""
    growing = HEALTHY.replace(
        f"{metric}{{region=\"eu-1\"}}'\n    values: '0x3000'", f"{metric}{{region=\"eu-1\"}}'\n    values: '0x30 1x100'"
    )
    assert growing != HEALTHY
    _firing(tmp_path, growing, 31, {rule: 1})
    _firing(tmp_path, growing, 60, {})
    born = HEALTHY + f"  - series: '{metric}{{region=\"us-1\"}}'\n    values: '_x30 1x100'\n"
    _firing(tmp_path, born, 32, {rule: 1})
    _firing(tmp_path, born, 60, {})


def test_counter_that_returns_at_zero_is_no_event(tmp_path: Path) -> None:
    """A region that was lost and is back has the same counters again: nothing happened to money meanwhile."""
    back = HEALTHY.replace(
        "gaming_wallet_double_spend_total{region=\"eu-1\"}'\n    values: '0x3000'",
        "gaming_wallet_double_spend_total{region=\"eu-1\"}'\n    values: '0x30 _x30 0x100'",
    )
    assert back != HEALTHY
    _firing(tmp_path, back, 62, {})


def test_ledger_that_does_not_balance_fires_either_way(tmp_path: Path) -> None:
    """Too much and too little are both wrong."""
    for value in ("7", "-7"):
        series = HEALTHY + '  - series: \'gaming_wallet_ledger_imbalance_minor_units{region="us-1",currency="USD"}\'\n'
        _firing(tmp_path, series + f"    values: '0x30 {value}x30'\n", 32, {"WalletLedgerImbalance": 1})


def test_leaderboard_that_is_empty_or_unseen_fires(tmp_path: Path) -> None:
    """An evicted key is a size of zero, a dead exporter no size at all; both fire after two minutes."""
    there = "lb:global\",region=\"eu-1\"}'\n    values: '1000x3000'"
    for gone in ("1000x30 0x60", "1000x30 stale _x60"):
        series = HEALTHY.replace(there, there.replace("1000x3000", gone))
        assert series != HEALTHY
        _firing(tmp_path, series, 30, {})
        _firing(tmp_path, series, 40, {"LeaderboardKeyMissing": 1})


def test_leaderboard_that_was_never_seen_does_not_fire(tmp_path: Path) -> None:
    """On a Prometheus without that Redis nobody is woken."""
    head, gone, rest = HEALTHY.partition('  - series: \'redis_key_size{key="lb:global",region="eu-1"}\'\n')
    assert gone
    _firing(tmp_path, head + rest.split("\n", 1)[1], 40, {})


def test_silent_region_fires_and_is_kept(tmp_path: Path) -> None:
    """A region whose targets vanish fires within ten minutes, stays for three quarters of an hour, and then ends."""
    series = HEALTHY.replace(
        "instance=\"a\"}'\n    values: '1x3000'", "instance=\"a\"}'\n    values: '1x30 stale _x200'"
    )
    assert series != HEALTHY
    _firing(tmp_path, series, 33, {})
    _firing(tmp_path, series, 38, {"RegionSilent": 1})
    _firing(tmp_path, series, 70, {"RegionSilent": 1})
    _firing(tmp_path, series, 120, {})


def test_one_target_less_is_no_silent_region(tmp_path: Path) -> None:
    """A region in which something still reports is not silent."""
    series = HEALTHY + "  - series: 'up{region=\"eu-1\",instance=\"c\"}'\n    values: '1x30 stale _x200'\n"
    _firing(tmp_path, series, 40, {})


def _failures(network: str, values: str) -> str:
    labels = f'result="failure",reason="bad_password",network="{network}",region="eu-1"'
    return f"  - series: 'gaming_auth_attempts_total{{{labels}}}'\n    values: '{values}'\n"


def test_stuffing_fires_per_network(tmp_path: Path) -> None:
    """Ten times a network's day fires for that network; three times, or a small network's noise, does not."""
    known = HEALTHY + _failures("AS64506", "0+30x2000 60000+3000x60") + _failures("AS64505", "0+120x2000 240000+360x60")
    small = _failures("AS64504", "0+1x2000 2000+20x60")
    _firing(tmp_path, known + small, 2000, {})
    _firing(tmp_path, known + small, 2010, {"CredentialStuffing": 1})


def test_stuffing_fires_for_a_network_without_a_past(tmp_path: Path) -> None:
    """A network that nobody saw a day ago needs twenty a second, also while its first day fills up."""
    fresh = HEALTHY + _failures("AS64507", "_x2000 0+1800x90") + _failures("AS64508", "_x2000 0+600x90")
    _firing(tmp_path, fresh, 2010, {"CredentialStuffing": 1})
    _firing(tmp_path, fresh, 2080, {"CredentialStuffing": 1})
