"""An alert's value beside the line that it is held against, and everything that it was judged from, in words.

Pure. Must never show a value that was kept as one that was just measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from opsctl.core.alerts import Alert, Cause
from opsctl.core.frozen import dataclass
from opsctl.core.rules import AlertingRule, Asked, Verdict, WindowEvidence
from opsctl.core.slo import Slo
from opsctl.core.windows import format_duration
from opsctl.core.wording import events, percent
from opsctl.promql import PromqlError, parse
from opsctl.promql.ast import COMPARISONS, Binary, Expr, Negation, Number, Paren
from opsctl.views.active_alerts import ActiveAlert
from opsctl.views.alerts import because
from opsctl.views.units import shown, unit_of
from opsctl.views.words import ago

Fact = tuple[str, str]
"""A name and what is said of it (from anywhere, not cleaned); no name goes on with the one before."""
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_SERIES = 12  # of one answer that are shown
_LINES = 40  # of evidence


@dataclass(frozen=True, slots=True)
class Against:
    """What was measured and what it is held against; `number` is the bare value, None where none was measured."""

    value: str = ""
    line: str = ""
    number: float | None = None


def against(alert: Alert, verdict: Verdict | None) -> Against:
    """The alert's value and line; a kept value begins with `~`."""
    kept = "~" if alert.frozen else ""
    if alert.cause in (Cause.NO_DATA, Cause.STALE):
        return Against("no data" if alert.cause is Cause.NO_DATA else "no answer")
    rule = verdict.rule if verdict is not None else None
    if verdict is not None and isinstance(rule, Slo):
        return _of_slo(alert, rule, verdict, kept)
    expression = rule.expr if isinstance(rule, AlertingRule) else ""
    sign, limit = limit_of(expression)
    unit = unit_of(expression, lambda metric: "") if expression else ""
    line = "" if limit is None else f"{sign} {shown(limit, unit)}"
    if alert.value is None:
        return Against("", line)
    return Against(kept + shown(alert.value, unit), line, None if alert.frozen else alert.value)


def _of_slo(alert: Alert, slo: Slo, verdict: Verdict, kept: str) -> Against:
    row = _row(alert, slo, verdict.evidence.windows)
    if row is None or row.ratio is None:
        if alert.value is None:
            return Against()
        return Against(f"{kept}{percent(alert.value * slo.budget)} bad", "", None)
    line = percent(row.threshold) if row.threshold is not None else ""
    return Against(f"{kept}{percent(row.ratio)} bad {format_duration(row.window)}", f"> {line}", row.ratio)


def _row(alert: Alert, slo: Slo, windows: tuple[WindowEvidence, ...]) -> WindowEvidence | None:
    """The long window of the first row of the alert's severity that is over its line, else of the first row."""
    first: WindowEvidence | None = None
    for row, long, short in zip(slo.burn.rows, windows[::2], windows[1::2], strict=False):
        if row.severity is not alert.severity:
            continue
        first = first or long
        if all(one.ratio is not None and one.threshold is not None and one.ratio > one.threshold
               for one in (long, short)):  # fmt: skip
            return long
    return first


@lru_cache(maxsize=1024)
def limit_of(expression: str) -> tuple[str, float | None]:
    """The comparison and the number that an expression ends in: `errors > 0.02` → (">", 0.02); ("", None) else."""
    try:
        expr = parse(expression) if expression else None
    except PromqlError:
        return "", None
    return _limit(expr)


def _limit(expr: Expr | None) -> tuple[str, float | None]:
    match expr:
        case Paren():
            return _limit(expr.expr)
        case Binary() if expr.op in COMPARISONS:
            right, left = _number(expr.right), _number(expr.left)
            if right is not None:
                return expr.op, right
            return (_TURNED.get(expr.op, expr.op), left) if left is not None else ("", None)
        case Binary() if expr.op in {"and", "unless"}:
            return _limit(expr.left)
        case _:
            return "", None


def _number(expr: Expr) -> float | None:
    match expr:
        case Number():
            return expr.value
        case Paren():
            return _number(expr.expr)
        case Negation():
            inner = _number(expr.expr)
            return None if inner is None else -inner
        case _:
            return None


# -- the evidence


def details(one: ActiveAlert, now: datetime) -> list[Fact]:
    """Everything about one alert: where it stands, who is told and why, what it was judged from."""
    alert = one.alert
    value = against(alert, one.verdict)
    held = f"{value.value or 'no value'}{f', held against {value.line}' if value.line else ''}"
    facts: list[Fact] = [
        ("", one.aside),
        ("frozen", f"the state is kept, not measured: {alert.frozen}" if alert.frozen else ""),
        ("says", alert.summary),
        ("", alert.description),
        ("value", held),
        ("since", _since(alert, now)),
        ("labels", ", ".join(f"{name}={text}" for name, text in sorted((*alert.identity, *_rest(alert))))),
        *_told(one),
        ("runbook", alert.runbook or ""),
        *_judged_from(one),
        ("rule", f"{alert.rule_name} ({alert.rule_uid})" + (f", {one.verdict.rule.origin}" if one.verdict else "")),
        ("key", one.key),
    ]
    return [fact for fact in facts if fact[1]]


def _rest(alert: Alert) -> Iterable[tuple[str, str]]:
    known = {name for name, _ in alert.identity} | {"alertname", "severity", "service", "team"}
    return ((name, text) for name, text in alert.labels if name not in known)


def _since(alert: Alert, now: datetime) -> str:
    least = "at least " if alert.since_at_least else ""
    fired = f", firing for {ago(now - alert.fired_at)}" if alert.fired_at is not None else ""
    return f"{alert.since:%Y-%m-%d %H:%M:%S}Z, {least}{ago(now - alert.since)} ago{fired}"


def _told(one: ActiveAlert) -> list[Fact]:
    row = one.row
    if row is None:
        return [("told", one.to)] if one.to else []
    stands = f" (with {len(row.alert.members)} alerts as {row.alert.rule_name})" if row.alert.members else ""
    facts: list[Fact] = [("told", f"{one.to}: {'was told' if row.told else because(row)}{stands}")]
    facts.append(("not told", row.why_withheld))
    facts += [(f"silence {s.id}", f"{s} ({', '.join(map(str, s.matchers))})") for s in row.silences]
    if row.closed:
        facts.append(("closed", f"{row.closed:%H:%M:%S}Z by a person; it goes on"))
    if not row.alert.members:
        facts += [("passed over", f"{p.route.origin} {p.route.sink}: {p.words(row.labels)}") for p in row.choice.passed]
    return facts


def _judged_from(one: ActiveAlert) -> list[Fact]:
    verdict = one.verdict
    if verdict is None or not one.judged:
        return [("evidence" if n == 0 else "", line) for n, line in enumerate(one.alert.evidence[:_LINES])]
    evidence = verdict.evidence
    facts: list[Fact] = [(f"window {format_duration(w.window)}", _window(w)) for w in evidence.windows]
    if evidence.budget is not None:
        left, at = evidence.budget.remaining, evidence.budget.asked_at
        facts.append(("budget", f"{percent(left)} left" if left > 0 else f"overspent by {percent(-left)}"))
        facts[-1] = (facts[-1][0], f"{facts[-1][1]}, asked at {at:%H:%M:%S}Z")
    if evidence.budget_problem:
        facts.append(("budget", f"not known: {evidence.budget_problem}"))
    for asked in {(one.expression, one.at): one for one in evidence.asked}.values():
        facts += _asked(asked)
    facts += [("warning", text) for text in evidence.warnings]
    facts.append(("judged", f"at {evidence.at:%Y-%m-%d %H:%M:%S}Z: {verdict.headline}"))
    return facts


def _window(one: WindowEvidence) -> str:
    if one.bad is None or one.total is None:
        return "not measured"
    if one.ratio is None:
        return "no events"
    over = one.threshold is not None and one.ratio > one.threshold
    line = f", line {percent(one.threshold)}{': over' if over else ''}" if one.threshold is not None else ""
    return f"{percent(one.ratio)} bad ({events(one.bad)} of {events(one.total)}){line}"


def _number_words(value: float) -> str:
    """A whole number with its thousands apart, another one with six digits."""
    whole = math.isfinite(value) and value == int(value) and abs(value) < 1e15
    return f"{value:,.0f}" if whole else f"{value:.6g}"


def _asked(one: Asked) -> list[Fact]:
    if one.result == "failed":
        came = f"failed: {one.message or one.reason or 'no answer'}"
    elif one.result == "absent":
        came = "absent: no series"
    elif one.value is not None:
        came = _number_words(one.value)
    else:
        came = f"{one.elements} series"
    facts: list[Fact] = [("asked", one.expression), ("", f"→ {came}, {one.backend}")]
    for sample in one.samples[:_SERIES]:
        labels = ", ".join(f"{name}={text}" for name, text in sample.labels) or "{}"
        facts.append(("", f"  {labels}: {_number_words(sample.value)}"))
    if len(one.samples) > _SERIES:
        facts.append(("", f"  and {len(one.samples) - _SERIES} more"))
    facts += [("", f"! {text}") for text in one.warnings]
    return facts


def trend(one: ActiveAlert) -> tuple[float, ...]:
    """Values over time where the evidence has them: the first series of a look back; nothing else."""
    if one.verdict is None:
        return ()
    for asked in one.verdict.evidence.asked:
        for series in asked.series[:1]:
            return tuple(value for _, value in series.points)
    return ()
