"""What the loop does at each point: read what changed, judge, page, and say how that went.

A run is `run_once` and `finish`, exactly as in `opsctl check --notify`; what is due goes out between two runs too. Must
never decide anything that a check would not.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING

from opsctl.app import Composition
from opsctl.core.outbox import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, due_at, heads
from opsctl.daemon.configuration import Configuration
from opsctl.daemon.health import Standing
from opsctl.daemon.journal_keeper import JournalKeeper
from opsctl.daemon.log import Log
from opsctl.daemon.metrics import Left, Numbers
from opsctl.errors import ExitCode, OpsctlError, worst
from opsctl.schedule import finish, heard, run_once
from opsctl.sender import SendReport, drain
from opsctl.views.check import Result, counts, usual_conditions
from opsctl.views.result import result_of, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.adapters.telemetry import Attributes
    from opsctl.schedule import Once

LONGEST_DRAIN_SECONDS = 5.0
"""Between two runs the send lock is held no longer at a time: a `check --notify` from cron waits for it."""
_PAGES_KEPT = timedelta(hours=2)


class WatchTurn:
    """The turns of one daemon; every method is called by the loop's thread."""

    def __init__(self, configuration: Configuration, numbers: Numbers, log: Log, *, notify: bool) -> None:
        self._configuration = configuration
        self._numbers = numbers
        self._log = log
        self._notify = notify
        self._keeper = JournalKeeper()
        self._in_vain = 0  # sendings in a row that got nothing away
        self._resting_until = float("-inf")
        self._begun = configuration.now.clock.now()
        self.standing = Standing(self._begun, None)
        self._adopt(configuration.now)
        self._leave()

    # -- a run

    def run(self) -> None:
        """One run at this time."""
        self._reread()
        composition = self._configuration.now
        mended = self._keeper.look(composition)
        if mended is not None:
            self._log.warn(mended)
        begun = composition.clock.monotonic()
        with _phase(composition) as note:
            once, result = self._checked(composition, note)
        took = composition.clock.monotonic() - begun
        composition.renew()
        self._numbers.cycle("completed", took)
        self._numbers.result = result
        if once.sent is not None:
            self._numbers.sent(once.sent)
            if once.sent.accepted:  # the far side is back
                self._in_vain, self._resting_until = 0, float("-inf")
        self._leave()
        self._say(result, once, took)
        heard(composition.journal(), once)

    def _checked(self, composition: Composition, note: Callable[[Attributes], None]) -> tuple[Once, Result]:
        world = composition.world()

        once = run_once(
            world, world.rules, full=True, notify=self._notify, ending=lambda report: worst(usual_conditions(report))
        )
        held = usual_conditions(once.report)
        if once.action_failed:
            held |= {ExitCode.ACTION}
        finish(world, once, worst(held))
        if composition.telemetry is not None:
            states, events = told(once)
            note({f"opsctl.rules.{state}": n for state, n in states.items()})
            composition.telemetry.cycle(once.report.took_seconds, states, events)
        return once, result_of(once, world, composition.context, held)

    def _reread(self) -> None:
        configuration = self._configuration
        if configuration.refresh():
            self._adopt(configuration.now)
            rules = len(configuration.now.rules.rules)
            self._log.info("configuration read again", file=str(configuration.now.settings.path), rules=rules)
        elif configuration.problem is not None:
            self._log.error("the new configuration is wrong, the old one stays in force", error=configuration.problem)

    def _adopt(self, composition: Composition) -> None:
        if self._notify:
            self._numbers.sinks(composition.sinks.by_name)
        for note in composition.rules.notes:
            self._log.info("note", note=note)

    def _say(self, result: Result, once: Once, took: float) -> None:
        log = self._log
        for problem in once.problems:
            log.error("problem", problem=problem)
        for warning in once.warnings:
            log.warn("warning", warning=warning)
        for backend in result.backends:
            if backend.status != "ok":
                log.warn("backend", backend=backend.name, status=backend.status, error=backend.error)
        if result.banner is not None:
            log.error(result.banner)
        states = {state.value.lower(): n for state, n in counts(result.verdicts).items()}
        sent = result.sent
        events: dict[str, int] = {}
        if sent is not None:
            events = {"sent": sent.accepted, "left": sent.left, "dead": sent.dead + sent.never_delivered}
        log.info(
            "run", at=f"{result.at:%Y-%m-%dT%H:%M:%SZ}", took_seconds=took, **states, **events, exit=int(result.code)
        )

    # -- between two runs

    def deliver(self, seconds: float) -> float:
        """Send what is due; the seconds until something more is, `inf` where nothing waits."""
        if not self._notify:
            return float("inf")
        composition = self._configuration.now
        journal, clock = composition.journal(), composition.clock
        wait = max(self._wait(), self._resting_until - clock.monotonic())
        if wait > 0:
            return wait
        report = drain(journal, composition.sinks, clock, min(seconds, LONGEST_DRAIN_SECONDS))
        self._numbers.sent(report)
        self._leave()
        self._say_sent(report)
        return max(self._wait(), self._rest(report))

    def _rest(self, report: SendReport) -> float:
        """Seconds to leave a far side alone that took nothing: no sending knows what the one before it learned."""
        moved = report.accepted or report.dead or report.never_delivered or report.refused_notes
        self._in_vain = 0 if moved else self._in_vain + 1
        seconds = 0.0 if moved else min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(self._in_vain - 1, 10))
        self._resting_until = self._configuration.now.clock.monotonic() + seconds
        return seconds

    def _wait(self) -> float:
        """Seconds until the first event is due that nothing goes before."""
        composition = self._configuration.now
        rows, now = composition.journal().unfinished(), composition.clock.now()
        if not rows:
            return float("inf")
        first = min(due_at(head.row, now) for head in heads(rows))
        return max(0.0, (first - now).total_seconds())

    def _say_sent(self, report: SendReport) -> None:
        for row in (*report.dead, *report.never_delivered):
            what = f"NOT DELIVERED: {row.action} of #{row.episode} ({row.rule_name})"
            self._log.error(what, error=row.last_error or None)
        if report.accepted:
            self._log.info("sent", sent=len(report.accepted), left=len(report.left))

    # -- what the loop tells

    def skipped(self, reason: str) -> None:
        """Another process evaluates: that is a run too, and not ours."""
        self._numbers.cycle("skipped")
        self._leave()
        self._log.warn("run skipped", reason=reason)

    def failed(self, wrong: Exception) -> None:
        """This run is lost, and the next one comes."""
        self._numbers.cycle("failed")
        if isinstance(wrong, OpsctlError):
            self._log.error("run failed", error=str(wrong))
        else:
            self._log.bug(wrong, "run failed: a bug in opsctl")
        self._configuration.now.renew()

    def missed(self, points: int) -> None:
        """It took longer than the interval."""
        self._numbers.cycle("missed", runs=points)
        self._log.warn("runs missed: the last one took longer than the interval", runs=points)

    # -- what is left behind

    def _leave(self) -> None:
        composition, configuration = self._configuration.now, self._configuration
        journal, now = composition.journal(), composition.clock.now()
        sinks = composition.sinks if self._notify else None
        left = Left(
            at=now,
            waiting=tuple(row.created for row in journal.unfinished()),
            pages=composition.page_times(now - _PAGES_KEPT),
            readers=frozenset(reader.name for reader in sinks.readers) if sinks is not None else frozenset(),
            silences=sum(silence.active(now) for silence in composition.routing.silences),
            journal_problem=journal.problem,
            config_problem=configuration.problem,
            config_read=configuration.read,
        )
        self._numbers.leave(left)
        self.standing = Standing(
            self._begun,
            journal.last_success(),
            journal.problem,
            min(left.undelivered, default=None),
            configuration.problem,
        )


def _phase(composition: Composition) -> AbstractContextManager[Callable[[Attributes], None]]:
    """A span of opsctl's own telemetry, where that is on."""
    if composition.telemetry is None:
        return nullcontext(lambda more: None)
    rules = len(composition.rules.rules)
    return composition.telemetry.span(
        "opsctl cycle", {"opsctl.rules": rules, "opsctl.context": composition.context.name}, alone=True
    )
