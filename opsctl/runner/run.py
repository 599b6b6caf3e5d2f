"""The loop of a run, and how each kind of move is carried out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from datetime import datetime
from typing import Literal

from opsctl.core.binding import BindError, Bound, bind, preview
from opsctl.core.frozen import dataclass
from opsctl.core.params import Given, collect, plain
from opsctl.core.runbooks import Approval, Idempotency, Manual, Role, Runbook, Step, Value
from opsctl.core.runs import RESUME, Ask, Attempt, Check, Do, Finish, binding, next_move, values_of
from opsctl.core.windows import format_duration
from opsctl.errors import Refused, UsageError
from opsctl.ports import Clock
from opsctl.ports.runbooks import Person, Question, RunbookLog, RunbookRun, RunbookStep, RunState, StepRunner
from opsctl.runner.outcome import Outcome, judge, read, write


@dataclass(frozen=True, slots=True)
class World:
    """What a run acts through."""

    steps: StepRunner
    person: Person
    log: RunbookLog
    clock: Clock


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell whoever watches; `text` is not cleaned."""

    kind: Literal["begin", "wait", "end"]
    step: Step
    role: Role
    text: str = ""
    outcome: Outcome | None = None


def _quiet(event: Event) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Options:
    """Who runs it and how much may happen without a person; `policy` names steps as `Runbook/step`."""

    who: str = ""
    auto: bool = False
    policy: frozenset[str] = frozenset()
    approve: frozenset[str] = frozenset()  # approval steps that `who` has approved on the command line
    incident_key: str | None = None
    services: frozenset[str] = frozenset()
    watch: Callable[[Event], None] = _quiet


@dataclass(frozen=True, slots=True)
class Report:
    """How a run stands; `asked_undo` tells a wanted undo from one after a failure."""

    run: RunbookRun
    steps: tuple[RunbookStep, ...]
    state: RunState
    message: str
    asked_undo: bool = False


def new_id(at: datetime) -> str:
    """An id that sorts by time and that two people do not make at once."""
    return f"{at:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def run(
    runbook: Runbook,
    values: Mapping[str, Value],
    world: World,
    options: Options | None = None,
    run_id: str | None = None,
) -> Report:
    """Start a run with checked parameters (`opsctl.core.params.collect`) and go as far as it gets."""
    options = options or Options()
    at = world.clock.now()
    record = RunbookRun(
        run=run_id or new_id(at),
        runbook=runbook.id,
        digest=runbook.digest,
        params={name: plain(value) for name, value in values.items()},
        started=at,
        who=options.who,
        incident_key=options.incident_key,
        source=runbook.source,
    )
    with world.log.lock(record.run):
        world.log.start(record)
        return _Run(runbook, record, values, world, options).go()


def accepted_digest(record: RunbookRun, rows: tuple[RunbookStep, ...]) -> str:
    """The digest that the run is pinned to: the one of its start, or the edit that a person accepted last."""
    accepted = [row.captured["@digest"] for row in rows if row.captured and "@digest" in row.captured]
    return accepted[-1] if accepted else record.digest


def check_not_over(record: RunbookRun, *, undo: bool) -> None:
    """UsageError where nothing of the run is left to resume, or to undo."""
    if record.state == "undone" or (record.state == "ok" and not undo):
        raise UsageError(f"run {record.run} is over ({record.state}); there is nothing to resume")


def resume(
    run_id: str,
    runbook: Runbook,
    world: World,
    options: Options | None = None,
    *,
    accept_edit: bool = False,
    undo: bool = False,
) -> Report:
    """Take a run up again, or undo what it did; Refused where the runbook was edited and nobody accepted that."""
    options = options or Options()
    record = world.log.run_of(run_id)
    if record is None:
        raise UsageError(f"no such run: {run_id}")
    with world.log.lock(record.run):
        rows = world.log.steps(record.run)
        check_not_over(record, undo=undo)
        if runbook.digest != accepted_digest(record, rows) and not accept_edit:
            raise Refused(
                f"{runbook.id} was edited since run {record.run} started", hint="look at the diff, then --accept-edit"
            )
        declared = {param.name for param in runbook.params}
        flags = {name: text for name, text in record.params.items() if name in declared}
        values = collect(runbook, Given(flags=flags, services=options.services))
        walk = _Run(runbook, record, values, world, options)
        walk.take_up(undo)
        return walk.go()


@dataclass
class _Run:
    """One process's share of a run."""

    runbook: Runbook
    record: RunbookRun
    params: Mapping[str, Value]
    world: World
    options: Options
    since: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.world.clock.now()

    # -- the journal ----------------------------------------------------------------------------------------------

    def attempts(self) -> tuple[Attempt, ...]:
        return tuple(read(row) for row in self.world.log.steps(self.record.run))

    def before(self, name: str, number: int, key: str | None = None) -> Attempt:
        attempt = Attempt(name, number, "running", self.world.clock.now())
        self.world.log.step_before(write(self.record.run, attempt, None, key))
        return attempt

    def after(self, attempt: Attempt, outcome: Outcome, key: str | None = None) -> None:
        ended = replace(attempt, ended=self.world.clock.now())
        self.world.log.step_after(write(self.record.run, ended, outcome, key))

    def take_up(self, undo: bool) -> None:
        """Settle what was running when the last process ended, and mark that a person is here again."""
        rows = self.world.log.steps(self.record.run)
        for row in rows:
            if row.state == "running":
                self.after(read(row), Outcome("unknown", "the run ended while this step ran"), row.idempotency_key)
        number = 1 + sum(1 for row in rows if row.step == RESUME)
        notes = {"by": self.options.who, "digest": self.runbook.digest} | ({"undo": "yes"} if undo else {})
        now = self.world.clock.now()
        self.world.log.step_after(
            write(self.record.run, Attempt(RESUME, number, "ok", now, now), Outcome("ok", notes=notes), None)
        )
        self.world.log.finish(self.record.run, "running", None)

    def finish(self, state: RunState, message: str) -> Report:
        at = None if state == "waiting" else self.world.clock.now()
        self.world.log.finish(self.record.run, state, at, message)
        rows = self.world.log.steps(self.record.run)
        undo = any(a.step == RESUME and "undo" in a.notes for a in map(read, rows))
        return Report(self.world.log.run_of(self.record.run) or self.record, rows, state, message, undo)

    # -- the loop -------------------------------------------------------------------------------------------------

    def go(self) -> Report:
        """Move by move until nothing is left, somebody has to come, or it broke."""
        while True:
            attempts = self.attempts()
            move = next_move(self.runbook, self.record.params, attempts, self.world.clock.now())
            match move:
                case Finish(state, message):
                    return self.finish(state, message)
                case Do():
                    stop = self.refuse(move) or self.do(move, attempts)
                case Check():
                    stop = self.check(move, attempts)
                case Ask():
                    stop = self.ask(move)
            if stop is not None:
                return self.finish(*stop)

    def refuse(self, move: Do) -> tuple[RunState, str] | None:
        """Why a step may not be done now: the run takes too long, or nobody is there and no policy allows it."""
        step = move.step
        if step.mutates is not None and self.world.clock.now() - self.since > self.runbook.max_duration:
            limit = format_duration(self.runbook.max_duration)
            return "stopped", f"step {step.id} not begun: the run takes longer than {limit}"
        if not self.options.auto or self._unattended(step):
            return None
        return "waiting", f"step {step.id} needs a person"

    def _unattended(self, step: Step) -> bool:
        match step.body:
            case Manual():
                return False
            case Approval():
                opened = [s for s in self.runbook.mutations if s.requires == step.id]
                return bool(opened) and all(self._in_policy(s) for s in opened)
            case _:
                return step.mutates is None or self._in_policy(step)

    def _in_policy(self, step: Step) -> bool:
        return f"{self.runbook.id}/{step.id}" in self.options.policy

    def values(self, attempts: tuple[Attempt, ...], step: Step) -> dict[str, Value]:
        """Everything that a step may use."""
        own: dict[str, Value] = {"run.id": self.record.run, "step.id": step.id}
        return {**values_of(attempts), **self.params, **own}

    def key(self, step: Step) -> str | None:
        """The Idempotency-Key of a step that may be repeated with it; the same in every attempt of the run."""
        keyed = step.mutates is not None and step.idempotency is Idempotency.KEY
        return f"{self.record.run}/{step.id}" if keyed else None

    def do(self, move: Do, attempts: tuple[Attempt, ...]) -> tuple[RunState, str] | None:
        """One attempt of one step; returns where the run has to stop."""
        step = move.step
        key = self.key(step)
        values = self.values(attempts, step)
        self.options.watch(Event("begin", step, move.role, move.why))
        attempt = self.before(move.name, move.number, key)
        try:
            bound = bind(step, values)
        except BindError as wrong:
            outcome = Outcome("failed", str(wrong))
        else:
            match step.body:
                case Approval():
                    outcome = self.approve(step, bound, attempts)
                case Manual():
                    outcome = self.by_hand(step, bound)
                case _:
                    outcome = self.perform(step, move.role, bound, values, key)
        self.after(attempt, outcome, key)
        self.options.watch(Event("end", step, move.role, outcome.message, outcome))
        return ("waiting", outcome.message) if outcome.state == "waiting" else None

    # -- machines -------------------------------------------------------------------------------------------------

    def perform(self, step: Step, role: Role, bound: Bound, values: Mapping[str, Value], key: str | None) -> Outcome:
        """Once, or again and again while `poll` says so."""
        if step.poll is None:
            return judge(step, self.world.steps.perform(step, bound, step.timeout.total_seconds(), key), values)
        clock, start, held = self.world.clock, self.world.clock.now(), None
        while True:
            left = max(1.0, (step.timeout - (clock.now() - start)).total_seconds())
            outcome = judge(step, self.world.steps.perform(step, bound, min(left, 60.0), key), values)
            now = clock.now()
            held = (held or now) if outcome.state == "ok" else None
            if held is not None and now - held >= step.for_:
                return outcome
            if now - start + step.poll > step.timeout:
                message = outcome.message or f"it holds, but not for {format_duration(step.for_)}"
                return replace(
                    outcome, state="failed", message=f"not within {format_duration(step.timeout)}: {message}"
                )
            holding = (
                f"holds for {format_duration(now - held)} of {format_duration(step.for_)}" if held else outcome.message
            )
            self.options.watch(Event("wait", step, role, holding))
            clock.sleep(step.poll.total_seconds())

    def check(self, move: Check, attempts: tuple[Attempt, ...]) -> tuple[RunState, str] | None:
        """Run the check of a mutation that may have happened, and settle that attempt by what it says."""
        name = f"check:{move.check.id}"
        number = 1 + max((a.number for a in attempts if a.step == name), default=0)
        self.options.watch(Event("begin", move.check, Role.CHECK, f"did {move.step.id} happen?"))
        attempt = self.before(name, number)
        values = self.values(attempts, move.check)
        try:
            outcome = self.perform(move.check, Role.CHECK, bind(move.check, values), values, None)
        except BindError as wrong:
            outcome = Outcome("failed", str(wrong), notes={"unasked": "yes"})
        self.after(attempt, outcome)
        self.options.watch(Event("end", move.check, Role.CHECK, outcome.message, outcome))
        if outcome.state != "ok" and not outcome.answered:
            return "stopped", f"nobody knows whether step {move.step.id} happened: {outcome.message}"
        self.settle(move.step, move.role, outcome.state == "ok", f"check {move.check.id} says so")
        return None

    def settle(self, step: Step, role: Role, happened: bool, why: str) -> None:
        """Write down whether an unknown attempt happened; one that did not may be done again."""
        name = step.id if role is Role.STEP else f"{role.value}:{step.id}"
        row = next(r for r in reversed(self.world.log.steps(self.record.run)) if r.step == name)
        outcome = Outcome("ok", why) if happened else Outcome("failed", f"not done: {why}", notes={"again": "yes"})
        self.after(read(row), outcome, row.idempotency_key)

    # -- people ---------------------------------------------------------------------------------------------------

    def ask(self, move: Ask) -> tuple[RunState, str] | None:
        """Ask whether a step happened that must not be done twice."""
        text = f"The run ended while step {move.step.id} ran, and it must not be done twice. Did it happen?"
        answer = None if self.options.auto else self.world.person.answer(Question("happened", move.step, text))
        if answer is None:
            return "waiting", f"a person has to say whether step {move.step.id} happened"
        self.settle(move.step, move.role, answer, f"{self.options.who or 'a person'} says so")
        return None

    def by_hand(self, step: Step, bound: Bound) -> Outcome:
        """A manual step."""
        answer = self.world.person.answer(Question("manual", step, preview(bound)))
        if answer is None:
            return Outcome("waiting", f"step {step.id} needs a person")
        notes = {"by": self.options.who}
        return Outcome("ok", notes=notes) if answer else Outcome("failed", "not done", notes=notes)

    def approve(self, step: Step, bound: Bound, attempts: tuple[Attempt, ...]) -> Outcome:
        """A gate: bound to plan, parameters and evidence, and counted by different people."""
        policy = self.runbook.policy(step)
        bond = binding(self.runbook, self.record.params, attempts)
        before = next((a for a in reversed(attempts) if a.step == step.id and a.state == "waiting"), None)
        kept = before.notes if before is not None and before.notes.get("binding") == bond else {}
        names = [name for name in kept.get("approved_by", "").split("\n") if name]
        if self.options.auto:
            return Outcome("ok", "by policy", notes={"binding": bond, "approved_by": "policy"})
        if policy.not_author and self.options.who == self.record.who:
            return Outcome(
                "waiting", f"step {step.id} needs the approval of somebody other than {self.record.who}", notes=kept
            )
        answer = step.id in self.options.approve or self.world.person.answer(
            Question("approval", step, preview(bound), self.facts(step, attempts))
        )
        if answer is None:
            return Outcome("waiting", f"step {step.id} needs an approval", notes=kept)
        if not answer:
            return Outcome("failed", "not approved", notes={"by": self.options.who})
        names = sorted({*names, self.options.who})
        notes = {"binding": bond, "approved_by": "\n".join(names)}
        if len(names) < policy.min:
            return Outcome("waiting", f"step {step.id}: {len(names)} of {policy.min} people have approved", notes=notes)
        return Outcome("ok", f"by {', '.join(names)}" if any(names) else "", notes=notes)

    def facts(self, gate: Step, attempts: tuple[Attempt, ...]) -> tuple[str, ...]:
        """What was seen so far, and byte for byte what the approval opens."""
        seen = [
            f"{a.step}: {a.state}" + "".join(f", {k} = {v}" for k, v in a.captured.items())
            for a in attempts
            if a.captured
        ]
        roles = self.runbook.policy(gate).roles
        out = ([f"who may approve: {', '.join(roles)}"] if roles else []) + seen
        for step in self.runbook.flow:
            if step.requires == gate.id:
                out.append(f"{step.id} would send:\n{self.shown(step, attempts)}")
        return tuple(out)

    def shown(self, step: Step, attempts: tuple[Attempt, ...]) -> str:
        """A write as it would be sent now."""
        try:
            return preview(bind(step, self.values(attempts, step)), self.key(step))
        except BindError as wrong:
            return f"(not known yet: {wrong})"
