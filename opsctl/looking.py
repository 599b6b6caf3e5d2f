"""Looks at the far side before a plan is made: the incidents of ours that it shows, and what it remembers of them.

Must never stop a page: what cannot be read is said, and the plan goes on as if nobody could look.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from types import MappingProxyType

from opsctl.core.commands import Cycle
from opsctl.core.frozen import dataclass
from opsctl.core.policy import CONFIRM_WITHIN
from opsctl.core.routing import routed, split_target
from opsctl.core.seen import Seen, SeenOrigin
from opsctl.errors import OpsctlError
from opsctl.ports import Clock, Fact, Incident, IncidentReader, Journal

LOOK_SECONDS = 5.0
_FACT = "remote_incident"  # subject: sink and id


@dataclass(frozen=True, slots=True)
class Look:
    """What every reader showed, what to remember of it, and what could not be read."""

    seen: Mapping[str, Seen] = field(default_factory=lambda: MappingProxyType({}))
    facts: tuple[Fact, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Remembered:
    """An open incident of the far side, from an earlier look; `key` is "" where it is not ours."""

    key: str
    origin: SeenOrigin | None = None

    def values(self) -> list[object]:
        """As JSON has it."""
        one = self.origin
        return [self.key, *([one.namespace, list(one.rule_uids), one.rule_name, one.to] if one else [])]


def look(readers: Sequence[IncidentReader], journal: Journal, cycle: Cycle, clock: Clock) -> Look:
    """Ask every reader for the keys that this cycle is about, at most 5 s each."""
    if not readers:
        return Look()
    now = clock.now()
    known = journal.facts(_FACT)
    seen: dict[str, Seen] = {}
    facts: list[Fact] = []
    for reader in readers:
        try:
            mine = _known(known, reader)
            keys = _keys(journal, cycle, reader.name, now)
            shown = reader.look(keys, {id_: one.key for id_, one in mine.items()}, LOOK_SECONDS)
            shown = _with_origins(shown, mine)
            remembered = tuple(_facts(reader.name, mine, shown, now))
        except Exception as wrong:  # noqa: BLE001  whatever is wrong with a look, the page goes out
            shown, remembered = Seen(now, problem=_line(wrong)), ()
        seen[reader.name] = shown
        facts.extend(remembered)
    problems = tuple(f"{name}: {one.problem}" for name, one in seen.items() if one.problem)
    return Look(MappingProxyType(seen), tuple(facts), problems)


def glance(
    readers: Sequence[IncidentReader], journal: Journal, incidents: Iterable[Incident], clock: Clock, seconds: float
) -> Look:
    """Ask every reader for these incidents, for a person who looks at them; nothing is to be remembered of it."""
    told = tuple(incidents)
    known = journal.facts(_FACT)
    seen: dict[str, Seen] = {}
    ends = clock.monotonic() + seconds
    for reader in readers:
        keys = list(dict.fromkeys(one.key for one in told if _goes(one.route, reader.name)))
        if keys:
            mine = {id_: one.key for id_, one in _known(known, reader).items()}
            seen[reader.name] = reader.look(keys, mine, max(ends - clock.monotonic(), 0.1))
    problems = tuple(f"{name}: {one.problem}" for name, one in seen.items() if one.problem)
    return Look(MappingProxyType(seen), (), problems)


def _of(subject: str, reader: IncidentReader) -> bool:
    return subject.partition("/")[0] == reader.name


def _keys(journal: Journal, cycle: Cycle, sink: str, now: datetime) -> list[str]:
    """What is open or about to open first, then what we closed and nobody confirmed, then what is healthy."""
    namespace = cycle.routing.namespace
    alerts = journal.alerts()
    keys = [key for key, one in alerts.items() if one.episode is not None and _goes(one.route, sink)]
    keys += [
        one.key for one in routed(cycle.alerts, namespace, cycle.routing, cycle.at).values() if _goes(one.to, sink)
    ]
    keys += [one.key for one in journal.closings(now - CONFIRM_WITHIN) if _goes(one.route, sink)]
    return list(dict.fromkeys(keys))


def _goes(to: str, sink: str) -> bool:
    return bool(to) and split_target(to)[0] == sink


def _line(wrong: Exception) -> str:
    """What to say of it; the text of a bug may hold anything."""
    return str(wrong) if isinstance(wrong, OpsctlError) else f"{type(wrong).__name__} while it was read: a bug"


def _known(facts: Mapping[str, Fact], reader: IncidentReader) -> dict[str, Remembered]:
    """What earlier looks at this sink remember, by id."""
    mine = ((name.partition("/")[2], _remembered(fact)) for name, fact in facts.items() if _of(name, reader))
    return {id_: one for id_, one in mine if one is not None}


def _remembered(fact: Fact) -> Remembered | None:
    try:
        key, *origin = json.loads(fact.value)
        if not origin:
            return Remembered(key)
        namespace, uids, name, to = origin
        return Remembered(key, SeenOrigin(namespace, tuple(uids), name, to))
    except (ValueError, TypeError):  # another opsctl wrote it: the far side is asked again
        return None


def _with_origins(seen: Seen, known: Mapping[str, Remembered]) -> Seen:
    """What an incident says of itself is read once and remembered."""
    incidents = {
        key: replace(one, origin=known[one.id].origin) if one.origin is None and one.id in known else one
        for key, one in seen.incidents.items()
    }
    return replace(seen, incidents=MappingProxyType(incidents))


def _facts(sink: str, known: Mapping[str, Remembered], seen: Seen, now: datetime) -> Iterable[Fact]:
    """Remember each open incident by its id, key "" where it is not ours; forget those that are closed."""
    there = {id_: Remembered("") for id_ in seen.others}
    there |= {one.id: Remembered(one.key, one.origin) for one in seen.incidents.values() if one.open}
    for id_, one in there.items():
        if known.get(id_) != one:
            yield Fact(_FACT, f"{sink}/{id_}", json.dumps(one.values()), now)
    if seen.complete:
        for id_ in known.keys() - there.keys():
            yield Fact(_FACT, f"{sink}/{id_}", "null", now)
