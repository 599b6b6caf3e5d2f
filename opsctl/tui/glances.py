"""What the far side shows of incidents, while somebody looks at them: asked now and then, never waited for.

Must never look more often than each `EVERY`, or turn a look that failed into an error or into "not there".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opsctl.looking import Look, glance
from opsctl.ports import Incident, IncidentReader
from opsctl.views.far_side import GLANCE_SECONDS, Glance, glanced

if TYPE_CHECKING:
    from opsctl.app import Composition
    from opsctl.core.seen import Seen
    from opsctl.tui.queries import Queries

EVERY = timedelta(seconds=15)


class Glances:
    """The last look, and when another one may be."""

    def __init__(self) -> None:
        self.last = Glance()
        self.at: datetime | None = None
        self._begun: datetime | None = None

    def due(self, incidents: Sequence[Incident], now: datetime) -> bool:
        """Whether to look: somebody was told of one of these, and the last look was a while ago."""
        if not any(one.route for one in incidents):
            return False
        return self._begun is None or not timedelta(0) <= now - self._begun < EVERY

    async def look(self, composition: Composition, queries: Queries, incidents: Sequence[Incident]) -> None:
        """Ask each reader once, on its own lane."""
        told = tuple(one for one in incidents if one.route)
        self._begun = composition.clock.now()
        problems: list[str] = []
        seen: dict[str, Seen] = {}
        try:
            readers = await queries.journal(lambda journal: composition.sinks.readers, "readers")
        except Exception as wrong:  # noqa: BLE001  a sink that cannot be opened is a line, not an error
            self.last = Glance(self.last.shown, (), (f"the far side cannot be asked: {wrong}",))
            return
        for reader in readers:
            try:
                found = await queries.ask(reader.name, ("glance", reader.name), _asking(composition, reader, told))
            except Exception as wrong:  # noqa: BLE001
                problems.append(f"{reader.name}: {wrong}")
                continue
            seen |= found.seen
            problems += found.problems
        now = composition.clock.now()
        self.last, self.at = glanced(told, seen, problems, now), now


def _asking(composition: Composition, reader: IncidentReader, told: tuple[Incident, ...]) -> Callable[[], Look]:
    def call() -> Look:
        return glance((reader,), composition.journal(), told, composition.clock, GLANCE_SECONDS)

    return call
