"""What ships for logs and traces fits the platform: catalogue, runbooks, and the fields and spans that it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from opsctl.core.logs import label_name
from opsctl.core.runbooks import Runbook
from opsctl.demo.topology import SERVICES
from opsctl.files.runbooks import load_runbooks
from opsctl.promql import parse, rewrite
from opsctl.series.names import LOG_RECORDS, SIGNAL_OF, SPAN_WITHOUT
from opsctl.series.needs import labels_used
from tests.unit.demo.minutes import records, traces

ROOT = Path(__file__).parents[3]
RULES = [
    rule
    for folder in ("logs", "traces")
    for path in sorted((ROOT / "alert_rules" / folder).glob("*.rules.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
CATALOGUE = {s["name"]: s for s in yaml.safe_load((ROOT / "opsctl/demo/services.yaml").read_text())["services"]}


def _names(rules: list[Any]) -> list[str]:
    return [rule["alert"] for rule in rules]


@pytest.fixture(scope="module")
def books() -> dict[str, Runbook]:
    return {book.id: book for book in load_runbooks(["bundled:"], Path())}


@pytest.mark.parametrize("rule", RULES, ids=_names(RULES))
def test_a_rule_has_what_a_page_needs(rule: Any, books: dict[str, Runbook]) -> None:
    """Labels of the catalogue, annotations, and a runbook that its alert starts."""
    assert rule["labels"].keys() == {"severity", "service", "team", "system"}
    assert CATALOGUE[rule["labels"]["service"]]["team"] == rule["labels"]["team"]
    assert rule["annotations"].keys() == {"summary", "description", "opsctl_runbook"}
    book = books[rule["annotations"]["opsctl_runbook"]]
    assert rule["alert"] in {trigger.alert for trigger in book.triggers}
    assert Path(book.origin.path).with_suffix(".test.yaml").is_file()


@pytest.mark.parametrize("rule", RULES, ids=_names(RULES))
def test_a_rule_reads_what_the_platform_writes(rule: Any) -> None:
    """Every label is a field of the platform's lines, or of its spans; every service is one of its services."""
    expr = parse(rule["expr"])
    selectors = rewrite.selectors(expr)
    assert selectors
    assert {one.metric for one in selectors} <= SIGNAL_OF.keys()
    services = {m.value for one in selectors for m in one.matchers if m.name == "service_name" and m.op == "="}
    assert services <= set(SERVICES)
    if selectors[0].metric == LOG_RECORDS:
        known = {label_name(name) for record in records() for name in record.fields} | {"service_name"}
        assert labels_used(expr) <= known
        return
    names = {one.name for trace in traces() for one in trace.spans}
    for one in selectors:
        if one.metric == SPAN_WITHOUT:
            assert {m.value for m in one.matchers if m.name in {"span_name", "without"}} <= names


def test_every_rule_is_opt_in() -> None:
    """They are in folders of their own: a context that has no Elasticsearch or Jaeger does not load them."""
    assert sorted(_names(RULES)) == ["LoginAttackInLogs", "ServicePairErrors", "WalletCreditWithoutFraudCheck"]
