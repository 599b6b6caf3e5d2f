"""The verdict of one rule from its readings: SLOs here, Prometheus rules in `judge_rule.py`.

Pure. Must never say PASS where an answer is missing, partial or nonsense, and never resolve on one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from opsctl.core.budget import budget_evidence
from opsctl.core.burn import (
    Values,
    patience,
    row_steps,
    severities,
    shortest,
    slo_step,
    window_evidence,
)
from opsctl.core.evidence import asked, fingerprint, sealed
from opsctl.core.frozen import dataclass
from opsctl.core.look_back import Ask, Recorder, SloHistory, began_before, carried, never_seen, seeded, slo_history
from opsctl.core.machine import Presence, SloState, SloStep, Step, advance_slo
from opsctl.core.measure import Counted, NoData, NoEvents, number, window_value
from opsctl.core.memory import BudgetAnswer, Remembered
from opsctl.core.rules import Asked, Evidence, Outcome, Verdict
from opsctl.core.signals import Reading, Vector
from opsctl.core.slo import Severity, Slo
from opsctl.core.slo_alerts import SloNow, blind, elements, listed, problem_of, unanswered
from opsctl.core.windows import MINUTE, format_duration
from opsctl.core.wording import (
    budget_words,
    burn_words,
    clock,
    lasted,
    over_row,
    percent,
    row_words,
    window_words,
)

Answers = Mapping[str, Reading[Vector]]
"""Instant answers by query text."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and what to remember of it; `frozen` is one line where answers were not whole."""

    verdict: Verdict
    remembered: Remembered
    had_data: bool = True
    frozen: str | None = None


def judge_slo(
    slo: Slo,
    at: datetime,
    answers: Answers,
    ask: Ask,
    *,
    budget: BudgetAnswer | None = None,
    was: Remembered | None = None,
    had_data: bool = False,
) -> Judged:
    """Judge an SLO; `ask` is used only where the state does not follow from this step and the one before."""
    values = _values(slo, answers)
    rows = row_steps(slo, values)
    step = slo_step(slo, rows, values)
    recorder = Recorder(ask)
    never, history = _before(slo, at, values, step, recorder, was, had_data)
    state = advance_slo(history.state, step, at, patience(slo))
    if history.problem is not None:
        state = began_before(state, at)
    now = SloNow(slo, at, values, rows, step, state, never, budget, was, history.problem)
    alerts = elements(now)
    frozen = unanswered(now)
    fresh = frozen is None and not blind(now)
    leans = was if any(outcome is not Step.UNDER for outcome in step.burn.values()) else None
    questions = (*_asked(slo, at, answers), *recorder.asked)
    evidence = sealed(
        Evidence(
            at,
            questions,
            window_evidence(slo, rows),
            budget_evidence(slo, budget),
            tuple(dict.fromkeys(line for question in questions for line in question.warnings)),
            remembered=leans,
            had_data=had_data,
            budget_problem=budget.problem if budget is not None else None,
        )
    )
    outcome, headline = _outcome(now)
    verdict = Verdict(slo, outcome, headline, evidence, listed(alerts), fresh, never_had_data=never)
    exact = frozen is None
    seen = had_data or any(isinstance(value, Counted | NoEvents) for value in values.values())
    remembered = Remembered(at, fingerprint(slo), exact, alerts, never, unsettled=blind(now))
    return Judged(verdict, remembered, seen, frozen)


def _values(slo: Slo, answers: Answers) -> Values:
    out = {}
    for window in slo.burn.windows():
        query = slo.queries[window]
        part, total = number(answers[query.part]), number(answers[query.total])
        out[window] = window_value(part, total, slo.part, slo.missing_part)
    return out


def _before(
    slo: Slo, at: datetime, values: Values, step: SloStep, ask: Ask, was: Remembered | None, had_data: bool
) -> tuple[bool, SloHistory]:
    """Whether the rule never had data, and its state at the step before."""
    needed = frozenset(severity for severity, outcome in step.burn.items() if outcome is not Step.UNDER)
    if not needed:
        return False, SloHistory(SloState())
    if was is not None and carried(was, fingerprint(slo), at, MINUTE):
        missing = step.presence is Presence.MISSING
        return was.never_had_data and missing, SloHistory(seeded(was))
    problem = problem_of(values)
    if problem is not None and step.presence is Presence.UNKNOWN:
        # The backend does not answer for this rule now: asking it for a day of history would not help it.
        return False, SloHistory(seeded(was), problem)
    if step.presence is Presence.MISSING and not had_data and not (was is not None and was.alerts):
        never = never_seen(_missing_query(slo, values), at, ask)
        if never is True:
            return True, SloHistory(SloState())
        if isinstance(never, str):
            return False, SloHistory(SloState(), never)
    wide = step.presence is not Presence.COUNTED
    return False, slo_history(slo, at, severities(slo) if wide else needed, wide, ask, was)


def _missing_query(slo: Slo, values: Values) -> str:
    value = values[shortest(slo)]
    query = slo.queries[shortest(slo)]
    return query.total if isinstance(value, NoData) and value.missing == "total" else query.part


# The verdict table


def _outcome(now: SloNow) -> tuple[Outcome, str]:
    """The first row of the verdict table that holds, and its line."""
    slo = now.slo
    if now.step.burn.get(Severity.PAGE) is Step.OVER:
        row = over_row(now.rows, Severity.PAGE)
        assert row is not None
        return Outcome.FAIL, burn_words(slo, row)
    kept = _kept(now)
    for decide in (_not_answered, _no_data, _no_events, _no_budget):
        found = decide(now)
        if found is not None:
            outcome, line = found
            if kept and outcome is Outcome.NO_EVENTS:
                outcome = Outcome.UNKNOWN
            return outcome, line + kept
    return _measured(now)


def _kept(now: SloNow) -> str:
    burning = [
        f"{severity.value} alert firing since {clock(s.at, now.at)}" for severity, s in now.state.burning.items()
    ]
    return f"; kept: {', '.join(burning)}" if burning else ""


def _not_answered(now: SloNow) -> tuple[Outcome, str] | None:
    problem = unanswered(now)
    return (Outcome.UNKNOWN, problem) if problem is not None else None


def _no_budget(now: SloNow) -> tuple[Outcome, str] | None:
    problem = now.budget.problem if now.budget is not None else None
    return (Outcome.UNKNOWN, problem) if problem is not None else None


def _no_data(now: SloNow) -> tuple[Outcome, str] | None:
    gone = next((w for w in now.values if isinstance(now.values[w], NoData)), None)
    if gone is None:
        return None
    slo = now.slo
    words = window_words(gone, now.values[gone])
    if now.never:
        return Outcome.UNKNOWN, f"never had data: {words}; nothing in the last 24h either"
    since = now.state.missing
    if since is None:
        return Outcome.NO_DATA, words
    words += f", since {clock(since.at, now.at)} ({lasted(now.at - since.at)})"
    due = since.at + patience(slo)
    if now.state.missing_fired is None and slo.on_no_data is not Severity.SHOW:
        words += f"; {slo.on_no_data.value}s at {clock(due, now.at)}"
    return Outcome.NO_DATA, words


def _no_events(now: SloNow) -> tuple[Outcome, str] | None:
    for row in now.rows:
        if isinstance(row.long, NoEvents):
            return Outcome.NO_EVENTS, f"no events in the last {format_duration(row.row.long)}"
    for row in now.rows:
        if row.step is Step.UNKNOWN:
            return Outcome.UNKNOWN, f"no events lately, and before that over the line ({row_words(row)})"
    return None


def _measured(now: SloNow) -> tuple[Outcome, str]:
    slo = now.slo
    row = over_row(now.rows)
    if row is not None:
        return Outcome.WARN, burn_words(slo, row)
    budget = budget_evidence(slo, now.budget)
    left = f"; {budget_words(slo, budget, now.at)}" if budget is not None else ""
    longest = now.rows[0]
    if budget is not None and budget.remaining <= 0:
        return Outcome.WARN, f"{left[2:]}, but it does not burn now ({row_words(longest)})"
    doubtful = next((row for row in now.rows if row.doubtful), None)
    if doubtful is not None:
        line = f"the line is {percent(doubtful.threshold)}"
        return Outcome.LOW_CONFIDENCE, f"over the line on too few events to be sure ({row_words(doubtful)}; {line})"
    return Outcome.PASS, f"{window_words(longest.row.long, longest.long)}{left}"


# Evidence


def _asked(slo: Slo, at: datetime, answers: Answers) -> tuple[Asked, ...]:
    out = []
    for window in slo.burn.windows():
        query = slo.queries[window]
        out.append(asked(query.part, at, answers[query.part]))
        out.append(asked(query.total, at, answers[query.total]))
    return tuple(out)
