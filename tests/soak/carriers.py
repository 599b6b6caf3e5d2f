"""Who carries a decision to the pager: the shipped outbox, and two that a soak must find wanting.

`without-outbox` sends right after deciding, with a key of the pager's own, and writes down what it did afterwards, as
many a script does. `remember-before-send` has rows, and marks them as sent before their request. Test code: must never
be anything but a warning.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from opsctl.adapters.journal import SqliteJournal
from opsctl.adapters.journal.rows import micros
from opsctl.core.commands import Command, Cycle, Plan, Trigger
from opsctl.core.events import event_of
from opsctl.core.outbox import OutboxRow
from opsctl.core.routing import split_target
from opsctl.ports import Committed, Delivery, Fact, RunRecord, Sink, SinkEvent
from tests.soak.crash import MortalJournal

MARK = "#"
"""What follows it in a dedup key is the pager's own."""


class _Dry(Exception):
    def __init__(self, committed: Committed) -> None:
        super().__init__()
        self.committed = committed


class WithoutOutbox(MortalJournal):
    """Decides, sends, and remembers after that."""

    sink: Sink

    def bind(self, sink: Sink) -> None:
        """Where it sends."""
        self.sink = sink

    def commit(self, run: RunRecord, facts: Sequence[Fact] = (), cycle: Cycle | None = None) -> Committed:
        keys = json.loads(self._keys().read_text()) if self._keys().exists() else {}
        plan = self._planned(run, facts, cycle)
        for command in plan.commands if plan is not None else ():
            self._send(command, keys)
        self._keys().write_text(json.dumps(keys))
        return super().commit(run, facts, cycle)

    def _keys(self) -> Any:
        return self.folder / "keys.json"

    def _planned(self, run: RunRecord, facts: Sequence[Fact], cycle: Cycle | None) -> Plan | None:
        def dry(db: sqlite3.Connection) -> None:
            raise _Dry(SqliteJournal._commit(self, db, run, facts, cycle))

        try:
            self.write(dry)
        except _Dry as planned:
            return planned.committed.plan
        return None

    def _send(self, command: Command, keys: dict[str, str]) -> None:
        if isinstance(command, Trigger) and not command.repeat:
            keys[command.key] = f"{command.key}{MARK}{uuid.uuid4().hex[:8]}"
        body = json.loads(event_of(command, self.namespace)) | {"dedup_key": keys.get(command.key, command.key)}
        if body["event_action"] != "note":
            self.sink.send(SinkEvent(split_target(command.route)[1], json.dumps(body)))

    def _enqueue(
        self, db: sqlite3.Connection, command: Command, links: dict[str, str], at: datetime, not_after: datetime
    ) -> None:
        super()._enqueue(db, command, links, at, not_after)
        db.execute(
            "UPDATE outbox SET state = 'accepted', accepted = ?, ended = ? WHERE key = ? AND state = 'queued'",
            (micros(at), micros(at), command.key),
        )


class RememberBeforeSend(MortalJournal):
    """Marks a row as sent, and then sends it."""

    def attempt(self, row: OutboxRow, sink: str, at: datetime) -> Any:
        now = super().attempt(row, sink, at)
        values = (micros(at), micros(at), row.id)
        self.write(
            lambda db: db.execute("UPDATE outbox SET state = 'accepted', accepted = ?, ended = ? WHERE id = ?", values)
        )
        return now

    def settle(self, row: OutboxRow, delivery: Delivery, at: datetime) -> None:
        """It is remembered already."""


CARRIERS: Mapping[str, type[MortalJournal]] = {
    "outbox": MortalJournal,
    "without-outbox": WithoutOutbox,
    "remember-before-send": RememberBeforeSend,
}
