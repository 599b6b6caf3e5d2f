"""Small whole files that tests change in one place, and a loader for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsctl.core.catalogue import Catalogue, Service
from opsctl.errors import ConfigError, ConfigErrors
from opsctl.files.rules import RuleSet, load_rules

CATALOGUE = Catalogue(
    {
        "payments": Service("payments", 1, "money"),
        "chat": Service("chat", 2, "social"),
        "wiki": Service("wiki", 3, "docs"),
    }
)

SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: pay-success
  labels: {region: eu}
  annotations:
    team.example/x: y
spec:
  service: payments
  indicator:
    metadata: {name: pay}
    spec:
      ratioMetric:
        bad: {metricSource: {type: Prometheus, spec: {query: 'sum(increase(pay_total{ok="no"}[{{.window}}]))'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(increase(pay_total[{{.window}}]))'}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - target: 0.999
"""

THRESHOLD = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: queue}
spec:
  service: chat
  indicator:
    metadata: {name: queue}
    spec:
      thresholdMetric: {metricSource: {type: Prometheus, spec: {query: max(queue_length)}}}
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - {op: lte, value: 100, target: 0.99}
"""

RULES = """\
groups:
  - name: g
    interval: 30s
    labels: {severity: warning, from: group}
    rules:
      - record: job:errors:rate5m
        expr: sum by (job) (rate(errors_total[5m]))
      - alert: TooManyErrors
        expr: job:errors:rate5m > 1
        for: 5m
        labels: {severity: critical, service: payments}
        annotations:
          summary: "{{ $labels.job }} is broken"
"""


def load(folder: Path, files: dict[str, str], sources: tuple[str, ...] = (".",)) -> RuleSet:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return load_rules(sources, folder, CATALOGUE)


def wrong(folder: Path, files: dict[str, str], sources: tuple[str, ...] = (".",)) -> list[str]:
    """Each error without the folder's name."""
    with pytest.raises(ConfigError) as caught:
        load(folder, files, sources)
    errors = caught.value.errors if isinstance(caught.value, ConfigErrors) else (caught.value,)
    return [str(error).replace(f"{folder}/", "") for error in errors]


def line_of(text: str, part: str) -> int:
    """The line on which a part of a text stands."""
    return text[: text.index(part)].count("\n") + 1
