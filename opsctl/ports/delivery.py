"""Where decisions are kept and pages go: the journal and the sinks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from opsctl.core.frozen import dataclass

if TYPE_CHECKING:  # a check needs none of runbooks and delivery
    from opsctl.core.commands import Closing, Cycle, JournalAlert, Plan
    from opsctl.core.outbox import Action, OutboxRow, RowState
    from opsctl.core.seen import Seen
    from opsctl.ports.history import History
    from opsctl.ports.runbooks import RunbookLog


@dataclass(frozen=True, slots=True)
class SinkEvent:
    """One event to send: `body` is JSON in the form of PagerDuty's Events v2 (of any sink), without a routing key.

    `key` is what the route says after the sink's name: a routing key's name, a team. `id` is the same for every
    attempt of one event and for nothing else.
    """

    key: str
    body: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came back for one request: `retry` covers every outcome that is not known or may change."""

    outcome: Literal["accepted", "retry", "permanent"]
    status: int | None  # HTTP; None when there was no answer
    message: str  # one line, without secrets
    retry_after_seconds: float | None = None


class Sink(Protocol):
    """Where events go. Never raises for what the far side does."""

    name: str  # as routes say it: "pagerduty", "alertmanager", "opsgenie", "webhook/NAME", "console"

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        """Exactly one request, or none if there is no key for the route (then `retry`)."""
        ...

    def channel(self, key: str) -> str:
        """What shares one rate limit with this key, not a secret; "" where there is no limit."""
        ...

    def close(self) -> None:
        """Drop connections."""
        ...


class IncidentReader(Protocol):
    """Reads back what a sink made of our events. Never raises for what the far side does: `Seen.problem` says it."""

    name: str  # of the sink

    def look(self, keys: Sequence[str], known: Mapping[str, str], timeout_seconds: float = 5.0) -> Seen:
        """The newest incident of each dedup key, the first keys first; `known` are keys by id from earlier looks.

        Everything together takes at most `timeout_seconds`; what was not asked by then is in no part of the answer.
        """
        ...

    def close(self) -> None:
        """Drop connections."""
        ...


@dataclass(frozen=True, slots=True)
class Sinks:
    """Everywhere that events can go, by name; `fallbacks` are routes (`pagerduty/fallback`) for what was refused."""

    by_name: Mapping[str, Sink]
    fallbacks: tuple[str, ...] = ()
    readers: tuple[IncidentReader, ...] = ()

    def close(self) -> None:
        """Drop connections."""
        for sink in self.by_name.values():
            sink.close()
        for reader in self.readers:
            reader.close()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was made for a row of the outbox."""

    sink: str
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

    def attempt(self, row: OutboxRow, sink: str, at: datetime) -> OutboxRow | None:
        """Write that a request is about to be made; None where another process ended the row: then none is."""
        ...

    def settle(self, row: OutboxRow, delivery: Delivery, at: datetime) -> None:
        """Write the row as it is after its attempt, and what came back."""
        ...

    def drop(self, row: OutboxRow, state: RowState, reason: str, at: datetime) -> None:
        """Write that the row is not sent any more; a lost page is `unheard` until somebody was told."""
        ...

    def unheard(self) -> tuple[str, ...]:
        """What did not get through and nobody was told of yet: one line each."""
        ...

    def heard(self, lines: Iterable[str]) -> None:
        """Somebody was told of these."""
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
    delivery: str  # of its trigger: a `RowState`, or "none" where nothing went to a sink
    frozen: str | None = None
    acknowledged: datetime | None = None
    resolved: datetime | None = None
    reason: str = ""
    attempts: int = 0
    last_error: str = ""
    route: str = ""  # where it was told: `pagerduty/money`
    withheld: str = ""  # why nobody is told
    visible: datetime | None = None  # when the far side showed it open
    confirmed: datetime | None = None  # when the far side showed it resolved
    remote_id: str = ""
    remote_url: str = ""


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

    @property
    def history(self) -> History:
        """Any minute of the past."""
        ...

    def facts(self, kind: str) -> Mapping[str, Fact]:
        """Every fact of a kind, by subject."""
        ...

    def remember(self, facts: Iterable[Fact]) -> None:
        """Keep facts outside of a run: each takes the place of the one of its kind and subject."""
        ...

    def alerts(self) -> Mapping[str, JournalAlert]:
        """Alerts by key, as of the last commit."""
        ...

    def commit(self, run: RunRecord, facts: Sequence[Fact] = (), cycle: Cycle | None = None) -> Committed:
        """One transaction: the run, its verdicts, the facts, and with a cycle the alerts and what must be sent."""
        ...

    def finish(self, run: int, exit_code: int, at: datetime, *, success: bool, problems: Sequence[str] = ()) -> None:
        """Write how the run ended and what it said aloud; a success moves `last_success`."""
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

    def note(self, episode: int, who: str, text: str, at: datetime, not_after: datetime) -> bool:
        """A person writes a line on an open incident; false if it is closed. It goes out where the page went."""
        ...

    def closings(self, since: datetime) -> tuple[Closing, ...]:
        """Our resolves since then that the far side has not shown: sent, refused, or still to be sent."""
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
