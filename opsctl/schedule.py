"""One run of the checks: ask, judge, record, send. Later also the loop that repeats it.

With `notify` everything that was decided is in the journal, in one transaction, before anything is sent. Must never
judge by itself, and never let a journal that cannot be trusted stop a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opsctl.core.catalogue import Catalogue
from opsctl.core.frozen import dataclass
from opsctl.core.policy import Policy
from opsctl.core.rules import Outcome, Rule, Verdict
from opsctl.core.signals import Signal
from opsctl.core.slo import Severity, Slo
from opsctl.core.windows import grid_point
from opsctl.engine import CycleReport, Limits, memory_of, run_cycle
from opsctl.errors import ExitCode
from opsctl.ports import Clock, Journal, MetricsSource, RuleVerdict, RunRecord, Sinks

if TYPE_CHECKING:  # only a run that notifies needs them
    from opsctl.core.alerts import Alert
    from opsctl.core.commands import Cycle, Watched
    from opsctl.core.routing import Routing
    from opsctl.sender import SendReport

LOCK_SECONDS = 20.0
RUNNER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class World:
    """What a run works with; `rules` are all loaded ones, also those that a run does not evaluate."""

    rules: Sequence[Rule]
    catalogue: Catalogue
    sources: Mapping[Signal, MetricsSource]
    journal: Journal
    sinks: Callable[[], Sinks]  # opened by the first run that notifies
    routing: Callable[[], Routing]  # read by the first run that notifies
    clock: Clock
    limits: Limits = Limits()
    policy: Policy = Policy()
    offsets: Mapping[Signal, timedelta] = field(default_factory=dict)  # evaluate so long ago, since data comes late
    send: timedelta = timedelta(seconds=15)
    runner: int = 0  # the n-th host of one cron line waits n × 15 s, so that the first one has paged before it looks


@dataclass(frozen=True, slots=True)
class Once:
    """One run's outcome; `incidents` maps a rule's uid to the handle of its open incident, such as `#12`."""

    report: CycleReport
    run: int | None = None  # its number in the journal, where `finish` must still say how it ended
    sent: SendReport | None = None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # nothing was lost, and somebody should know
    incidents: Mapping[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()  # of `problems`, what the journal keeps until it is printed: `heard`

    @property
    def action_failed(self) -> bool:
        """Whether a run that had to act could not: a page did not get through, or no journal can be trusted: exit 5.

        A run that only judges says what is wrong with the journal and keeps its verdict: CI may have nowhere to write.
        """
        return self.sent is not None and (bool(self.problems) or self.sent.failed)


def run_once(
    world: World,
    rules: Sequence[Rule],
    *,
    full: bool,
    notify: bool,
    at: datetime | None = None,
    ending: Callable[[CycleReport], ExitCode] | None = None,
) -> Once:
    """Evaluate `rules`; `full` says that they are all loaded ones.

    With `at` (a look at another time) nothing is read from the journal or written to it. Without `notify`, and given
    the `ending` that a report means, one transaction writes the whole run and `finish` has nothing left to do.
    Refused: another run holds the evaluation lock for longer than 20 s.
    """
    if at is not None:
        return Once(_cycle(world, rules, dict.fromkeys(Signal, grid_point(at)), remember=False))
    return _run_and_notify(world, rules, full=full) if notify else _run_quietly(world, rules, full, ending)


def _run_quietly(
    world: World, rules: Sequence[Rule], full: bool, ending: Callable[[CycleReport], ExitCode] | None
) -> Once:
    report = _cycle(world, rules, _now(world))
    now = world.clock.now()
    record = _record(report, now, full=full, notify=False)
    if ending is not None:
        code = ending(report)
        record = replace(record, ended=now, exit_code=int(code), success=_ended_well(code))
    committed = world.journal.commit(record, report.facts)
    run = committed.run if ending is None else None
    return Once(report, run, None, _problems(world), (), open_incidents(world.journal))


def _run_and_notify(world: World, rules: Sequence[Rule], *, full: bool) -> Once:
    from opsctl.looking import look
    from opsctl.sender import drain

    if world.runner:
        world.clock.sleep(world.runner * RUNNER_SECONDS)
    with world.journal.lock("evaluate", LOCK_SECONDS):
        started = world.clock.now()
        report = _cycle(world, rules, _now(world))
        record = _record(report, started, full=full, notify=True)
        sinks = world.sinks()
        cycle = _delivery(world, report, full=full)
        looked = look(sinks.readers, world.journal, cycle, world.clock)
        cycle = replace(cycle, seen=looked.seen)
        committed = world.journal.commit(record, (*report.facts, *looked.facts), cycle)
    sent = drain(world.journal, sinks, world.clock, world.send.total_seconds())
    unseen = committed.plan.problems if committed.plan is not None else ()
    problems = (*_problems(world), *cycle.routing.problems, *unseen, *sent.problems)
    problems += _still_unheard(world.journal, sent)
    unheard = world.journal.unheard()
    problems += tuple(line for line in unheard if line not in problems)  # of a run that ended before it could
    incidents = open_incidents(world.journal)
    return Once(report, committed.run, sent, problems, looked.problems, incidents, unheard)


def _still_unheard(journal: Journal, sent: SendReport) -> tuple[str, ...]:
    """Open pages that the pager refused in an earlier run: said in every run until a person knows of them."""
    said = {row.episode for row in (*sent.dead, *sent.never_delivered)}
    return tuple(
        f"NOT DELIVERED: #{one.episode} ({one.rule_name}) is open and its page was refused: {one.last_error}; "
        f"put that right, and tell the on-call engineer yourself"
        for one in journal.incidents()
        if one.severity == Severity.PAGE and one.delivery == "dead" and one.acknowledged is None
        if one.episode not in said
    )


def finish(world: World, once: Once, code: ExitCode) -> None:
    """Write how the run ended, where that is not written yet."""
    if once.run is not None:
        said = (*once.problems, *once.warnings)
        world.journal.finish(once.run, code, world.clock.now(), success=_ended_well(code), problems=said)


def heard(journal: Journal, once: Once) -> None:
    """The run's problems are printed: until then the next run would say again which pages were lost."""
    journal.heard(once.said)


def _ended_well(code: ExitCode) -> bool:
    """Any verdict is a success of the run itself, a failed action is not."""
    return code in {ExitCode.OK, ExitCode.FINDING, ExitCode.UNKNOWN, ExitCode.AUTH}


def open_incidents(journal: Journal) -> dict[str, str]:
    """The handle of each rule's open incident, the page before the ticket and the newest of several."""
    ranked = sorted(journal.incidents(), key=lambda one: (one.severity == Severity.PAGE, one.episode))
    return {incident.rule_uid: f"#{incident.episode}" for incident in ranked}


def _now(world: World) -> dict[Signal, datetime]:
    """The last grid point of each signal whose data is in."""
    now = world.clock.now()
    return {signal: grid_point(now - world.offsets.get(signal, timedelta(0))) for signal in Signal}


def _cycle(world: World, rules: Sequence[Rule], at: Mapping[Signal, datetime], *, remember: bool = True) -> CycleReport:
    memory = memory_of(world.journal.facts) if remember else None
    loaded = frozenset(rule.uid for rule in world.rules)
    return run_cycle(
        rules, world.sources, at, memory, limits=world.limits, loaded=loaded, monotonic=world.clock.monotonic
    )


def _problems(world: World) -> tuple[str, ...]:
    return (world.journal.problem,) if world.journal.problem else ()


def _record(report: CycleReport, started: datetime, *, full: bool, notify: bool) -> RunRecord:
    verdicts = tuple(
        RuleVerdict(v.rule.uid, v.outcome.value, v.headline, v.fresh, v.evidence.digest) for v in report.verdicts
    )
    return RunRecord(started, report.at, full, notify, verdicts)


def _delivery(world: World, report: CycleReport, *, full: bool) -> Cycle:
    from opsctl.core.commands import Cycle

    stale = {alert.rule_uid for alert in report.stale}
    links = {name: dict(service.links) for name, service in world.catalogue.services.items() if service.links}
    return Cycle(
        at=report.at,
        alerts=tuple(_owned(alert, world.catalogue) for alert in report.alerts),
        fresh=report.fresh,
        loaded=frozenset(rule.uid for rule in world.rules) | stale | (report.fresh - {r.uid for r in world.rules}),
        full=full,
        healthy=tuple(_watched(verdict) for verdict in report.verdicts if _healthy(verdict)),
        formerly={old: rule.uid for rule in world.rules for old in rule.formerly},
        links=links,
        policy=world.policy,
        routing=world.routing(),
    )


def _owned(alert: Alert, catalogue: Catalogue) -> Alert:
    """An alert whose service only its series know belongs to that service's team."""
    service = None if alert.team else catalogue.get(alert.service)
    return alert if service is None else replace(alert, team=service.team)


def _healthy(verdict: Verdict) -> bool:
    return verdict.fresh and verdict.outcome is Outcome.PASS and verdict.rule.severity is Severity.PAGE


def _watched(verdict: Verdict) -> Watched:
    from opsctl.core.commands import Watched

    rule = verdict.rule
    if isinstance(rule, Slo):
        return Watched(rule.uid, rule.alert_name, rule.team, rule.identity)
    return Watched(rule.uid, rule.name, rule.team, ())
