"""Deployments and other changes that somebody told of with `opsctl change send`, as the journal keeps them."""

from __future__ import annotations

from datetime import datetime

import msgspec

from opsctl.ports import Journal
from opsctl.tui.report import Change

KIND = "change"


def changes_of(journal: Journal, since: datetime) -> tuple[Change, ...]:
    """The last change of each service since then, newest first."""
    out = []
    for fact in journal.facts(KIND).values():
        if fact.at < since:
            continue
        try:
            told = msgspec.json.decode(fact.value, type=dict[str, str])
        except msgspec.MsgspecError:
            continue
        out.append(Change(fact.at, fact.subject, told.get("summary", ""), told.get("who", "")))
    return tuple(sorted(out, key=lambda one: one.at, reverse=True))
