"""Deployments and other changes that somebody told of with `opsctl change send`, as the journal keeps them.

A fact a service: the last change of each one, never a history.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from opsctl.core.frozen import dataclass
from opsctl.ports import Fact, Journal

KIND = "change"


@dataclass(frozen=True, slots=True)
class Change:
    """A deployment or another change that somebody told of."""

    at: datetime
    service: str
    summary: str
    who: str = ""


def fact_of(change: Change) -> Fact:
    """What the journal is to remember of it."""
    value = msgspec.json.encode({"summary": change.summary, "who": change.who}).decode()
    return Fact(KIND, change.service, value, change.at)


def changes_of(journal: Journal, since: datetime) -> tuple[Change, ...]:
    """The last change of each service since then, newest first."""
    out = []
    for fact in journal.facts(KIND).values():
        if fact.at < since:
            continue
        told = _told(fact.value)
        if told is not None:
            out.append(Change(fact.at, fact.subject, told.get("summary", ""), told.get("who", "")))
    return tuple(sorted(out, key=lambda one: one.at, reverse=True))


def _told(value: str) -> Mapping[str, str] | None:
    """What was said, or None where another hand wrote what is no change."""
    try:
        return msgspec.json.decode(value, type=dict[str, str])
    except msgspec.MsgspecError:
        return None
