"""A check as metrics: for node_exporter's textfile collector, which reads Prometheus text, and for OpenMetrics.

Only gauges without timestamps, so that one document is valid as both. Every name and label is in docs/cron.md.
Must never write a number that was not measured: what is unknown has no sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

from opsctl.core.alerts import AlertState
from opsctl.core.rules import Outcome, Verdict, state_of
from opsctl.core.slo import Severity, Slo
from opsctl.core.windows import format_duration
from opsctl.render.text import clean
from opsctl.views.check import Result, service_lines
from opsctl.views.words import WORST_FIRST, kind

Sample = tuple[dict[str, str], float]
Family = tuple[str, str, list[Sample]]


def openmetrics(result: Result, version: str) -> str:
    """One document; samples of a family stand together, each label set once."""
    out = []
    for name, words, samples in families(result, version):
        out += [f"# HELP {name} {words}", f"# TYPE {name} gauge"]
        out += [f"{name}{{{_labels(labels)}}} {_number(value)}" for labels, value in samples]
    return "\n".join([*out, "# EOF"]) + "\n"


def families(result: Result, version: str) -> Iterator[Family]:
    """Every gauge that has samples, each label set once; label values are safe to print, and not escaped yet."""
    common = {"context": clean(result.context), "namespace": clean(result.namespace)}
    for name, words, samples in (*_run(result, version), *_backends(result), *_rules(result), *_slos(result)):
        found: dict[tuple[str, ...], Sample] = {}
        for labels, value in samples:
            if value == value:
                shown = {**common, **{label: clean(text) for label, text in labels.items()}}
                found.setdefault(tuple(shown.values()), (shown, value))
        if samples:
            yield name, words, list(found.values())


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def _stamp(at: datetime | None) -> list[Sample]:
    return [] if at is None else [({}, at.timestamp())]


def _run(result: Result, version: str) -> Iterator[Family]:
    yield "opsctl_build_info", "Always 1; which opsctl wrote this.", [({"version": version}, 1.0)]
    yield "opsctl_check_evaluated_timestamp_seconds", "The time that the rules were evaluated for.", _stamp(result.at)
    yield "opsctl_check_last_run_timestamp_seconds", "When the last check ended, whatever came.", _stamp(result.ended)
    yield (
        "opsctl_check_last_success_timestamp_seconds",
        "When a check last ended well: any verdict does, a page that did not get through does not.",
        _stamp(result.last_success),
    )
    yield "opsctl_check_duration_seconds", "How long asking and judging took.", [({}, result.took_seconds)]
    yield "opsctl_check_exit_code", "What the check exited with, by docs/verdicts.md.", [({}, float(result.code))]
    pages = result.sent
    yield (
        "opsctl_check_events",
        "Events to sinks in the last check, by what became of them.",
        []
        if pages is None
        else [
            ({"result": "accepted"}, float(pages.accepted)),
            ({"result": "left"}, float(pages.left)),
            ({"result": "dead"}, float(pages.dead)),
            ({"result": "never_delivered"}, float(pages.never_delivered)),
        ],
    )


def _backends(result: Result) -> Iterator[Family]:
    all_ = [({"backend": one.name, "signal": one.signal.value}, one) for one in result.backends]
    yield (
        "opsctl_backend_up",
        "1 where the backend gave whole answers only, else 0.",
        [(labels, float(one.status == "ok")) for labels, one in all_],
    )
    yield (
        "opsctl_backend_partial",
        "1 where some answers came whole and some did not.",
        [(labels, float(one.status == "partial")) for labels, one in all_],
    )
    yield (
        "opsctl_backend_questions",
        "Questions in the last check.",
        [(labels, float(one.queries)) for labels, one in all_],
    )


def _rules(result: Result) -> Iterator[Family]:
    yield (
        "opsctl_rule_state",
        "1 for the state that a rule is in, 0 for the others.",
        [
            ({**_rule(verdict), "kind": kind(verdict), "state": state.value}, float(state_of(verdict) is state))
            for verdict in result.verdicts
            for state in WORST_FIRST
        ],
    )
    yield (
        "opsctl_service_state",
        "1 for the worst state among a service's rules, 0 for the others.",
        [
            ({"service": row.service, "state": state.value}, float(row.state is state))
            for row in service_lines(result.verdicts)
            for state in WORST_FIRST
        ],
    )
    outcomes = [verdict.outcome for verdict in result.verdicts]
    yield (
        "opsctl_verdicts",
        "How many rules have each verdict.",
        [({"verdict": one.value}, float(outcomes.count(one))) for one in Outcome],
    )
    alerts = [(a.severity, a.state) for v in result.verdicts for a in v.alerts] + [
        (alert.severity, alert.state) for alert in result.stale
    ]
    yield (
        "opsctl_alerts",
        "How many alerts are pending or firing.",
        [
            ({"severity": severity.value, "state": state.value}, float(alerts.count((severity, state))))
            for severity in Severity
            for state in (AlertState.PENDING, AlertState.FIRING)
        ],
    )


def _rule(verdict: Verdict) -> dict[str, str]:
    rule = verdict.rule
    return {"service": rule.service or "-", "rule": rule.name, "rule_uid": rule.uid, "severity": rule.severity.value}


def _slos(result: Result) -> Iterator[Family]:
    found = [(verdict.rule, verdict) for verdict in result.verdicts if isinstance(verdict.rule, Slo)]
    named = [({"service": slo.service or "-", "slo": slo.name}, slo, verdict.evidence) for slo, verdict in found]
    yield "opsctl_slo_target_ratio", "The objective.", [(labels, slo.target) for labels, slo, _ in named]
    budgets = [(labels, evidence.budget) for labels, _, evidence in named if evidence.budget is not None]
    yield (
        "opsctl_slo_budget_remaining_ratio",
        "What is left of the period's error budget; negative when overspent.",
        [(labels, budget.remaining) for labels, budget in budgets],
    )
    yield (
        "opsctl_slo_budget_asked_timestamp_seconds",
        "When the budget was asked for: at most every 15 minutes.",
        [(labels, budget.asked_at.timestamp()) for labels, budget in budgets],
    )
    windows = [
        ({**labels, "window": format_duration(one.window)}, one)
        for labels, _, evidence in named
        for one in sorted(evidence.windows, key=lambda one: one.window)
    ]
    yield (
        "opsctl_slo_burn_rate",
        "Share of bad events in the window over the share that the objective allows.",
        [(labels, one.burn) for labels, one in windows if one.burn is not None],
    )
    yield (
        "opsctl_slo_window_events",
        "Events in the window.",
        [(labels, one.total) for labels, one in windows if one.total is not None],
    )
    yield (
        "opsctl_slo_window_bad_events",
        "Bad events in the window.",
        [(labels, one.bad) for labels, one in windows if one.bad is not None],
    )
