"""What the far side shows of the incidents that a person looks at: three seconds for it, and never an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsctl.cli.frame import Frame
from opsctl.core.frozen import dataclass

if TYPE_CHECKING:
    from opsctl.ports import Incident, Journal
    from opsctl.views.far_side import Beside

Offline = Annotated[bool, typer.Option("--offline", help="Ask nobody: what this journal knows.")]
GLANCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Glance:
    """What was seen of each episode, who was asked and answered, and what could not be read."""

    shown: Mapping[int, Beside] = field(default_factory=lambda: MappingProxyType({}))
    sources: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Whose word it is: the sinks that answered, else the journal."""
        return ",".join(self.sources) or "journal"

    @property
    def column(self) -> str:
        """The heading for what was seen."""
        return self.sources[0] if len(self.sources) == 1 else "seen"

    def heading(self, incidents: Sequence[Incident]) -> str:
        """The heading over several: a sink's name only where all of them went to it."""
        from opsctl.core.routing import split_target

        told = {split_target(one.route)[0] for one in incidents if one.route}
        return self.column if told <= set(self.sources) else "seen"

    def words(self, one: Incident) -> str:
        """For a cell; "" where nothing was seen."""
        seen = self.shown.get(one.episode)
        return seen.words if seen is not None else ""

    def sentence(self, one: Incident) -> str:
        """With the difference in words and the address; "" where nothing was seen."""
        seen = self.shown.get(one.episode)
        if seen is None:
            return ""
        return ", ".join(part for part in (seen.words, seen.mismatch, seen.url) if part)

    def fields(self, one: Incident) -> dict[str, Any]:
        """For a document: whose word it is, and what was seen."""
        seen = self.shown.get(one.episode)
        if seen is None:
            return {"source": "journal", "remote": None}
        remote = {name: getattr(seen, name) for name in ("status", "id", "url", "who", "changed", "mismatch")}
        return {"source": seen.sink, "remote": {name: value or None for name, value in remote.items()}}


def glance_at(run: Frame, journal: Journal, incidents: Sequence[Incident], *, offline: bool) -> Glance:
    """Look at these incidents where they were told, unless `offline`; what cannot be read is said on stderr."""
    told = [one for one in incidents if one.route]
    if offline or not told or not run.composition.sinks.readers:
        return Glance()
    from opsctl.looking import glance
    from opsctl.render.text import clean
    from opsctl.views.far_side import beside

    clock = run.composition.clock
    readers = run.composition.sinks.readers
    with run.waiting(f"asking {', '.join(reader.name for reader in readers)}, for at most {GLANCE_SECONDS:g} s"):
        look = glance(readers, journal, told, clock, GLANCE_SECONDS)
    for problem in look.problems:
        run.warn(clean(f"opsctl: {problem}; the rest is what the journal knows"))
    answered = tuple(name for name, seen in look.seen.items() if seen.incidents or seen.absent or not seen.problem)
    return Glance(beside(told, look.seen, clock.now()), answered, look.problems)
