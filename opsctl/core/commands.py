"""What must be said to whom: commands, what the journal knows before them, and what a plan says about both.

Pure values; `core/planning.py` decides. Must never say anything about health (verdicts do).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import Literal, Union

from opsctl.core.alerts import Alert
from opsctl.core.frozen import dataclass
from opsctl.core.policy import Policy
from opsctl.core.routing import Routing
from opsctl.core.seen import Seen, SeenStatus
from opsctl.core.signals import Labels


@dataclass(frozen=True, slots=True)
class JournalAlert:
    """One key as the journal knows it; `episode` is the number of its open incident, None while there is none."""

    key: str
    alert: Alert
    route: str  # where the incident went (`pagerduty/money`), its resolve takes the same way; "" while it went nowhere
    episode: int | None = None
    opened: datetime | None = None
    triggers: int = 0  # trigger events decided in this episode
    triggered: datetime | None = None  # when the last of them was decided
    under_since: datetime | None = None  # first fresh step that did not list it, while the incident is held open
    closed: datetime | None = None  # when a person closed the incident of an alert that goes on
    missing_runs: int = 0  # full runs in a row whose loaded files did not have the rule
    refused: bool = False  # its last trigger was refused for good: nobody was told
    withheld: str = ""  # why nobody is told now: a silence, an inhibition, a maintenance window
    accepted: datetime | None = None  # when the far side first accepted a trigger of this episode
    visible: datetime | None = None  # when it was first seen open there
    seen_at: datetime | None = None  # when it was last seen open there
    acknowledged: datetime | None = None
    remote_id: str = ""  # of its incident on the far side
    last_remote_id: str = ""  # of the episode before


@dataclass(frozen=True, slots=True)
class Closing:
    """An incident that we resolved, while the far side has not confirmed it."""

    key: str
    episode: int
    route: str
    rule_name: str
    accepted: datetime  # when the far side took the last resolve
    resolves: int  # resolve events decided so far
    remote_id: str = ""
    refused: bool = False  # it took none: `accepted` is when it refused the last one for good
    opened: datetime | None = None
    visible: bool = True  # its incident was seen open once
    waiting: bool = False  # its resolve is still to be sent, or the reply was lost
    begun: bool = True  # a request to close it was made
    told: datetime | None = None  # when its last trigger was accepted; None while one may still be on its way


@dataclass(frozen=True, slots=True)
class Watched:
    """A paging rule that this run found healthy on fresh data, and its key's parts: its incident must not stay open."""

    rule_uid: str
    rule_name: str
    team: str
    identity: Labels


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one evaluation says, as delivery needs it.

    `fresh` are the uids of rules that this run evaluated on whole answers, `loaded` those of every loaded file (also
    the ones this run did not evaluate); `full` says that this run evaluated all of them. `links` are per service:
    text → address.
    """

    at: datetime
    alerts: tuple[Alert, ...]
    fresh: frozenset[str]
    loaded: frozenset[str]
    full: bool
    healthy: tuple[Watched, ...] = ()
    formerly: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # old uid → uid
    links: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    policy: Policy = Policy()
    routing: Routing = Routing()
    seen: Mapping[str, Seen] = field(default_factory=lambda: MappingProxyType({}))  # sink → what it showed


@dataclass(frozen=True, slots=True)
class Trigger:
    """Open the incident of an episode; `repeat` counts from 0, and a repeat changes nothing while it is open."""

    key: str
    episode: int
    route: str
    alert: Alert
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Resolve:
    """Close an incident; `episode` 0 is the sweep of a new journal, which does not know whether there is one."""

    key: str
    episode: int
    route: str
    rule_name: str
    reason: str
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A person took the incident; opsctl never says this of its own accord."""

    key: str
    episode: int
    route: str
    rule_name: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line on an open incident; `episode` is the one that it is about."""

    key: str
    episode: int
    route: str
    rule_name: str
    text: str
    repeat: int = 0


Command = Union[Trigger, Resolve, Acknowledge, Note]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of an incident's timeline."""

    key: str
    episode: int
    kind: Literal["opened", "under", "over", "resolved", "acknowledged", "withheld", "released", "unseen", "joined"]
    text: str
    who: str = ""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The far side showed an episode's incident in this state for the first time."""

    key: str
    episode: int
    status: SeenStatus
    at: datetime
    id: str
    who: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The journal's alerts after the cycle, what to send, what happened to which episode, what must be said aloud."""

    after: Mapping[str, JournalAlert]
    commands: tuple[Command, ...]
    changes: tuple[Change, ...]
    sightings: tuple[Sighting, ...] = ()
    problems: tuple[str, ...] = ()
