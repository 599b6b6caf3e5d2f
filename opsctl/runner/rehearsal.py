"""`runbook test`: a run against canned answers, then once more for every point at which its process could be killed.

The world remembers what was changed, also over a kill; a person answers truthfully. Must never ask, send or run
anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import Any

from opsctl.core.binding import Bound, preview
from opsctl.core.frozen import dataclass
from opsctl.core.params import Given, check_value, collect, expected
from opsctl.core.runbooks import (
    EnumType,
    Idempotency,
    Kind,
    ParamType,
    PatternType,
    Role,
    Runbook,
    ServiceType,
    Step,
    UrlType,
    Value,
)
from opsctl.errors import UsageError
from opsctl.files.runbook_cases import Case
from opsctl.ports.runbooks import Question, RunbookRun, RunbookStep, RunState, StepBroke, StepDone, StepResult
from opsctl.runner.memory import MemoryRunbookLog
from opsctl.runner.run import Options, Report, World, resume, run

_START = datetime(2026, 5, 1, 3, 0, tzinfo=UTC)
_MOST_KILLS = 2_000
HOSTILE = (
    '"} or vector(1) or up{x="',
    "x' or '1'='1",
    "$(touch /tmp/owned)",
    "`id`",
    "a[$(id)]",
    "; rm -rf /",
    "../../admin",
    "eu-1/../../v1/all",
    "x\nSet-Cookie: a=b",
    "x\x1b]0;owned\x07",
    '", "percent": 100, "x": "',
    "%2e%2e%2f",
    "http://user@127.0.0.1/",
    "http://169.254.169.254/latest",
    "https://example.net#@127.0.0.1",
    "javascript:alert(1)",
    "",
)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How a case came out; `kills` is how many times its run was killed and resumed."""

    case: str
    passed: bool
    message: str = ""
    kills: int = 0


class _Killed(BaseException):
    """The process is gone."""


@dataclass
class _Fuse:
    """Kills at the n-th tick; 0 never does."""

    at: int = 0
    ticks: int = 0

    def tick(self) -> None:
        self.ticks += 1
        if self.ticks == self.at:
            raise _Killed


class _Log(MemoryRunbookLog):
    """Every commit is a point to be killed at."""

    def __init__(self, fuse: _Fuse) -> None:
        super().__init__()
        self.fuse = fuse

    def start(self, run: RunbookRun) -> None:
        super().start(run)
        self.fuse.tick()

    def step_before(self, step: RunbookStep) -> None:
        super().step_before(step)
        self.fuse.tick()

    def step_after(self, step: RunbookStep) -> None:
        super().step_after(step)
        self.fuse.tick()

    def finish(self, run: str, state: RunState, at: datetime | None, note: str = "") -> None:
        super().finish(run, state, at, note)
        self.fuse.tick()


class _Clock:
    def __init__(self) -> None:
        self.at = _START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - _START).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class _World:
    """The canned world: answers steps and questions, and remembers what was changed."""

    case: Case
    fuse: _Fuse
    checked: Mapping[str, tuple[str, ...]]  # the mutations that a check step answers for
    asked: Counter[str] = field(default_factory=Counter)
    applied: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    keys: dict[str, set[str | None]] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)

    def perform(self, step: Step, bound: Bound, timeout_seconds: float, key: str | None) -> StepResult:
        """`opsctl.ports.StepRunner`."""
        del timeout_seconds
        answer = self._next(step)
        self.sent.setdefault(step.id, preview(bound, key))
        if step.mutates is not None:
            self.calls[step.id] += 1
            known = self.keys.setdefault(step.id, set())
            if "fail" not in answer and not (step.idempotency is Idempotency.KEY and key in known):
                self.applied[step.id] += 1
            known.add(key)
        self.fuse.tick()
        return _result(step, answer)

    def answer(self, question: Question) -> bool | None:
        """`opsctl.ports.Person`."""
        if question.kind == "happened":
            return self.applied[question.step.id] > 0
        given = self.case.answers.get(question.step.id, ("yes",))
        word = given[min(self.asked[question.step.id], len(given) - 1)]
        self.asked[question.step.id] += 1
        self.fuse.tick()
        return {"yes": True, "no": False}.get(str(word))

    def _next(self, step: Step) -> Mapping[str, Any]:
        given = self.case.answers.get(step.id, ({},))
        found = given[min(self.asked[step.id], len(given) - 1)]
        self.asked[step.id] += 1
        answer: Mapping[str, Any] = found if isinstance(found, dict) else {}
        if step.role is Role.CHECK and "done" in answer and "not_done" in answer:
            happened = any(self.applied[name] for name in self.checked.get(step.id, ()))
            answer = answer["done"] if happened else answer["not_done"]
        return answer


def _result(step: Step, answer: Mapping[str, Any]) -> StepResult:
    if "fail" in answer:
        return StepBroke(str(answer["fail"]))
    if "lost" in answer:
        return StepBroke(str(answer["lost"]), begun=True, certain=False)
    match step.kind:
        case Kind.PROMQL:
            return StepDone(_vector(answer))
        case Kind.BASH:
            return StepDone(
                {"exit_code": 0, "stdout": "", **answer}, str(answer.get("stdout", "")), answer.get("exit_code", 0)
            )
        case _:
            return StepDone({"status": 200, **answer})


def _vector(answer: Mapping[str, Any]) -> dict[str, object]:
    numbers = list(answer.get("values", [answer["value"]] if "value" in answer else []))
    values: dict[str, object] = {"absent": not numbers, "count": len(numbers)}
    if numbers:
        values |= {"min": min(numbers), "max": max(numbers)}
    one = {"value": numbers[0], "labels": answer.get("labels", {})} if len(numbers) == 1 else {}
    return values | one


# -- cases -----------------------------------------------------------------------------------------------------------


def rehearse(runbook: Runbook, case: Case, crash: bool, services: frozenset[str] = frozenset()) -> CaseResult:
    """Play one case; with `crash`, once more for each point at which the process could have been killed."""
    try:
        values = collect(runbook, Given(flags=case.params, labels=case.labels, services=services))
    except UsageError as wrong:
        rejected = case.rejects is not None and f"parameter {case.rejects}" in str(wrong)
        return CaseResult(case.name, rejected, "" if rejected else str(wrong))
    if case.rejects is not None:
        return CaseResult(case.name, False, f"parameter {case.rejects} was not rejected")
    report, world = _play(runbook, case, values, _Fuse())
    wrong_ = _compare(case, report, world)
    if wrong_ is not None or not crash:
        return CaseResult(case.name, wrong_ is None, wrong_ or "")
    return _kill_everywhere(runbook, case, values, report, world)


def _play(runbook: Runbook, case: Case, values: Mapping[str, Value], fuse: _Fuse) -> tuple[Report, _World]:
    """One run; when the fuse kills it, one resume that goes on to the end."""
    checked = {s.id: tuple(m.id for m in runbook.mutations if m.check == s.id) for s in runbook.steps}
    world = _World(case, fuse, checked)
    here = World(world, world, _Log(fuse), _Clock())
    options = Options(who="tester")
    try:
        return run(runbook, values, here, options, run_id="test"), world
    except _Killed:
        fuse.at = 0
    record = here.log.run_of("test")
    assert record is not None  # the first tick is after it was written
    if record.state in ("ok", "undone"):
        return Report(record, here.log.steps("test"), record.state, record.note), world
    return resume("test", runbook, here, options), world


def _compare(case: Case, report: Report, world: _World) -> str | None:
    if report.state != case.outcome:
        return f"expected outcome {case.outcome}, got {report.state}: {report.message}"
    ran = tuple(dict.fromkeys(row.step for row in report.steps if row.state != "skipped"))
    if case.ran is not None and ran != case.ran:
        return f"expected to run {', '.join(case.ran)}; ran {', '.join(ran)}"
    for step_id, text in (case.sent or {}).items():
        if world.sent.get(step_id, "").strip() != text.strip():
            return f"step {step_id} sent {world.sent.get(step_id, 'nothing')!r}, expected {text.strip()!r}"
    return None


def _kill_everywhere(
    runbook: Runbook, case: Case, values: Mapping[str, Value], whole: Report, calm: _World
) -> CaseResult:
    for kills in range(1, _MOST_KILLS):
        fuse = _Fuse(at=kills)
        report, world = _play(runbook, case, values, fuse)
        if fuse.at:  # it was never reached: every point has been tried
            return CaseResult(case.name, True, "", kills - 1)
        wrong = _differs(runbook, whole, calm, report, world)
        if wrong is not None:
            return CaseResult(case.name, False, f"killed at point {kills} and resumed: {wrong}", kills)
    return CaseResult(case.name, False, f"still not over after {_MOST_KILLS} kills", _MOST_KILLS)


def _differs(runbook: Runbook, whole: Report, calm: _World, report: Report, world: _World) -> str | None:
    """What a kill must not change: how it ends, what is changed, and how often what must not be repeated."""
    if report.state != whole.state:
        return f"it ends {report.state} instead of {whole.state}: {report.message}"
    for step in runbook.mutations:
        once, now = calm.applied[step.id], world.applied[step.id]
        repeats = step.idempotency is Idempotency.NATURAL
        if (bool(now) != bool(once)) or (now > once and not repeats):
            return f"step {step.id} took effect {now} times instead of {once}"
        if step.idempotency is Idempotency.NEVER and world.calls[step.id] > calm.calls[step.id]:
            return f"step {step.id} was repeated"
        if step.idempotency is Idempotency.KEY and len(world.keys.get(step.id, ())) > 1:
            return f"step {step.id} was repeated with another key"
    return None


def hostile(runbook: Runbook, services: frozenset[str] = frozenset()) -> CaseResult:
    """Every text parameter must reject every hostile text."""
    for param in runbook.params:
        if isinstance(param.type, (EnumType, PatternType, ServiceType, UrlType)):
            for text in HOSTILE:
                if _accepts(param.type, text, services):
                    return CaseResult(
                        "hostile parameters", False, f"{param.name} takes {text!r}: {expected(param.type)}"
                    )
    return CaseResult("hostile parameters", True)


def _accepts(kind: ParamType, text: str, services: frozenset[str]) -> bool:
    try:
        check_value(kind, text, services)
    except ValueError:
        return False
    return True
