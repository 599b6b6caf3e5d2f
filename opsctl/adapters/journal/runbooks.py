"""Runbook runs on disk: a row before each step and after it. Must never keep a secret; the runner redacts first."""

from __future__ import annotations

import json
import sqlite3
from contextlib import AbstractContextManager
from datetime import datetime

from opsctl.adapters.journal.database import Database
from opsctl.adapters.journal.rows import insert, micros, micros_or_none, time, time_or_none
from opsctl.errors import UsageError
from opsctl.ports.runbooks import RunbookRun, RunbookStep, RunState


class RunbookTable:
    """The journal's memory of runbook runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, run: RunbookRun) -> None:
        """Write a new run; its id must be new."""
        values: dict[str, object] = {
            "id": run.run,
            "runbook": run.runbook,
            "digest": run.digest,
            "params": json.dumps(dict(run.params)),
            "source": run.source,
            "incident_key": run.incident_key,
            "who": run.who,
            "state": run.state,
            "note": run.note,
            "started": micros(run.started),
            "ended": micros_or_none(run.ended),
        }
        self._database.write(lambda db: insert(db, "runbook_runs", values))

    def step_before(self, step: RunbookStep) -> None:
        """Write that an attempt is about to run."""
        self._database.write(lambda db: insert(db, "runbook_steps", _values(step)))

    def step_after(self, step: RunbookStep) -> None:
        """Write how the attempt ended; one that `step_before` did not write is new (skipped)."""

        def work(db: sqlite3.Connection) -> None:
            values = _values(step)
            changed = db.execute(
                "UPDATE runbook_steps SET state = :state, started = :started, ended = :ended, output = :output,"
                " exit_code = :exit_code, idempotency_key = :idempotency_key, captured = :captured"
                " WHERE run = :run AND step = :step AND attempt = :attempt",
                values,
            )
            if not changed.rowcount:
                insert(db, "runbook_steps", values)

        self._database.write(work)

    def finish(self, run: str, state: RunState, at: datetime | None, note: str = "") -> None:
        """Set the run's state; `at` is its end, or None while it can go on."""
        values = (state, micros_or_none(at), note, run)
        self._database.write(
            lambda db: db.execute("UPDATE runbook_runs SET state = ?, ended = ?, note = ? WHERE id = ?", values)
        )

    def run_of(self, run: str) -> RunbookRun | None:
        """The run of that id, or of the one id that begins with it; UsageError when several do."""

        def work(db: sqlite3.Connection) -> list[RunbookRun]:
            rows = db.execute(
                "SELECT * FROM runbook_runs WHERE id = ?1 OR substr(id, 1, length(?1)) = ?1"
                " ORDER BY id != ?1, started DESC",
                (run,),
            )
            return [_run(row) for row in rows]

        found = self._database.read(work)
        if len(found) > 1 and found[0].run != run:
            raise UsageError(f"run {run}: {len(found)} runs begin so: {', '.join(one.run for one in found[:5])}")
        return found[0] if found and run else None

    def runs(
        self, *, runbook: str | None = None, state: RunState | None = None, limit: int = 50
    ) -> tuple[RunbookRun, ...]:
        """Runs, newest first."""
        return self._database.read(
            lambda db: tuple(
                _run(row)
                for row in db.execute(
                    "SELECT * FROM runbook_runs WHERE runbook = coalesce(?, runbook) AND state = coalesce(?, state)"
                    " ORDER BY started DESC, rowid DESC LIMIT ?",
                    (runbook, state, limit),
                )
            )
        )

    def steps(self, run: str) -> tuple[RunbookStep, ...]:
        """Every attempt of the run, in the order of writing."""
        return self._database.read(
            lambda db: tuple(
                _step(row) for row in db.execute("SELECT * FROM runbook_steps WHERE run = ? ORDER BY id", (run,))
            )
        )

    def lock(self, run: str) -> AbstractContextManager[None]:
        """Hold the run against a second process that resumes it."""
        safe = "".join(ch if ch.isalnum() or ch == "-" else "_" for ch in run)[:100]
        return self._database.lock(f"run-{safe}", 0.0)


def _values(step: RunbookStep) -> dict[str, object]:
    return {
        "run": step.run,
        "step": step.step,
        "attempt": step.attempt,
        "state": step.state,
        "started": micros(step.started),
        "ended": micros_or_none(step.ended),
        "output": step.output,
        "exit_code": step.exit_code,
        "idempotency_key": step.idempotency_key,
        "captured": None if step.captured is None else json.dumps(dict(step.captured)),
    }


def _run(row: sqlite3.Row) -> RunbookRun:
    return RunbookRun(
        run=row["id"],
        runbook=row["runbook"],
        digest=row["digest"],
        params=json.loads(row["params"]),
        started=time(row["started"]),
        state=row["state"],
        ended=time_or_none(row["ended"]),
        who=row["who"],
        incident_key=row["incident_key"],
        source=row["source"],
        note=row["note"],
    )


def _step(row: sqlite3.Row) -> RunbookStep:
    return RunbookStep(
        run=row["run"],
        step=row["step"],
        attempt=row["attempt"],
        state=row["state"],
        started=time(row["started"]),
        ended=time_or_none(row["ended"]),
        output=row["output"],
        exit_code=row["exit_code"],
        idempotency_key=row["idempotency_key"],
        captured=None if row["captured"] is None else json.loads(row["captured"]),
        position=row["id"],
    )
