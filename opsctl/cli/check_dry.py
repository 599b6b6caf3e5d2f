"""`opsctl check --notify --dry-run`: the whole run, with a copy of the journal and sinks that only say what they get.

Must never write to the journal's file or tell anybody: the carriers are exchanged, the path is that of every run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from opsctl.cli.frame import Frame
from opsctl.render.text import clean

if TYPE_CHECKING:
    from opsctl.views.check import Result


def rehearsed(run: Frame, checked: Callable[[], Result]) -> Result:
    """What the run would say; each event that it would send goes to stderr, with a count at the end."""
    from opsctl.schedule import open_incidents

    composition = run.composition
    told: list[str] = []

    def say(line: str) -> None:
        told.append(line)
        run.warn(clean(f"dry run: {line}"))

    before: dict[str, str] = {}
    if composition.context.sinks():
        composition.rehearse(say)
        before = open_incidents(composition.journal())
    result = checked()
    events = "1 event" if len(told) == 1 else f"{len(told)} events"
    run.warn(f"dry run: {events} would be sent; nothing was sent or written")
    # An incident that this run opened exists in the copy only: its number means nothing to anybody.
    known = {uid: handle for uid, handle in result.incidents.items() if before.get(uid) == handle}
    return replace(result, incidents=known, sent=None)
