"""The past, as the journal has it. Must never write."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from opsctl.adapters.journal.database import FILE
from opsctl.adapters.journal.incidents import INCIDENT_COLUMNS, IncidentTable, incident_from
from opsctl.adapters.journal.rows import micros, time, time_or_none
from opsctl.ports import Attempt, Incident, Moment, VerdictSpan
from opsctl.ports.history import PastRun

_CLOSED_BEFORE = timedelta(days=1)
_VERDICTS = """
SELECT v.* FROM verdicts v JOIN (
  SELECT rule_uid, max(id) AS id FROM verdicts WHERE first_at <= ? GROUP BY rule_uid
) newest ON newest.id = v.id ORDER BY v.rule_uid
"""
_ATTEMPTS = """
SELECT d.*, o.action FROM deliveries d JOIN outbox o ON o.id = d.outbox WHERE o.episode = ? ORDER BY d.started, d.id
"""


class HistoryTable:
    """See `opsctl.ports.history.History`."""

    def __init__(self, journal: IncidentTable) -> None:
        self._journal = journal

    def begins(self) -> datetime | None:
        """When the first run of this journal started; None for an empty one."""
        return time_or_none(self._journal.read(lambda db: db.execute("SELECT min(started) FROM runs").fetchone()[0]))

    def set_aside(self) -> tuple[str, ...]:
        """Journals beside this one that were found corrupt and moved away."""
        found = Path(self._journal.folder).glob(f"{FILE}.corrupt-*")
        return tuple(sorted(str(one) for one in found if not one.name.endswith(("-wal", "-shm"))))

    def run_before(self, at: datetime, *, notify: bool) -> PastRun | None:
        """The last run that started at or before that time; with `notify`, the last that could page."""
        condition = "started <= ? AND notify" if notify else "started <= ?"
        return self._run(f"SELECT * FROM runs WHERE {condition} ORDER BY started DESC, id DESC LIMIT 1", at)

    def run_after(self, at: datetime) -> PastRun | None:
        """The first run that started after that time."""
        return self._run("SELECT * FROM runs WHERE started > ? ORDER BY started, id LIMIT 1", at)

    def _run(self, sql: str, at: datetime) -> PastRun | None:
        row = self._journal.read(lambda db: db.execute(sql, (micros(at),)).fetchone())
        return None if row is None else _past_run(row)

    def verdicts_at(self, at: datetime) -> Mapping[str, VerdictSpan]:
        """The last verdict of each rule that was made for a time at or before that one."""
        from opsctl.adapters.journal.store import span_from

        return self._journal.read(
            lambda db: {row["rule_uid"]: span_from(row) for row in db.execute(_VERDICTS, (micros(at),))}
        )

    def incidents_at(self, at: datetime) -> tuple[Incident, ...]:
        """Incidents that were open then, or closed not longer than a day before, oldest first."""
        where = "e.opened <= :at AND (e.resolved IS NULL OR e.resolved >= :since)"
        values = {"at": micros(at), "since": micros(at - _CLOSED_BEFORE)}
        return self._incidents(where, values)

    def _incidents(self, where: str, values: Mapping[str, object]) -> tuple[Incident, ...]:
        sql = f"{INCIDENT_COLUMNS} WHERE {where} ORDER BY e.episode"
        return self._journal.read(lambda db: tuple(incident_from(row) for row in db.execute(sql, dict(values))))

    def timeline(self, episode: int) -> tuple[Moment, ...]:
        """What happened to an incident, oldest first."""
        return self._journal.timeline(episode)

    def attempts(self, episode: int) -> tuple[Attempt, ...]:
        """Every request that was made for an incident, oldest first."""

        def work(db: sqlite3.Connection) -> tuple[Attempt, ...]:
            return tuple(_attempt(row) for row in db.execute(_ATTEMPTS, (episode,)))

        return self._journal.read(work)

    def between(self, since: datetime, until: datetime) -> tuple[tuple[Incident, Moment], ...]:
        """What happened to any incident in [since, until], oldest first."""
        where = "e.opened <= :until AND (e.resolved IS NULL OR e.resolved >= :before)"
        known = self._incidents(where, {"until": micros(until), "before": micros(since - _CLOSED_BEFORE)})
        found = [(one, line) for one in known for line in self.timeline(one.episode) if since <= line.at <= until]
        return tuple(sorted(found, key=lambda pair: pair[1].at))


def _past_run(row: Any) -> PastRun:
    return PastRun(
        run=row["id"],
        started=time(row["started"]),
        at=time(row["at"]),
        full=bool(row["full"]),
        notify=bool(row["notify"]),
        ended=time_or_none(row["ended"]),
        exit_code=row["exit_code"],
        problems=tuple(json.loads(row["problems"])) if row["problems"] else (),
    )


def _attempt(row: Any) -> Attempt:
    return Attempt(
        sink=row["sink"],
        started=time(row["started"]),
        ended=time_or_none(row["ended"]),
        outcome=row["outcome"],
        status=row["status"],
        message=row["message"],
        action=row["action"],
        minimal=bool(row["minimal"]),
    )
