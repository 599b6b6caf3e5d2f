"""The journal as the rest of opsctl sees it: one commit per evaluation, and what it remembers between them."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from opsctl.adapters.journal.beside import forget_unwritten, was_unwritten, write_mark
from opsctl.adapters.journal.database import MEMORY, Damaged
from opsctl.adapters.journal.incidents import IncidentTable
from opsctl.adapters.journal.outbox import keep_unheard
from opsctl.adapters.journal.rows import (
    insert,
    journal_alert_from,
    journal_alert_values,
    micros,
    micros_or_none,
    time,
    time_or_none,
)
from opsctl.core.policy import CONFIRM_WITHIN
from opsctl.ports import Clock, Committed, Fact, RuleVerdict, RunRecord, VerdictSpan

if TYPE_CHECKING:  # a run that does not notify needs none of it
    from opsctl.adapters.journal.history import HistoryTable
    from opsctl.adapters.journal.runbooks import RunbookTable
    from opsctl.core.commands import Cycle, JournalAlert, Plan


_PROBLEM_CHARACTERS = 1000


class SqliteJournal(IncidentTable):
    """The journal of one context; see `opsctl.ports.Journal` for what each method promises."""

    @property
    def runbooks(self) -> RunbookTable:
        """The runs of runbooks."""
        from opsctl.adapters.journal.runbooks import RunbookTable

        return RunbookTable(self)

    @property
    def history(self) -> HistoryTable:
        """Any minute of the past."""
        from opsctl.adapters.journal.history import HistoryTable

        return HistoryTable(self)

    # -- what it remembers

    def alerts(self) -> Mapping[str, JournalAlert]:
        """Alerts by key, as of the last commit."""
        return self.read(_alerts)

    def facts(self, kind: str) -> Mapping[str, Fact]:
        """Every fact of a kind, by subject."""
        return self.read(
            lambda db: {
                row["subject"]: Fact(row["kind"], row["subject"], row["value"], time(row["at"]))
                for row in db.execute("SELECT * FROM facts WHERE kind = ?", (kind,))
            }
        )

    def verdicts(self, rule_uid: str, since: datetime) -> tuple[VerdictSpan, ...]:
        """What a rule said since then, oldest first; equal verdicts in a row are one span."""
        return self.read(
            lambda db: tuple(
                span_from(row)
                for row in db.execute(
                    "SELECT * FROM verdicts WHERE rule_uid = ? AND last_at >= ? ORDER BY id", (rule_uid, micros(since))
                )
            )
        )

    def last_success(self) -> datetime | None:
        """When a run last ended well, for the dead man's switch."""
        value = self.read(lambda db: db.execute("SELECT max(ended) FROM runs WHERE success").fetchone()[0])
        return time_or_none(value)

    # -- what a run writes

    def commit(self, run: RunRecord, facts: Sequence[Fact] = (), cycle: Cycle | None = None) -> Committed:
        """One transaction: the run, its verdicts, the facts, and with a cycle the alerts and what must be sent."""
        if cycle is None:
            return self.write(lambda db: self._commit(db, run, facts, None))
        beside = self.path != MEMORY and was_unwritten(self.folder)
        committed = self.write(lambda db: self._commit(db, run, facts, cycle, beside=beside))
        if self.path != MEMORY:
            write_mark(self.folder, committed.run)
            if beside:
                forget_unwritten(self.folder)
        return committed

    def _commit(
        self,
        db: sqlite3.Connection,
        run: RunRecord,
        facts: Sequence[Fact],
        cycle: Cycle | None,
        *,
        beside: bool = False,
    ) -> Committed:
        """`beside`: a run had to do without this file, and what it sent is not in it."""
        now = self.now()
        begins = not db.execute("SELECT 1 FROM runs WHERE notify LIMIT 1").fetchone()
        number = _write_run(db, run)
        for verdict in run.verdicts:
            _write_verdict(db, verdict, run.at, number)
        for fact in facts:
            _write_fact(db, fact)
        if cycle is None:
            return Committed(number, None)
        from opsctl.core.failing_open import plan_in_any_case

        own = (self.problem,) if self.problem and self.path != MEMORY else ()
        doubt = beside or bool(own)  # there may be incidents that this journal does not know
        unswept = _unswept(db, cycle.loaded, begins=begins or doubt)
        made = plan_in_any_case(
            _alerts(db),
            cycle,
            namespace=self.namespace,
            next_episode=_next_episode(db),
            sweep=bool(unswept),
            unswept=unswept,
            closings=self.closings_in(db, now - CONFIRM_WITHIN),
            leaving=self.leaving_in(db),
            forgetful=self.path == MEMORY and self.problem is not None,
        )
        self._record(db, made, cycle, number, now)
        if doubt:
            db.execute(_IN_DOUBT)
        _keep_unswept(db, unswept, unswept - cycle.fresh, cycle.at)
        keep_unheard(db, (*own, *made.problems), now)
        _write_alerts(db, made, cycle.at)
        return Committed(number, made)

    def remember(self, facts: Iterable[Fact]) -> None:
        """Keep facts outside of a run: each takes the place of the one of its kind and subject."""
        kept = tuple(facts)

        def work(db: sqlite3.Connection) -> None:
            for fact in kept:
                _write_fact(db, fact)

        self.write(work)

    def finish(self, run: int, exit_code: int, at: datetime, *, success: bool, problems: Sequence[str] = ()) -> None:
        """Write how the run ended and what it said aloud; a success moves `last_success`."""
        said = msgspec.json.encode([text[:_PROBLEM_CHARACTERS] for text in problems[:20]]).decode() if problems else ""
        values = (micros(at), exit_code, success, said, run)
        sql = "UPDATE runs SET ended = ?, exit_code = ?, success = ?, problems = ? WHERE id = ?"
        self.write(lambda db: db.execute(sql, values))

    # -- housekeeping

    def vacuum(self, before: datetime) -> int:
        """Drop what ended before that time and give the room back; the number of rows dropped."""
        when = micros(before)
        dropped = self.write(lambda db: sum(db.execute(sql, (when,)).rowcount for sql in _OLD))
        with self._guard:
            self._db.execute("VACUUM")
        return dropped


_UNSWEPT = "unswept"  # a fact; subject: uid of a rule that was not seen on fresh data since the journal began
_IN_DOUBT = """
UPDATE outbox SET state = 'attempted', attempts = 1 WHERE action = 'trigger' AND state = 'queued' AND attempts = 0"""
_OLD = (
    "DELETE FROM outbox WHERE ended < ? AND episode NOT IN (SELECT episode FROM episodes WHERE resolved IS NULL)",
    "DELETE FROM timeline WHERE episode IN (SELECT episode FROM episodes WHERE resolved < ?)",
    "DELETE FROM episodes WHERE resolved < ?",
    "DELETE FROM verdicts WHERE last_at < ?",
    "DELETE FROM runs WHERE started < ?",
    "DELETE FROM runbook_runs WHERE ended < ?",
    "DELETE FROM buckets WHERE at < ?",
)


_ALERTS = """SELECT alerts.*, EXISTS (
  SELECT 1 FROM outbox WHERE outbox.key = alerts.key AND outbox.episode = alerts.episode
  AND action = 'trigger' AND repeat = alerts.triggers - 1 AND outbox.state IN ('dead', 'never_delivered')
) AS refused, (
  SELECT min(accepted) FROM outbox WHERE outbox.key = alerts.key AND outbox.episode = alerts.episode
  AND action = 'trigger'
) AS accepted, (
  SELECT acknowledged FROM episodes WHERE episodes.episode = alerts.episode AND episodes.resolved IS NULL
) AS acknowledged FROM alerts ORDER BY alerts.rowid"""


def _alerts(db: sqlite3.Connection) -> dict[str, JournalAlert]:
    try:
        return {row["key"]: journal_alert_from(row) for row in db.execute(_ALERTS)}
    except (ValueError, KeyError, TypeError) as wrong:
        raise Damaged(f"an alert of the journal cannot be read: {wrong}") from wrong


def _unswept(db: sqlite3.Connection, loaded: frozenset[str], *, begins: bool) -> frozenset[str]:
    """The rules whose incidents of another journal may be open still."""
    if begins:
        return loaded
    return loaded.intersection(
        row["subject"] for row in db.execute("SELECT subject FROM facts WHERE kind = ?", (_UNSWEPT,))
    )


def _keep_unswept(db: sqlite3.Connection, before: frozenset[str], after: frozenset[str], at: datetime) -> None:
    if before:
        db.execute("DELETE FROM facts WHERE kind = ?", (_UNSWEPT,))
        values = [(_UNSWEPT, uid, "true", micros(at)) for uid in sorted(after)]
        db.executemany("INSERT INTO facts VALUES (?, ?, ?, ?)", values)


def _next_episode(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'episodes'").fetchone()
    return (int(row["seq"]) if row else 0) + 1


def _write_run(db: sqlite3.Connection, run: RunRecord) -> int:
    values: dict[str, object] = {
        "started": micros(run.started),
        "at": micros(run.at),
        "full": int(run.full),
        "notify": int(run.notify),
        "rules": len(run.verdicts),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "ended": micros_or_none(run.ended),
        "exit_code": run.exit_code,
        "success": int(run.success),
    }
    return insert(db, "runs", values)


def _write_fact(db: sqlite3.Connection, fact: Fact) -> None:
    if fact.value == "null":
        db.execute("DELETE FROM facts WHERE kind = ? AND subject = ?", (fact.kind, fact.subject))
        return
    values = (fact.kind, fact.subject, fact.value, micros(fact.at))
    db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", values)


def _write_verdict(db: sqlite3.Connection, verdict: RuleVerdict, at: datetime, run: int) -> None:
    last = db.execute(
        "SELECT id, outcome, fresh FROM verdicts WHERE rule_uid = ? ORDER BY id DESC LIMIT 1", (verdict.rule_uid,)
    ).fetchone()
    if last and last["outcome"] == verdict.outcome and bool(last["fresh"]) == verdict.fresh:
        db.execute(
            "UPDATE verdicts SET last_at = ?, last_run = ?, runs = runs + 1, headline = ?, digest = ? WHERE id = ?",
            (micros(at), run, verdict.headline, verdict.digest, last["id"]),
        )
        return
    values: dict[str, object] = {
        "rule_uid": verdict.rule_uid,
        "outcome": verdict.outcome,
        "fresh": int(verdict.fresh),
        "headline": verdict.headline,
        "digest": verdict.digest,
        "first_at": micros(at),
        "last_at": micros(at),
        "first_run": run,
        "last_run": run,
        "runs": 1,
    }
    insert(db, "verdicts", values)


def _write_alerts(db: sqlite3.Connection, made: Plan, at: datetime) -> None:
    gone = [(row["key"],) for row in db.execute("SELECT key FROM alerts") if row["key"] not in made.after]
    db.executemany("DELETE FROM alerts WHERE key = ?", gone)
    for known in made.after.values():
        insert(db, "alerts", journal_alert_values(known, at), verb="INSERT OR REPLACE")


def span_from(row: sqlite3.Row) -> VerdictSpan:
    """A row of `verdicts`."""
    return VerdictSpan(
        rule_uid=row["rule_uid"],
        outcome=row["outcome"],
        headline=row["headline"],
        fresh=bool(row["fresh"]),
        digest=row["digest"],
        first_at=time(row["first_at"]),
        last_at=time(row["last_at"]),
        runs=row["runs"],
    )


def open_journal(state_dir: Path, namespace: str, clock: Clock) -> SqliteJournal:
    """Open or create the journal; never fails for a bad file (`problem` says what was done instead).

    ConfigError: the journal belongs to another namespace. ActionError: it is held for more than 20 s.
    """
    return SqliteJournal(Path(state_dir), namespace, clock.now)
