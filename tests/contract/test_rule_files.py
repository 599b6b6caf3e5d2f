"""Rule files as Prometheus's own tool reads them: what promtool accepts we accept, what it refuses we refuse."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from opsctl.errors import ConfigError
from opsctl.files.rules import load_rules
from tests.servers.build import Missing, server
from tests.unit.files.rule_texts import CATALOGUE, RULES
from tests.unit.files.test_rules import ACCEPTED, WRONG

# What opsctl refuses beyond promtool: an annotation with our prefix that nobody reads.
OURS = "opsctl_rule_id"


@pytest.fixture(scope="module")
def promtool() -> Path:
    try:
        return server("prometheus", "3.16").program("promtool")
    except Missing as reason:
        pytest.skip(str(reason))


def one_group(rule: str, group: str = "") -> str:
    return f"groups: [{{name: g, {group}rules: [{{{rule}}}]}}]\n"


ODD = [
    one_group("alert: a, expr: up, for: ''"),
    one_group("alert: a, expr: up, for: "),
    one_group("alert: a, expr: up, for: 1h5m"),
    one_group("alert: a, expr: up, for: 5m1h"),
    one_group("alert: a, expr: up, labels: {x: }"),
    one_group("alert: a, expr: up, labels: [a]"),
    one_group("alert: a, expr: up, labels: {x: {y: z}}"),
    one_group("alert: a, expr: up, labels: {'': x}"),
    one_group("alert: a, expr: up, labels: {a-b: x}"),
    one_group("alert: a, expr: up, annotations: {'': x}"),
    one_group("alert: a, expr: up, annotations: {__name__: x}"),
    one_group("record: a, expr: up, labels: {__name__: x}"),
    one_group("record: a, expr: up, for: 0s"),
    one_group("record: a, expr: up, keep_firing_for: 5m"),
    one_group("record: a, expr: up, annotations: {}"),
    one_group("alert: '', expr: up"),
    one_group("alert: 0x1F, expr: 1e3"),
    one_group("alert: a, expr: '\"text\"'"),
    one_group("alert: a, expr: 'up[5m]'"),
    one_group("alert: a, expr: true"),
    one_group("alert: a, expr: [up]"),
    one_group("alert: a, expr: up", "limit: '3', "),
    one_group("alert: a, expr: up", "limit: -3, "),
    one_group("alert: a, expr: up", "limit: 3.0, "),
    one_group("alert: a, expr: up", "interval: -5s, "),
    one_group("alert: a, expr: up", "labels: {__name__: b}, "),
    "groups: [null, {name: g, rules: [null]}]\n",
    "groups: [{name: '', rules: []}]\n",
    "groups: [{rules: []}]\n",
    "groups: []\ngroups: []\n",
    "namespace: x\ngroups: []\n",
    "groups:\r\n- name: g\r\n  rules:\r\n  - alert: a\r\n    expr: up\r\n",
    "\ufeffgroups: []\n",
    "groups:\n\t- name: g\n",
]


@pytest.mark.parametrize(
    "text", [*ACCEPTED, *ODD, *(RULES.replace(old, new, 1) for old, new, _, _ in WRONG if OURS not in new)]
)
def test_same_answer_as_promtool(promtool: Path, tmp_path: Path, text: str) -> None:
    """The same file, the same yes or no."""
    path = tmp_path / "a.rules.yaml"
    path.write_bytes(text.encode())
    done = subprocess.run(
        [str(promtool), "check", "rules", "--lint=none", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    try:
        load_rules([str(path)], tmp_path, CATALOGUE)
        ours = ""
    except ConfigError as wrong:
        ours = str(wrong)
    assert (ours == "") == (done.returncode == 0), f"promtool: {done.stdout}{done.stderr}\nopsctl: {ours or 'accepted'}"
