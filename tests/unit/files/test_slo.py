"""OpenSLO objectives: what is executed, what is refused by name, and how a window enters a query."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from opsctl.core.slo import Origin, Severity, Slo
from opsctl.core.windows import parse_duration
from opsctl.files.burn import Share, Shares, burn_table
from opsctl.promql import parse
from tests.unit.files.rule_texts import SLO, THRESHOLD, line_of, load, wrong

H = timedelta(hours=1)
D = timedelta(days=1)


def same(a: str, b: str) -> bool:
    """Equal but for layout."""
    return parse(a) == parse(b)


def one(folder: Path, text: str, **more: str) -> Slo:
    found = load(folder, {"a.slo.yaml": text, **more}).slos
    assert len(found) == 1
    return found[0]


def test_ratio(tmp_path: Path) -> None:
    """A ratio with `{{.window}}`: both queries for each burn window and the period; defaults follow the tier."""
    slo = one(tmp_path, SLO)
    assert (slo.name, slo.uid, slo.service, slo.team) == ("pay-success", "pay-success", "payments", "money")
    assert (slo.target, slo.period, slo.severity, slo.part) == (0.999, 30 * D, Severity.PAGE, "bad")
    assert (slo.on_no_data, slo.on_no_events, slo.missing_part) == (Severity.PAGE, "unknown", "zero")
    assert slo.alert_name == "PaySuccessBudgetBurn"
    assert [round(row.factor, 9) for row in slo.burn.rows] == [14.4, 6, 3, 1]
    assert not any(row.clamped for row in slo.burn.rows)
    assert set(slo.queries) == {parse_duration(w) for w in ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")}
    assert same(slo.queries[H].part, 'sum(increase(pay_total{ok="no"}[1h]))')
    assert same(slo.queries[30 * D].total, "sum(increase(pay_total[30d]))")
    assert str(slo.origin) == f"{tmp_path / 'a.slo.yaml'}:4"


def test_counter_and_instant_queries(tmp_path: Path) -> None:
    """`counter: true` wraps bare selectors in increase; without it the query is summed over steps of a minute."""
    bare = SLO.replace("increase(", "").replace("[{{.window}}])", "")
    slo = one(tmp_path, bare.replace("ratioMetric:", "ratioMetric:\n        counter: true"))
    assert same(slo.queries[H].part, 'sum(increase(pay_total{ok="no"}[1h]))')
    slo = one(tmp_path, bare)
    assert same(slo.queries[H].part, 'sum_over_time((sum(pay_total{ok="no"}))[1h:1m])')


def test_threshold_counts_steps(tmp_path: Path) -> None:
    """A threshold metric counts good and all steps; their quotient is OpenSLO's share of steps."""
    slo = one(tmp_path, THRESHOLD)
    assert (slo.part, slo.counts, slo.missing_part, slo.period) == ("good", "steps", "no-data", 28 * D)
    assert same(slo.queries[H].part, "sum(sum_over_time(((max(queue_length)) <= bool 100)[1h:1m]))")
    assert same(slo.queries[H].total, "sum(count_over_time((max(queue_length))[1h:1m]))")
    assert [round(row.factor, 3) for row in slo.burn.rows] == [13.44, 5.6, 2.8, 1.0]
    assert [row.clamped for row in slo.burn.rows] == [False, False, False, True]
    assert (slo.severity, slo.on_no_events) == (Severity.TICKET, "pass")


def test_annotations(tmp_path: Path) -> None:
    """Every annotation arrives, as text or as a YAML value."""
    text = SLO.replace(
        "    team.example/x: y",
        """\
    opsctl.dev/windows: tickets
    opsctl.dev/tier: ticket
    opsctl.dev/rule-uid: pay-1
    opsctl.dev/formerly: "pay-0, pay-old"
    opsctl.dev/on-no-data: show
    opsctl.dev/on-no-events: unknown
    opsctl.dev/missing-bad: no-data
    opsctl.dev/min-events: "20"
    opsctl.dev/confidence: 0.99
    opsctl.dev/runbook: Pay
    opsctl.dev/runbook-no-data: PayGone
    opsctl.dev/identity-labels: [region]""",
    )
    slo = one(tmp_path, text)
    assert slo.burn.name == "tickets"
    assert [row.severity for row in slo.burn.rows] == [Severity.TICKET, Severity.TICKET]
    assert (slo.severity, slo.uid, slo.formerly) == (Severity.TICKET, "pay-1", ("pay-0", "pay-old"))
    assert (slo.on_no_data, slo.on_no_events, slo.missing_part) == (Severity.SHOW, "unknown", "no-data")
    assert (slo.min_events, slo.confidence) == (20, 0.99)
    assert (slo.runbook, slo.runbook_no_data, slo.identity) == ("Pay", "PayGone", (("region", "eu"),))


def test_several_objectives(tmp_path: Path) -> None:
    """Each objective is an SLO of its own, with a suffix for name and uid."""
    text = SLO.replace(
        "    - target: 0.999\n", "    - {displayName: Gold plan, target: 0.999}\n    - targetPercent: 99\n"
    )
    slos = load(tmp_path, {"a.slo.yaml": text}).slos
    assert [(slo.name, slo.uid, slo.target) for slo in slos] == [
        ("pay-success-gold-plan", "pay-success-gold-plan", 0.999),
        ("pay-success-2", "pay-success-2", 0.99),
    ]


def test_indicator_by_reference_and_other_kinds(tmp_path: Path) -> None:
    """SLIs and data sources may be documents of their own, in any file; alert policies are accepted."""
    head, _, rest = SLO.partition("  indicator:\n")
    body, _, tail = rest.partition("  timeWindow")
    spec = "\n".join(line[4:] for line in body.splitlines()[1:]).replace("type: Prometheus", "metricSourceRef: prom")
    sli = f"apiVersion: openslo/v1\nkind: SLI\nmetadata: {{name: pay}}\n{spec}\n"
    others = """\
apiVersion: openslo/v1
kind: DataSource
metadata: {name: prom}
spec: {type: Prometheus, connectionDetails: {url: x}}
---
apiVersion: openslo/v1
kind: Service
metadata: {name: payments}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: p}
spec: {alertWhenBreaching: true, conditions: [{conditionRef: c}], notificationTargets: [{targetRef: t}]}
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: c}
spec: {severity: page, condition: {kind: burnrate, op: gt, threshold: 2, lookbackWindow: 1h, alertAfter: 5m}}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: t}
spec: {target: email}
"""
    slo = head + "  indicatorRef: pay\n  alertPolicies: [{alertPolicyRef: p}]\n  timeWindow" + tail
    found = one(tmp_path, slo, **{"deep/er/b.yaml": sli, "c.yml": others})
    assert same(found.queries[H].total, "sum(increase(pay_total[1h]))")


def test_burn_rows() -> None:
    """factor = budget × period / long, at least 1; a row that cannot fire at the target is dropped."""
    shares = Shares(
        "t", (Share(Severity.PAGE, H, H / 12, 0.02), Share(Severity.TICKET, 3 * D, D / 4, 0.1)), Origin("f", 1)
    )
    table = burn_table(shares, 0.999, 30 * D)
    assert [row.factor for row in table.rows] == [14.4, 1.0]
    assert [row.clamped for row in table.rows] == [False, False]
    table = burn_table(shares, 0.9, 30 * D)
    assert [row.factor for row in table.rows] == [1.0]
    assert [row.factor for row in table.dropped] == [14.4]
    assert [row.factor for row in burn_table(shares, 0.931, 30 * D).rows] == [14.4, 1.0]
    assert [row.clamped for row in burn_table(shares, 0.99, 7 * D).rows] == [False, True]


WINDOWS = "name: fast\nrows:\n  - {severity: page, long: 1h, short: 5m, budget: 0.02}\n"


def test_own_windows(tmp_path: Path) -> None:
    """A team's table stands in `windows/` beside its rules, also when the rules are named as one file."""
    text = SLO.replace("team.example/x: y", "opsctl.dev/windows: fast")
    files = {"a.slo.yaml": text, "windows/fast.yaml": WINDOWS}
    assert [row.factor for row in load(tmp_path, files).slos[0].burn.rows] == [14.4]
    assert [row.factor for row in load(tmp_path, files, ("a.slo.yaml",)).slos[0].burn.rows] == [14.4]


Q = 'sum(increase(pay_total{ok="no"}[{{.window}}]))'
WRONG = [
    ("apiVersion: openslo/v1\n", "apiVersion: openslo/v2\n", "apiVersion", "apiVersion: expected openslo/v1, got openslo/v2"),
    ("kind: SLO", "kind: SLOO", "kind", "unknown kind SLOO (did you mean SLO?)"),
    ("  name: pay-success", "  nam: pay-success", "  nam:", "unknown key nam in metadata (did you mean name?)"),
    ("  name: pay-success", "  name: pay success", "  name:", "metadata.name: expected letters, digits, '.', '_' and '-', got \"pay success\""),
    ("  service: payments", "  servce: payments", "  servce", "unknown key servce in spec (did you mean service?)"),
    ("service: payments", "service: paymnts", "  service", "unknown service paymnts in the catalogue (did you mean payments?)"),
    ("ratioMetric:", "ratiometric:", "      ratio", "unknown key ratiometric in spec.indicator.spec (did you mean ratioMetric?)"),
    ("        bad:", "        bda:", "        bda", "unknown key bda in spec.indicator.spec.ratioMetric (did you mean bad?)"),
    ("        bad:", "        good: {}\n        bad:", "      ratioMetric", "spec.indicator.spec.ratioMetric: expected total, and one of good, bad"),
    ("        bad:", "        raw:", "        raw", "spec.indicator.spec.ratioMetric.raw is not supported: it has no counts; use total, and good or bad"),
    ("type: Prometheus", "type: Datadog", "        bad", "spec.indicator.spec.ratioMetric.bad.metricSource.type Datadog is not supported; use Prometheus"),
    ("type: Prometheus", "metricSourceRef: prm", "        bad", "unknown DataSource prm (there is none)"),
    ("{query: '" + Q, "{qury: '" + Q, "        bad", "unknown key qury in spec.indicator.spec.ratioMetric.bad.metricSource.spec (did you mean query?)"),
    (Q, "sum(increase(pay_total[{{.window}}])", "        bad", "spec.indicator.spec.ratioMetric.bad.metricSource.spec.query: "),
    (Q, "sum(increase(pay_total[1h]))", "        bad", "spec.indicator.spec.ratioMetric.bad.metricSource.spec.query: "),
    (Q, "sum(increase(other_total[{{.window}}]))", "        bad", "spec.indicator.spec.ratioMetric.bad.metricSource.spec.query: does not only add matchers to total's: say opsctl.dev/missing-bad: zero, or no-data"),
    ("duration: 30d", "duration: 1M", "  timeWindow", "spec.timeWindow[0].duration: 1M means months, which a rolling window cannot have; say days, like 30d (m is minutes)"),
    ("duration: 30d", "duration: 30", "  timeWindow", 'spec.timeWindow[0].duration: expected a text, got 30'),
    ("duration: 30d", "duration: 30x", "  timeWindow", 'spec.timeWindow[0].duration: expected a duration like "30d", got "30x"'),
    ("duration: 30d", "duration: 30m", "  timeWindow", "spec.timeWindow[0].duration: expected a rolling window from 1h to 400d, got 30m"),
    ("isRolling: true", "isRolling: false", "  timeWindow", "calendar-aligned time windows are not supported; use isRolling: true with a duration in days"),
    ("isRolling: true", "calendar: {startTime: x, timeZone: y}", "  timeWindow", "calendar-aligned time windows are not supported; use isRolling: true with a duration in days"),
    ("[{duration: 30d, isRolling: true}]", "[]", "  timeWindow", "spec.timeWindow: expected exactly one"),
    ("Occurrences", "Timeslices", "  budgeting", "budgetingMethod Timeslices is not supported; use Occurrences"),
    ("Occurrences", "Occurences", "  budgeting", "unknown budgetingMethod Occurences (did you mean Occurrences?)"),
    ("target: 0.999", "targt: 0.999", "    - targ", "unknown key targt in spec.objectives[0] (did you mean target?)"),
    ("target: 0.999", "target: 99.9", "    - target", "spec.objectives[0].target: expected a number between 0 and 1, both excluded, got 99.9 (targetPercent is the one in percent)"),
    ("target: 0.999", 'target: "0.999"', "    - target", 'spec.objectives[0].target: expected a number, got "0.999"'),
    ("target: 0.999", "target: 0.999\n      op: lt", "      op: lt", "spec.objectives[0]: op and value belong to a thresholdMetric, this is a ratioMetric"),
    ("target: 0.999", "target: 0.999\n      timeSliceTarget: 0.9", "      timeSlice", "spec.objectives[0].timeSliceTarget: Timeslices is not supported; use Occurrences with one indicator"),
    ("team.example/x: y", "opsctl.dev/windws: fast", "    opsctl", "unknown annotation opsctl.dev/windws (did you mean opsctl.dev/windows?)"),
    ("team.example/x: y", "opsctl.dev/windows: tickts", "    opsctl", "unknown burn windows tickts (did you mean tickets?)"),
    ("team.example/x: y", "opsctl.dev/tier: loud", "    opsctl", 'opsctl.dev/tier: expected one of page, ticket, show, got "loud"'),
    ("team.example/x: y", "opsctl.dev/min-events: few", "    opsctl", 'opsctl.dev/min-events: expected a whole number from 0 to 1e+09, got "few"'),
    ("team.example/x: y", "opsctl.dev/confidence: 2", "    opsctl", "opsctl.dev/confidence: expected a number from 0.5 to 0.999999, got 2"),
    ("team.example/x: y", "opsctl.dev/identity-labels: regin", "    opsctl", "unknown label regin in metadata.labels (did you mean region?)"),
    ("team.example/x: y", "opsctl.dev/exclude: plan.yaml", "    opsctl", "opsctl.dev/exclude is not supported: windows of planned work cannot be left out of a budget"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "message"), WRONG, ids=[f"{new[:40]}" for _, new, _, _ in WRONG])
def test_wrong_slo(tmp_path: Path, old: str, new: str, at: str, message: str) -> None:
    """One wrong place is named by line, with what was expected or the nearest name."""
    text = SLO.replace(old, new, 1)
    assert text != SLO
    found = wrong(tmp_path, {"a.slo.yaml": text})
    expected = f"a.slo.yaml:{line_of(text, at)}: {message}"
    assert any(
        line.startswith(expected) and (not message.endswith(("?)", ")")) or line == expected) for line in found
    ), found


def test_no_row_can_fire(tmp_path: Path) -> None:
    """At 90 % no page row can fire: with only such rows it is an error that says what to do."""
    text = SLO.replace("team.example/x: y", "opsctl.dev/windows: fast").replace("0.999", "0.9")
    found = wrong(tmp_path, {"a.slo.yaml": text, "windows/fast.yaml": WINDOWS})
    assert found == ["a.slo.yaml:19: no burn row of fast can fire at target 0.9: use opsctl.dev/windows: tickets"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("op: lte, ", "", "a.slo.yaml:13: spec.objectives[0]: op is missing"),
        ("op: lte", "op: le", "a.slo.yaml:13: spec.objectives[0].op: expected one of lt, lte, gt, gte, got \"le\" (did you mean lte?)"),
        ("value: 100, ", "", "a.slo.yaml:13: spec.objectives[0]: value is missing"),
        ("max(queue_length)", "max(queue_length[{{.window}}])", "a.slo.yaml:9: spec.indicator.spec.thresholdMetric.metricSource.spec.query: a thresholdMetric is asked per instant; write a range instead of {{.window}}"),
    ],
)  # fmt: skip
def test_wrong_threshold(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A threshold needs its operator and value, and no window."""
    text = THRESHOLD.replace("query: max(queue_length)", 'query: "max(queue_length)"').replace(old, new)
    assert message in wrong(tmp_path, {"a.slo.yaml": text})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("budget: 0.02", "budget: 2", "windows/fast.yaml:3: rows[0].budget: expected a ratio in (0, 1]"),
        ("short: 5m", "short: 2h", "windows/fast.yaml:3: rows[0]: expected short longer than 0s and shorter than long"),
        ("severity: page", "severity: pag", 'windows/fast.yaml:3: rows[0].severity: expected one of page, ticket, show, got "pag" (did you mean page?)'),
        ("budget", "budgt", "windows/fast.yaml:3: unknown key budgt in rows[0] (did you mean budget?)"),
        ("name: fast", "name: standard", "burn windows standard stand twice, first in "),
    ],
)  # fmt: skip
def test_wrong_windows(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A table of burn windows is read as strictly."""
    found = wrong(tmp_path, {"a.slo.yaml": SLO, "windows/fast.yaml": WINDOWS.replace(old, new)})
    assert any(message in line for line in found), found


def test_one_uid_twice(tmp_path: Path) -> None:
    """Two objectives of one uid would share their incidents."""
    found = wrong(tmp_path, {"a.slo.yaml": SLO, "b.slo.yaml": SLO})
    assert found == ["b.slo.yaml:4: rule uid pay-success stands twice, first in a.slo.yaml:4"]
