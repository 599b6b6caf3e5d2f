"""What the far side shows of the incidents that a person looks at: three seconds for it, and never an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.cli.frame import Frame
from opsctl.views.far_side import GLANCE_SECONDS, Glance

if TYPE_CHECKING:
    from opsctl.ports import Incident, Journal

Offline = Annotated[bool, typer.Option("--offline", help="Ask nobody: what this journal knows.")]


def glance_at(run: Frame, journal: Journal, incidents: Sequence[Incident], *, offline: bool) -> Glance:
    """Look at these incidents where they were told, unless `offline`; what cannot be read is said on stderr."""
    told = [one for one in incidents if one.route]
    if offline or not told or not run.composition.sinks.readers:
        return Glance()
    from opsctl.looking import glance
    from opsctl.render.text import clean
    from opsctl.views.far_side import glanced

    clock = run.composition.clock
    readers = run.composition.sinks.readers
    with run.waiting(f"asking {', '.join(reader.name for reader in readers)}, for at most {GLANCE_SECONDS:g} s"):
        look = glance(readers, journal, told, clock, GLANCE_SECONDS)
    for problem in look.problems:
        run.warn(clean(f"opsctl: {problem}; the rest is what the journal knows"))
    return glanced(told, look.seen, look.problems, clock.now())
