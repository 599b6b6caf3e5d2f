"""Between rows and the core's types: times as microseconds, alerts as JSON. Must never lose a field on the way."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from opsctl.core.alerts import Alert
from opsctl.core.slo import Severity

if TYPE_CHECKING:  # at run time only what is delivered needs them
    from opsctl.core.commands import Command, JournalAlert
    from opsctl.core.outbox import OutboxRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (at - _EPOCH) // _MICROSECOND


def micros_or_none(at: datetime | None) -> int | None:
    """`micros`, or None."""
    return None if at is None else micros(at)


def time(value: int) -> datetime:
    """The aware time of `micros`."""
    return _EPOCH + timedelta(microseconds=value)


def time_or_none(value: int | None) -> datetime | None:
    """`time`, or None."""
    return None if value is None else time(value)


def alert_json(alert: Alert) -> str:
    """Every field of an alert."""
    return msgspec.json.encode(alert).decode()


def alert_from(text: str) -> Alert:
    """The alert of `alert_json`; a field that an older opsctl did not write has its default. ValueError: damaged."""
    try:
        return msgspec.json.decode(text, type=Alert)
    except msgspec.MsgspecError as wrong:
        raise ValueError(str(wrong)) from wrong


def journal_alert_values(known: JournalAlert, at: datetime) -> dict[str, object]:
    """A row of `alerts`."""
    return {
        "key": known.key,
        "rule_uid": known.alert.rule_uid,
        "severity": known.alert.severity.value,
        "state": known.alert.state.value,
        "route": known.route,
        "episode": known.episode,
        "opened": micros_or_none(known.opened),
        "triggers": known.triggers,
        "triggered": micros_or_none(known.triggered),
        "under_since": micros_or_none(known.under_since),
        "closed": micros_or_none(known.closed),
        "missing_runs": known.missing_runs,
        "withheld": known.withheld,
        "visible": micros_or_none(known.visible),
        "seen_at": micros_or_none(known.seen_at),
        "remote_id": known.remote_id,
        "last_remote_id": known.last_remote_id,
        "alert": alert_json(known.alert),
        "at": micros(at),
    }


def journal_alert_from(row: sqlite3.Row) -> JournalAlert:
    """A row of `alerts` as the core's type."""
    from opsctl.core.commands import JournalAlert

    return JournalAlert(
        key=row["key"],
        alert=alert_from(row["alert"]),
        route=row["route"],
        episode=row["episode"],
        opened=time_or_none(row["opened"]),
        triggers=row["triggers"],
        triggered=time_or_none(row["triggered"]),
        under_since=time_or_none(row["under_since"]),
        closed=time_or_none(row["closed"]),
        missing_runs=row["missing_runs"],
        refused=bool(row["refused"]),
        withheld=row["withheld"],
        accepted=time_or_none(row["accepted"]),
        visible=time_or_none(row["visible"]),
        seen_at=time_or_none(row["seen_at"]),
        acknowledged=time_or_none(row["acknowledged"]),
        remote_id=row["remote_id"],
        last_remote_id=row["last_remote_id"],
    )


def command_values(command: Command, body: str, at: datetime, not_after: datetime) -> dict[str, object]:
    """A row of `outbox` for a command decided at `at`."""
    from opsctl.core.commands import Acknowledge, Note, Resolve, Trigger
    from opsctl.core.outbox import Priority, RowState

    common: dict[str, object] = {
        "key": command.key,
        "episode": command.episode,
        "route": command.route,
        "body": body,
        "created": micros(at),
        "not_after": micros(not_after),
        "due": micros(at),
        "state": RowState.QUEUED.value,
        "repeat": 0,
        "priority": Priority.FIRST,
        "reason": "",
    }
    match command:
        case Trigger():
            priority = Priority.REPEAT if command.repeat else first_priority(command)
            later = {"repeat": command.repeat, "priority": priority}
            return common | {"action": "trigger", "rule_name": command.alert.rule_name} | later
        case Resolve():
            priority = Priority.FIRST if command.episode else Priority.SWEEP
            named = {"rule_name": command.rule_name, "reason": command.reason, "priority": priority}
            return common | {"action": "resolve", "repeat": command.repeat} | named
        case Note():
            named = {"rule_name": command.rule_name, "reason": command.text, "priority": Priority.NOTE}
            return common | {"action": "note", "repeat": command.repeat} | named
        case Acknowledge():
            return common | {"action": "acknowledge", "rule_name": command.rule_name}


def first_priority(command: Command) -> int:
    """How urgent it is to tell of an alert that nobody knows of yet."""
    from opsctl.core.commands import Trigger
    from opsctl.core.outbox import Priority

    is_page = not isinstance(command, Trigger) or command.alert.severity is Severity.PAGE
    return Priority.FIRST if is_page else Priority.TICKET


def outbox_row_from(row: sqlite3.Row) -> OutboxRow:
    """A row of `outbox` (joined with its alert as `alert_is_on`) as the core's type."""
    from opsctl.core.outbox import OutboxRow, RowState

    return OutboxRow(
        id=row["id"],
        key=row["key"],
        episode=row["episode"],
        action=row["action"],
        repeat=row["repeat"],
        route=row["route"],
        priority=row["priority"],
        rule_name=row["rule_name"],
        body=row["body"],
        created=time(row["created"]),
        not_after=time(row["not_after"]),
        due=time(row["due"]),
        attempts=row["attempts"],
        state=RowState(row["state"]),
        minimal=bool(row["minimal"]),
        via=row["via"] or row["episode_via"] or "",
        last_status=row["last_status"],
        last_error=row["last_error"],
        on=bool(row["alert_is_on"]),
        told=row["episode_via"] is not None,
    )


def insert(db: sqlite3.Connection, table: str, values: Mapping[str, object], *, verb: str = "INSERT") -> int:
    """Insert one row; the table and the columns are ours, never text from outside. Answers the row's id."""
    columns = ", ".join(values)
    holes = ", ".join(f":{name}" for name in values)
    cursor = db.execute(f"{verb} INTO {table} ({columns}) VALUES ({holes})", dict(values))
    return cursor.lastrowid or 0
