"""One run of a runbook: ask `next_move`, write it down, do it, write down what came of it.

Everything that decides is in the journal: a run whose process was killed goes on from there, and a step that was
running then is `unknown` until its idempotency has settled it. Must never do a step that is not written down first, and
must never know a concrete backend.
"""

from __future__ import annotations

from opsctl.runner.memory import MemoryRunbookLog
from opsctl.runner.plan import Planned, dry_run, plan
from opsctl.runner.run import Event, Options, Report, World, accepted_digest, check_not_over, new_id, resume, run

__all__ = [
    "Event",
    "MemoryRunbookLog",
    "Options",
    "Planned",
    "Report",
    "World",
    "accepted_digest",
    "check_not_over",
    "dry_run",
    "new_id",
    "plan",
    "resume",
    "run",
]
