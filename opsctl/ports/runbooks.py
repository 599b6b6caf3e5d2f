"""What a run of a runbook asks of the outside: its log, its steps' effects, a person."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol, Union

from opsctl.core.frozen import dataclass

if TYPE_CHECKING:  # a check needs none of them
    from opsctl.core.binding import Bound
    from opsctl.core.runbooks import Step

RunState = Literal["running", "ok", "failed", "waiting", "stopped", "undone"]
StepState = Literal["running", "ok", "failed", "skipped", "waiting", "unknown", "undone"]


@dataclass(frozen=True, slots=True)
class RunbookRun:
    """One run of a runbook as the journal keeps it; `params` and `source` are JSON and text, never secrets."""

    run: str  # its id, chosen by the runner
    runbook: str  # the runbook's id
    digest: str  # of the runbook at the start: what the run is pinned to
    params: Mapping[str, str]
    started: datetime
    state: RunState = "running"
    ended: datetime | None = None
    who: str = ""
    incident_key: str | None = None  # the dedup key of the incident it was started for
    source: str = ""  # the runbook's text at the start, to show what changed since
    note: str = ""  # why it stopped or waits: one line


@dataclass(frozen=True, slots=True)
class RunbookStep:
    """One attempt of one step; written before it runs and again after; `running` without an end is *unknown*."""

    run: str
    step: str
    attempt: int  # 1-based, within (run, step)
    state: StepState
    started: datetime
    ended: datetime | None = None
    output: str = ""  # capped, cleaned and redacted by the runner
    exit_code: int | None = None
    idempotency_key: str | None = None
    captured: Mapping[str, str] | None = None
    position: int = 0  # order of writing within the run; the journal sets it


class RunbookLog(Protocol):
    """The journal's memory of runbook runs; every method commits (fsync) before it returns."""

    def start(self, run: RunbookRun) -> None:
        """Write a new run; its id must be new."""
        ...

    def step_before(self, step: RunbookStep) -> None:
        """Write that an attempt is about to run (state running or waiting)."""
        ...

    def step_after(self, step: RunbookStep) -> None:
        """Write how the attempt ended; (run, step, attempt) was written by `step_before`, or is new (skipped)."""
        ...

    def finish(self, run: str, state: RunState, at: datetime | None, note: str = "") -> None:
        """Set the run's state; `at` is its end, or None while it can go on (running, waiting)."""
        ...

    def run_of(self, run: str) -> RunbookRun | None:
        """The run of that id, or of the one id that begins with it."""
        ...

    def runs(
        self, *, runbook: str | None = None, state: RunState | None = None, limit: int = 50
    ) -> tuple[RunbookRun, ...]:
        """Runs, newest first."""
        ...

    def steps(self, run: str) -> tuple[RunbookStep, ...]:
        """Every attempt of the run, in the order of writing."""
        ...

    def lock(self, run: str) -> AbstractContextManager[None]:
        """Hold the run: a second process that resumes it is `Refused` at once; the kernel frees it on kill -9."""
        ...


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step came to its end; `values` is what its conditions and captures look at, `output` is capped and redacted."""

    values: Mapping[str, object]
    output: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class StepBroke:
    """A step did not come to its end. `begun`: it may have changed something; `certain`: surely it did not finish."""

    message: str
    begun: bool = False
    certain: bool = True
    output: str = ""
    exit_code: int | None = None


StepResult = Union[StepDone, StepBroke]


class StepRunner(Protocol):
    """Carries out promql, http and bash steps; never raises for what the other side does."""

    def perform(self, step: Step, bound: Bound, timeout_seconds: float, key: str | None) -> StepResult:
        """Do it once; `key` is the Idempotency-Key of an http mutation."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked: to approve, to do something by hand, or whether a step happened before a crash."""

    kind: Literal["approval", "manual", "happened"]
    step: Step
    text: str
    facts: tuple[str, ...] = ()  # the evidence so far and what an approval opens; not cleaned


class Person(Protocol):
    """Whoever sits at the terminal."""

    def answer(self, question: Question) -> bool | None:
        """Yes, no, or None: nobody is there to answer."""
        ...
