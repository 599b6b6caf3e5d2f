"""What the inside asks of the outside; only `app.py` names the classes that answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol, Union

from opsctl.core.frozen import dataclass

if TYPE_CHECKING:  # a check needs none of runbooks and delivery
    from opsctl.core.binding import Bound
    from opsctl.core.commands import Cycle, JournalAlert, Plan
    from opsctl.core.outbox import Action, OutboxRow, RowState
    from opsctl.core.runbooks import Step
    from opsctl.core.signals import Matrix, Reading, Vector


class Clock(Protocol):
    """Time; the demo and the tests have their own."""

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a simulated clock may step instead."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """What `doctor` learns of a backend; `clock_skew_seconds` is theirs minus ours, None when they do not say."""

    name: str
    address: str
    reachable: bool
    authorised: bool
    message: str
    version: str = ""
    clock_skew_seconds: float | None = None
    took_seconds: float = 0.0


class MetricsSource(Protocol):
    """A backend that evaluates PromQL. Methods never raise for what the backend does: they answer `Failed`."""

    name: str  # "prometheus https://…" or "memory": for people
    concurrency: int  # how many questions it takes at once; 1 means: ask in the calling thread

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        """Evaluate at one time."""
        ...

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        """Evaluate at start, start+step, … ≤ end (both inclusive)."""
        ...

    def probe(self, timeout_seconds: float) -> Probe:
        """Ask whether it is there, lets us in and agrees on the time."""
        ...

    def close(self) -> None:
        """Drop connections, also ones in use: their readings become `Failed(deadline)`."""
        ...


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
class PagerEvent:
    """One event to send; `body` is JSON without a routing key, `route` the team whose key goes in."""

    route: str
    body: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came back for one request: `retry` covers every outcome that is not known or may change."""

    outcome: Literal["accepted", "retry", "permanent"]
    status: int | None  # HTTP; None when there was no answer
    message: str  # one line, without secrets
    retry_after_seconds: float | None = None


class Pager(Protocol):
    """Where pages go. Never raises for what the far side does."""

    name: str  # "pagerduty", "pagerduty fallback": kept with each delivery

    def send(self, event: PagerEvent, timeout_seconds: float = 5.0) -> Delivery:
        """Exactly one request, or none if there is no key for the route (then `retry`)."""
        ...

    def channel(self, route: str) -> str:
        """What shares one rate limit with this route; not a secret."""
        ...

    def close(self) -> None:
        """Drop connections."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was made for a row of the outbox."""

    pager: str
    started: datetime
    ended: datetime | None  # None: the process ended before it knew
    outcome: str  # accepted, retry, permanent, unknown
    status: int | None
    message: str
    action: Action = "trigger"
    minimal: bool = False


class Outbox(Protocol):
    """What the sender needs of the journal; every method commits (fsync) before it returns."""

    def lock(self, name: str, wait_seconds: float) -> AbstractContextManager[None]:
        """Hold a lock of the state directory, or `Refused` after `wait_seconds`; freed by the kernel on kill -9."""
        ...

    def unfinished(self) -> tuple[OutboxRow, ...]:
        """Every row that is still to be sent, oldest first."""
        ...

    def take_token(self, channel: str, at: datetime) -> float:
        """Take one token of the channel's rate limit: 0.0, or the seconds until there is one."""
        ...

    def attempt(self, row: OutboxRow, pager: str, at: datetime) -> OutboxRow:
        """Write that a request is about to be made."""
        ...

    def settle(self, row: OutboxRow, delivery: Delivery, at: datetime) -> None:
        """Write the row as it is after its attempt, and what came back."""
        ...

    def drop(self, row: OutboxRow, state: RowState, reason: str, at: datetime) -> None:
        """Write that the row is not sent any more."""
        ...


@dataclass(frozen=True, slots=True)
class Fact:
    """Something the engine wants to remember about a subject; `value` is JSON text, `null` forgets it."""

    kind: str  # frozen_since, had_data, budget, …
    subject: str  # a rule uid, a backend
    value: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """One rule's verdict in a run, as the journal keeps it; equal ones in a row become one span."""

    rule_uid: str
    outcome: str
    headline: str
    fresh: bool
    digest: str = ""


@dataclass(frozen=True, slots=True)
class VerdictSpan:
    """A rule's same outcome from `first_at` to `last_at`, in `runs` runs; headline and digest are the last one's."""

    rule_uid: str
    outcome: str
    headline: str
    fresh: bool
    digest: str
    first_at: datetime
    last_at: datetime
    runs: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One evaluation: `at` is its grid point, `full` that it evaluated every loaded rule."""

    started: datetime
    at: datetime
    full: bool
    notify: bool
    verdicts: tuple[RuleVerdict, ...] = ()
    ended: datetime | None = None  # where the run is over with this commit; else `finish` says it
    exit_code: int | None = None
    success: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit wrote: the run's number, and the plan where there was a cycle."""

    run: int
    plan: Plan | None


@dataclass(frozen=True, slots=True)
class Incident:
    """One episode as the journal knows it; without a REST token PagerDuty may know better."""

    episode: int
    key: str
    rule_uid: str
    rule_name: str
    service: str
    team: str
    severity: str
    cause: str
    summary: str
    runbook: str | None
    opened: datetime
    state: Literal["firing", "held", "pending", "resolved"]  # held: under the line, kept open for `hold_open`
    delivery: str  # of its trigger: a `RowState`, or "none" where nothing goes to the pager
    frozen: str | None = None
    acknowledged: datetime | None = None
    resolved: datetime | None = None
    reason: str = ""
    attempts: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of an incident's timeline."""

    at: datetime
    kind: str
    text: str
    who: str = ""


class Journal(Outbox, Protocol):
    """What opsctl remembers: delivery and facts, never truth about health."""

    path: str  # of the file, ":memory:" while it has none
    problem: str | None  # why this run has no journal it can trust: exit 5

    @property
    def runbooks(self) -> RunbookLog:
        """The runs of runbooks."""
        ...

    def facts(self, kind: str) -> Mapping[str, Fact]:
        """Every fact of a kind, by subject."""
        ...

    def alerts(self) -> Mapping[str, JournalAlert]:
        """Alerts by key, as of the last commit."""
        ...

    def commit(self, run: RunRecord, facts: Sequence[Fact] = (), cycle: Cycle | None = None) -> Committed:
        """One transaction: the run, its verdicts, the facts, and with a cycle the alerts and what must be sent."""
        ...

    def finish(self, run: int, exit_code: int, at: datetime, *, success: bool) -> None:
        """Write how the run ended; a success moves `last_success`."""
        ...

    def last_success(self) -> datetime | None:
        """When a run last ended well, for the dead man's switch."""
        ...

    def incidents(self, *, include_resolved: bool = False, since: datetime | None = None) -> tuple[Incident, ...]:
        """Open incidents, newest first; with `include_resolved` also those resolved after `since`."""
        ...

    def timeline(self, episode: int) -> tuple[Moment, ...]:
        """What happened to an incident, oldest first: opened, sent, accepted, held, resolved."""
        ...

    def acknowledge(self, episode: int, who: str, at: datetime, not_after: datetime) -> bool:
        """A person takes an incident; false if somebody did before. A page gets an event for the pager."""
        ...

    def resolve(self, episode: int, who: str, at: datetime, not_after: datetime) -> bool:
        """A person closes an incident; false if it was closed. The alert may open another after `reopen_after`."""
        ...

    def integrity(self) -> tuple[str, ...]:
        """What the file's own check finds wrong; nothing when it is sound."""
        ...

    def vacuum(self, before: datetime) -> int:
        """Drop what ended before that time; the number of rows dropped."""
        ...

    def close(self) -> None:
        """Close the file."""
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
