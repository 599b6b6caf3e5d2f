"""One evaluation of all rules: every distinct question once, then verdicts, then what to remember.

Must never write, page or read a clock of its own; a backend that fails costs its own readings, never the cycle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

from opsctl.core.alerts import Alert
from opsctl.core.budget import budget_answer
from opsctl.core.frozen import dataclass
from opsctl.core.judge import Judged, judge_slo
from opsctl.core.look_back import Ask
from opsctl.core.memory import BudgetAnswer, Memory, Remembered
from opsctl.core.rules import AlertingRule, Rule, Verdict
from opsctl.core.signals import Absent, Reading, Reason, Vector
from opsctl.core.slo import Slo
from opsctl.core.windows import grid_point
from opsctl.engine.asking import Asker, gather
from opsctl.engine.facts import facts_of
from opsctl.engine.stale import BACKEND_UID, RULE_UID, Frozen, kept, stale_alerts
from opsctl.ports import Fact, MetricsSource

BUDGET_EVERY = timedelta(minutes=15)
BUDGET_KEPT = timedelta(hours=24)
STALE_STATE = "opsctl-stale"
_BUDGET_SHARE = 0.6  # of the cycle's time: what is left is for looking back

Question = tuple[str, datetime]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take; the defaults are the settings' own."""

    request: timedelta = timedelta(seconds=10)
    cycle: timedelta = timedelta(seconds=30)
    stale_after: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class BackendReport:
    """How a backend did in this cycle; `error` is its first failure, one line."""

    name: str
    status: Literal["ok", "partial", "failed"]
    error: str | None
    took_seconds: float
    queries: int
    auth_failed: bool = False


@dataclass(frozen=True, slots=True)
class CycleReport:
    """What one cycle found, and what it wants remembered: `facts` for a journal, `memory` for a loop without one.

    `fresh` are the uids whose unlisted alerts may resolve; opsctl's own stale alerts have uids of their own in it.
    """

    at: datetime
    verdicts: tuple[Verdict, ...]
    stale: tuple[Alert, ...]
    fresh: frozenset[str]
    backends: tuple[BackendReport, ...]
    memory: Memory
    facts: tuple[Fact, ...]
    took_seconds: float

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Every pending and firing alert, opsctl's own included."""
        return (*(alert for verdict in self.verdicts for alert in verdict.alerts), *self.stale)

    @property
    def auth_failed(self) -> bool:
        """Whether a backend said 401 or 403: exit 4."""
        return any(backend.auth_failed for backend in self.backends)


def run_cycle(
    rules: Sequence[Rule],
    source: MetricsSource,
    at: datetime,
    memory: Memory | None = None,
    *,
    limits: Limits | None = None,
    loaded: frozenset[str] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> CycleReport:
    """Evaluate the rules at `at`, a grid point with the backend's offset already taken off.

    `loaded` are the uids of every loaded rule, where this run has only some of them.
    """
    begun = monotonic()
    limits, memory = limits or Limits(), memory or Memory()
    asker = Asker(source, limits.request.total_seconds(), monotonic)
    asker.deadline = begun + limits.cycle.total_seconds()
    work = _Work(tuple(rules), at, memory, asker)
    answers = work.ask(work.questions(), asker.deadline, hang_up=True)
    present = work.ask(work.presence(answers), asker.deadline, hang_up=True)
    budgets = work.budgets(begun + limits.cycle.total_seconds() * _BUDGET_SHARE)
    judged = work.judge(answers, present, budgets)
    stale = _stale(work, judged, limits, loaded)
    return _report(work, judged, budgets, stale, monotonic() - begun)


@dataclass(frozen=True, slots=True)
class _Work:
    rules: tuple[Rule, ...]
    at: datetime
    memory: Memory
    asker: Asker

    def questions(self) -> list[Question]:
        """Every distinct instant question about now, page windows of all SLOs before anything longer."""
        seen: dict[Question, None] = {}
        for rule in self.rules:
            if isinstance(rule, AlertingRule):
                seen[rule.expr, _when(rule, self.at)] = None
                continue
            for window in rule.burn.windows():
                query = rule.queries[window]
                seen[query.part, self.at] = None
                seen[query.total, self.at] = None
        return list(seen)

    def presence(self, answers: Mapping[Question, Reading[Vector]]) -> list[Question]:
        """Whether the metrics of alerting rules without an element are there, each asked once."""
        alerting = [(rule, _when(rule, self.at)) for rule in self.rules if isinstance(rule, AlertingRule)]
        empty = [(rule, when) for rule, when in alerting if isinstance(answers[rule.expr, when], Absent)]
        if not empty:
            return []
        from opsctl.core.presence import presence_query

        return list(dict.fromkeys((presence_query(name), when) for rule, when in empty for name in rule.metrics))

    def ask(self, questions: Sequence[Question], deadline: float, *, hang_up: bool) -> dict[Question, Reading[Vector]]:
        asker = self.asker
        readings = gather(
            [partial(asker.instant, text, at) for text, at in questions],
            lambda _: asker.late(),
            workers=asker.source.concurrency,
            deadline=deadline,
            monotonic=asker.monotonic,
            hang_up=asker.source.close if hang_up else None,
        )
        return dict(zip(questions, readings, strict=True))

    def budgets(self, deadline: float) -> dict[str, BudgetAnswer]:
        """Each SLO's budget: the remembered answer while it is young, else asked now."""
        out, due = {}, []
        for rule in self.rules:
            if not isinstance(rule, Slo):
                continue
            old = self.memory.budgets.get(rule.uid)
            if old is not None and _young(old, self.at):
                out[rule.uid] = old
            else:
                due.append(rule)
        questions = dict.fromkeys(
            (text, self.at) for slo in due for text in (slo.queries[slo.period].part, slo.queries[slo.period].total)
        )
        found = self.ask(list(questions), deadline, hang_up=False)
        answers = {text: reading for (text, _), reading in found.items()}
        for slo in due:
            out[slo.uid] = _budget(budget_answer(slo, self.at, answers), self.memory.budgets.get(slo.uid), self.at)
        return out

    def judge(
        self,
        answers: Mapping[Question, Reading[Vector]],
        present: Mapping[Question, Reading[Vector]],
        budgets: Mapping[str, BudgetAnswer],
    ) -> list[Judged]:
        asker = self.asker

        by_text = {text: reading for (text, at), reading in answers.items() if at == self.at}

        there: dict[datetime, dict[str, Reading[Vector]]] = {}
        for (text, when), reading in present.items():
            there.setdefault(when, {})[text] = reading

        def one(rule: Rule, ask: Ask) -> Judged:
            was = self.memory.rules.get(rule.uid)
            had_data = rule.uid in self.memory.had_data
            if isinstance(rule, AlertingRule):
                from opsctl.core.judge_rule import judge_alerting

                when = _when(rule, self.at)
                step, reading = _step(rule, self.at), answers[rule.expr, when]
                return judge_alerting(rule, step, reading, ask, presence=there.get(when), was=was, had_data=had_data)
            return judge_slo(rule, self.at, by_text, ask, budget=budgets.get(rule.uid), was=was, had_data=had_data)

        return gather(
            [partial(one, rule, asker.range) for rule in self.rules],
            lambda i: one(self.rules[i], asker.late_range),
            workers=asker.source.concurrency,
            deadline=asker.deadline,
            monotonic=asker.monotonic,
            hang_up=asker.source.close,
        )


def _step(rule: AlertingRule, at: datetime) -> datetime:
    """The last step of the rule's own grid; a group faster than the cycle is evaluated once in it."""
    return grid_point(at, rule.interval)


def _when(rule: AlertingRule, at: datetime) -> datetime:
    """The time that the rule's expression is asked for."""
    return _step(rule, at) - rule.query_offset


def _young(old: BudgetAnswer, at: datetime) -> bool:
    if old.asked_at > at:
        return False
    if old.retry_at is not None:
        return at < old.retry_at
    return old.problem is None and at - old.asked_at < BUDGET_EVERY


def _budget(new: BudgetAnswer, old: BudgetAnswer | None, at: datetime) -> BudgetAnswer:
    """The new answer; where it is none, an old one that still says something, and when to ask again."""
    if new.problem is None:
        return new
    retry_at = at + BUDGET_EVERY if new.heavy else None
    if old is not None and old.problem is None and timedelta(0) <= at - old.asked_at < BUDGET_KEPT:
        return replace(old, retry_at=retry_at or at)
    return replace(new, retry_at=retry_at)


@dataclass(frozen=True, slots=True)
class _Stale:
    alerts: tuple[Alert, ...]
    since: Mapping[str, datetime]


def _stale(work: _Work, judged: Sequence[Judged], limits: Limits, loaded: frozenset[str] | None) -> _Stale:
    name = work.asker.source.name
    frozen = [Frozen(one.verdict.rule, one.frozen) for one in judged if one.frozen is not None]
    since = _frozen_since(work, frozen)
    alerts = stale_alerts(name, frozen, since, work.at, limits.stale_after)
    asked = frozenset(rule.uid for rule in work.rules)
    return _Stale((*alerts, *kept(work.memory.rules.get(STALE_STATE), asked, loaded)), since)


def _report(
    work: _Work, judged: Sequence[Judged], budgets: Mapping[str, BudgetAnswer], stale: _Stale, took: float
) -> CycleReport:
    at, before = work.at, work.memory
    states = {one.verdict.rule.uid: one.remembered for one in judged}
    memory = Memory(
        rules={**before.rules, **states, STALE_STATE: Remembered(at, "", exact=True, alerts=stale.alerts)},
        budgets={**before.budgets, **budgets},
        frozen_since=stale.since,
        had_data=before.had_data | {one.verdict.rule.uid for one in judged if one.had_data},
    )
    fresh = {one.verdict.rule.uid for one in judged if one.verdict.fresh} | {BACKEND_UID, RULE_UID}
    return CycleReport(
        at=at,
        verdicts=tuple(one.verdict for one in judged),
        stale=stale.alerts,
        fresh=frozenset(fresh),
        backends=(_backend(work.asker, took),),
        memory=memory,
        facts=facts_of(before, memory, at),
        took_seconds=took,
    )


def _frozen_since(work: _Work, frozen: Sequence[Frozen]) -> dict[str, datetime]:
    """Since when: kept for what was not asked, dropped for what answered, begun now for what just froze."""
    before, at = work.memory.frozen_since, work.at
    asked = {f"rule:{rule.uid}" for rule in work.rules}
    backend = f"backend:{work.asker.source.name}"
    if work.asker.whole or work.asker.first_failure or work.asker.partial:
        asked.add(backend)
    now = [f"rule:{one.rule.uid}" for one in frozen]
    if not work.asker.whole and (work.asker.first_failure or work.asker.partial):
        now.append(backend)
    out = {key: since for key, since in before.items() if key not in asked}
    out.update((key, before.get(key, at)) for key in now)
    return out


def _backend(asker: Asker, took: float) -> BackendReport:
    failure = asker.first_failure or asker.partial
    auth = failure is not None and failure.reason is Reason.AUTH
    error = failure.message if failure is not None else None
    return BackendReport(asker.source.name, asker.status(), error, took, asker.questions, auth)
