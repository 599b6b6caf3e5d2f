"""What is read of the journal when somebody looks at incidents: one's story, and who took which.

Blocking; asked through `queries.journal`. Must never write, or raise for a story that cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from opsctl.errors import OpsctlError
from opsctl.files.secrets import hide
from opsctl.ports import Incident, Journal, Moment
from opsctl.tui.incident_lines import Looked
from opsctl.views.why_not import About, why_not

RUNS = 200
"""Of runbooks that are looked through."""


def read_incident(journal: Journal, one: Incident, now: datetime) -> Looked:
    """The timeline, why nobody was told where that is so, the runs for it with their steps."""
    try:
        moments = journal.timeline(one.episode)
        about = About(one.rule_uid, one.rule_name, one.service, one.severity)
        at = now if one.resolved is None else max(one.opened, min(now, one.resolved))
        answer = why_not(journal.history, about, at)
        runs = tuple(
            run
            for run in journal.runbooks.runs(limit=RUNS)
            if run.incident_key == one.key and run.started >= one.opened
        )
        steps = MappingProxyType({run.run: journal.runbooks.steps(run.run) for run in runs})
    except OpsctlError as wrong:
        return Looked(one.episode, problem=str(wrong))
    except Exception as wrong:  # noqa: BLE001  a journal may hold anything
        return Looked(one.episode, problem=hide(f"it cannot be read: {type(wrong).__name__}: {wrong}"))
    return Looked(one.episode, moments, answer if answer.incident == f"#{one.episode}" else None, runs, steps)


def who_took(journal: Journal, incidents: Iterable[Incident]) -> Mapping[int, tuple[Moment, ...]]:
    """By episode the moments in which somebody acknowledged it."""
    return {
        one.episode: tuple(line for line in journal.timeline(one.episode) if line.kind == "acknowledged")
        for one in incidents
    }
