"""The outbox's rules: which row goes next, what is too late to send, how long to wait.

Pure: rows and times in, decisions out. Must never drop a row silently: every row that is not sent ends in a state
with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

from opsctl.core.frozen import dataclass

Action = Literal["trigger", "acknowledge", "resolve", "note"]

FIRST_WAIT_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 60.0
LONGEST_RETRY_AFTER = timedelta(seconds=600)
"""No answer can silence a page for longer."""
RATE_PER_SECOND = 100 / 60
BURST = 20.0
"""With 100 a minute and a burst of 20, no minute ever holds more than PagerDuty's 120."""


class RowState(StrEnum):
    """Where a row is on its way; `visible` and later need the REST API."""

    QUEUED = "queued"
    ATTEMPTED = "attempted"  # a request was begun; its outcome is not known, or it failed and will be repeated
    ACCEPTED = "accepted"
    VISIBLE = "visible"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    DEAD = "dead"  # refused for good, by the fallback too
    NEVER_DELIVERED = "never_delivered"  # over, or too old, before the first attempt
    SUPERSEDED = "superseded"  # another row says it, or there is nothing left to say


class Priority:
    """Lower goes first, across keys."""

    FIRST = 0  # triggers of pages; resolves and acknowledgements of real incidents
    TICKET = 1  # triggers of what is no page
    REPEAT = 2
    NOTE = 3
    SWEEP = 4


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One event to deliver; `body` is its JSON without a routing key; `on` says that its alert is active now."""

    id: int
    key: str
    episode: int
    action: Action
    repeat: int
    route: str
    priority: int
    rule_name: str
    body: str
    created: datetime
    not_after: datetime
    due: datetime
    attempts: int = 0
    state: RowState = RowState.QUEUED
    minimal: bool = False  # refused once in full: goes as a minimal event now
    via: str = ""  # the route that accepted it, that accepted its episode's trigger, or that is tried now
    last_status: int | None = None
    last_error: str = ""
    on: bool = False
    told: bool = False  # a trigger of its episode was accepted: what repeats it is no page

    @property
    def identity(self) -> tuple[str, int, str, int]:
        """What the row is, in any journal: its number is only this one's."""
        return self.key, self.episode, self.action, self.repeat

    @property
    def attempted(self) -> bool:
        """Whether a request was ever begun."""
        return self.attempts > 0


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that is not sent any more, and why; `loud` ones are told to a person."""

    row: OutboxRow
    state: RowState
    reason: str
    loud: bool = False


def triage(rows: Iterable[OutboxRow], now: datetime) -> tuple[Dropped, ...]:
    """The unfinished rows that must not be sent any more; `rows` are all unfinished ones, oldest first."""
    dropped: list[Dropped] = []
    for queue in by_key(rows).values():
        for episode in dict.fromkeys(row.episode for row in queue):
            dropped.extend(_triage_episode([row for row in queue if row.episode == episode], now))
    return tuple(dropped)


def _triage_episode(rows: list[OutboxRow], now: datetime) -> list[Dropped]:
    resolved = any(row.action == "resolve" for row in rows)
    out: list[Dropped] = []
    unsent = False  # the episode's trigger will never have gone out
    waiting = False  # a trigger of the episode is still on its way
    for row in rows:
        late = now > row.not_after
        match row.action:
            case "trigger" if row.repeat:
                if resolved or waiting or (late and not row.on):
                    out.append(Dropped(row, RowState.SUPERSEDED, "a repeat with nothing left to repeat"))
            case "trigger":
                drop = _late_trigger(row, over=resolved or (late and not row.on), late=late)
                unsent = drop is not None and drop.state is RowState.NEVER_DELIVERED
                waiting = drop is None
                out.extend([drop] if drop else [])
            case "acknowledge":
                out.extend(_late_acknowledge(row, over=resolved, late=late))
            case "note":
                out.extend([Dropped(row, RowState.SUPERSEDED, "a note, too old")] if late else [])
            case "resolve":
                needless = unsent and not row.attempted
                out.extend([Dropped(row, RowState.SUPERSEDED, "its trigger never left")] if needless else [])
    return out


def _late_trigger(row: OutboxRow, *, over: bool, late: bool) -> Dropped | None:
    if not over:
        return None  # however late: the alert is on and somebody must know
    if not row.attempted:
        return Dropped(row, RowState.NEVER_DELIVERED, "it was over before the first attempt", loud=True)
    if late:
        return Dropped(row, RowState.DEAD, f"not accepted in {row.attempts} attempts, and over now", loud=True)
    return None  # the outcome of an attempt is unknown: trigger and resolve both go


def _late_acknowledge(row: OutboxRow, *, over: bool, late: bool) -> list[Dropped]:
    if over:
        return [Dropped(row, RowState.SUPERSEDED, "resolved meanwhile")]
    if late:
        return [Dropped(row, RowState.NEVER_DELIVERED, "too old to acknowledge", loud=True)]
    return []


def by_key(rows: Iterable[OutboxRow]) -> dict[str, list[OutboxRow]]:
    """Rows of each key in their order."""
    queues: dict[str, list[OutboxRow]] = {}
    for row in rows:
        queues.setdefault(row.key, []).append(row)
    return queues


class Head(NamedTuple):
    """The first row of a key, which nothing overtakes, and how urgent its key is: nobody waits behind a sweep."""

    row: OutboxRow
    urgency: int

    @property
    def due(self) -> datetime:
        """When the row is due."""
        return self.row.due


def heads(rows: Iterable[OutboxRow], place: Callable[[OutboxRow], str] = lambda _row: "") -> list[Head]:
    """The first row of each key at each `place`: nothing overtakes it. Notes wait for nobody, nobody waits for them.

    Two places do not know of each other's incidents: what can no longer be sent to one holds up no page to another.
    Rows of one episode keep their order all the same, for its trigger may go to a fallback yet.
    """
    firsts: list[OutboxRow] = []
    notes: list[Head] = []
    urgency: dict[str, int] = {}
    begun: set[tuple[str, int | str]] = set()
    for row in rows:
        mine = _urgency(row)
        if row.action == "note":
            notes.append(Head(row, mine))
            continue
        urgency[row.key] = min(mine, urgency.get(row.key, mine))
        ways: tuple[tuple[str, int | str], ...] = ((row.key, row.episode), (row.key, place(row)))
        if begun.isdisjoint(ways):
            firsts.append(row)
        begun.update(ways)
    return [*(Head(row, urgency[row.key]) for row in firsts), *notes]


def _urgency(row: OutboxRow) -> int:
    """Lower goes first: a new page does not wait for the resolves of a storm that is over, and they for no ticket."""
    if row.priority == Priority.FIRST and row.action != "resolve":
        return row.priority - 1
    return row.priority


def due_at(row: OutboxRow, now: datetime) -> datetime:
    """When a row may go: a time that only a clock that went back can explain is now."""
    unsent = not row.attempted and row.created > now
    return now if unsent or row.due - now > LONGEST_RETRY_AFTER else row.due


def next_row(ready: Iterable[Head], was_tried: Callable[[OutboxRow], bool]) -> OutboxRow:
    """The one of the keys' heads to send now, all of them due: the most urgent, then the oldest.

    `was_tried` says of a row that another of the same urgency is the better try.
    """
    return min(ready, key=lambda head: (head.urgency, was_tried(head.row), head.row.id)).row


def wait_seconds(attempt: int, chance: float, retry_after_seconds: float | None) -> float:
    """Full jitter from 2 to 60 s, never sooner than the server asks; `chance` in [0, 1), `attempt` from 1."""
    cap = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(attempt - 1, 10))
    return max(cap * chance, retry_after_seconds or 0.0)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens left for one routing key at a time; starts full."""

    tokens: float
    at: datetime

    def filled(self, now: datetime) -> Bucket:
        """The bucket at `now`; a clock that went back adds nothing."""
        passed = max((now - self.at) / timedelta(seconds=1), 0.0)
        return Bucket(min(BURST, self.tokens + passed * RATE_PER_SECOND), now)

    def take(self, now: datetime) -> tuple[Bucket, float]:
        """One token, and 0.0; or the same bucket and the seconds until there is one."""
        full = self.filled(now)
        if full.tokens >= 1.0:
            return Bucket(full.tokens - 1.0, now), 0.0
        return full, (1.0 - full.tokens) / RATE_PER_SECOND
