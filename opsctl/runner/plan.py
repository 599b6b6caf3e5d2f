"""What a run would read and change: every write byte for byte. A dry run does the reads; a plan does nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Literal

from opsctl.core.binding import BindError, bind, preview
from opsctl.core.frozen import dataclass
from opsctl.core.runbooks import Approval, Idempotency, Manual, Role, Runbook, Step, Value
from opsctl.ports.runbooks import StepRunner
from opsctl.runner.outcome import Outcome, judge

DRY_RUN_ID = "dry-run"


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a plan; `text` is what it would ask, send or run, not cleaned; `outcome` is of reads in a dry run."""

    step: Step
    what: Literal["read", "write", "gate", "hand"]
    text: str
    complete: bool  # false: something that an earlier step captures is not known yet, and `text` says what
    outcome: Outcome | None = None


def plan(runbook: Runbook, values: Mapping[str, Value], run_id: str = DRY_RUN_ID) -> tuple[Planned, ...]:
    """Every step in the order of the flow, then the undo and check steps; nothing is asked and nothing is changed."""
    return _walk(runbook, values, run_id, lambda _step, _seen: None)


def dry_run(
    runbook: Runbook,
    values: Mapping[str, Value],
    steps: StepRunner,
    watch: Callable[[Planned], None] | None = None,
) -> tuple[Planned, ...]:
    """Do the reads of the flow once each, without waiting, and show every write; nothing is changed or journalled."""

    def ask(step: Step, seen: Mapping[str, Value]) -> Outcome | None:
        if _what(step) != "read" or step.role is not Role.STEP:
            return None
        timeout = min(step.timeout, timedelta(seconds=60)).total_seconds()
        return judge(step, steps.perform(step, bind(step, seen), timeout, None), seen)

    return _walk(runbook, values, DRY_RUN_ID, ask, watch)


def _walk(
    runbook: Runbook,
    values: Mapping[str, Value],
    run_id: str,
    ask: Callable[[Step, Mapping[str, Value]], Outcome | None],
    watch: Callable[[Planned], None] | None = None,
) -> tuple[Planned, ...]:
    seen: dict[str, Value] = {**values, "run.id": run_id}
    out = []
    for step in (*runbook.flow, *(s for s in runbook.steps if s.role is not Role.STEP)):
        seen["step.id"] = step.id
        planned = _planned(step, seen, run_id, ask)
        if planned.outcome is not None:
            seen.update(planned.outcome.captured)
        if watch is not None:
            watch(planned)
        out.append(planned)
    return tuple(out)


def _planned(
    step: Step, seen: Mapping[str, Value], run_id: str, ask: Callable[[Step, Mapping[str, Value]], Outcome | None]
) -> Planned:
    what = _what(step)
    keyed = step.mutates is not None and step.idempotency is Idempotency.KEY
    key = f"{run_id}/{step.id}" if keyed else None
    try:
        text = preview(bind(step, seen), key)
    except BindError as wrong:
        return Planned(step, what, f"not known yet: {wrong}", False)
    return Planned(step, what, text, True, ask(step, seen))


def _what(step: Step) -> Literal["read", "write", "gate", "hand"]:
    match step.body:
        case Approval():
            return "gate"
        case Manual():
            return "hand"
        case _:
            return "write" if step.mutates is not None else "read"
