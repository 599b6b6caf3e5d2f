"""One cycle's verdicts as rows, sorted worst first, and the conditions that decide the exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from opsctl.core.alerts import Alert, AlertState
from opsctl.core.frozen import dataclass
from opsctl.core.replay import BackendRecord, SentRecord
from opsctl.core.rules import Outcome, State, Verdict, state_of
from opsctl.core.slo import Severity
from opsctl.errors import ExitCode, worst
from opsctl.views.words import GLYPHS, WORST_FIRST, rule_name, state_words

if TYPE_CHECKING:
    from opsctl.engine import CycleReport


class Backend(Protocol):
    """How a backend did, as every table's foot shows it."""

    @property
    def name(self) -> str:
        """Its name for people."""
        ...

    @property
    def status(self) -> str:
        """Whether its answers came whole: ok, partial or failed."""
        ...

    @property
    def took_seconds(self) -> float:
        """How long the cycle was."""
        ...

    @property
    def queries(self) -> int:
        """How much it was asked."""
        ...


class Reported(Protocol):
    """What the foot of every table needs."""

    @property
    def at(self) -> datetime:
        """When the rules were evaluated."""
        ...

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """One for each rule."""
        ...

    @property
    def backends(self) -> Sequence[Backend]:
        """Who was asked."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """One check as every format shows it, live or judged again from evidence.

    `ended` and `last_success` are None where nothing ran now; `incidents` maps a rule's uid to its open incident.
    """

    at: datetime
    verdicts: tuple[Verdict, ...]
    stale: tuple[Alert, ...]
    backends: tuple[BackendRecord, ...]
    took_seconds: float
    context: str
    namespace: str
    held: frozenset[ExitCode]
    incidents: Mapping[str, str]
    problems: tuple[str, ...] = ()
    sent: SentRecord | None = None
    fail_on: str = "page"
    on_unknown: str = "fail"
    banner: str | None = None  # a page or a resolve that did not get through
    ended: datetime | None = None
    last_success: datetime | None = None

    @property
    def code(self) -> ExitCode:
        """What the process says."""
        return worst(self.held)

    @property
    def warned(self) -> bool:
        """Whether something is WARN: exit 1 of a Nagios plugin."""
        return any(state_of(verdict) is State.WARN for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Line:
    """One rule as a person reads it."""

    state: State
    words: str
    service: str
    rule: str
    severity: str
    since: datetime | None
    since_at_least: bool
    headline: str
    runbook: str | None  # the command that starts it


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """One service: the worst of its rules, and that rule's headline."""

    state: State
    words: str
    service: str
    headline: str
    rules: int


def lines(verdicts: Iterable[Verdict], incidents: Mapping[str, str] | None = None) -> list[Line]:
    """Rows of the verdicts, worst first; `incidents` maps a rule's uid to the handle of its open incident."""
    rows = [_line(verdict, (incidents or {}).get(verdict.rule.uid)) for verdict in verdicts]
    return sorted(rows, key=lambda row: (WORST_FIRST.index(row.state), row.severity != "page", row.service, row.rule))


def _line(verdict: Verdict, incident: str | None) -> Line:
    loudest = first_alert(verdict.alerts)
    severity = loudest.severity if loudest else verdict.rule.severity
    return Line(
        state=state_of(verdict),
        words=state_words(verdict),
        service=verdict.rule.service or "-",
        rule=rule_name(verdict),
        severity=severity.value,
        since=loudest.since if loudest else None,
        since_at_least=loudest.since_at_least if loudest else False,
        headline=verdict.headline,
        runbook=runbook_command(loudest, incident),
    )


def first_alert(alerts: Sequence[Alert]) -> Alert | None:
    """The alert to show for a rule: firing before pending, page before ticket, oldest first."""
    order = (Severity.PAGE, Severity.TICKET, Severity.SHOW)
    ranked = sorted(alerts, key=lambda a: (a.state is not AlertState.FIRING, order.index(a.severity), a.since))
    return ranked[0] if ranked else None


def runbook_command(alert: Alert | None, incident: str | None) -> str | None:
    """What to type to start the runbook of a firing alert."""
    if alert is None or alert.runbook is None or alert.state is not AlertState.FIRING:
        return None
    suffix = f" --incident '{incident}'" if incident else ""
    return f"opsctl runbook run {alert.runbook}{suffix}"


def service_lines(verdicts: Iterable[Verdict]) -> list[ServiceLine]:
    """A row for each service that has rules, worst first."""
    by_service: dict[str, list[Line]] = {}
    for row in lines(verdicts):
        by_service.setdefault(row.service, []).append(row)
    out = []
    for service, rows in by_service.items():
        worst = rows[0]
        holds = "1 rule holds" if len(rows) == 1 else f"{len(rows)} rules hold"
        headline = worst.headline if worst.state is not State.OK else holds
        words = worst.words if worst.state is not State.OK else f"{GLYPHS[State.OK]} {State.OK}"
        out.append(ServiceLine(worst.state, words, service, headline, len(rows)))
    return sorted(out, key=lambda row: (WORST_FIRST.index(row.state), row.service))


def counts(verdicts: Iterable[Verdict]) -> dict[State, int]:
    """How many rules are in each state, in the order FAIL, UNKNOWN, WARN, OK."""
    seen = Counter(state_of(verdict) for verdict in verdicts)
    return {state: seen[state] for state in WORST_FIRST}


def conditions(verdicts: Iterable[Verdict], *, auth_failed: bool, fail_on: str, on_unknown: str) -> frozenset[ExitCode]:
    """Every condition that held; `errors.worst` picks the exit code."""
    held = set()
    for verdict in verdicts:
        state = state_of(verdict)
        if state is State.FAIL or (verdict.outcome is Outcome.WARN and fail_on == "ticket"):
            held.add(ExitCode.FINDING)
        if state is State.UNKNOWN and on_unknown == "fail":
            held.add(ExitCode.UNKNOWN)
    if auth_failed:
        held.add(ExitCode.AUTH)
    return frozenset(held)


def usual_conditions(report: CycleReport) -> frozenset[ExitCode]:
    """The conditions of a cycle as cron sees them: a page is a finding, and what is unknown is no pass."""
    return conditions(report.verdicts, auth_failed=report.auth_failed, fail_on="page", on_unknown="fail")


def judged_as(result: Result, verdict: Verdict) -> ExitCode:
    """The exit code that one verdict alone would be: OK, FINDING or UNKNOWN."""
    held = conditions((verdict,), auth_failed=False, fail_on=result.fail_on, on_unknown=result.on_unknown)
    return worst(held)


def nagios_code(code: int, *, warned: bool) -> int:
    """An exit code as a monitoring plugin has it: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."""
    match code:
        case ExitCode.OK:
            return 1 if warned else 0
        case ExitCode.FINDING | ExitCode.ACTION:
            return 2
        case _:
            return 3
