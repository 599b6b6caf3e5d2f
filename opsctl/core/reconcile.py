"""The journal's incidents against what the far side shows of them: seen, taken, closed, missing.

Pure. Must never conclude anything from a key that was not asked for, and never take another episode's incident for
this one's.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from datetime import datetime, timedelta

from opsctl.core.commands import Change, Closing, JournalAlert, Resolve, Sighting
from opsctl.core.frozen import dataclass
from opsctl.core.routing import split_target
from opsctl.core.seen import Seen, SeenIncident

VISIBLE_WITHIN = timedelta(minutes=2)
"""An accepted event that the far side does not show after this time is not believed any more."""
LOOK_AGAIN_WITHIN = timedelta(minutes=15)
"""So long an incident that was seen open counts as open without another look."""
_SKEW = timedelta(minutes=2)  # the far side's clock may be so much behind ours


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A journal alert after a look, what it means for the timeline, and whether its page went missing."""

    now: JournalAlert
    changes: tuple[Change, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    missing: bool = False


def seen_by(seen: Mapping[str, Seen], route: str) -> Seen | None:
    """What the sink of a route showed, if it can be read."""
    return seen.get(split_target(route)[0]) if route else None


def reconcile(now: JournalAlert, look: Seen | None, reopen_after: timedelta, *, closing: bool = False) -> Reconciled:
    """An alert with an open episode that was told to somebody.

    `closing`: what was open under its key before is to be closed by us, and that is not confirmed.
    """
    if look is None or now.episode is None or not now.triggers:
        return Reconciled(now)
    one = look.incidents.get(now.key)
    if closing and one is not None and _may_be_the_one_before(one, now, look.at):
        return Reconciled(now)
    if one is not None and _belongs(one, now):
        return (
            _found(now, now.episode, one, look.at) if one.open else _closed(now, now.episode, one, look, reopen_after)
        )
    asked = one is not None or now.key in look.absent
    lost = asked and now.visible is None and now.accepted is not None and look.at - now.accepted >= VISIBLE_WITHIN
    return Reconciled(now, missing=lost)


def _belongs(one: SeenIncident, now: JournalAlert) -> bool:
    """Whether it is this episode's incident, not the one before."""
    if one.id == now.remote_id:
        return True
    if one.id == now.last_remote_id:
        return False
    if one.open or now.opened is None:
        return one.open
    if now.accepted is None and one.created < now.opened:
        return False  # and nobody took our page: a page too many, rather than none
    return one.created >= now.opened - _SKEW


def _may_be_the_one_before(one: SeenIncident, now: JournalAlert, at: datetime) -> bool:
    """Whether a list that lags may show the incident that we just closed, or have yet to close, as open."""
    fresh = now.accepted is None or at - now.accepted < VISIBLE_WITHIN
    return fresh and one.open and one.id != now.remote_id and _is_older(one, now)


def _is_older(one: SeenIncident, now: JournalAlert) -> bool:
    """Whether it was there before the episode began here."""
    return now.opened is not None and one.created < now.opened - _SKEW


def _said_before(one: SeenIncident, now: JournalAlert) -> bool:
    """Whether an incident that we joined was about an earlier time over the line than the one that lasts now."""
    return _is_older(one, now) and (one.changed if one.by_person else one.created) < now.alert.since


def _found(now: JournalAlert, episode: int, one: SeenIncident, at: datetime) -> Reconciled:
    sightings, changes = [], []
    if now.visible is None or now.remote_id != one.id:
        sightings.append(Sighting(now.key, episode, "triggered", at, one.id, one.who, one.url))
    if one.status == "acknowledged" and now.acknowledged is None:
        sightings.append(Sighting(now.key, episode, "acknowledged", one.changed, one.id, one.who, one.url))
        changes.append(Change(now.key, episode, "acknowledged", f"seen as {one.id}", one.who))
        now = replace(now, acknowledged=one.changed)
    now = replace(now, visible=now.visible or at, seen_at=at, remote_id=one.id)
    return Reconciled(now, tuple(changes), tuple(sightings))


def _closed(now: JournalAlert, episode: int, one: SeenIncident, look: Seen, reopen_after: timedelta) -> Reconciled:
    """Somebody else closed it: a person keeps it closed for `reopen_after`, an event does not.

    What an event closed while it was under the line is over: when it burns again, nobody waits.
    """
    closed = min(one.changed, look.at)
    over = _said_before(one, now) or (not one.by_person and now.under_since is not None)
    rests_since = None if over else closed if one.by_person else closed - reopen_after
    who = one.who or ("a person" if one.by_person else "an event that is not ours")
    text = f"closed by {who} as {one.id}"
    return Reconciled(
        replace(
            now,
            episode=None,
            closed=rests_since,
            triggered=max(now.triggered or one.created, min(one.created, look.at)),  # woken then: it may have waited
            under_since=None if now.under_since is None else now.under_since,
            withheld="",
            last_remote_id=one.id,
            remote_id="",
            visible=None,
            accepted=None,
            acknowledged=None,
            refused=False,
        ),
        (Change(now.key, episode, "resolved", text, who),),
        (Sighting(now.key, episode, "resolved", closed, one.id, one.who, one.url),),
    )


def verify(
    closing: Closing, look: Seen | None, wait: timedelta, at: datetime
) -> tuple[Sighting | None, Resolve | None]:
    """Whether what we resolved is resolved: then it is seen so; else, after a while, it is resolved again."""
    one = look.incidents.get(closing.key) if look is not None else None
    if look is None or (one is None and closing.key not in look.absent):
        return None, _refused_again(closing, at, wait)
    if closing.refused and one is not None and one.open:
        return None, _refused_again(closing, at, wait)
    newer = one is not None and one.id != closing.remote_id and one.created > closing.accepted
    if one is None or not one.open or newer:
        who, url = (one.who, one.url) if one is not None and not newer else ("", "")
        return Sighting(closing.key, closing.episode, "resolved", look.at, closing.remote_id, who, url), None
    if _is_recent(closing.accepted, look.at, max(VISIBLE_WITHIN, wait if closing.resolves > 1 else VISIBLE_WITHIN)):
        return None, None
    reason = f"resolved, and still open as {one.id}"
    return None, Resolve(closing.key, closing.episode, closing.route, closing.rule_name, reason, closing.resolves)


def closed_already(closing: Closing, look: Seen | None) -> SeenIncident | None:
    """What shows that an incident is closed whose resolve still waits: itself, or a later one under its key.

    The later one is another episode's, maybe of another runner: the resolve that waits would close it.
    """
    one = look.incidents.get(closing.key) if look is not None else None
    if one is None or closing.opened is None:
        return None
    if one.id == closing.remote_id:
        return None if one.open else one
    if one.origin is not None and one.origin.to not in ("", "default", split_target(closing.route)[1]):
        return None  # a key is known to each routing key apart: that one says nothing of ours
    if not closing.remote_id:  # ours was never seen: it was there soon after its page was taken
        return one if closing.told is not None and one.created > closing.told + 2 * _SKEW else None
    return one if one.created > closing.opened else None


def stands_for_next(closing: Closing, look: Seen | None) -> bool:
    """Whether an alert that fires again is told already by what is open: nobody took it, nobody was asked to close it.

    Our page may be the one that opened it, or another runner's; to close it and open it again would wake twice.
    """
    one = look.incidents.get(closing.key) if look is not None else None
    untouched = closing.waiting and not closing.begun and closing.told is None and not closing.remote_id
    return untouched and one is not None and one.status == "triggered"


def is_needless(closing: Closing, look: Seen | None, firing: Set[str]) -> bool:
    """Whether a resolve that waits must not go: its incident is closed already, or stands for the next episode."""
    kept = closing.key in firing and stands_for_next(closing, look)
    return kept or closed_already(closing, look) is not None


def _is_recent(when: datetime, at: datetime, wait: timedelta) -> bool:
    """Whether there is something to wait for; a time well ahead is of a clock that went back since, and is not."""
    return -_SKEW <= at - when < wait


def _refused_again(closing: Closing, at: datetime, wait: timedelta) -> Resolve | None:
    """A resolve that was refused for good closed nothing: somebody may have put right why."""
    if not closing.refused or _is_recent(closing.accepted, at, wait):
        return None
    reason = "its resolve was refused"
    return Resolve(closing.key, closing.episode, closing.route, closing.rule_name, reason, closing.resolves)


def never_seen(closing: Closing, look: Seen | None) -> bool:
    """Whether the far side says that there was never an incident for what it accepted, and it is over now."""
    if look is None or closing.visible or closing.opened is None:
        return False
    one = look.incidents.get(closing.key)
    if one is None:
        return closing.key in look.absent
    return one.id != closing.remote_id and not one.open and one.created < closing.opened - _SKEW


def adopted(key: str, look: Seen | None, last_remote_id: str) -> SeenIncident | None:
    """The incident that another runner or an earlier journal opened for a key."""
    one = look.incidents.get(key) if look is not None else None
    return None if one is None or one.id == last_remote_id else one


def visible_now(other: JournalAlert, seen: Mapping[str, Seen], at: datetime) -> bool:
    """Whether its incident is before somebody's eyes: seen open now, or not long ago where this look says nothing."""
    if other.episode is None or not other.triggers:
        return False
    look = seen_by(seen, other.route)
    one = look.incidents.get(other.key) if look is not None else None
    if one is not None:
        return one.open and _belongs(one, other)
    if look is None or other.key in look.absent:
        return False
    return other.seen_at is not None and at - other.seen_at <= LOOK_AGAIN_WITHIN
