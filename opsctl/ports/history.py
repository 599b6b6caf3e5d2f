"""What the journal can say of the past: runs, verdicts, incidents, attempts; read only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from opsctl.core.frozen import dataclass
from opsctl.ports.delivery import Attempt, Incident, Moment, VerdictSpan


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run: `at` is its grid point; `ended` is None where the process did not live to say so."""

    run: int
    started: datetime
    at: datetime
    full: bool
    notify: bool
    ended: datetime | None
    exit_code: int | None
    problems: tuple[str, ...] = ()


class History(Protocol):
    """Questions about any minute that the journal covers."""

    def begins(self) -> datetime | None:
        """When the first run of this journal started; None for an empty one."""
        ...

    def set_aside(self) -> tuple[str, ...]:
        """Journals beside this one that were found corrupt and moved away."""
        ...

    def run_before(self, at: datetime, *, notify: bool) -> PastRun | None:
        """The last run that started at or before that time; with `notify`, the last that could page."""
        ...

    def run_after(self, at: datetime) -> PastRun | None:
        """The first run that started after that time."""
        ...

    def verdicts_at(self, at: datetime) -> Mapping[str, VerdictSpan]:
        """The last verdict of each rule that was made for a time at or before that one."""
        ...

    def incidents_at(self, at: datetime) -> tuple[Incident, ...]:
        """Incidents that were open then, or closed not longer than a day before, oldest first."""
        ...

    def timeline(self, episode: int) -> tuple[Moment, ...]:
        """What happened to an incident, oldest first."""
        ...

    def attempts(self, episode: int) -> tuple[Attempt, ...]:
        """Every request that was made for an incident, oldest first."""
        ...

    def between(self, since: datetime, until: datetime) -> tuple[tuple[Incident, Moment], ...]:
        """What happened to any incident in [since, until], oldest first."""
        ...
