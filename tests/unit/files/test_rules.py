"""Prometheus rule files and the folders that hold them: what promtool accepts, and what opsctl adds."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from opsctl.core.slo import Severity
from opsctl.files.catalogue import load_catalogue
from opsctl.files.rules import load_rules
from opsctl.promql import parse
from tests.unit.files.rule_texts import CATALOGUE, RULES, SLO, line_of, load, wrong


def test_rule_file(tmp_path: Path) -> None:
    """Group labels are merged, templates stay, a recorded name is replaced by what it records."""
    rules = load(tmp_path, {"a.rules.yaml": RULES})
    (alert,) = rules.alerting
    assert (alert.name, alert.uid, alert.severity) == ("TooManyErrors", "TooManyErrors", Severity.PAGE)
    assert alert.labels == {"severity": "critical", "from": "group", "service": "payments"}
    assert (alert.service, alert.team) == ("payments", "money")
    assert (alert.for_, alert.interval) == (timedelta(minutes=5), timedelta(seconds=30))
    assert alert.annotations == {"summary": "{{ $labels.job }} is broken"}
    assert alert.identity_labels is None
    assert str(alert.origin) == f"{tmp_path / 'a.rules.yaml'}:8"
    label = 'label_replace(label_replace(sum by (job) (rate(errors_total[5m])), "from", "group", "", ""), "severity", "warning", "", "")'
    assert parse(alert.expr) == parse(f"({label}) > 1") or parse(alert.expr) == parse(f"(({label})) > 1")
    (recording,) = rules.recording
    assert (recording.record, recording.labels) == ("job:errors:rate5m", {"severity": "warning", "from": "group"})


def test_own_annotations(tmp_path: Path) -> None:
    """Uid, former ids, runbook and identity labels stand in annotations."""
    text = RULES.replace(
        "        annotations:\n",
        "        annotations:\n          opsctl_rule_uid: errors-1\n          opsctl_formerly: a, b\n"
        "          opsctl_runbook: Errors\n          opsctl_identity_labels: job\n",
    )
    (alert,) = load(tmp_path, {"a.rules.yaml": text}).alerting
    assert (alert.uid, alert.formerly, alert.runbook, alert.identity_labels) == (
        "errors-1",
        ("a", "b"),
        "Errors",
        ("job",),
    )


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        ("page", "page"),
        ("critical", "page"),
        ("ticket", "ticket"),
        ("warning", "ticket"),
        ("info", "show"),
        ("{{ $x }}", "show"),
    ],
)
def test_severity(tmp_path: Path, severity: str, expected: str) -> None:
    """Prometheus's usual words map to ours."""
    text = RULES.replace("severity: critical", f"severity: '{severity}'")
    assert load(tmp_path, {"a.rules.yaml": text}).alerting[0].severity == expected


ACCEPTED = [
    "groups:\n",
    "groups: []\n",
    "groups:\n  - name: empty\n",
    "groups:\n  - name: empty\n    rules:\n",
    "groups:\n  - name: g\n    limit: 3\n    query_offset: 1m\n    interval: 0s\n    rules:\n      - {alert: a, expr: 1, for: 0}\n",
    "groups:\n  - name: 7\n    rules:\n      - {alert: yes, expr: vector(1), labels: {n: 5, t: true, e: }, annotations: {x: 1.50}}\n",
    "groups:\n  - name: g\n    rules:\n      - {record: 'a b', expr: 'up'}\n      - {alert: 'any name, even ü', expr: 'up == 0', for: 1d12h}\n",
    "groups:\n  - name: g\n    rules:\n      - &r {alert: a, expr: up, labels: &l {severity: page}}\n      - {<<: *r, alert: b}\n",
    "groups:\n  - name: g\n    rules:\n      - alert: a\n        expr: |\n          # why\n          up == 0  # down\n",
    "groups:\n  - name: g\n    rules:\n      - {alert: a, expr: up == 0, labels: {severity: warning}}\n      - {alert: a, expr: up == 0, labels: {severity: critical}}\n",
    "groups:\n  - name: g\n    rules: []\n---\nanything: at all\n",
]  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted_as_prometheus_does(tmp_path: Path, text: str) -> None:
    """Loose scalars, empty groups, anchors, odd names, several documents: promtool accepts them, and so do we."""
    load(tmp_path, {"a.rules.yaml": text})


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    """Prometheus allows two alerts of one name; each gets a uid of its own that does not depend on later ones."""
    alerts = "".join(
        f"      - {{alert: A, expr: up > {i}, labels: {{severity: {s}}}}}\n"
        for i, s in enumerate(("page", "warning", "warning"))
    )
    rules = load(tmp_path, {"a.rules.yaml": f"groups:\n  - name: g\n    rules:\n{alerts}"})
    assert [alert.uid for alert in rules.alerting] == ["A", "A/warning", "A/2"]
    assert len(rules.notes) == 2


WRONG = [
    ("groups:", "group:", "group:", "unknown key group in the rule file (did you mean groups?)"),
    ("interval: 30s", "intervall: 30s", "    intervall", "unknown key intervall in groups[0] (did you mean interval?)"),
    ("interval: 30s", "interval: 30", "    interval", 'groups[0].interval: expected a duration like "10s", got 30'),
    ("- name: g\n", "- nme: g\n", "  - nme", "unknown key nme in groups[0] (did you mean name?)"),
    ("interval: 30s", "limit: many", "    limit", 'groups[0].limit: expected a whole number, got "many"'),
    ("for: 5m", "fro: 5m", "        fro", "unknown key fro in groups[0].rules[1] (did you mean for?)"),
    ("for: 5m", "for: 5 m", "        for", 'groups[0].rules[1].for: expected a duration like "10s", got "5 m"'),
    ("- alert: TooManyErrors", "- alert: A\n        record: b", "      - alert", "groups[0].rules[1]: expected one of alert, record, got both"),
    ("- alert: TooManyErrors", "- foo: A", "      - foo", "groups[0].rules[1]: expected one of alert, record"),
    ("expr: job:errors:rate5m > 1", "expr: ''", "        expr: ''", "groups[0].rules[1].expr: expected a PromQL expression, it is empty"),
    ("expr: job:errors:rate5m > 1", "exp: up", "      - alert", "groups[0].rules[1]: expr is missing"),
    ("expr: job:errors:rate5m > 1", "expr: sum(", "        expr: sum(\n", "groups[0].rules[1].expr: "),
    ("expr: job:errors:rate5m > 1", "expr: rte(up[5m])", "        expr: rte", "groups[0].rules[1].expr: "),
    ("record: job:errors:rate5m", "record: 'up{}'", "      - record", "groups[0].rules[0].record: braces in a metric's name: they belong into expr"),
    ("record: job:errors:rate5m", "record: r\n        for: 5m", "        for", "groups[0].rules[0].for: a recording rule has no for"),
    ("record: job:errors:rate5m", "record: r\n        annotations: {a: b}", "        annotations", "groups[0].rules[0].annotations: a recording rule has no annotations"),
    ("labels: {severity: critical", "labels: {__name__: x, severity: critical", "        labels", "groups[0].rules[1].labels: __name__ is not a label's name here"),
    ("labels: {severity: critical", "labels: {a: [b], severity: critical", "        labels", "groups[0].rules[1].labels.a: expected a text, got a list"),
    ("          summary:", "          opsctl_rule_id: x\n          summary:", "          opsctl", "unknown annotation opsctl_rule_id (did you mean opsctl_rule_uid?)"),
    ("    rules:", "    rules: 3\n    x:", "    rules", "groups[0].rules: expected a list, got 3"),
    ("        for: 5m", "        for: 5m\n        for: 6m", "        for: 6m", "key for stands twice, first in line 10"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "message"), WRONG, ids=[new[:40] for _, new, _, _ in WRONG])
def test_wrong_rule_file(tmp_path: Path, old: str, new: str, at: str, message: str) -> None:
    """What promtool refuses is refused with the line, what was expected and the nearest name."""
    text = RULES.replace(old, new, 1)
    assert text != RULES
    found = wrong(tmp_path, {"a.rules.yaml": text})
    expected = f"a.rules.yaml:{line_of(text, at)}: {message}"
    assert any(line == expected or (message.endswith(": ") and line.startswith(expected)) for line in found), found


def test_groups_and_uids_stand_once(tmp_path: Path) -> None:
    """A group's name is unique in its file, a written uid everywhere."""
    group = "  - name: g\n    rules:\n      - {alert: A, expr: up, annotations: {opsctl_rule_uid: u}}\n"
    assert wrong(tmp_path, {"a.rules.yaml": f"groups:\n{group}{group}"}) == [
        "a.rules.yaml:5: group g stands twice in this file, first in line 2",
        "a.rules.yaml:7: rule uid u stands twice, first in a.rules.yaml:4",
    ]


def test_recorded_names(tmp_path: Path) -> None:
    """Recordings of recordings are resolved; one that reads itself, and a name with matchers, are left to the server."""
    text = """\
groups:
  - name: g
    rules:
      - {record: "a:b", expr: "rate(x_total[5m])"}
      - {record: "a:c", expr: "sum(a:b)"}
      - {record: "a:self", expr: "a:self offset 1m or up"}
      - {alert: Deep, expr: "a:c > 1"}
      - {alert: Matched, expr: 'a:b{job="x"} > 1'}
      - {alert: Self, expr: "a:self > 1"}
"""
    deep, matched, itself = load(tmp_path, {"a.rules.yaml": text}).alerting
    assert "a:c" not in deep.expr
    assert "a:b" not in deep.expr
    assert "x_total" in deep.expr
    assert parse(matched.expr) == parse('a:b{job="x"} > 1')
    assert "a:self" in itself.expr


@pytest.mark.parametrize(
    ("expr", "metrics"),
    [
        ("rate(a_total[5m]) / rate(b_total[5m]) > a_total offset 1h", ("a_total", "b_total")),
        ("absent(a)", ()),
        ("absent_over_time(a[1h]) or b > absent(sum(c) > 1)", ("b",)),
        ("a == 0 or absent(a)", ("a",)),
        ('{job="x"} > 1', ()),
        ('{__name__=~"a.*"} > 1', ()),
        ('{"weird.name", job="x"} > 1', ("weird.name",)),
        ("max_over_time(sum(a)[1h:1m]) > 2", ("a",)),
        ('ALERTS{alertstate="firing"} > 0', ()),
        ("vector(1) > 0", ()),
    ],
)
def test_metrics_that_a_rule_leans_on(tmp_path: Path, expr: str, metrics: tuple[str, ...]) -> None:
    """Each name once, in its order; not those whose absence is the point, nor those that no name tells."""
    text = f"groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: |-\n          {expr}\n"
    (ours,) = load(tmp_path, {"a.rules.yaml": text}).alerting
    assert (ours.metrics, dict(ours.recorded)) == (metrics, {})


def test_metrics_behind_recorded_names(tmp_path: Path) -> None:
    """An inlined name is what it stands for; one with matchers is the server's, and said to be recorded where."""
    text = """\
groups:
  - name: g
    rules:
      - {record: "a:b", expr: "rate(x_total[5m])"}
      - {alert: Bare, expr: "a:b > 1"}
      - {alert: Matched, expr: 'a:b{job="x"} > y'}
      - {alert: Missed, expr: 'absent(a:b{job="x"})'}
"""
    bare, matched, missed = load(tmp_path, {"a.rules.yaml": text}).alerting
    assert (bare.metrics, dict(bare.recorded)) == (("x_total",), {})
    assert matched.metrics == ("a:b", "y")
    assert {name: (Path(o.path).name, o.line) for name, o in matched.recorded.items()} == {"a:b": ("a.rules.yaml", 4)}
    assert (missed.metrics, dict(missed.recorded)) == ((), {})


def test_which_files(tmp_path: Path) -> None:
    """Folders are read with what is below them; tests and hidden folders are not; foreign YAML is noted."""
    files = {
        "r/deep/a.rules.yml": RULES,
        "r/b.slo.yaml": SLO,
        "r/b.test.yaml": "rule_files: [x]\n",
        "r/.git/c.rules.yaml": "broken: [",
        "r/values.yaml": "a: 1\n",
        "r/notes.txt": "x",
    }
    rules = load(tmp_path, files, ("r",))
    assert (len(rules.alerting), len(rules.slos)) == (1, 1)
    assert rules.notes == (f"{tmp_path}/r/values.yaml holds no rules: neither `groups:` nor `apiVersion: openslo/v1`",)
    twice = load(tmp_path, files, ("r", "r/deep/a.rules.yml"))
    assert len(twice.alerting) == 1


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (("gone",), "gone: no such file or folder, named by rules as gone"),
        (("empty",), "empty: holds no rule files (*.slo.yaml, *.rules.yaml, *.rules.yml)"),
        (("bundled:sl",), "bundled:sl: no bundled rules of that name (did you mean slo?)"),
        (("odd.yaml",), "odd.yaml:1: expected Prometheus rules (`groups:`), OpenSLO (`apiVersion:`) or burn windows (`rows:`) (did you mean groups?)"),
        (("latin.rules.yaml",), "latin.rules.yaml:2: is not UTF-8 text (byte 0xfc)"),
        (("void.rules.yaml",), "void.rules.yaml: is empty"),
        (("big.rules.yaml",), "big.rules.yaml: is larger than 4MiB, the limit for a file of this kind"),
        (("dir.rules.yaml",), "dir.rules.yaml: holds no rule files (*.slo.yaml, *.rules.yaml, *.rules.yml)"),
    ],
)  # fmt: skip
def test_wrong_sources(tmp_path: Path, sources: tuple[str, ...], message: str) -> None:
    """A missing, empty, foreign or unreadable source is one line."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "dir.rules.yaml").mkdir()
    (tmp_path / "latin.rules.yaml").write_bytes(b"groups:\n# \xfc\n")
    (tmp_path / "void.rules.yaml").write_bytes(b"")
    (tmp_path / "big.rules.yaml").write_bytes(b"#" * (4 * 2**20 + 1))
    (tmp_path / "odd.yaml").write_text("group: 1\n")
    assert wrong(tmp_path, {}, sources) == [message]


def test_bundled_rules_load() -> None:
    """Every rule that is shipped loads against the shipped catalogue, without a note."""
    catalogue = load_catalogue("bundled:", Path())
    rules = load_rules(["bundled:"], Path(), catalogue)
    assert len(rules.slos) >= 30
    assert rules.alerting
    assert rules.notes == ()
    parts = [load_rules([f"bundled:{name}"], Path(), catalogue) for name in ("slo", "platform", "logs", "traces")]
    assert sum(len(part.slos) for part in parts) == len(rules.slos)
    assert sum(len(part.alerting) for part in parts) == len(rules.alerting)


def test_a_foreign_service_is_noted(tmp_path: Path) -> None:
    """A Prometheus rule may name a service that the catalogue lacks: promtool accepts it, so it is a note."""
    text = RULES.replace("service: payments", "service: elsewhere")
    rules = load(tmp_path, {"a.rules.yaml": text})
    assert rules.alerting[0].team == ""
    assert rules.notes == (
        f"{tmp_path}/a.rules.yaml:8: alert TooManyErrors names service elsewhere, which the catalogue does not have",
    )
    assert CATALOGUE.get("elsewhere") is None


def test_the_uid_of_a_group_is_not_for_a_rule(tmp_path: Path) -> None:
    """Groups of alerts have keys of their own: a rule with such a uid would share one."""
    text = RULES.replace("        annotations:\n", "        annotations:\n          opsctl_rule_uid: group/pagerduty\n")
    slo = SLO.replace("    team.example/x: y\n", "    opsctl.dev/rule-uid: group/x\n")
    for name, document in (("a.rules.yaml", text), ("a.slo.yaml", slo)):
        (found,) = wrong(tmp_path, {name: document})
        assert "those that begin with group/ are of groups of alerts (choose another)" in found
        (tmp_path / name).unlink()
