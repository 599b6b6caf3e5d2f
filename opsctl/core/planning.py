"""The plan of a cycle: the journal's alerts before it, the cycle's own, and what the far side shows give commands.

Pure. Must never decide health (verdicts do) and never talk to anybody (the sender does). The rules are those of
`docs/incidents.md`: one incident a key, a page for each episode, a resolve only for what this run saw with fresh data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from types import MappingProxyType

from opsctl.core.alerts import Alert, AlertState, Cause
from opsctl.core.commands import Change, Closing, Command, Cycle, JournalAlert, Note, Plan, Resolve, Sighting, Trigger
from opsctl.core.groups import new_members, rule_uids, stands_for
from opsctl.core.keys import dedup_key
from opsctl.core.reconcile import adopted, is_needless, never_seen, reconcile, seen_by, verify, visible_now
from opsctl.core.routing import Routed, routed, split_target, target
from opsctl.core.seen import SeenIncident
from opsctl.core.slo import Severity

REFUSED_AGAIN = timedelta(minutes=5)
"""A page that was refused for good, or that nobody can see, is tried again this often: somebody may put it right."""
REASSERTED = {"alertmanager": timedelta(seconds=50)}
"""Sinks that forget what is not said again, and how often it is said (Prometheus: every minute)."""
RUNS_MISSING = 3
"""So many full runs in a row must miss a rule before its incident is closed as an orphan."""


def plan(
    before: Mapping[str, JournalAlert],
    cycle: Cycle,
    *,
    namespace: str,
    next_episode: int,
    sweep: bool = False,
    unswept: frozenset[str] | None = None,
    closings: Sequence[Closing] = (),
    leaving: frozenset[str] = frozenset(),
    forgetful: bool = False,
) -> Plan:
    """Decide; `next_episode` is the first free number, `sweep` says that no full run was ever committed.

    `closings` are our resolves that the far side has not confirmed, `leaving` the keys of those that are not sent yet:
    what is open under such a key is about to be closed, and stands for nothing new. `forgetful`: the journal ends with
    this run, so that nothing can be held open for later.
    """
    active = routed(cycle.alerts, namespace, cycle.routing, cycle.at)
    firing = {key for key, one in active.items() if one.alert.state is AlertState.FIRING}
    needless = [one for one in closings if is_needless(one, seen_by(cycle.seen, one.route), firing)]
    closing = (leaving | {one.key for one in closings}) - {one.key for one in needless}
    work = _Work(before, cycle, count(next_episode), closing)
    for key, one in active.items():
        work.active(one, work.before.get(key))
    for key, was in work.before.items():
        if key not in active:
            work.missing(was)
    for left in closings:
        work.verify(left, needless=left in needless)
    work.forgetful = forgetful
    blind = unswept if unswept is not None else frozenset(rule.rule_uid for rule in cycle.healthy)
    work.sweep(namespace, before.keys() | active.keys(), blind=blind if sweep else frozenset(), leaving=leaving)
    work.strangers(namespace)
    commands: tuple[Command, ...] = (*work.triggers, *work.resolves, *work.notes)
    return Plan(
        MappingProxyType(work.after), commands, tuple(work.changes), tuple(work.sightings), tuple(work.problems)
    )


class _Work:
    """The plan while it is being made."""

    def __init__(
        self, before: Mapping[str, JournalAlert], cycle: Cycle, numbers: Iterator[int], closing: frozenset[str]
    ) -> None:
        self.before = {key: _in_the_past(one, cycle.at) for key, one in before.items()}
        self.cycle = cycle
        self.numbers = numbers
        self.closing = closing
        self.after: dict[str, JournalAlert] = {}
        self.triggers: list[Trigger] = []
        self.resolves: list[Resolve] = []
        self.notes: list[Note] = []
        self.changes: list[Change] = []
        self.sightings: list[Sighting] = []
        self.problems: list[str] = []
        self.forgetful = False

    # -- an alert that the cycle lists

    def active(self, one: Routed, was: JournalAlert | None) -> None:
        """Pending or firing now."""
        now = was or JournalAlert(one.key, one.alert, "")
        # A member that flaps is not new again: a group keeps whom it stood for when somebody was told.
        told = now.alert.members if one.alert.members and (now.triggers or now.closed is not None) else ()
        news = new_members(told, one)
        now = replace(now, alert=replace(one.alert, members=told or one.alert.members), missing_runs=0)
        if was is not None and was.under_since is not None and was.episode is not None:
            self._change(now, "over", "over the line again; the incident was held open")
        if one.alert.state is AlertState.FIRING:
            now = self._firing(now, one, news)
        self.after[one.key] = replace(now, under_since=None)

    def _firing(self, now: JournalAlert, one: Routed, news: str) -> JournalAlert:
        now, missing = self._reconciled(now)
        if now.episode is None:
            there = self._there(now, one)
            if there is not None and there.open:
                return self._adopt(
                    now, target(split_target(one.to)[0], there.origin.to) if there.origin else one.to, there
                )
            if there is not None and now.closed is None and there.by_person and there.changed >= one.alert.since:
                now = replace(now, closed=min(there.changed, self.cycle.at), triggered=there.created)
            if now.closed is not None and not news and not self._may_reopen(now):
                return now
            now = self._open(now)
        if not now.triggers:
            return self._tell(now, one)
        return self._repeat(now, one, news, missing=missing)

    def _reconciled(self, now: JournalAlert) -> tuple[JournalAlert, bool]:
        look, rest = seen_by(self.cycle.seen, now.route), self.cycle.policy.reopen_after
        done = reconcile(now, look, rest, closing=now.key in self.closing)
        self.changes.extend(done.changes)
        self.sightings.extend(done.sightings)
        return done.now, done.missing

    def _there(self, now: JournalAlert, one: Routed) -> SeenIncident | None:
        """What the far side has under a key that has no episode here: another runner's, or an earlier journal's."""
        if now.key in self.closing:
            return None
        return adopted(now.key, seen_by(self.cycle.seen, one.to), now.last_remote_id)

    def _adopt(self, now: JournalAlert, to: str, there: SeenIncident) -> JournalAlert:
        now = self._open(now)
        assert now.episode is not None
        self._change(now, "joined", f"open already as {there.id}: another runner or an earlier journal told it")
        at = self.cycle.at
        now = replace(now, route=to, triggers=1, triggered=at, accepted=there.created, visible=None, remote_id=there.id)
        return self._reconciled(now)[0]

    def _may_reopen(self, now: JournalAlert) -> bool:
        """A person closed it and it still fires: not before `reopen_after`, and once per `repeat_interval`."""
        at, policy = self.cycle.at, self.cycle.policy
        rested = now.closed is None or at - now.closed >= policy.reopen_after
        return rested and (now.triggered is None or at - now.triggered >= policy.repeat_interval)

    def _open(self, now: JournalAlert) -> JournalAlert:
        """A new episode, of which nobody is told yet."""
        now = replace(
            now,
            route="",
            episode=next(self.numbers),
            opened=self.cycle.at,
            closed=None,
            triggers=0,
            triggered=None,
            refused=False,
            withheld="",
            accepted=None,
            visible=None,
            seen_at=None,
            acknowledged=None,
            remote_id="",
            last_remote_id=now.remote_id or now.last_remote_id,
        )
        self._change(now, "opened", now.alert.summary)
        return now

    def _tell(self, now: JournalAlert, one: Routed) -> JournalAlert:
        """The first trigger of an episode, unless something stands against it."""
        why = self._why_not(now, one)
        if why:
            if why != now.withheld:
                self._change(now, "withheld", why)
            return replace(now, withheld=why)
        if now.withheld:
            self._change(now, "released", f"no longer {now.withheld}")
        if not one.to or now.episode is None:
            return replace(now, withheld="")
        now = stands_for(now, one)
        self.triggers.append(Trigger(now.key, now.episode or 0, one.to, now.alert))
        return replace(now, withheld="", route=one.to, triggers=1, triggered=self.cycle.at)

    def _why_not(self, now: JournalAlert, one: Routed) -> str:
        """Why nobody is told now; "" if somebody is, or if it goes nowhere anyway."""
        if one.silence or not one.to:
            return one.silence
        closed = self._maintenance(one.to)
        if closed:
            return closed
        other = self._inhibitor(one)
        if other is None:
            return ""
        why = f"inhibited by #{other.episode}: {other.alert.rule_name} on {other.alert.service}, which it depends on"
        if why != now.withheld and now.episode is not None:
            text = f"{now.alert.rule_name} on {now.alert.service} depends on this: {now.alert.summary}"
            self.notes.append(Note(other.key, now.episode, other.route, now.alert.rule_name, text))
        return why

    def _maintenance(self, to: str) -> str:
        look = seen_by(self.cycle.seen, to)
        return look.maintenance.get(split_target(to)[1], "") if look is not None else ""

    def _inhibitor(self, one: Routed) -> JournalAlert | None:
        """A dependency whose incident somebody has before their eyes."""
        routing = self.cycle.routing
        needed = routing.dependencies.get(one.alert.service, frozenset()) if routing.inhibit else frozenset()
        for other in self.before.values():
            theirs = other.alert.service in needed and other.alert.severity is Severity.PAGE
            if theirs and visible_now(other, self.cycle.seen, self.cycle.at):
                return other
        return None

    def _repeat(self, now: JournalAlert, one: Routed, news: str, *, missing: bool) -> JournalAlert:
        """Say it again where that is due; free while the incident is open."""
        why = one.silence or self._maintenance(now.route)
        if why != now.withheld:
            self._change(now, "withheld" if why else "released", why or f"no longer {now.withheld}")
            now = replace(now, withheld=why)
        if missing and not why:
            text = f"accepted {_minutes(self.cycle.at - (now.accepted or self.cycle.at))} ago and not visible"
            self.problems.append(
                f"NOT VISIBLE: #{now.episode} ({now.alert.rule_name}) was {text} in {split_target(now.route)[0]}: "
                f"it is sent again; tell the on-call engineer yourself"
            )
        if why or now.triggered is None or now.episode is None:
            return now
        if not news and self.cycle.at - now.triggered < self._wait(now, missing=missing):
            return now
        if missing or news:
            self._change(now, "unseen" if missing else "joined", "nobody can see it: sent again" if missing else news)
        now = stands_for(now, one)
        self.triggers.append(Trigger(now.key, now.episode or 0, now.route, now.alert, now.triggers))
        return replace(now, triggers=now.triggers + 1, triggered=self.cycle.at, refused=False)

    def _wait(self, now: JournalAlert, *, missing: bool) -> timedelta:
        usual = self.cycle.policy.repeat_interval
        often = REASSERTED.get(split_target(now.route)[0])
        if often is not None:
            return often
        if now.refused or missing:
            return min(REFUSED_AGAIN, usual)
        look = seen_by(self.cycle.seen, now.route)
        return timedelta.max if look is not None and now.seen_at == look.at else usual

    # -- a key of the journal that the cycle does not list

    def missing(self, was: JournalAlert) -> None:
        """Under, renamed, orphaned, or out of this run's scope."""
        was, _ = self._reconciled(was)
        uids, cycle = rule_uids(was), self.cycle
        heirs = {uid: heir for uid in uids if (heir := cycle.formerly.get(uid)) is not None and uid not in cycle.loaded}
        there = {uid for uid in uids if uid in cycle.loaded or uid in cycle.fresh}
        if there:
            if there <= cycle.fresh:
                self._under(was)
            else:
                self.after[was.key] = replace(was, missing_runs=0)
        elif heirs:
            if set(heirs.values()) <= cycle.fresh:
                uid, heir = next(iter(heirs.items()))
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
        if was.under_since is None:
            self._change(was, "under", "under the line; held open against flapping")
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
        self._change(was, "resolved", reason)
        if was.triggers:
            self.resolves.append(Resolve(was.key, was.episode, was.route, was.alert.rule_name, reason))

    # -- what the far side has and should not

    def verify(self, closing: Closing, *, needless: bool) -> None:
        """A resolve that is not confirmed yet; one that waits is taken back where it is `needless`."""
        look = seen_by(self.cycle.seen, closing.route)
        if closing.waiting:
            if needless and look is not None:
                gone = Sighting(closing.key, closing.episode, "resolved", look.at, closing.remote_id)
                self.sightings.append(gone)
            return
        now = self.after.get(closing.key)
        if now is not None and now.episode is not None:
            return  # the key has a new episode: its incident must stay
        sighting, again = verify(closing, look, REFUSED_AGAIN, self.cycle.at)
        if sighting is not None and never_seen(closing, look):
            self.problems.append(
                f"NOT VISIBLE: #{closing.episode} ({closing.rule_name}) was accepted, never seen in "
                f"{split_target(closing.route)[0]}, and is over now: tell the on-call engineer yourself"
            )
        self.sightings.extend([sighting] if sighting else [])
        self.resolves.extend([again] if again else [])

    def sweep(self, namespace: str, known: set[str], *, blind: frozenset[str], leaving: frozenset[str]) -> None:
        """Open, ours and healthy: closed. Without a look, a journal without history closes whatever is healthy."""
        for rule in self.cycle.healthy:
            key = dedup_key(namespace, rule.rule_uid, Severity.PAGE, rule.identity)
            if rule.rule_uid not in self.cycle.fresh or key in known:
                continue
            to = target(self.cycle.routing.default, rule.team)
            look = seen_by(self.cycle.seen, to)
            if look is not None and look.complete:
                one = look.incidents.get(key)
                if one is not None and one.open and key not in self.closing:
                    there = target(split_target(to)[0], one.origin.to) if one.origin is not None else to
                    self._take_over(one, there, rule.rule_name, (rule.rule_uid,))
            elif rule.rule_uid in blind and key not in leaving:
                reason = "healthy, and this journal is new: an incident of another one must not stay open"
                self.resolves.append(Resolve(key, 0, to, rule.rule_name, reason))

    def strangers(self, namespace: str) -> None:
        """Open there, ours by what it says of itself, and of no journal: closed where its rules are healthy."""
        known = self.before.keys() | self.after.keys() | self.closing | {one.key for one in self.resolves}
        for sink, look in self.cycle.seen.items():
            for one in look.incidents.values():
                origin = one.origin
                if one.key in known or not one.open or origin is None or origin.namespace != namespace:
                    continue
                if origin.rule_uids and self.cycle.fresh.issuperset(origin.rule_uids):
                    self._take_over(one, target(sink, origin.to), origin.rule_name, origin.rule_uids)

    def _take_over(self, one: SeenIncident, to: str, rule_name: str, uids: tuple[str, ...]) -> None:
        """Open there and healthy here: held open like our own, for another runner may be holding it, then closed."""
        if self.forgetful:
            reason = f"healthy, open as {one.id}, and this journal can hold nothing open"
            self.resolves.append(Resolve(one.key, 0, to, rule_name, reason))
            return
        members = tuple((uid, "") for uid in uids) if len(uids) > 1 else ()
        alert = Alert(
            rule_uid=uids[0],
            rule_name=rule_name,
            service="",
            team="",
            severity=Severity.PAGE,
            identity=(),
            labels=(),
            state=AlertState.INACTIVE,
            cause=Cause.RULE,
            since=one.created,
            summary=f"{rule_name} is healthy, and open as {one.id}",
            members=members,
        )
        self._under(self._adopt(JournalAlert(one.key, alert, ""), to, one))

    def _change(self, now: JournalAlert, kind: str, text: str) -> None:
        if now.episode is not None:
            self.changes.append(Change(now.key, now.episode, kind, text))  # type: ignore[arg-type]


def _in_the_past(was: JournalAlert, at: datetime) -> JournalAlert:
    """A clock that went back must not make anybody wait for it: what lies ahead counts as now."""
    names = ("opened", "triggered", "under_since", "closed", "visible", "seen_at")
    ahead = {name: at for name in names if (when := getattr(was, name)) is not None and when > at}
    now = replace(was, **ahead) if ahead else was  # type: ignore[arg-type]
    # The outbox keeps when it was accepted as it was: not before its episode counts as opened.
    return replace(now, accepted=now.opened) if now.accepted is not None and now.accepted > at else now


def _minutes(passed: timedelta) -> str:
    return f"{passed // timedelta(minutes=1)} min"
