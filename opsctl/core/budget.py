"""The error budget over an SLO's whole period: event-weighted, Σ bad / Σ total, never a mean of ratios.

Pure. Must never show a budget without its age.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from opsctl.core.measure import Counted, NoEvents, Unanswered, number, window_value
from opsctl.core.memory import BudgetAnswer
from opsctl.core.rules import BudgetEvidence
from opsctl.core.signals import Reading, Reason, Vector
from opsctl.core.slo import Slo
from opsctl.core.wording import window_words

_HEAVY = frozenset({Reason.DEADLINE, Reason.TOO_LARGE, Reason.OVERLOADED})


def budget_evidence(slo: Slo, budget: BudgetAnswer | None) -> BudgetEvidence | None:
    """What is left of the budget, where it was measured."""
    if budget is None or budget.bad is None or not budget.total:
        return None
    remaining = 1.0 - (budget.bad / budget.total) / slo.budget
    return BudgetEvidence(budget.asked_at, budget.bad, budget.total, remaining)


def budget_answer(slo: Slo, at: datetime, answers: Mapping[str, Reading[Vector]]) -> BudgetAnswer:
    """The whole period's two answers as a budget, or why they are none."""
    query = slo.queries[slo.period]
    part, total = number(answers[query.part]), number(answers[query.total])
    value = window_value(part, total, slo.part, slo.missing_part)
    if isinstance(value, Counted):
        return BudgetAnswer(at, value.bad, value.total)
    if isinstance(value, NoEvents):
        return BudgetAnswer(at, 0.0, 0.0)
    heavy = isinstance(value, Unanswered) and value.reason in _HEAVY
    return BudgetAnswer(at, problem=f"budget: {window_words(slo.period, value)}", heavy=heavy)
