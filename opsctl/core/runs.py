"""Which step of a run is next: a function of the runbook and of the attempts that the journal holds, nothing else.

    pending → running → ok | failed | unknown          waiting: a person has to come
    running when the process died → unknown → by idempotency: repeat | repeat with the same key | check first | ask

An attempt of the flow is written under the step's id, one of an undo under `undo:<id>`, one of a check under
`check:<id>`. The attempt `@resume` marks where a person took the run up again: a failure before it is tried again.

Must never do anything: the runner carries out what `next_move` says and writes it down.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Literal, Union

from opsctl.core.frozen import dataclass
from opsctl.core.runbooks import Approval, Idempotency, Role, Runbook, Step

State = Literal["running", "ok", "failed", "skipped", "waiting", "unknown", "undone"]
RESUME = "@resume"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of one step as written; `notes` are the runner's own facts (`begun`, `again`, `binding`, …)."""

    step: str  # a step's id, `undo:<id>`, `check:<id>` or `@resume`
    number: int
    state: State
    started: datetime
    ended: datetime | None = None
    captured: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Do:
    """Carry out a step; `name` is what it is written under."""

    step: Step
    role: Role
    number: int
    why: str = ""

    @property
    def name(self) -> str:
        """What its attempts are written under."""
        return attempt_name(self.step, self.role)


@dataclass(frozen=True, slots=True)
class Check:
    """Nobody knows whether `step` happened: run its `check` step and settle the attempt by what it says."""

    step: Step
    role: Role
    check: Step


@dataclass(frozen=True, slots=True)
class Ask:
    """Nobody knows whether `step` happened, and only a person can find out."""

    step: Step
    role: Role


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is left to do, or nothing may be done; `step` is where it stopped."""

    state: Literal["ok", "failed", "stopped", "undone"]
    message: str
    step: Step | None = None


Move = Union[Do, Check, Ask, Finish]


def attempt_name(step: Step, role: Role) -> str:
    """What the attempts of a step are written under."""
    return step.id if role is Role.STEP else f"{role.value}:{step.id}"


def binding(runbook: Runbook, params: Mapping[str, str], attempts: Iterable[Attempt]) -> str:
    """What an approval agrees to: the plan's digest, the parameters, and the evidence that was seen before it.

    The evidence is the last outcome and the captured values of every read step of the flow.
    """
    reads = {step.id for step in runbook.flow if step.mutates is None and not isinstance(step.body, Approval)}
    seen = {a.step: [a.state, dict(a.captured)] for a in attempts if a.step in reads and a.state in ("ok", "failed")}
    text = json.dumps([runbook.digest, dict(params), seen], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def values_of(attempts: Iterable[Attempt]) -> dict[str, str | int | float | bool]:
    """Everything captured so far, the latest last."""
    return {name: value for a in attempts if a.state == "ok" for name, value in a.captured.items()}


@dataclass(frozen=True, slots=True)
class _Look:
    """The attempts of one run, seen from one moment."""

    runbook: Runbook
    params: Mapping[str, str]
    attempts: Sequence[Attempt]
    now: datetime

    def last(self, name: str) -> Attempt | None:
        return next((a for a in reversed(self.attempts) if a.step == name), None)

    def resumed_at(self) -> int:
        return max((i for i, a in enumerate(self.attempts) if a.step == RESUME), default=-1)

    def tries(self, name: str) -> int:
        """How often it was tried since a person started or resumed the run."""
        return sum(1 for a in self.attempts[self.resumed_at() + 1 :] if a.step == name and "again" not in a.notes)

    def number(self, name: str) -> int:
        return max((a.number for a in self.attempts if a.step == name), default=0) + 1

    def is_old(self, attempt: Attempt) -> bool:
        """Whether it ended before the run was resumed, or was found not to have happened."""
        return "again" in attempt.notes or self.attempts.index(attempt) < self.resumed_at()

    def do(self, step: Step, role: Role, why: str = "") -> Do:
        return Do(step, role, self.number(attempt_name(step, role)), why)


def next_move(runbook: Runbook, params: Mapping[str, str], attempts: Sequence[Attempt], now: datetime) -> Move:
    """What to do now; `running` attempts must have been settled as `unknown` before."""
    look = _Look(runbook, params, attempts, now)
    if _undo_asked(look):
        return _undo(look)
    flow, index = runbook.flow, 0
    while index < len(flow):
        step = flow[index]
        move = _step_move(look, step)
        if move is None:
            index += 1
        elif isinstance(move, int):
            index = move
        else:
            return move
    return Finish("ok", "every step is done")


def _undo_asked(look: _Look) -> bool:
    return any(a.step == RESUME and a.notes.get("undo") == "yes" for a in look.attempts) or any(
        a.step.startswith("undo:") for a in look.attempts
    )


def _step_move(look: _Look, step: Step) -> Move | int | None:
    """The move that a step of the flow asks for, the index that it jumps to, or None to go on."""
    last = look.last(step.id)
    if last is None or last.state == "waiting":
        return _gated(look, step)
    if last.state in ("ok", "skipped", "undone"):
        return None
    if last.state in ("unknown", "running"):
        return _recover(look, step, Role.STEP, last)
    # A failure that jumped elsewhere has been dealt with; one that stopped the run is what a resume tries again.
    stopped = (step.on_fail.jump == "stop" or "unanswered" in last.notes) and look.is_old(last)
    if stopped or "again" in last.notes or _may_repeat(look, step, Role.STEP):
        return _gated(look, step, "again")
    if "unanswered" in last.notes:
        return Finish("failed", f"step {step.id} got no answer", step)
    return _failed(look, step)


def _may_repeat(look: _Look, step: Step, role: Role) -> bool:
    safe = step.mutates is None or step.idempotency in (Idempotency.NATURAL, Idempotency.KEY)
    tries = look.tries(attempt_name(step, role))
    return safe and 0 < tries <= step.retries


def _failed(look: _Look, step: Step) -> Move | int:
    match step.on_fail.jump:
        case "goto":
            return next(i for i, other in enumerate(look.runbook.flow) if other.id == step.on_fail.target)
        case "end":
            return Finish("ok", f"ended at {step.id}, which does not hold: {step.title}", step)
        case "undo":
            return _undo(look)
        case _:
            return Finish("failed", f"step {step.id} failed", step)


def _gated(look: _Look, step: Step, why: str = "") -> Move:
    """The step, or first the approval that it requires and does not have."""
    if step.mutates is None or step.requires in (None, "none"):
        return look.do(step, Role.STEP, why)
    gate = look.runbook.step(step.requires or "")
    assert gate is not None  # the loader refuses a gate that is not there
    lapsed = approval_lapsed(look, gate)
    return look.do(step, Role.STEP, why) if lapsed is None else look.do(gate, Role.STEP, lapsed)


def approval_lapsed(look: _Look, gate: Step) -> str | None:
    """Why an approval does not hold now: not given, too old, or given to another plan, parameters or evidence."""
    last = look.last(gate.id)
    if last is None or last.state != "ok":
        return "not approved yet"
    assert isinstance(gate.body, Approval)
    if last.ended is None or look.now - last.ended > gate.body.ttl:
        return "the approval has lapsed"
    before = look.attempts[: look.attempts.index(last)]
    if last.notes.get("binding") != binding(look.runbook, look.params, before):
        return "the approval was given to another plan"
    return None


def _recover(look: _Look, step: Step, role: Role, last: Attempt) -> Move:
    """A step of which nobody knows whether it happened."""
    if step.mutates is None:
        return look.do(step, role, "again")
    fresh = not look.is_old(last)  # it ended unknown in this very session: a repeat costs a retry
    match step.idempotency:
        case Idempotency.NATURAL | Idempotency.KEY:
            if fresh and not _may_repeat(look, step, role):
                return Finish("stopped", f"nobody knows whether step {step.id} happened", step)
            again = "again, with the same key" if step.idempotency is Idempotency.KEY else "again"
            return _gated(look, step, again) if role is Role.STEP else look.do(step, role, again)
        case Idempotency.CHECK:
            check = look.runbook.step(step.check or "")
            assert check is not None  # the loader refuses a check that is not there
            return Check(step, role, check)
        case _:
            return Ask(step, role)


# -- undo ------------------------------------------------------------------------------------------------------------


def undoable(runbook: Runbook, attempts: Sequence[Attempt]) -> list[Step]:
    """The mutations of the flow that were done, or may have been, the latest first."""
    found: dict[str, int] = {}
    for index, attempt in enumerate(attempts):
        step = runbook.step(attempt.step)
        if step is None or step.mutates is None:
            continue
        if attempt.state in ("ok", "unknown", "running") or attempt.notes.get("begun") == "yes":
            found[step.id] = index
    latest = sorted(found, key=lambda step_id: -found[step_id])
    return [step for step_id in latest if (step := runbook.step(step_id)) is not None]


def _undo(look: _Look) -> Move:
    """The next undo step of the mutations in reverse, each undo step once."""
    kept: list[str] = []
    for mutation in undoable(look.runbook, look.attempts):
        if mutation.undo in (None, "none"):
            kept.append(mutation.id)
            continue
        undo = look.runbook.step(mutation.undo or "")
        assert undo is not None  # the loader refuses an undo that is not there
        move = _undo_move(look, undo)
        if move is not None:
            return move
    left = f"; not undone, because nothing undoes it: {', '.join(kept)}" if kept else ""
    return Finish("undone", f"every mutation is undone{left}")


def _undo_move(look: _Look, undo: Step) -> Move | None:
    last = look.last(attempt_name(undo, Role.UNDO))
    if last is None:
        return look.do(undo, Role.UNDO)
    if last.state == "ok":
        return None
    if last.state in ("unknown", "running"):
        return _recover(look, undo, Role.UNDO, last)
    if look.is_old(last) or last.state == "waiting" or _may_repeat(look, undo, Role.UNDO):
        return look.do(undo, Role.UNDO, "again")
    return Finish("failed", f"undo step {undo.id} failed", undo)
