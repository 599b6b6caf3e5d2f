"""What ships with the platform fits it: catalogue, objectives, alert rules and faults name the same things."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsctl.demo.faults import FAULTS
from opsctl.demo.platform import Platform
from opsctl.demo.topology import NODES, SERVICES
from tests.unit.demo.samples import Kept

ROOT = Path(__file__).parents[3]
RULES = ROOT / "alert_rules"
SLOS = [
    document for path in sorted((RULES / "slo").glob("*.slo.yaml")) for document in yaml.safe_load_all(path.read_text())
]
ALERTS = [
    rule
    for path in sorted((RULES / "platform").glob("*.rules.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
CATALOGUE = {s["name"]: s for s in yaml.safe_load((ROOT / "opsctl/demo/services.yaml").read_text())["services"]}
_SELECTOR = re.compile(r"([a-z][a-z0-9_]+)(?:\{([^}]*)\})?(?=\[|\)| offset| unless| !=| ==| >|$)")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"')


def _queries(slo: Any) -> tuple[str, str]:
    ratio = slo["spec"]["indicator"]["spec"]["ratioMetric"]
    return tuple(ratio[side]["metricSource"]["spec"]["query"] for side in ("bad", "total"))  # type: ignore[return-value]


def _ids(slos: list[Any]) -> list[str]:
    return [slo["metadata"]["name"] for slo in slos]


@pytest.fixture(scope="module")
def kept() -> Kept:
    """One scrape of the platform."""
    kept = Kept()
    start = datetime(2026, 3, 2, 18, tzinfo=UTC)
    Platform(7, start, kept).advance(start)
    return kept


def _selected(kept: Kept, metric: str, matchers: str) -> int:
    """How many of the platform's series a selector takes."""
    wanted = _MATCHER.findall(matchers or "")

    def takes(labels: Any) -> bool:
        checks = {
            "=": lambda have, want: have == want,
            "!=": lambda have, want: have != want,
            "=~": lambda have, want: re.fullmatch(want, have) is not None,
            "!~": lambda have, want: re.fullmatch(want, have) is None,
        }
        return all(checks[op](labels.get(name, ""), value) for name, op, value in wanted)

    return sum(takes(labels) for labels in kept.labels.get(metric, ()))


def test_catalogue_is_the_topology() -> None:
    """Every service of the model is in the catalogue, with the calls of the model among its dependencies."""
    internal = {name for name, service in CATALOGUE.items() if service.get("kind", "internal") == "internal"}
    assert internal == set(SERVICES)
    for node in NODES:
        needs = CATALOGUE[node.name].get("depends_on", [])
        assert set(needs) <= CATALOGUE.keys()
        called = {call.to for call in node.calls}
        assert called <= set(needs), node.name
        assert not (set(needs) - called) & set(SERVICES), f"{node.name} depends on a service that it never calls"


def test_thirty_objectives_and_one_at_least_for_each_service() -> None:
    """The catalogue of platform.md is shipped whole, one file a service."""
    assert len(SLOS) == len(set(_ids(SLOS))) == 30
    assert {slo["spec"]["service"] for slo in SLOS} == set(SERVICES)
    for service in SERVICES:
        documents = list(yaml.safe_load_all((RULES / "slo" / f"{service}.slo.yaml").read_text()))
        assert {document["spec"]["service"] for document in documents} == {service}


@pytest.mark.parametrize("slo", SLOS, ids=_ids(SLOS))
def test_objective_selects_series_of_its_platform(slo: Any, kept: Kept) -> None:
    """Each selector of an objective takes at least one series, so no SLI is silently empty."""
    for query in _queries(slo):
        selectors = re.findall(r"increase\((\w+)(?:\{(.*?)\})?\[\{\{\.window\}\}\]\)", query)
        assert selectors
        assert len(selectors) == query.count("increase(") == query.count("[")
        for metric, matchers in selectors:
            assert _selected(kept, metric, matchers) > 0, (metric, matchers)


@pytest.mark.parametrize("slo", SLOS, ids=_ids(SLOS))
def test_objective_says_what_a_missing_numerator_means(slo: Any) -> None:
    """Where the bad events are not the total with more matchers, the file has to say it."""
    bad, total = _queries(slo)
    same = set(re.findall(r"increase\((\w+)", bad)) == set(re.findall(r"increase\((\w+)", total))
    said = slo["metadata"].get("annotations", {}).get("opsctl.dev/missing-bad")
    assert said == (None if same and " - " not in bad else "no-data")


@pytest.mark.parametrize("slo", SLOS, ids=_ids(SLOS))
def test_objective_can_fire(slo: Any) -> None:
    """Every row of its table can fire at its target: factor × (1 − target) is under 1."""
    annotations = slo["metadata"].get("annotations", {})
    table = yaml.safe_load(
        (RULES / "windows" / f"{annotations.get('opsctl.dev/windows', 'standard')}.yaml").read_text()
    )
    hours = {"1h": 1, "6h": 6, "1d": 24, "3d": 72}
    target = slo["spec"]["objectives"][0]["target"]
    for row in table["rows"]:
        factor = row["budget"] * 720 / hours[row["long"]]
        assert factor * (1 - target) < 1


def test_alert_rules_select_series_of_the_platform(kept: Kept) -> None:
    """The eight rules are there, each with what a page needs, on metrics that exist."""
    assert sorted(rule["alert"] for rule in ALERTS) == [
        "CredentialStuffing",
        "FraudFailOpen",
        "InventoryDuplicateItem",
        "LeaderboardKeyMissing",
        "PanInLogs",
        "RegionSilent",
        "WalletDoubleSpend",
        "WalletLedgerImbalance",
    ]
    for rule in ALERTS:
        assert rule["labels"].keys() == {"severity", "service", "team", "system"}, rule["alert"]
        assert CATALOGUE[rule["labels"]["service"]]["team"] == rule["labels"]["team"], rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description", "opsctl_runbook"}, rule["alert"]
        metrics = [(m, s) for m, s in _SELECTOR.findall(rule["expr"]) if m in kept.labels]
        assert metrics, rule["alert"]
        assert all(_selected(kept, metric, matchers) for metric, matchers in metrics), rule["alert"]


def test_faults_name_rules_that_exist() -> None:
    """Every must-fire is a shipped rule, and every must-not a service or an objective."""
    names = set(_ids(SLOS)) | {rule["alert"] for rule in ALERTS}
    for fault in FAULTS.values():
        assert {must.rule for must in fault.must_fire} <= names
        for quiet in fault.must_not_page:
            assert quiet.removeprefix("slo:") in (names if quiet.startswith("slo:") else SERVICES)
