"""A run's journal in memory, for `runbook test`, dry runs and tests; nothing of it survives the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from opsctl.errors import Refused
from opsctl.ports.runbooks import RunbookRun, RunbookStep, RunState


class MemoryRunbookLog:
    """`opsctl.ports.runbooks.RunbookLog` in two dictionaries."""

    def __init__(self) -> None:
        self._runs: dict[str, RunbookRun] = {}
        self._steps: dict[tuple[str, str, int], RunbookStep] = {}
        self._held: set[str] = set()

    def start(self, run: RunbookRun) -> None:
        """Write a new run."""
        if run.run in self._runs:
            raise Refused(f"run {run.run} is there already")
        self._runs[run.run] = run

    def step_before(self, step: RunbookStep) -> None:
        """Write that an attempt is about to run."""
        self._put(step)

    def step_after(self, step: RunbookStep) -> None:
        """Write how the attempt ended, in its place."""
        self._put(step)

    def _put(self, step: RunbookStep) -> None:
        key = (step.run, step.step, step.attempt)
        old = self._steps.get(key)
        self._steps[key] = replace(step, position=old.position if old is not None else len(self._steps) + 1)

    def finish(self, run: str, state: RunState, at: datetime | None, note: str = "") -> None:
        """Set the run's state."""
        self._runs[run] = replace(self._runs[run], state=state, ended=at, note=note)

    def run_of(self, run: str) -> RunbookRun | None:
        """The run of that id, or of the one id that begins with it."""
        if run in self._runs:
            return self._runs[run]
        found = [r for name, r in self._runs.items() if name.startswith(run)]
        return found[0] if len(found) == 1 else None

    def runs(
        self, *, runbook: str | None = None, state: RunState | None = None, limit: int = 50
    ) -> tuple[RunbookRun, ...]:
        """Runs, newest first."""
        fitting = [r for r in self._runs.values() if runbook in (None, r.runbook) and state in (None, r.state)]
        return tuple(sorted(fitting, key=lambda r: r.started, reverse=True)[:limit])

    def steps(self, run: str) -> tuple[RunbookStep, ...]:
        """Every attempt of the run, in the order of writing."""
        return tuple(sorted((s for s in self._steps.values() if s.run == run), key=lambda s: s.position))

    @contextmanager
    def lock(self, run: str) -> Iterator[None]:
        """Hold the run."""
        if run in self._held:
            raise Refused(f"run {run} is held by another process")
        self._held.add(run)
        try:
            yield
        finally:
            self._held.discard(run)
