"""An incident of the journal beside what the far side shows of it: the same, more, or something else.

Pure. Must never call a difference what nobody looked for: a key that was not asked is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opsctl.core.frozen import dataclass
from opsctl.core.routing import split_target

if TYPE_CHECKING:
    from opsctl.core.seen import Seen, SeenIncident
    from opsctl.ports import Incident

SETTLES_WITHIN = timedelta(minutes=2)
"""So long after an event was accepted a difference is nothing yet; also how far the far side's clock may be behind."""
GLANCE_SECONDS = 3.0
"""So long a person who looks at incidents waits for what the far side shows."""
_TOLD = frozenset({"accepted", "visible", "acknowledged", "resolved"})


@dataclass(frozen=True, slots=True)
class Beside:
    """What one sink shows of an incident; `mismatch` says how that differs from the journal, "" where it does not."""

    sink: str
    status: str  # triggered, acknowledged, resolved; absent where there is none
    mismatch: str = ""
    id: str = ""
    url: str = ""
    who: str = ""
    changed: datetime | None = None

    @property
    def words(self) -> str:
        """For a table's cell; a difference begins with its glyph."""
        by = f" by {self.who}" if self.who and self.status != "triggered" else ""
        status = {"absent": "not there", "acknowledged": "taken" if by else "acknowledged"}.get(
            self.status, self.status
        )
        return f"{'! ' if self.mismatch else ''}{status}{by}"


def beside(incidents: Iterable[Incident], seen: Mapping[str, Seen], now: datetime) -> dict[int, Beside]:
    """By episode; `incidents` are newest first, and of a key only the newest is compared."""
    found: dict[int, Beside] = {}
    keys: set[str] = set()
    for one in incidents:
        if one.key in keys:
            continue
        keys.add(one.key)
        sink = split_target(one.route)[0] if one.route else ""
        look = seen.get(sink)
        shown = _compared(one, sink, look, now) if look is not None else None
        if shown is not None:
            found[one.episode] = shown
    return found


def _compared(one: Incident, sink: str, look: Seen, now: datetime) -> Beside | None:
    there = look.incidents.get(one.key)
    if there is not None and _is_of(there, one):
        return Beside(sink, there.status, _mismatch(one, there, now), there.id, there.url, there.who, there.changed)
    if there is None and one.key not in look.absent:
        return None
    missing = one.resolved is None and one.delivery in _TOLD and now - one.opened >= SETTLES_WITHIN
    return Beside(sink, "absent", "open here" if missing else "")


def _is_of(there: SeenIncident, one: Incident) -> bool:
    """Whether it is this episode's, not that of an earlier one."""
    return there.open or there.id == one.remote_id or there.created >= one.opened - SETTLES_WITHIN


def _mismatch(one: Incident, there: SeenIncident, now: datetime) -> str:
    if one.resolved is None:
        return "" if there.open else "open here"
    return "resolved here" if there.open and now - one.resolved >= SETTLES_WITHIN else ""


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


def glanced(told: Sequence[Incident], seen: Mapping[str, Seen], problems: Sequence[str], now: datetime) -> Glance:
    """What a look at these incidents came to; a sink that could only say why not has not answered."""
    answered = tuple(name for name, one in seen.items() if one.incidents or one.absent or not one.problem)
    return Glance(beside(told, seen, now), answered, tuple(problems))
