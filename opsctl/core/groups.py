"""Whom a group of alerts stands for, and of whom of them somebody was told.

Pure. Must never count as told who was only pending, silenced, or withheld.
"""

from __future__ import annotations

from dataclasses import replace

from opsctl.core.commands import JournalAlert
from opsctl.core.routing import Routed


def rule_uids(was: JournalAlert) -> frozenset[str]:
    """The rules behind a key: a group's members, else its own."""
    return frozenset(uid for uid, _ in was.alert.members) or frozenset({was.alert.rule_uid})


def new_members(told: tuple[tuple[str, str], ...], one: Routed) -> str:
    """Of whom in a group nobody was told yet, in words; "" where it is no group, or nothing new, or silenced."""
    known = {key for _, key in told}
    new = [uid for uid, key in one.alert.members if key not in known] if told and not one.silence else []
    return f"also {', '.join(new)}" if new else ""


def stands_for(now: JournalAlert, one: Routed) -> JournalAlert:
    """The group with everybody of whom somebody is told by now."""
    members = tuple(dict.fromkeys((*now.alert.members, *one.alert.members)))
    return replace(now, alert=replace(now.alert, members=members)) if members != now.alert.members else now
