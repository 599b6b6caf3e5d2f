"""What one attempt of a step came to: its result judged by its conditions, and its captures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta

from opsctl.core.conditions import ConditionError, holds, look_up, roots
from opsctl.core.frozen import dataclass
from opsctl.core.runbooks import Kind, Step, Value
from opsctl.core.runs import Attempt, State
from opsctl.ports.runbooks import RunbookStep, StepBroke, StepDone, StepResult

Captured = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; `message` is one line; `answered`: what it expects was looked at and does not hold."""

    state: State
    message: str = ""
    output: str = ""
    exit_code: int | None = None
    captured: Captured = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    answered: bool = False


def judge(step: Step, result: StepResult, values: Mapping[str, Value]) -> Outcome:
    """Whether the step did what it expects; a mutation of which nobody knows that is `unknown`."""
    if isinstance(result, StepBroke):
        unknown = step.mutates is not None and not result.certain
        notes = _unanswered(step) or ({"begun": "yes"} if result.begun else {})
        return Outcome("unknown" if unknown else "failed", result.message, result.output, result.exit_code, {}, notes)
    wrong, answered = _unexpected(step, result, values)
    if wrong is None:
        try:
            return Outcome("ok", "", result.output, result.exit_code, _captures(step, result))
        except ConditionError as missing:
            wrong = f"capture: {missing}"
    if step.mutates is None:
        notes = {} if answered else _unanswered(step)
    else:
        notes = {} if _refused(step, result) else {"begun": "yes"}
    return Outcome("failed", wrong, result.output, result.exit_code, {}, notes, answered)


def _unanswered(step: Step) -> dict[str, str]:
    """A read that failed without an answer must not jump anywhere: no answer is not a "no"."""
    return {"unanswered": "yes"} if step.mutates is None else {}


def _unexpected(step: Step, result: StepDone, values: Mapping[str, Value]) -> tuple[str | None, bool]:
    """What is not as it should be, and whether that is an answer to `expect` rather than a failure to look."""
    named = roots(step.expect) if step.expect is not None else frozenset()
    code, status = result.values.get("exit_code"), result.values.get("status")
    if step.kind is Kind.BASH and code != 0 and "exit_code" not in named:
        return f"exit code {code}", False
    if step.kind is Kind.HTTP and "status" not in named and not (isinstance(status, int) and 200 <= status < 300):
        return f"status {status}", False
    if step.expect is None:
        return None, False
    seen = {name: value.total_seconds() if isinstance(value, timedelta) else value for name, value in values.items()}
    try:
        right = holds(step.expect, {**seen, **result.values})
        return (None, False) if right else (_shown(step, result), True)
    except ConditionError as wrong:
        return f"expected {step.expect_text}: {wrong}", False


def _shown(step: Step, result: StepDone) -> str:
    assert step.expect is not None
    seen = [(name, result.values[name]) for name in sorted(roots(step.expect)) if name in result.values]
    facts = ", ".join(f"{name} is {json.dumps(value, default=str)[:200]}" for name, value in seen)
    return f"expected {step.expect_text}" + (f"; {facts}" if facts else "")


def _refused(step: Step, result: StepDone) -> bool:
    """Whether the other side certainly did nothing."""
    status = result.values.get("status")
    return step.kind is Kind.HTTP and isinstance(status, int) and 400 <= status < 500


def _captures(step: Step, result: StepDone) -> Captured:
    out: dict[str, str | int | float | bool] = {}
    for name, path in step.capture:
        value = look_up(path, result.values)
        if not isinstance(value, (str, int, float, bool)) or (isinstance(value, str) and len(value) > 4096):
            raise ConditionError(f"{path} is not a number, true or false, or a text of at most 4,096 characters")
        out[name] = value
    return out


def write(run: str, attempt: Attempt, outcome: Outcome | None, key: str | None) -> RunbookStep:
    """The journal's row: captures as JSON, the runner's own notes beside them with `@`."""
    captured = {name: json.dumps(value) for name, value in (outcome.captured if outcome else {}).items()}
    captured |= {f"@{name}": text for name, text in (outcome.notes if outcome else attempt.notes).items()}
    if outcome is not None and outcome.message:
        captured["@message"] = outcome.message
    return RunbookStep(
        run=run,
        step=attempt.step,
        attempt=attempt.number,
        state=outcome.state if outcome is not None else attempt.state,
        started=attempt.started,
        ended=attempt.ended,
        output=outcome.output if outcome is not None else "",
        exit_code=outcome.exit_code if outcome is not None else None,
        idempotency_key=key,
        captured=captured or None,
    )


def read(row: RunbookStep) -> Attempt:
    """The journal's row as the core reads it."""
    pairs = (row.captured or {}).items()
    return Attempt(
        step=row.step,
        number=row.attempt,
        state=row.state,
        started=row.started,
        ended=row.ended,
        captured={name: json.loads(text) for name, text in pairs if not name.startswith("@")},
        notes={name[1:]: text for name, text in pairs if name.startswith("@")},
    )
