"""When pages were decided, accepted and seen: what opsctl's own service level is measured from."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from opsctl.adapters.journal.database import Database
from opsctl.adapters.journal.rows import micros, time, time_or_none
from opsctl.core.frozen import dataclass

_PAGES = """
SELECT e.episode, e.route, e.visible, e.resolved IS NULL AS is_open, e.acknowledged IS NOT NULL AS is_taken,
  min(o.created) AS decided, min(o.accepted) AS accepted,
  max(o.state IN ('queued', 'attempted')) AS waits, max(o.state = 'dead') AS dead
FROM episodes e JOIN outbox o ON o.key = e.key AND o.episode = e.episode AND o.action = 'trigger'
WHERE e.severity = 'page' AND (e.resolved IS NULL OR e.resolved >= ?)
GROUP BY e.episode ORDER BY e.episode
"""


@dataclass(frozen=True, slots=True)
class PageTimes:
    """One page: `dead` says that it was refused for good, `waits` that something of it is still to be sent."""

    episode: int
    route: str
    decided: datetime
    accepted: datetime | None
    visible: datetime | None
    open: bool
    taken: bool  # a person acknowledged it
    waits: bool
    dead: bool


def page_times(journal: Database, since: datetime) -> tuple[PageTimes, ...]:
    """Every page that is open, or ended after `since`, and of which anything was to be sent."""

    def work(db: sqlite3.Connection) -> tuple[PageTimes, ...]:
        return tuple(
            PageTimes(
                episode=row["episode"],
                route=row["route"],
                decided=time(row["decided"]),
                accepted=time_or_none(row["accepted"]),
                visible=time_or_none(row["visible"]),
                open=bool(row["is_open"]),
                taken=bool(row["is_taken"]),
                waits=bool(row["waits"]),
                dead=bool(row["dead"]),
            )
            for row in db.execute(_PAGES, (micros(since),))
        )

    return journal.read(work)
