"""What must be said to whom: the journal's alerts before a cycle and the cycle's own give commands.

Pure. Must never decide health (verdicts do) and never talk to anybody (the sender does). The rules are those of
`docs/incidents.md`: one incident a key, a page for each episode, a resolve only for what this run saw with fresh data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from itertools import count
from types import MappingProxyType
from typing import Literal, Union

from opsctl.core.alerts import Alert, AlertState
from opsctl.core.frozen import dataclass
from opsctl.core.keys import dedup_key, key_of
from opsctl.core.policy import Policy
from opsctl.core.signals import Labels
from opsctl.core.slo import Severity

REFUSED_AGAIN = timedelta(minutes=5)
"""A page that was refused for good is tried again this often: somebody may have put the key right."""
RUNS_MISSING = 3
"""So many full runs in a row must miss a rule before its incident is closed as an orphan."""


@dataclass(frozen=True, slots=True)
class JournalAlert:
    """One key as the journal knows it; `episode` is the number of its open incident, None while there is none."""

    key: str
    alert: Alert
    route: str  # the team whose routing key opened the incident; its resolve takes the same way
    episode: int | None = None
    opened: datetime | None = None
    triggers: int = 0  # trigger events decided in this episode
    triggered: datetime | None = None  # when the last of them was decided
    under_since: datetime | None = None  # first fresh step that did not list it, while the incident is held open
    closed: datetime | None = None  # when a person closed the incident of an alert that goes on
    missing_runs: int = 0  # full runs in a row whose loaded files did not have the rule
    refused: bool = False  # its last trigger was refused for good: nobody was told


@dataclass(frozen=True, slots=True)
class Watched:
    """A paging rule that this run found healthy on fresh data, and its key's parts; for the sweep of a new journal."""

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


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A person took the incident; opsctl never says this of its own accord."""

    key: str
    episode: int
    route: str
    rule_name: str


Command = Union[Trigger, Resolve, Acknowledge]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of an incident's timeline."""

    key: str
    episode: int
    kind: Literal["opened", "under", "over", "resolved"]
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The journal's alerts after the cycle, what to send, and what happened to which episode."""

    after: Mapping[str, JournalAlert]
    commands: tuple[Command, ...]
    changes: tuple[Change, ...]


def plan(
    before: Mapping[str, JournalAlert], cycle: Cycle, *, namespace: str, next_episode: int, sweep: bool = False
) -> Plan:
    """Decide; `next_episode` is the first free number, `sweep` says that no full run was ever committed."""
    work = _Work(cycle, count(next_episode))
    active = _by_key(cycle.alerts, namespace)
    for key, alert in active.items():
        work.active(key, alert, before.get(key))
    for key, was in before.items():
        if key not in active:
            work.missing(was)
    if sweep:
        work.sweep(namespace, before.keys() | active.keys())
    return Plan(MappingProxyType(work.after), (*work.triggers, *work.resolves), tuple(work.changes))


def _by_key(alerts: tuple[Alert, ...], namespace: str) -> dict[str, Alert]:
    """One alert a key: a firing one hides a pending one, else the first wins."""
    found: dict[str, Alert] = {}
    for alert in alerts:
        key = key_of(namespace, alert)
        if key not in found or (alert.state is AlertState.FIRING and found[key].state is not AlertState.FIRING):
            found[key] = alert
    return {key: alert for key, alert in found.items() if alert.state is not AlertState.INACTIVE}


class _Work:
    """The plan while it is being made."""

    def __init__(self, cycle: Cycle, numbers: Iterator[int]) -> None:
        self.cycle = cycle
        self.numbers = numbers
        self.after: dict[str, JournalAlert] = {}
        self.triggers: list[Trigger] = []
        self.resolves: list[Resolve] = []
        self.changes: list[Change] = []

    def active(self, key: str, alert: Alert, was: JournalAlert | None) -> None:
        """An alert that the cycle lists."""
        if was is None:
            was = JournalAlert(key, alert, alert.team)
        now = replace(was, alert=alert, under_since=None, missing_runs=0)
        if was.under_since is not None and was.episode is not None:
            self.changes.append(Change(key, was.episode, "over", "over the line again; the incident was held open"))
        if alert.state is AlertState.FIRING:
            now = self._firing(now)
        self.after[key] = now

    def _firing(self, now: JournalAlert) -> JournalAlert:
        at, policy = self.cycle.at, self.cycle.policy
        pages = now.alert.severity is Severity.PAGE
        if now.episode is None:
            if now.closed is not None and not self._may_reopen(now):
                return now
            return self._open(now)
        wait = min(REFUSED_AGAIN, policy.repeat_interval) if now.refused else policy.repeat_interval
        if pages and now.triggered is not None and at - now.triggered >= wait:
            self.triggers.append(Trigger(now.key, now.episode, now.route, now.alert, now.triggers))
            return replace(now, triggers=now.triggers + 1, triggered=at, refused=False)
        return now

    def _may_reopen(self, now: JournalAlert) -> bool:
        """A person closed it and it still fires: not before `reopen_after`, and once per `repeat_interval`."""
        at, policy = self.cycle.at, self.cycle.policy
        rested = now.closed is None or at - now.closed >= policy.reopen_after
        return rested and (now.triggered is None or at - now.triggered >= policy.repeat_interval)

    def _open(self, now: JournalAlert) -> JournalAlert:
        episode, at = next(self.numbers), self.cycle.at
        pages = now.alert.severity is Severity.PAGE
        route = now.alert.team
        self.changes.append(Change(now.key, episode, "opened", now.alert.summary))
        if pages:
            self.triggers.append(Trigger(now.key, episode, route, now.alert))
        return replace(
            now,
            route=route,
            episode=episode,
            opened=at,
            closed=None,
            triggers=1 if pages else 0,
            triggered=at if pages else None,
        )

    def missing(self, was: JournalAlert) -> None:
        """A key of the journal that the cycle does not list: under, renamed, orphaned or out of this run's scope."""
        uid, cycle = was.alert.rule_uid, self.cycle
        heir = cycle.formerly.get(uid)
        if uid in cycle.fresh:
            self._under(was)
        elif uid in cycle.loaded:
            self.after[was.key] = replace(was, missing_runs=0)
        elif heir is not None:
            if heir in cycle.fresh:
                self._close(was, f"rule {uid} is now called {heir}")
            else:
                self.after[was.key] = was
        elif cycle.full:
            self._orphan(was)
        else:
            self.after[was.key] = was

    def _under(self, was: JournalAlert) -> None:
        if was.episode is None and was.closed is None:
            return  # it was only pending
        at = self.cycle.at
        since = was.under_since or at
        if at - since >= self.cycle.policy.hold_open:
            self._close(was, "no longer over the line")
            return
        if was.under_since is None and was.episode is not None:
            self.changes.append(Change(was.key, was.episode, "under", "under the line; held open against flapping"))
        alert = replace(was.alert, state=AlertState.INACTIVE, frozen=None)
        self.after[was.key] = replace(was, alert=alert, under_since=since, missing_runs=0)

    def _orphan(self, was: JournalAlert) -> None:
        missing = was.missing_runs + 1
        if was.episode is None or missing >= RUNS_MISSING:
            self._close(was, f"rule {was.alert.rule_uid} is in no loaded file ({missing} full runs in a row)")
        else:
            self.after[was.key] = replace(was, missing_runs=missing)

    def _close(self, was: JournalAlert, reason: str) -> None:
        if was.episode is None:
            return
        self.changes.append(Change(was.key, was.episode, "resolved", reason))
        if was.alert.severity is Severity.PAGE:
            self.resolves.append(Resolve(was.key, was.episode, was.route, was.alert.rule_name, reason))

    def sweep(self, namespace: str, known: set[str]) -> None:
        """A journal without history cannot know what another one opened: close what is healthy now."""
        for rule in self.cycle.healthy:
            key = dedup_key(namespace, rule.rule_uid, Severity.PAGE, rule.identity)
            if rule.rule_uid in self.cycle.fresh and key not in known:
                reason = "healthy, and this journal is new: an incident of another one must not stay open"
                self.resolves.append(Resolve(key, 0, rule.team, rule.rule_name, reason))
