"""The alerts of an SLO at one step, and what they say; the verdict is `judge.py`'s.

Pure. Must never list one key twice: burning hides missing data of the same severity.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from opsctl.core.alerts import Alert, AlertState, Cause
from opsctl.core.budget import budget_evidence
from opsctl.core.burn import RowStep, Values, shortest, window_evidence
from opsctl.core.frozen import dataclass
from opsctl.core.machine import Presence, SloState, SloStep, Step
from opsctl.core.measure import Counted, Unanswered, Unclear
from opsctl.core.memory import BudgetAnswer, Remembered
from opsctl.core.slo import Severity, Slo
from opsctl.core.windows import format_duration
from opsctl.core.wording import (
    budget_words,
    burn_words,
    clock,
    lasted,
    over_row,
    percent,
    row_line,
    window_words,
)


@dataclass(frozen=True, slots=True)
class SloNow:
    """Everything known of an SLO at this step, before it is put into words."""

    slo: Slo
    at: datetime
    values: Values
    rows: tuple[RowStep, ...]
    step: SloStep
    state: SloState
    never: bool
    budget: BudgetAnswer | None
    was: Remembered | None
    problem: str | None  # why a state could not be computed


def problem_of(values: Values) -> str | None:
    """The first window that was not answered, or whose answer is nonsense."""
    for window, value in values.items():
        if isinstance(value, Unanswered | Unclear):
            return window_words(window, value)
    return None


def unanswered(now: SloNow) -> str | None:
    """Why the answers do not allow a state, one line: what `stale_after` counts."""
    return problem_of(now.values) or (now.problem if blind(now) else None)


def blind(now: SloNow) -> bool:
    """Whether some alert's state could not be measured at this step."""
    return any(outcome is Step.UNKNOWN for outcome in now.step.burn.values())


def elements(now: SloNow) -> tuple[Alert, ...]:
    """Every active alert, also missing data behind a burn alert of the same key: what is to be remembered."""
    if now.never:
        return ()
    alerts = [_burn_alert(now, severity) for severity in now.state.burning]
    missing = _missing_alert(now)
    if missing is not None:
        alerts.append(missing)
    order = list(Severity)
    return tuple(sorted(alerts, key=lambda alert: order.index(alert.severity)))


def listed(alerts: tuple[Alert, ...]) -> tuple[Alert, ...]:
    """One alert a key: burning hides missing data."""
    burning = {alert.severity for alert in alerts if alert.cause is Cause.BURN}
    return tuple(alert for alert in alerts if alert.cause is Cause.BURN or alert.severity not in burning)


def _alert(now: SloNow, severity: Severity, cause: Cause, since: datetime, summary: str) -> Alert:
    slo = now.slo
    labels = {"alertname": slo.alert_name, "service": slo.service, "severity": severity.value, "slo": slo.name}
    return Alert(
        rule_uid=slo.uid,
        rule_name=slo.alert_name,
        service=slo.service,
        team=slo.team,
        severity=severity,
        identity=slo.identity,
        labels=tuple(sorted({**dict(slo.identity), **labels}.items())),
        state=AlertState.FIRING,
        cause=cause,
        since=since,
        summary=summary,
        fired_at=since,
        description=slo.description,
        runbook=slo.runbook,
    )


def _burn_alert(now: SloNow, severity: Severity) -> Alert:
    since = now.state.burning[severity]
    row = over_row(now.rows, severity)
    frozen = None if row is not None else _why_unknown(now)
    summary, value, details = _burn_summary(now, severity, row, frozen)
    alert = _alert(now, severity, Cause.BURN, since.at, summary)
    return replace(alert, since_at_least=since.at_least, frozen=frozen, value=value, evidence=details)


def _burn_summary(
    now: SloNow, severity: Severity, row: RowStep | None, frozen: str | None
) -> tuple[str, float | None, tuple[str, ...]]:
    slo = now.slo
    if row is not None:
        value = row.long.ratio / slo.budget if isinstance(row.long, Counted) else None
        return f"{slo.name} {burn_words(slo, row)}", value, _details(now)
    last = _remembered(now.was, severity, Cause.BURN)
    said = last.summary.split(" | ")[0] if last is not None else f"{slo.name} burned its budget when last measured"
    details = last.evidence if last is not None and not last.frozen else _details(now)
    return f"{said} | kept: {frozen}", last.value if last is not None else None, details


def _remembered(was: Remembered | None, severity: Severity, cause: Cause) -> Alert | None:
    alerts = was.alerts if was is not None else ()
    return next((alert for alert in alerts if alert.severity is severity and alert.cause is cause), None)


def _details(now: SloNow) -> tuple[str, ...]:
    slo = now.slo
    lines = [f"target {percent(slo.target)} over {format_duration(slo.period)}"]
    evidence = window_evidence(slo, now.rows)
    lines += [row_line(slo, row, evidence[2 * i].lower_bound) for i, row in enumerate(now.rows)]
    if (budget := budget_evidence(slo, now.budget)) is not None:
        lines.append(budget_words(slo, budget, now.at))
    query = slo.queries[shortest(slo)]
    lines += [f"{slo.part} events: {query.part}", f"all events: {query.total}"]
    return tuple(lines)


def _why_unknown(now: SloNow) -> str:
    problem = unanswered(now)
    if problem is not None:
        return problem
    if now.state.missing is not None:
        return f"no data since {clock(now.state.missing.at, now.at)}"
    if now.step.presence is Presence.SILENT:
        return f"no events in the last {format_duration(shortest(now.slo))}"
    return "not every window has data"


def _missing_alert(now: SloNow) -> Alert | None:
    since = now.state.missing
    if since is None:
        return None
    slo = now.slo
    at_least = "at least " if since.at_least else ""
    summary = (
        f"{slo.name} has no data since {clock(since.at, now.at)} ({at_least}{lasted(now.at - since.at)}): "
        "nobody can say whether it is healthy"
    )
    alert = _alert(now, slo.on_no_data, Cause.NO_DATA, since.at, summary)
    firing = now.state.missing_fired is not None
    state = AlertState.FIRING if firing else AlertState.PENDING
    frozen = _why_unknown(now) if now.step.presence is not Presence.MISSING else None
    return replace(
        alert,
        state=state,
        fired_at=now.state.missing_fired,
        since_at_least=since.at_least,
        frozen=frozen,
        evidence=_details(now),
        runbook=slo.runbook_no_data or slo.runbook,
    )
