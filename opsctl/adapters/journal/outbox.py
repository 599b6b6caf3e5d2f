"""The outbox's rows on disk: written before a request and after it. Must never hold a routing key."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from opsctl.adapters.journal.database import Damaged, Database
from opsctl.adapters.journal.rows import insert, micros, outbox_row_from, time
from opsctl.adapters.journal.uncertain import resolve_elsewhere

if TYPE_CHECKING:  # at run time only the sender's questions need them
    from opsctl.core.outbox import OutboxRow, RowState
    from opsctl.ports import Delivery

_UNFINISHED_STATES = ("queued", "attempted")
_UNHEARD = "unheard"  # a fact; subject: the line that says what did not get through
_UNFINISHED = """
SELECT o.*,
  a.key IS NOT NULL AND a.episode IS o.episode AND a.state != 'inactive' AS alert_is_on,
  (SELECT t.via FROM outbox t WHERE t.key = o.key AND t.episode = o.episode AND t.action = 'trigger' AND t.via != ''
   AND t.state IN ('accepted', 'visible', 'acknowledged', 'resolved') ORDER BY t.id LIMIT 1) AS episode_via
FROM outbox o LEFT JOIN alerts a ON a.key = o.key
WHERE o.state IN ('queued', 'attempted') ORDER BY o.id
"""


class OutboxTable(Database):
    """What the sender needs."""

    def unfinished(self) -> tuple[OutboxRow, ...]:
        """Every row that is still to be sent, oldest first."""

        def work(db: sqlite3.Connection) -> tuple[OutboxRow, ...]:
            try:
                return tuple(outbox_row_from(row) for row in db.execute(_UNFINISHED))
            except (ValueError, KeyError, TypeError) as wrong:
                raise Damaged(f"a row of the outbox cannot be read: {wrong}") from wrong

        return self.read(work)

    def take_token(self, channel: str, at: datetime) -> float:
        """Take one token of the channel's rate limit: 0.0, or the seconds until there is one."""
        from opsctl.core.outbox import BURST, Bucket

        def work(db: sqlite3.Connection) -> float:
            row = db.execute("SELECT tokens, at FROM buckets WHERE channel = ?", (channel,)).fetchone()
            bucket = Bucket(row["tokens"], time(row["at"])) if row else Bucket(BURST, at)
            bucket, wait = bucket.take(at)
            db.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?)", (channel, bucket.tokens, micros(bucket.at)))
            return wait

        return self.write(work)

    def attempt(self, row: OutboxRow, sink: str, at: datetime) -> OutboxRow | None:
        """Write that a request is about to be made; the row as it is now, None where another process ended it.

        A journal that was begun anew does not know the row: it is sent all the same.
        """
        from opsctl.core.outbox import RowState

        now = replace(row, attempts=row.attempts + 1, state=RowState.ATTEMPTED)

        def work(db: sqlite3.Connection) -> OutboxRow | None:
            found = _found(db, row)
            if found is None:
                return now
            if found["state"] not in _UNFINISHED_STATES:
                return None
            db.execute(
                "UPDATE outbox SET state = 'attempted', attempts = ?, attempted = coalesce(attempted, ?) WHERE id = ?",
                (now.attempts, micros(at), found["id"]),
            )
            values: dict[str, object] = {
                "outbox": found["id"],
                "attempt": now.attempts,
                "sink": sink,
                "minimal": int(row.minimal),
                "started": micros(at),
                "outcome": "unknown",
                "message": "",
            }
            insert(db, "deliveries", values)
            return now

        return self.write(work)

    def settle(self, row: OutboxRow, delivery: Delivery, at: datetime) -> None:
        """Write the row as it is after its attempt, and what came back; what a look ended meanwhile stays ended."""
        from opsctl.core.outbox import RowState

        def work(db: sqlite3.Connection) -> None:
            if row.state is RowState.DEAD and row.action != "note":
                _tell(db, row, "refused for good; tell the on-call engineer yourself", at)
            found = _found(db, row)
            if found is None:
                return
            db.execute(
                "UPDATE deliveries SET ended = ?, outcome = ?, status = ?, message = ? WHERE id ="
                " (SELECT max(id) FROM deliveries WHERE outbox = ?)",
                (micros(at), delivery.outcome, delivery.status, delivery.message, found["id"]),
            )
            if found["state"] in _UNFINISHED_STATES:
                _settle(db, found["id"], row, at)

        self.write(work)

    def drop(self, row: OutboxRow, state: RowState, reason: str, at: datetime) -> None:
        """Write that the row is not sent any more; a lost page is kept until somebody was told (`heard`)."""
        from opsctl.core.outbox import RowState

        def work(db: sqlite3.Connection) -> None:
            found = _found(db, row)
            if found is not None:
                if found["state"] not in _UNFINISHED_STATES:
                    return
                db.execute(
                    "UPDATE outbox SET state = ?, reason = ?, ended = ? WHERE id = ?",
                    (state.value, reason, micros(at), found["id"]),
                )
            if state is not RowState.SUPERSEDED:
                _tell(db, row, reason, at)

        self.write(work)

    def unheard(self) -> tuple[str, ...]:
        """What did not get through and nobody was told of yet: one line each."""
        sql = "SELECT subject FROM facts WHERE kind = ? ORDER BY at"
        return self.read(lambda db: tuple(row["subject"] for row in db.execute(sql, (_UNHEARD,))))

    def heard(self, lines: Iterable[str]) -> None:
        """Somebody was told of these."""
        values = [(_UNHEARD, line) for line in lines]
        if values:
            self.write(lambda db: db.executemany("DELETE FROM facts WHERE kind = ? AND subject = ?", values))


def _found(db: sqlite3.Connection, row: OutboxRow) -> sqlite3.Row | None:
    """The row by what it is, not by its number: a journal that was begun anew begins its numbers anew."""
    found: sqlite3.Row | None = db.execute(
        "SELECT id, state FROM outbox WHERE key = ? AND episode = ? AND action = ? AND repeat = ?",
        (row.key, row.episode, row.action, row.repeat),
    ).fetchone()
    return found


def _settle(db: sqlite3.Connection, id_: int, row: OutboxRow, at: datetime) -> None:
    is_accepted = row.state.value == "accepted"
    values = (
        row.state.value,
        micros(row.due),
        int(row.minimal),
        row.via,
        row.last_status,
        row.last_error,
        micros(at) if is_accepted else None,
        micros(at) if row.state.value in ("accepted", "dead", "superseded") else None,
        id_,
    )
    db.execute(
        "UPDATE outbox SET state = ?, due = ?, minimal = ?, via = ?, last_status = ?, last_error = ?,"
        " accepted = ?, ended = ? WHERE id = ?",
        values,
    )
    if is_accepted and row.action == "trigger" and row.via != row.route:
        # A fallback took it: from now on the incident is there, for repeats, looks and the resolve.
        where = (row.via, row.key, row.episode)
        db.execute("UPDATE alerts SET route = ? WHERE key = ? AND episode = ?", where)
        db.execute("UPDATE episodes SET route = ? WHERE key = ? AND episode = ?", where)
        resolve_elsewhere(db, row.key, row.episode)


def _tell(db: sqlite3.Connection, row: OutboxRow, why: str, at: datetime) -> None:
    number = f" of #{row.episode}" if row.episode else ""
    keep_unheard(db, (f"NOT DELIVERED: {row.action}{number} ({row.rule_name}): {why}",), at)


def keep_unheard(db: sqlite3.Connection, lines: Iterable[str], at: datetime) -> None:
    """Lines that somebody must read, inside the caller's transaction."""
    values = [(_UNHEARD, line, "true", micros(at)) for line in lines]
    db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", values)
