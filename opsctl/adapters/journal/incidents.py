"""Incidents on disk: episodes, what happened to them, and what a person said.

"As we know it": without the REST API, PagerDuty may know more. Must never claim otherwise.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from opsctl.adapters.journal.outbox import OutboxTable
from opsctl.adapters.journal.rows import command_values, first_priority, insert, micros, time, time_or_none
from opsctl.adapters.journal.uncertain import nobody_was_told, resolve_elsewhere
from opsctl.ports import Incident, Moment

if TYPE_CHECKING:  # at run time only what is delivered needs them
    from opsctl.core.commands import Change, Closing, Command, Cycle, JournalAlert, Plan, Sighting

INCIDENT_COLUMNS = """
SELECT e.*, a.state AS alert_state, a.episode AS alert_episode, json_extract(a.alert, '$.frozen') AS frozen,
  o.state AS delivery, o.attempts AS attempts, o.last_error AS last_error
FROM episodes e
LEFT JOIN alerts a ON a.key = e.key
LEFT JOIN outbox o ON o.id = (  -- the trigger that got through, else the last one
  SELECT id FROM outbox WHERE episode = e.episode AND key = e.key AND action = 'trigger'
  ORDER BY accepted IS NULL, repeat DESC LIMIT 1)
"""

_INCIDENTS = f"""{INCIDENT_COLUMNS}
WHERE e.resolved IS NULL OR (:resolved AND e.resolved >= :since)
ORDER BY e.episode DESC
"""

_MOMENTS = """
SELECT at, kind, text, who FROM timeline WHERE episode = :episode
UNION ALL
SELECT o.created, o.action || ' queued', o.reason, '' FROM outbox o WHERE o.episode = :episode
UNION ALL
SELECT coalesce(d.ended, d.started), o.action || ' ' || d.outcome,
  'attempt ' || d.attempt || CASE d.minimal WHEN 1 THEN ' (minimal)' ELSE '' END
    || CASE WHEN d.status IS NULL THEN '' ELSE ', HTTP ' || d.status END
    || CASE d.message WHEN '' THEN '' ELSE ': ' || d.message END, d.sink
FROM deliveries d JOIN outbox o ON o.id = d.outbox WHERE o.episode = :episode
UNION ALL
SELECT o.ended, o.action || ' ' || replace(o.state, '_', ' '), o.reason, '' FROM outbox o
WHERE o.episode = :episode AND o.ended IS NOT NULL AND o.state IN ('dead', 'never_delivered', 'superseded')
UNION ALL
SELECT visible, 'visible', trim(remote_id || ' ' || remote_url), '' FROM episodes
WHERE episode = :episode AND visible IS NOT NULL
UNION ALL
SELECT confirmed, 'seen resolved', remote_id, '' FROM episodes WHERE episode = :episode AND confirmed IS NOT NULL
ORDER BY at
"""

_CLOSINGS = """
SELECT e.episode, e.key, e.route, e.rule_name, e.remote_id, e.opened, e.visible, max(o.accepted) AS accepted,
  max(CASE o.state WHEN 'dead' THEN o.ended END) AS refused, count(*) AS resolves,
  max(CASE o.repeat WHEN 0 THEN o.via ELSE '' END) AS via,
  max(o.state IN ('queued', 'attempted')) AS waiting, max(o.attempts) AS attempts,
  (SELECT CASE max(t.state IN ('queued', 'attempted')) WHEN 0 THEN max(t.accepted) END FROM outbox t
   WHERE t.key = e.key AND t.episode = e.episode AND t.action = 'trigger') AS told
FROM episodes e JOIN outbox o ON o.key = e.key AND o.episode = e.episode AND o.action = 'resolve'
WHERE e.resolved >= ? AND e.confirmed IS NULL AND e.route != ''
GROUP BY e.episode HAVING waiting OR coalesce(accepted, refused) IS NOT NULL
ORDER BY e.episode
"""


class IncidentTable(OutboxTable):
    """Episodes, their timelines, and acknowledging and resolving by hand."""

    def incidents(self, *, include_resolved: bool = False, since: datetime | None = None) -> tuple[Incident, ...]:
        """Open incidents, newest first; with `include_resolved` also those resolved after `since`."""
        values = {"resolved": include_resolved, "since": 0 if since is None else micros(since)}
        return self.read(lambda db: tuple(incident_from(row) for row in db.execute(_INCIDENTS, values)))

    def timeline(self, episode: int) -> tuple[Moment, ...]:
        """What happened to an incident, oldest first."""
        return self.read(
            lambda db: tuple(
                Moment(time(row["at"]), row["kind"], row["text"], row["who"])
                for row in db.execute(_MOMENTS, {"episode": episode})
            )
        )

    def acknowledge(self, episode: int, who: str, at: datetime, not_after: datetime) -> bool:
        """A person takes an incident; false if somebody did before, or it is closed."""
        from opsctl.core.commands import Acknowledge

        def work(db: sqlite3.Connection) -> bool:
            row = _open_episode(db, episode)
            if row is None or row["acknowledged"] is not None:
                return False
            db.execute(
                "UPDATE episodes SET acknowledged = ?, acknowledged_by = ? WHERE episode = ?",
                (micros(at), who, episode),
            )
            _note(db, row, at, "acknowledged", "", who)
            self._enqueue_for(db, row, Acknowledge(row["key"], episode, row["route"], row["rule_name"]), at, not_after)
            return True

        return self.write(work)

    def resolve(self, episode: int, who: str, at: datetime, not_after: datetime) -> bool:
        """A person closes an incident; false if it was closed. The alert may open another after `reopen_after`."""
        from opsctl.core.commands import Resolve

        def work(db: sqlite3.Connection) -> bool:
            row = _open_episode(db, episode)
            if row is None:
                return False
            reason = f"closed by {who}"
            _end_episode(db, episode, at, who, reason)
            _note(db, row, at, "resolved", reason, who)
            db.execute(
                "UPDATE alerts SET episode = NULL, closed = ?, under_since = NULL, withheld = '', visible = NULL,"
                " last_remote_id = CASE remote_id WHEN '' THEN last_remote_id ELSE remote_id END, remote_id = ''"
                " WHERE key = ? AND episode = ?",
                (micros(at), row["key"], episode),
            )
            command = Resolve(row["key"], episode, row["route"], row["rule_name"], reason)
            self._enqueue_for(db, row, command, at, not_after)
            return True

        return self.write(work)

    def note(self, episode: int, who: str, text: str, at: datetime, not_after: datetime) -> bool:
        """A person writes a line on an open incident; false if it is closed. It goes out where the page went."""
        from opsctl.core.commands import Note

        def work(db: sqlite3.Connection) -> bool:
            row = _open_episode(db, episode)
            if row is None:
                return False
            _note(db, row, at, "note", text, who)
            count = "SELECT count(*) FROM outbox WHERE key = ? AND episode = ? AND action = 'note'"
            number = db.execute(count, (row["key"], episode)).fetchone()[0]
            said = f"{who}: {text}"
            command = Note(row["key"], episode, row["route"], row["rule_name"], said, number)
            self._enqueue_for(db, row, command, at, not_after)
            return True

        return self.write(work)

    def closings(self, since: datetime) -> tuple[Closing, ...]:
        """Our resolves since then that the far side has not shown: sent, refused, or still to be sent."""
        return self.read(lambda db: self.closings_in(db, since))

    def closings_in(self, db: sqlite3.Connection, since: datetime) -> tuple[Closing, ...]:
        """`closings`, inside the caller's transaction."""
        from opsctl.core.commands import Closing

        return tuple(
            Closing(
                key=row["key"],
                episode=row["episode"],
                route=row["via"] or row["route"],
                rule_name=row["rule_name"],
                accepted=time(next(at for at in (row["accepted"], row["refused"], row["opened"]) if at is not None)),
                resolves=row["resolves"],
                remote_id=row["remote_id"],
                refused=row["accepted"] is None,
                opened=time(row["opened"]),
                visible=row["visible"] is not None,
                waiting=bool(row["waiting"]),
                begun=row["attempts"] > 0,
                told=time_or_none(row["told"]),
            )
            for row in db.execute(_CLOSINGS, (micros(since),))
        )

    def leaving_in(self, db: sqlite3.Connection) -> frozenset[str]:
        """Keys with a resolve that is still to be sent, inside the caller's transaction."""
        sql = "SELECT key FROM outbox WHERE action = 'resolve' AND state IN ('queued', 'attempted')"
        return frozenset(row["key"] for row in db.execute(sql))

    def _enqueue_for(
        self, db: sqlite3.Connection, row: sqlite3.Row, command: Command, at: datetime, not_after: datetime
    ) -> None:
        if row["route"]:
            self._enqueue(db, command, {}, at, not_after)

    def _enqueue(
        self, db: sqlite3.Connection, command: Command, links: dict[str, str], at: datetime, not_after: datetime
    ) -> None:
        from opsctl.core.events import event_of

        body = event_of(command, self.namespace, links, _opened_with(db, command))
        values = command_values(command, body, at, not_after)
        if not command.episode:
            values["repeat"] = _next_sweep(db, command.key)
        elif values["action"] == "trigger" and values["repeat"] and nobody_was_told(db, command.key, command.episode):
            values["priority"] = first_priority(command)
        insert(db, "outbox", values, verb="INSERT OR IGNORE")
        if values["action"] == "resolve":
            resolve_elsewhere(db, command.key, command.episode)

    def _record(self, db: sqlite3.Connection, plan: Plan, cycle: Cycle, run: int, at: datetime) -> None:
        """Write what a plan changed, inside the caller's transaction; `at` is the time of day."""
        from opsctl.core.commands import Trigger

        for change in plan.changes:
            self._record_change(db, change, plan.after.get(change.key), run, at)
        for command in plan.commands:
            alert = plan.after.get(command.key)
            links = dict(cycle.links.get(alert.alert.service, {})) if alert else {}
            self._enqueue(db, command, links, at, at + cycle.policy.not_after)
            if isinstance(command, Trigger):
                db.execute("UPDATE episodes SET route = ? WHERE episode = ?", (command.route, command.episode))
                _forget_repeats(db, command)
        for sighting in plan.sightings:
            _record_sighting(db, sighting)

    def _record_change(
        self, db: sqlite3.Connection, change: Change, known: JournalAlert | None, run: int, at: datetime
    ) -> None:
        if change.kind == "opened" and known is not None:
            insert(db, "episodes", _episode_values(change, known, run, at))
        elif change.kind == "resolved":
            _end_episode(db, change.episode, at, change.who or "opsctl", change.text)
        elif change.kind in ("withheld", "released"):
            why = change.text if change.kind == "withheld" else ""
            db.execute("UPDATE episodes SET withheld = ? WHERE episode = ?", (why, change.episode))
        elif change.kind == "acknowledged":
            db.execute(
                "UPDATE episodes SET acknowledged = ?, acknowledged_by = ? WHERE episode = ? AND acknowledged IS NULL",
                (micros(at), change.who, change.episode),
            )
        _note(db, {"episode": change.episode, "key": change.key}, at, change.kind, change.text, change.who, run)


def _opened_with(db: sqlite3.Connection, command: Command) -> dict[str, Any] | None:
    """The trigger that opened what a command ends or takes."""
    import json

    from opsctl.core.commands import Trigger

    if isinstance(command, Trigger):
        return None
    row = db.execute(
        "SELECT body FROM outbox WHERE key = ? AND episode = ? AND action = 'trigger' ORDER BY repeat LIMIT 1",
        (command.key, command.episode),
    ).fetchone()
    return json.loads(row["body"]) if row else None


def _next_sweep(db: sqlite3.Connection, key: str) -> int:
    """The number of a resolve without an episode: the one that still waits, else a new one."""
    row = db.execute(
        "SELECT repeat, state IN ('queued', 'attempted') AS waits FROM outbox"
        " WHERE key = ? AND episode = 0 AND action = 'resolve' ORDER BY repeat DESC LIMIT 1",
        (key,),
    ).fetchone()
    return 0 if row is None else int(row["repeat"]) + (0 if row["waits"] else 1)


def _forget_repeats(db: sqlite3.Connection, command: Any) -> None:
    """A sink that wants to hear an alert every minute would fill the file: all but the first and the last two go."""
    from opsctl.core.planning import REASSERTED
    from opsctl.core.routing import split_target

    if command.repeat > 2 and split_target(command.route)[0] in REASSERTED:
        db.execute(
            "DELETE FROM outbox WHERE key = ? AND episode = ? AND action = 'trigger' AND repeat BETWEEN 1 AND ?"
            " AND state NOT IN ('queued', 'attempted', 'dead')",
            (command.key, command.episode, command.repeat - 2),
        )


def _record_sighting(db: sqlite3.Connection, sighting: Sighting) -> None:
    """What the far side showed: the rows of the outbox go on from `accepted`, the episode has its id."""
    where, values = "key = ? AND episode = ?", (sighting.key, sighting.episode)
    at = micros(sighting.at)
    states = {"triggered": "visible", "acknowledged": "acknowledged", "resolved": "resolved"}
    state = states[sighting.status]
    db.execute(
        f"UPDATE outbox SET state = ?, {state} = coalesce({state}, ?), remote_id = ? WHERE {where}"
        " AND action = 'trigger' AND state IN ('accepted', 'visible', 'acknowledged')",
        (state, at, sighting.id, *values),
    )
    if sighting.status == "resolved":
        # A trigger that still waited, or whose reply was lost, would open it again behind the back of who closed it.
        db.execute(
            f"UPDATE outbox SET state = 'superseded', reason = 'closed on the far side', ended = ? WHERE {where}"
            " AND action IN ('trigger', 'acknowledge', 'note') AND state IN ('queued', 'attempted')",
            (at, *values),
        )
        db.execute(
            f"UPDATE outbox SET state = 'resolved', resolved = ?, ended = coalesce(ended, ?) WHERE {where}"
            " AND action = 'resolve' AND state IN ('queued', 'attempted', 'accepted')",
            (at, at, *values),
        )
        db.execute("UPDATE episodes SET confirmed = coalesce(confirmed, ?) WHERE episode = ?", (at, sighting.episode))
    elif sighting.status == "triggered":
        # The reply was lost, the event was not; or another runner told it before this one could.
        db.execute(
            "UPDATE outbox SET state = 'visible', accepted = coalesce(accepted, ?), visible = coalesce(visible, ?),"
            f" ended = coalesce(ended, ?), remote_id = ?, via = CASE via WHEN '' THEN route ELSE via END WHERE {where}"
            " AND action = 'trigger' AND (state = 'attempted' OR (state = 'queued' AND repeat = 0))",
            (at, at, at, sighting.id, *values),
        )
        db.execute(
            "UPDATE episodes SET visible = coalesce(visible, ?), remote_id = ?, remote_url = ? WHERE episode = ?",
            (at, sighting.id, sighting.url, sighting.episode),
        )


def _episode_values(change: Change, known: JournalAlert, run: int, at: datetime) -> dict[str, object]:
    alert = known.alert
    return {
        "episode": change.episode,
        "key": change.key,
        "rule_uid": alert.rule_uid,
        "rule_name": alert.rule_name,
        "service": alert.service,
        "team": alert.team,
        "severity": alert.severity.value,
        "cause": alert.cause.value,
        "summary": alert.summary,
        "runbook": alert.runbook,
        "route": known.route,
        "since": micros(alert.since),
        "opened": micros(at),
        "run": run,
    }


def _open_episode(db: sqlite3.Connection, episode: int) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM episodes WHERE episode = ? AND resolved IS NULL", (episode,)
    ).fetchone()
    return row


def _end_episode(db: sqlite3.Connection, episode: int, at: datetime, who: str, reason: str) -> None:
    db.execute(
        "UPDATE episodes SET resolved = ?, resolved_by = ?, reason = ? WHERE episode = ? AND resolved IS NULL",
        (micros(at), who, reason, episode),
    )


def _note(
    db: sqlite3.Connection, row: Any, at: datetime, kind: str, text: str, who: str, run: int | None = None
) -> None:
    values: dict[str, object] = {
        "episode": row["episode"],
        "key": row["key"],
        "at": micros(at),
        "kind": kind,
        "text": text,
        "who": who,
        "run": run,
    }
    insert(db, "timeline", values)


def incident_from(row: sqlite3.Row) -> Incident:
    """A row of `INCIDENT_COLUMNS`."""
    return Incident(
        episode=row["episode"],
        key=row["key"],
        rule_uid=row["rule_uid"],
        rule_name=row["rule_name"],
        service=row["service"],
        team=row["team"],
        severity=row["severity"],
        cause=row["cause"],
        summary=row["summary"],
        runbook=row["runbook"],
        opened=time(row["opened"]),
        state=_state(row),
        delivery=row["delivery"] or "none",
        frozen=row["frozen"] if row["alert_episode"] == row["episode"] else None,
        acknowledged=time_or_none(row["acknowledged"]),
        resolved=time_or_none(row["resolved"]),
        reason=row["reason"],
        attempts=row["attempts"] or 0,
        last_error=row["last_error"] or "",
        route=row["route"],
        withheld=row["withheld"],
        visible=time_or_none(row["visible"]),
        confirmed=time_or_none(row["confirmed"]),
        remote_id=row["remote_id"],
        remote_url=row["remote_url"],
    )


def _state(row: sqlite3.Row) -> Literal["firing", "held", "pending", "resolved"]:
    if row["resolved"] is not None:
        return "resolved"
    if row["alert_state"] == "pending":
        return "pending"
    return "held" if row["alert_state"] == "inactive" else "firing"
