"""A check's result as text for a person, tab-separated lines, or a JSON body."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from opsctl.core.alerts import Alert
from opsctl.core.rules import Evidence, State, Verdict, state_of
from opsctl.render.paint import paint
from opsctl.render.text import clean, shortened
from opsctl.views.check import Line, Reported, Result, counts, lines
from opsctl.views.words import GLYPHS, ago, clock_time, kind

_INDENT = " " * 11
_MOST = 600  # characters of a headline: a label may hold a page of text


def blocks(rows: Sequence[Line], at: datetime, *, utc: bool, color: bool, width: int) -> list[str]:
    """Lines for a person: each rule that does not hold, why, and its runbook; then one line for those that do."""
    out: list[str] = []
    for row in rows:
        if row.state is State.OK and not row.words.startswith("~"):
            continue
        since = _since(row, at, utc=utc)
        head = f"{paint(row.words, row.state, color)}{' ' * max(1, 11 - len(row.words))}"
        out.append(head + clean(f"{row.service} / {row.rule}") + f"  {row.severity}{since}")
        wrapped = textwrap.wrap(shortened(clean(row.headline), _MOST), max(40, width - len(_INDENT)))
        out.extend(_INDENT + part for part in wrapped)
        if row.runbook:
            out.append(f"{_INDENT}runbook: {clean(row.runbook)}")
    held = [row for row in rows if row.state is State.OK and not row.words.startswith("~")]
    if held:
        services = _plural(len({row.service for row in held}), "service")
        verb = "holds" if len(held) == 1 else "hold"
        words = f"{GLYPHS[State.OK]} {State.OK}"
        out.append(f"{paint(words, State.OK, color)}       {_plural(len(held), 'rule')} of {services} {verb}")
    return out


def _since(row: Line, at: datetime, *, utc: bool) -> str:
    if row.since is None:
        return ""
    least = "at least " if row.since_at_least else ""
    return f", since {clock_time(row.since, utc=utc)} ({least}{ago(at - row.since)})"


def _plural(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def plain_rows(rows: Sequence[Line]) -> list[list[str]]:
    """One row a rule: state, service, rule, severity, since, headline, runbook."""
    return [
        [
            row.state.value,
            row.service,
            row.rule,
            row.severity,
            row.since.isoformat() if row.since else "",
            row.headline,
            row.runbook or "",
        ]
        for row in rows
    ]


def verdict_body(verdict: Verdict) -> dict[str, Any]:
    """One verdict for JSON; counts are events, ratios are in [0, 1], times are RFC 3339."""
    rule = verdict.rule
    return {
        "service": rule.service,
        "rule": rule.name,
        "rule_uid": rule.uid,
        "kind": kind(verdict),
        "severity": rule.severity.value,
        "state": state_of(verdict).value,
        "outcome": verdict.outcome.value,
        "hides": verdict.hides.value if verdict.hides else None,
        "headline": clean(verdict.headline),
        "fresh": verdict.fresh,
        "origin": clean(str(rule.origin)),
        "alerts": [alert_body(alert) for alert in verdict.alerts],
        "evidence": evidence_body(verdict.evidence),
    }


def alert_body(alert: Alert) -> dict[str, Any]:
    """One alert for JSON."""
    return {
        "name": alert.rule_name,
        "severity": alert.severity.value,
        "state": alert.state.value,
        "cause": alert.cause.value,
        "since": alert.since,
        "since_at_least": alert.since_at_least,
        "labels": dict(alert.labels),
        "value": alert.value,
        "summary": clean(alert.summary),
        "frozen": clean(alert.frozen) if alert.frozen else None,
        "runbook": alert.runbook,
    }


def evidence_body(evidence: Evidence) -> dict[str, Any]:
    """Evidence for JSON; `window_seconds` names a window."""
    return {
        "at": evidence.at,
        "digest": evidence.digest,
        "warnings": [clean(line) for line in evidence.warnings],
        "windows": [
            {
                "window_seconds": round(w.window.total_seconds()),
                "bad": w.bad,
                "total": w.total,
                "ratio": w.ratio,
                "burn": w.burn,
                "threshold": w.threshold,
                "lower_bound": w.lower_bound,
            }
            for w in evidence.windows
        ],
        "budget": None
        if evidence.budget is None
        else {
            "asked_at": evidence.budget.asked_at,
            "bad": evidence.budget.bad,
            "total": evidence.budget.total,
            "remaining": evidence.budget.remaining,
        },
        "asked": [
            {
                "expression": asked.expression,
                "at": asked.at,
                "result": asked.result,
                "backend": asked.backend,
                "value": asked.value,
                "elements": asked.elements,
                "message": clean(asked.message) if asked.message else None,
                "warnings": [clean(line) for line in asked.warnings],
            }
            for asked in evidence.asked
        ],
    }


def footer(report: Reported, *, utc: bool) -> str:
    """One line: when, who was asked and how that went, and how many rules are in each state."""
    asked = ", ".join(
        f"{clean(b.name)} {b.status} ({b.queries} queries, {b.took_seconds:.2f} s)" for b in report.backends
    )
    numbers = ", ".join(f"{n} {state}" for state, n in counts(report.verdicts).items())
    return f"{clock_time(report.at, utc=utc)}  {numbers}  {asked}"


def check_body(result: Result) -> dict[str, Any]:
    """The JSON document of a check; every condition that held is in `conditions`."""
    sent = result.sent
    return {
        "at": result.at,
        "context": result.context,
        "namespace": result.namespace,
        "exit_code": int(result.code),
        "conditions": sorted(code.name.lower() for code in result.held),
        "partial": any(backend.status != "ok" for backend in result.backends),
        "summary": {state.value: n for state, n in counts(result.verdicts).items()},
        "backends": [
            {
                "name": backend.name,
                "signal": backend.signal.value,
                "status": backend.status,
                "error": clean(backend.error) if backend.error else None,
                "took_seconds": round(backend.took_seconds, 3),
                "queries": backend.queries,
            }
            for backend in result.backends
        ],
        "verdicts": [verdict_body(verdict) for verdict in result.verdicts],
        "stale": [alert_body(alert) for alert in result.stale],
        "runbooks": {row.rule: row.runbook for row in lines(result.verdicts, result.incidents) if row.runbook},
        "incidents": dict(result.incidents),
        "sent": None
        if sent is None
        else {
            "accepted": sent.accepted,
            "left": sent.left,
            "dead": sent.dead,
            "never_delivered": sent.never_delivered,
        },
        "problems": [clean(problem) for problem in result.problems],
    }
