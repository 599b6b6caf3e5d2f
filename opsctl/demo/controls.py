"""Faults and mitigations over time: a few levels between 0 and 1 for each minute, which the model turns into traffic.

A level is a function of time and of what was ordered up to then, so a minute that was computed never changes later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from opsctl.core.frozen import dataclass
from opsctl.demo.faults import ACTIONS, ATTACKERS, FAULTS, NETWORKS, REGIONS, UNDO_OF
from opsctl.demo.noise import Floats, Minutes

ONSET_SECONDS = 30.0
HEAL_SECONDS = 90.0
VANISH_SECONDS = 180.0  # a lost region still answers scrapes for so long
MATCHMAKERS = 12.0
LOST = "eu-1"  # the region that gets lost
_SAMPLES = (np.arange(12) + 0.5) * 5.0 - 60.0  # seconds before the minute's end at which levels are read

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Turn:
    at: float  # epoch seconds
    level: float
    ramp_seconds: float


@dataclass(slots=True)
class Track:
    """A level that is turned now and then and gets there on a straight line."""

    start: float = 0.0
    turns: list[_Turn] = field(default_factory=list)

    def turn(self, at: float, level: float, ramp_seconds: float) -> None:
        """From `at` (epoch seconds) move to `level`."""
        self.turns.append(_Turn(at, level, ramp_seconds))
        self.turns.sort(key=lambda turn: turn.at)

    def at(self, seconds: Floats) -> Floats:
        """The level at those epoch seconds."""
        level: Floats = np.full(seconds.shape, self.start)
        origin, before = self.start, None
        for turn in self.turns:
            if before is not None:
                share = min(max((turn.at - before.at) / before.ramp_seconds, 0.0), 1.0)
                origin += (before.level - origin) * share
            shares = np.clip((seconds - turn.at) / turn.ramp_seconds, 0.0, 1.0)
            level = np.where(seconds >= turn.at, origin + (turn.level - origin) * shares, level)
            before = turn
        return level

    def mean(self, minutes: Minutes) -> Floats:
        """The mean level of each minute, which is named by its end."""
        if not self.turns:
            return np.full(minutes.shape, self.start)
        seconds = minutes[:, None] * 60.0 + _SAMPLES[None, :]
        mean: Floats = self.at(seconds).mean(axis=1)
        return mean


@dataclass(slots=True)
class Injection:
    """One fault from `start` to `end`, in epoch seconds; a mitigation may end it early."""

    fault: str
    start: float
    end: float
    ended_at: float | None = None  # by a restart; None: it lasts


@dataclass(frozen=True, slots=True)
class Levels:
    """What the model needs to know of each minute; arrays are (minutes,), by region (2, minutes)."""

    surge: Floats
    shed: Floats
    store_slow: Floats
    stuck: Floats  # share of the usual matchmakers that do nothing
    matchmakers: Floats
    lost: Floats  # by region: share of its requests that nobody answers
    drained: Floats  # by region: share of its players that moved to the other
    silent: Floats
    attack: Floats  # by network (networks, minutes)
    chat_gone: Bools  # its series are not there at the minute's end


@dataclass(frozen=True, slots=True)
class Gone:
    """Whose series are missing at the ends of some minutes."""

    region: Bools  # (regions, minutes)
    chat: Bools  # (minutes,)

    def anything(self) -> bool:
        """Whether any sample of these minutes is missing."""
        return bool(self.region.any() or self.chat.any())


class Controls:
    """Everything that was ordered so far; asking changes nothing."""

    def __init__(self) -> None:
        self.injections: list[Injection] = []
        self._fault = {name: Track() for name in FAULTS}
        self._shed = Track()
        self._failover = Track()
        self._matchmakers = Track(start=MATCHMAKERS)
        self._drained = {region: Track() for region in REGIONS}
        self._blocked = {network: Track() for network in NETWORKS}
        self._blocked_now: tuple[str, ...] = ()
        self._drained_now: str | None = None

    def inject(self, fault: str, start: float, end: float) -> None:
        """Orders a fault; `ValueError` if it is unknown or already ordered for that time."""
        if fault not in FAULTS:
            raise ValueError(f"unknown fault {fault!r}; known: {', '.join(FAULTS)}")
        if end <= start:
            raise ValueError(f"{fault}: expected a duration above zero")
        if any(i.fault == fault and i.start < end and start < i.end for i in self.injections):
            raise ValueError(f"{fault} is already under way")
        self.injections.append(Injection(fault, start, end))
        self._fault[fault].turn(start, 1.0, ONSET_SECONDS)
        self._fault[fault].turn(end, 0.0, HEAL_SECONDS)

    def mitigate(self, action: str, at: float, params: Mapping[str, str]) -> str:
        """Orders a mitigation or its undo and says what happens; `ValueError` if it makes no sense."""
        undone = UNDO_OF.get(action)
        if undone is None and action not in ACTIONS:
            raise ValueError(f"unknown action {action!r}; known: {', '.join((*ACTIONS, *UNDO_OF))}")
        name = undone or action
        orders: Mapping[str, Callable[[float, Mapping[str, str] | None], str]] = {
            "promo.shed": self._shed_promo,
            "wallet.failover": self._fail_over,
            "matchmaking.scale": self._scale,
            "region.drain": self._drain,
            "chat.restart": self._restart,
            "auth.block": self._block,
        }
        return orders[name](at, params if undone is None else None)

    # An order without params is an undo.

    def _shed_promo(self, at: float, params: Mapping[str, str] | None) -> str:
        percent = _number(params, "percent", 1, 95) if params is not None else 0
        self._shed.turn(at, percent / 100.0, HEAL_SECONDS)
        return f"shedding {percent} % of promo requests" if percent else "promo requests are let through again"

    def _fail_over(self, at: float, params: Mapping[str, str] | None) -> str:
        self._failover.turn(at, 0.0 if params is None else 1.0, HEAL_SECONDS)
        return "the first database is primary again" if params is None else "the standby is being promoted"

    def _scale(self, at: float, params: Mapping[str, str] | None) -> str:
        replicas = int(MATCHMAKERS) if params is None else _number(params, "replicas", 1, 96)
        self._matchmakers.turn(at, float(replicas), HEAL_SECONDS)
        return f"{replicas} matchmakers ordered"

    def _drain(self, at: float, params: Mapping[str, str] | None) -> str:
        region = self._drained_now if params is None else params.get("region", "")
        if region is None:
            return "no region was drained"
        if region not in REGIONS:
            raise ValueError(f"region: expected one of {', '.join(REGIONS)}")
        if self._drained_now not in (None, region):
            raise ValueError(f"{self._drained_now} is drained already: players must have a home")
        self._drained_now = None if params is None else region
        self._drained[region].turn(at, 0.0 if params is None else 1.0, HEAL_SECONDS)
        return f"{region} takes its players back" if params is None else f"{region} is being drained"

    def _restart(self, at: float, params: Mapping[str, str] | None) -> str:
        if params is None:
            raise ValueError("a restart cannot be undone")
        self._fault["service-silent"].turn(at, 0.0, HEAL_SECONDS)
        for injection in self.injections:
            if injection.fault == "service-silent" and injection.start <= at < injection.end:
                injection.ended_at = min(at, injection.ended_at or at)
        return "chat is restarting"

    def _block(self, at: float, params: Mapping[str, str] | None) -> str:
        listed = "" if params is None else params.get("networks", "")
        named = tuple(name for name in (n.strip() for n in listed.split(",")) if name)
        if params is not None and not named:
            raise ValueError("networks: expected at least one, such as AS64506")
        for network in sorted(set(self._blocked_now) | set(named)):
            self._blocked.setdefault(network, Track()).turn(at, float(network in named), HEAL_SECONDS)
        self._blocked_now = named
        return f"blocking {', '.join(named)}" if named else "no network is blocked"

    def levels(self, minutes: Minutes, faults: Collection[str] = tuple(FAULTS)) -> Levels:
        """The levels of those minutes (ends of minutes, in epoch minutes), as if only those faults had been ordered."""
        zero = np.zeros(minutes.shape)
        track = {name: found.mean(minutes) if name in faults else zero for name, found in self._fault.items()}
        blocked = np.stack([self._blocked[network].mean(minutes) for network in NETWORKS])
        attacked = np.array([network in ATTACKERS for network in NETWORKS], dtype=np.float64)
        return Levels(
            surge=track["promo-surge"],
            shed=self._shed.mean(minutes),
            store_slow=track["wallet-db-slow"] * (1.0 - self._failover.mean(minutes)),
            stuck=track["matchmaking-backlog"],
            matchmakers=self._matchmakers.mean(minutes),
            lost=np.stack([track["region-lost"] if region == LOST else zero for region in REGIONS]),
            drained=np.stack([self._drained[region].mean(minutes) for region in REGIONS]),
            silent=track["service-silent"],
            attack=attacked[:, None] * track["login-attack"][None, :] * (1.0 - blocked),
            chat_gone=self.gone(minutes).chat,
        )

    def gone(self, minutes: Minutes) -> Gone:
        """Whose series are missing at the ends of those minutes."""
        lost = self._gone("region-lost", minutes, VANISH_SECONDS, 0.0)
        regions = np.stack([lost if region == LOST else np.zeros_like(lost) for region in REGIONS])
        return Gone(regions, self._gone("service-silent", minutes, 0.0, HEAL_SECONDS))

    def _gone(self, fault: str, minutes: Minutes, after: float, back: float) -> Bools:
        """Whether the fault's series are missing at those instants; a restart brings them `back` seconds later."""
        seconds = minutes * 60.0
        gone: Bools = np.zeros(minutes.shape, dtype=np.bool_)
        for injection in self.injections:
            if injection.fault == fault:
                end = injection.end if injection.ended_at is None else min(injection.end, injection.ended_at + back)
                gone |= (seconds > injection.start + after) & (seconds <= end)
        return gone


def _number(params: Mapping[str, str], name: str, low: int, high: int) -> int:
    text = params.get(name, "")
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise ValueError(f"{name}: expected an integer from {low} to {high}")
    return int(text)
