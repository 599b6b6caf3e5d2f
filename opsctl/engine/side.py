"""One signal's part of a cycle: every distinct question to its backend once, then the verdicts of its rules.

Must never write, page or read a clock of its own; what the backend does costs the readings of these rules only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from opsctl.core.budget import budget_answer
from opsctl.core.frozen import dataclass
from opsctl.core.judge import Judged, judge_slo
from opsctl.core.look_back import Ask
from opsctl.core.memory import BudgetAnswer, Memory
from opsctl.core.rules import AlertingRule, Rule
from opsctl.core.signals import Absent, Reading, Signal, Vector
from opsctl.core.slo import Slo
from opsctl.core.windows import grid_point
from opsctl.engine.asking import Asker, gather
from opsctl.engine.batches import HEAVY, Question, answered

BUDGET_EVERY = timedelta(minutes=15)
BUDGET_KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Found:
    """What a signal's part came to; the verdicts are in the order of its rules."""

    judged: Sequence[Judged]
    budgets: Mapping[str, BudgetAnswer]
    took_seconds: float


@dataclass(frozen=True, slots=True)
class Side:
    """The rules of one signal and who answers them; `at` has the signal's offset already taken off."""

    signal: Signal
    rules: tuple[Rule, ...]
    at: datetime
    memory: Memory
    asker: Asker
    budgets_until: float  # on the monotonic clock: what is left of the cycle then is for looking back

    def run(self) -> Found:
        """Ask and judge."""
        asker = self.asker
        begun = asker.monotonic()
        answers = answered(asker, self.questions(), asker.deadline, hang_up=True)
        present = answered(asker, self.presence(answers), asker.deadline, hang_up=True)
        budgets = self.budgets(self.budgets_until)
        judged = self.judge(answers, present, budgets)
        return Found(judged, budgets, asker.monotonic() - begun)

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
        found = answered(self.asker, list(questions), deadline, hang_up=False, most_members=HEAVY)
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
        """Every rule's verdict, each with its own look back where it needs one."""
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


def late(side: Side, took_seconds: float) -> Found:
    """A signal's part whose backend did not let go of its thread: judged without it, as not answered in time."""
    stuck = side.asker
    stuck.late()
    stuck.source.close()
    asker = Asker(stuck.source, stuck.request_seconds, stuck.monotonic)
    asker.deadline = float("-inf")
    found = replace(side, asker=asker, budgets_until=asker.deadline).run()
    return replace(found, took_seconds=took_seconds)


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
