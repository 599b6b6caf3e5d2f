"""Rule kinds, verdicts and their evidence; judging is in `judge.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, Union

from opsctl.core.alerts import Alert
from opsctl.core.frozen import dataclass
from opsctl.core.memory import Remembered
from opsctl.core.signals import Reason, Sample, Series, Signal
from opsctl.core.slo import Origin, Severity, Slo

GROUP = "group/"
"""The rule uid of a group of alerts begins so; no rule of a file may use it."""


@dataclass(frozen=True, slots=True)
class AlertingRule:
    """An alerting rule of a Prometheus rule file, exactly as Prometheus reads it."""

    name: str
    uid: str
    expr: str
    for_: timedelta
    keep_firing_for: timedelta
    labels: Mapping[str, str]  # templates, group labels merged in
    annotations: Mapping[str, str]  # templates
    group: str
    interval: timedelta
    limit: int
    query_offset: timedelta
    severity: Severity
    origin: Origin
    service: str = ""
    team: str = ""
    formerly: tuple[str, ...] = ()
    identity_labels: tuple[str, ...] | None = None  # None: all but `severity` and `opsctl_*`
    runbook: str | None = None
    metrics: tuple[str, ...] = ()  # the names its selectors read, but for those in absent(): without any it is blind
    recorded: Mapping[str, Origin] = field(default_factory=lambda: MappingProxyType({}))  # of them: not inlined
    signal: Signal = Signal.METRICS  # who answers its expression


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A recording rule; other loaded rules that read its name get its expression inlined."""

    record: str
    expr: str
    labels: Mapping[str, str]
    group: str
    interval: timedelta
    origin: Origin


Rule = Union[Slo, AlertingRule]


class Outcome(StrEnum):
    """The verdict table of one rule."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    NO_DATA = "no_data"
    UNKNOWN = "unknown"
    NO_EVENTS = "no_events"
    LOW_CONFIDENCE = "low_confidence"
    SUPPRESSED = "suppressed"


class State(StrEnum):
    """What a person reads; every outcome maps to one (`state_of`)."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Asked:
    """One expression as it was asked and what came: `value` for one number, else `elements` says how many."""

    expression: str
    at: datetime
    result: Literal["measured", "absent", "failed"]
    backend: str
    value: float | None = None
    elements: int = 0
    message: str | None = None
    warnings: tuple[str, ...] = ()
    reason: Reason | None = None  # of a failed one
    samples: tuple[Sample, ...] = ()  # an alerting rule's elements, or the series where one number was expected
    since: datetime | None = None  # a look back: asked for every `step` from here to `at`
    step: timedelta | None = None
    series: tuple[Series, ...] = ()  # what the look back gave


@dataclass(frozen=True, slots=True)
class WindowEvidence:
    """One burn window: raw counts (events; None where not measured), the ratio of bad ones and its burn rate."""

    window: timedelta
    bad: float | None
    total: float | None
    ratio: float | None  # bad / total, in [0, 1]
    burn: float | None  # ratio / (1 − target)
    threshold: float | None = None  # factor × (1 − target) of its row; None for the budget window
    lower_bound: float | None = None  # one-sided Clopper–Pearson bound of the ratio, long windows only


@dataclass(frozen=True, slots=True)
class BudgetEvidence:
    """The error budget over the SLO's whole period; `asked_at` gives its age."""

    asked_at: datetime
    bad: float
    total: float
    remaining: float  # 1 − (bad/total)/(1 − target); negative when overspent


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a verdict was made from; `digest` is sha256 over its canonical JSON without itself."""

    at: datetime
    asked: tuple[Asked, ...]
    windows: tuple[WindowEvidence, ...] = ()
    budget: BudgetEvidence | None = None
    warnings: tuple[str, ...] = ()
    digest: str = ""
    remembered: Remembered | None = None  # the state before, where the verdict leans on it
    had_data: bool = False  # an earlier run saw data of this rule
    budget_problem: str | None = None  # why the period's queries gave no budget


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's outcome now, why, and the alerts that follow from it.

    `fresh` is true when the rule was evaluated on whole answers: only then may alerts that it does not list resolve.
    `alerts` lists the pending and firing ones (kept ones included, marked frozen).
    """

    rule: Rule
    outcome: Outcome
    headline: str
    evidence: Evidence
    alerts: tuple[Alert, ...] = ()
    fresh: bool = True
    hides: Outcome | None = None  # for SUPPRESSED
    never_had_data: bool = False


def state_of(verdict: Verdict) -> State:
    """The word for people, as in the verdict table of docs/verdicts.md."""
    match verdict.outcome:
        case Outcome.PASS | Outcome.SUPPRESSED:
            return State.OK
        case Outcome.WARN | Outcome.LOW_CONFIDENCE:
            return State.WARN
        case Outcome.FAIL:
            return State.FAIL
        case Outcome.NO_EVENTS:
            passes = isinstance(verdict.rule, Slo) and verdict.rule.on_no_events == "pass"
            return State.OK if passes else State.UNKNOWN
        case Outcome.NO_DATA | Outcome.UNKNOWN:
            return State.UNKNOWN
