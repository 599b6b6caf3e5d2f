"""What a check leaves behind to be judged again, and the judging: the same verdicts from the evidence alone.

Pure. Must never ask anybody: a question that the evidence does not answer is a failed reading, never a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from opsctl.core.alerts import Alert
from opsctl.core.frozen import dataclass
from opsctl.core.judge import Judged, judge_slo
from opsctl.core.memory import BudgetAnswer
from opsctl.core.rules import AlertingRule, Asked, Evidence, Outcome, Rule, Verdict
from opsctl.core.signals import Absent, Failed, Matrix, Measured, Reading, Reason, Sample, Signal, Vector
from opsctl.core.slo import Slo

SAVED = "the evidence"


@dataclass(frozen=True, slots=True)
class BackendRecord:
    """How a backend did in the run; `error` is its first failure, one line."""

    name: str
    status: Literal["ok", "partial", "failed"]
    error: str | None = None
    took_seconds: float = 0.0
    queries: int = 0
    auth_failed: bool = False
    signal: Signal = Signal.METRICS


@dataclass(frozen=True, slots=True)
class SentRecord:
    """What became of the run's events to the pager."""

    accepted: int
    left: int
    dead: int
    never_delivered: int


@dataclass(frozen=True, slots=True)
class SavedVerdict:
    """A rule as it was judged, from what, and to which words; the rule is one of the two kinds."""

    outcome: Outcome
    headline: str
    fresh: bool
    evidence: Evidence
    slo: Slo | None = None
    alerting: AlertingRule | None = None
    alerts: tuple[Alert, ...] = ()
    hides: Outcome | None = None
    never_had_data: bool = False

    @property
    def rule(self) -> Rule | None:
        """The rule; None where the file has neither kind or both."""
        return (self.slo or self.alerting) if (self.slo is None) != (self.alerting is None) else None


@dataclass(frozen=True, slots=True)
class Saved:
    """One check: what `--evidence` writes and `--replay` reads. `conditions` are names of exit codes that held."""

    at: datetime
    context: str
    namespace: str
    fail_on: Literal["page", "ticket"]
    on_unknown: Literal["fail", "warn", "ignore"]
    exit_code: int
    conditions: tuple[str, ...]
    verdicts: tuple[SavedVerdict, ...]
    backends: tuple[BackendRecord, ...]
    took_seconds: float = 0.0
    stale: tuple[Alert, ...] = ()
    incidents: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    sent: SentRecord | None = None
    problems: tuple[str, ...] = ()
    banner: str | None = None  # a page or a resolve that did not get through
    version: str = ""


def saved_verdict(verdict: Verdict) -> SavedVerdict:
    """A verdict as it is saved."""
    rule = verdict.rule
    return SavedVerdict(
        verdict.outcome,
        verdict.headline,
        verdict.fresh,
        verdict.evidence,
        rule if isinstance(rule, Slo) else None,
        rule if isinstance(rule, AlertingRule) else None,
        verdict.alerts,
        verdict.hides,
        verdict.never_had_data,
    )


def same(saved: SavedVerdict, verdict: Verdict) -> bool:
    """Whether a verdict is the one that was saved: in outcome and words, its alerts and all that it leans on."""
    return _marks(saved) == _marks(saved_verdict(verdict))


def _marks(one: SavedVerdict) -> tuple[object, ...]:
    alerts = msgspec.json.encode(one.alerts)  # where NaN equals NaN
    return (one.outcome, one.headline, one.fresh, one.hides, one.never_had_data, one.evidence.digest, alerts)


def judge_again(rule: Rule, evidence: Evidence) -> Judged:
    """Judge a rule from the evidence of its verdict."""
    answers = _Answers({asked.expression: _instant(asked) for asked in reversed(evidence.asked) if asked.since is None})
    ask = _Past({(a.expression, a.since, a.at, a.step): _past(a) for a in evidence.asked if a.since is not None})
    was, had_data = evidence.remembered, evidence.had_data
    if isinstance(rule, Slo):
        return judge_slo(rule, evidence.at, answers, ask, budget=_budget(evidence), was=was, had_data=had_data)
    from opsctl.core.judge_rule import judge_alerting

    reading = answers[rule.expr]
    return judge_alerting(rule, evidence.at, reading, ask, presence=answers, was=was, had_data=had_data)


def _budget(evidence: Evidence) -> BudgetAnswer | None:
    if evidence.budget is not None:
        return BudgetAnswer(evidence.budget.asked_at, evidence.budget.bad, evidence.budget.total)
    if evidence.budget_problem is not None:
        return BudgetAnswer(evidence.at, problem=evidence.budget_problem)
    return None


def _instant(asked: Asked) -> Reading[Vector]:
    if asked.result == "absent":
        return Absent(asked.backend, notes=asked.warnings)
    if asked.result == "failed":
        partial = Vector(asked.samples) if asked.samples else None
        return Failed(
            asked.reason or Reason.MALFORMED, asked.message or "", asked.backend, partial, warnings=asked.warnings
        )
    found = asked.samples or (() if asked.value is None else (Sample((), asked.value),))
    return Measured(Vector(found), asked.backend, notes=asked.warnings)


def _past(asked: Asked) -> Reading[Matrix]:
    if asked.result == "absent":
        return Absent(asked.backend, notes=asked.warnings)
    if asked.result == "failed":
        return Failed(asked.reason or Reason.MALFORMED, asked.message or "", asked.backend, warnings=asked.warnings)
    return Measured(Matrix(asked.series), asked.backend, notes=asked.warnings)


def _unanswered() -> Failed[Any]:
    return Failed(Reason.UNSUPPORTED, "was not asked in the run that saved it", SAVED)


class _Answers(Mapping[str, Reading[Vector]]):
    """Saved answers by question; what was not asked is failed, not absent."""

    def __init__(self, found: Mapping[str, Reading[Vector]]) -> None:
        self._found = found

    def __getitem__(self, query: str) -> Reading[Vector]:
        return self._found.get(query) or _unanswered()

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def get(self, query: str, default: Any = None) -> Any:
        """As of any mapping: whether a metric is there was not always asked, and need not have been."""
        return self._found.get(query, default)


class _Past:
    """Saved look backs by question."""

    def __init__(self, found: Mapping[tuple[str, datetime, datetime, timedelta | None], Reading[Matrix]]) -> None:
        self._found = found

    def __call__(self, query: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
        """What came then."""
        return self._found.get((query, start, end, step)) or _unanswered()
