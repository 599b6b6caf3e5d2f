"""One evaluation of all rules: every signal's backend is asked side by side, then it is said what to remember.

Must never write, page or read a clock of its own; a backend that fails costs its own readings, never the cycle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Union

from opsctl.core.alerts import Alert
from opsctl.core.frozen import dataclass
from opsctl.core.judge import Judged
from opsctl.core.memory import Memory, Remembered
from opsctl.core.rules import Rule, Verdict
from opsctl.core.signals import Failed, Reason, Signal
from opsctl.engine.asking import Asker, gather
from opsctl.engine.facts import facts_of
from opsctl.engine.missing import Missing
from opsctl.engine.side import Found, Side, late
from opsctl.engine.stale import BACKEND_UID, RULE_UID, Asked, Frozen, frozen_since, kept, stale_alerts
from opsctl.ports import Fact, MetricsSource

STALE_STATE = "opsctl-stale"
_BUDGET_SHARE = 0.6  # of the cycle's time: what is left is for looking back
_GRACE_SECONDS = 2.0  # for judging what came in at the deadline, before a signal counts as stuck

Sources = Union[MetricsSource, Mapping[Signal, MetricsSource]]
"""Who answers each signal; one source alone answers metrics."""
Times = Union[datetime, Mapping[Signal, datetime]]
"""What time each signal is evaluated at; one time alone is that of all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take; the defaults are the settings' own."""

    request: timedelta = timedelta(seconds=10)
    cycle: timedelta = timedelta(seconds=30)
    stale_after: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class BackendReport:
    """How a signal's backend did in this cycle; `error` is its first failure, one line."""

    name: str
    status: Literal["ok", "partial", "failed"]
    error: str | None
    took_seconds: float
    queries: int
    auth_failed: bool = False
    signal: Signal = Signal.METRICS


@dataclass(frozen=True, slots=True)
class CycleReport:
    """What one cycle found, and what it wants remembered: `facts` for a journal, `memory` for a loop without one.

    `at` is the latest time that any signal is evaluated at; each verdict's evidence has its own. `fresh` are the uids
    whose unlisted alerts may resolve; opsctl's own stale alerts have uids of their own in it.
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
    sources: Sources,
    at: Times,
    memory: Memory | None = None,
    *,
    limits: Limits | None = None,
    loaded: frozenset[str] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> CycleReport:
    """Evaluate the rules at `at`, a grid point with the signal's offset already taken off.

    All signals are asked at once: the cycle waits for the slowest, and one that is dead costs its own rules only. A
    signal without a source leaves its rules unknown. `loaded` are the uids of every loaded rule, where this run has
    only some of them.
    """
    begun = monotonic()
    limits, memory = limits or Limits(), memory or Memory()
    deadline = begun + limits.cycle.total_seconds()
    sides = _sides(rules, sources, at, memory, limits, deadline, monotonic)
    found = gather(
        [side.run for side in sides],
        lambda i: late(sides[i], monotonic() - begun),
        workers=len(sides),
        deadline=deadline + _GRACE_SECONDS,
        monotonic=monotonic,
    )
    parts = tuple(_Part(side, one) for side, one in zip(sides, found, strict=True))
    now = at if isinstance(at, datetime) else max(at.values())
    work = _Work(tuple(rules), now, memory, parts)
    return _report(work, _stale(work, limits, loaded), monotonic() - begun)


def _sides(
    rules: Sequence[Rule],
    sources: Sources,
    at: Times,
    memory: Memory,
    limits: Limits,
    deadline: float,
    monotonic: Callable[[], float],
) -> list[Side]:
    """A part for each signal that a rule of this run reads."""
    out = []
    read = {rule.signal for rule in rules} or {Signal.METRICS}
    for signal in filter(read.__contains__, Signal):
        asker = Asker(_source(sources, signal), limits.request.total_seconds(), monotonic)
        asker.deadline = deadline
        mine = tuple(rule for rule in rules if rule.signal is signal)
        when = at if isinstance(at, datetime) else at[signal]
        until = deadline - limits.cycle.total_seconds() * (1 - _BUDGET_SHARE)
        out.append(Side(signal, mine, when, memory, asker, until))
    return out


def _source(sources: Sources, signal: Signal) -> MetricsSource:
    by_signal = sources if isinstance(sources, Mapping) else {Signal.METRICS: sources}
    return by_signal.get(signal) or Missing(signal.value, f"no backend for {signal.value} is configured")


@dataclass(frozen=True, slots=True)
class _Part:
    """One signal's part and what it came to."""

    side: Side
    found: Found

    @property
    def source(self) -> MetricsSource:
        return self.side.asker.source


@dataclass(frozen=True, slots=True)
class _Work:
    """A whole cycle before it is put together; `judged` is in the order of the rules."""

    rules: tuple[Rule, ...]
    at: datetime
    memory: Memory
    parts: tuple[_Part, ...]

    @property
    def judged(self) -> list[Judged]:
        by_signal = {part.side.signal: iter(part.found.judged) for part in self.parts}
        return [next(by_signal[rule.signal]) for rule in self.rules]


@dataclass(frozen=True, slots=True)
class _Stale:
    alerts: tuple[Alert, ...]
    since: Mapping[str, datetime]


def _stale(work: _Work, limits: Limits, loaded: frozenset[str] | None) -> _Stale:
    """Since when answers stay away, by rule and by backend, and the alerts of those that do for too long."""
    backends: dict[str, list[_Part]] = {}
    for part in work.parts:
        if not isinstance(part.source, Missing):  # nothing broke: what is not configured wakes nobody
            backends.setdefault(part.source.name, []).append(part)
    named = frozenset(name for name, parts in backends.items() if any(part.side.asker.asked for part in parts))
    asked = Asked(frozenset(rule.uid for rule in work.rules), named, loaded)
    frozen: dict[str, datetime] = {}
    for name, parts in backends.items():
        frozen.update((f"rule:{one.rule.uid}", part.side.at) for part in parts for one in _frozen(part))
        if name in named and not any(part.side.asker.whole for part in parts):
            frozen[f"backend:{name}"] = max(part.side.at for part in parts)
    told = kept(work.memory.rules.get(STALE_STATE), asked)
    since = frozen_since(work.memory.frozen_since, frozen, asked, told)
    alerts: list[Alert] = []
    for name, parts in backends.items():
        blind = [one for part in parts for one in _frozen(part)]
        alerts += stale_alerts(name, blind, since, max(part.side.at for part in parts), limits.stale_after)
    return _Stale((*alerts, *told), since)


def _frozen(part: _Part) -> list[Frozen]:
    return [Frozen(one.verdict.rule, one.frozen) for one in part.found.judged if one.frozen is not None]


def _report(work: _Work, stale: _Stale, took: float) -> CycleReport:
    at, before, judged = work.at, work.memory, work.judged
    states = {one.verdict.rule.uid: one.remembered for one in judged}
    budgets = {uid: answer for part in work.parts for uid, answer in part.found.budgets.items()}
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
        backends=tuple(_backend(part) for part in work.parts),
        memory=memory,
        facts=facts_of(before, memory, at),
        took_seconds=took,
    )


def _backend(part: _Part) -> BackendReport:
    asker = part.side.asker
    failure = asker.first_failure or asker.partial
    auth = failure is not None and failure.reason is Reason.AUTH
    error = _said(failure, asker.source.name) if failure is not None else None
    took, signal = part.found.took_seconds, part.side.signal
    return BackendReport(asker.source.name, asker.status(), error, took, asker.questions, auth, signal)


def _said(failure: Failed[Any], name: str) -> str:
    """What failed, and whose it is where the source asked another backend."""
    return failure.message if failure.backend == name else f"{failure.backend}: {failure.message}"
