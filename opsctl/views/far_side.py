"""An incident of the journal beside what the far side shows of it: the same, more, or something else.

Pure. Must never call a difference what nobody looked for: a key that was not asked is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opsctl.core.frozen import dataclass
from opsctl.core.routing import split_target

if TYPE_CHECKING:
    from opsctl.core.seen import Seen, SeenIncident
    from opsctl.ports import Incident

SETTLES_WITHIN = timedelta(minutes=2)
"""So long after an event was accepted a difference is nothing yet; also how far the far side's clock may be behind."""
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
