"""A world: one namespace, its rules, hosts, pager and everything that happens to them in an hour of compressed time.

    spec_of(number, seed) → Spec → play → Played

Everything is drawn from the spec's seed; what is left to chance is how processes that run at once take turns.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from opsctl.core.routing import Matcher, Route, Routing
from tests.soak.clock import SharedTime
from tests.soak.crash import POINTS, Counters
from tests.soak.far_side import FarSide
from tests.soak.faults import CORRUPTIONS, Weather, corrupt, make_weather
from tests.soak.run import CRASHED, Orders, Place, start
from tests.soak.settings import MINUTES, QUIET
from tests.soak.truth import GROUPED, Bad, group_key, make_truth

KINDS = ("plain", "rest", "two-runners", "two-hosts", "groups", "corrupt", "corrupt-rest", "disk", "clock", "storm",
         "routes-rest", "groups-rest", "disk-rest", "people-rest")  # fmt: skip
_LONGEST_RUN_SECONDS = 60.0
_TRIES = 3
_ENOUGH = 2
_JUMPS = (-7200.0, -600.0, -90.0, 30.0, 300.0, 3600.0)
_PLACES = {"evaluate": 4, "request": 12, "reply": 12, "attempt": 12, "settle": 12, "token": 12, "drop": 2}


@dataclass(frozen=True)
class Spec:
    """What a world is like."""

    number: int
    seed: int
    kind: str
    carrier: str = "outbox"
    minutes: int = MINUTES
    share: float = 1.0  # of the rules, that are ever bad
    quiet: int = QUIET

    @property
    def small(self) -> bool:
        """Whether few of its rules are ever bad."""
        return self.share < 1.0

    @property
    def rest(self) -> bool:
        """Whether its runs look at the far side."""
        return self.kind in {"rest", "two-hosts"} or self.kind.endswith("-rest")

    @property
    def namespace(self) -> str:
        """Its own."""
        return f"soak-{self.seed}-{self.number}"


@dataclass
class Played:
    """What came of it, for the oracle."""

    spec: Spec
    folder: Path
    truth: tuple[Bad, ...]
    groups: dict[str, tuple[Bad, ...]]
    hosts: int = 1
    runs: int = 0
    killed: int = 0
    refused: int = 0
    crashed: list[str] = field(default_factory=list)
    damaged: list[tuple[int, float, str]] = field(default_factory=list)  # host, seconds, how
    happened: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def spec_of(
    number: int, seed: int, carrier: str = "outbox", kinds: tuple[str, ...] = KINDS, *, small: bool = False
) -> Spec:
    """The kinds take turns; a small world has few episodes and still all that goes wrong."""
    kind = kinds[number % len(kinds)]
    return Spec(number, seed, kind, carrier, 18, 0.2, 16) if small else Spec(number, seed, kind, carrier)


class _World:
    def __init__(
        self,
        spec: Spec,
        folder: Path,
        shared: SharedTime,
        counters: Counters,
    ) -> None:
        self.spec, self.folder, self.shared = spec, folder, shared
        self.rng = random.Random(f"{spec.seed}/{spec.number}")
        kind = spec.kind.removesuffix("-rest")
        self.kind = kind
        self.hosts = 2 if kind.startswith("two-") else 1
        self.truth = make_truth(
            self.rng,
            spec.minutes,
            grouped=kind == "groups",
            labelled=kind in {"plain", "rest", "two-hosts"},
            patient=kind in {"plain", "rest", "groups"},
            deleted=kind in {"plain", "rest", "two-runners"},
            storm=3 if kind == "storm" else None,
            share=spec.share,
        )
        self.weather = make_weather(
            self.rng,
            spec.minutes,
            rest=spec.rest,
            first=spec.number,
            refuses=spec.kind not in {"disk", "corrupt"},
            outage=spec.small,
        )
        (folder / "ledger").mkdir(parents=True)
        shared.start()
        self.far = FarSide(folder / "pagerduty.sqlite3", shared)
        self.place = Place(
            folder, spec.namespace, self.truth, shared, counters, self.far.address,
            2 if kind == "two-hosts" else 1, spec.rest, spec.carrier,
        )  # fmt: skip
        groups = {}
        for bad in self.truth:
            if bad.grouped:
                groups.setdefault(group_key(spec.namespace, bad.service), []).append(bad)
        self.played = Played(spec, folder, self.truth, {key: tuple(bads) for key, bads in groups.items()})
        self.played.hosts = self.place.hosts
        self.wrong = 0.0
        self.points: list[str] = []
        self.deadly: str | None = None
        self.killed = self.tries = 0

    def play(self) -> Played:
        begun = time.monotonic()
        try:
            sky: Weather | None = None
            for step in range(self.spec.minutes + self.spec.quiet):
                self.shared.reach(step * 60.0 + 1.0)
                now = next((one for one in self.weather if one.begin <= step < one.end), None)
                if now is not sky:
                    sky = now
                    self.far.faults(now.rules if now else ())
                self._minute(step, quiet=step >= self.spec.minutes)
        finally:
            self.far.stop()
        self.played.happened.update(self.far.acted)
        self.played.seconds = time.monotonic() - begun
        return self.played

    # -- one minute

    def _minute(self, step: int, *, quiet: bool) -> None:
        rng = self.rng
        if not quiet:
            self._people(step)
            self._damage(step)
        orders = [self._orders(step, host, quiet=quiet) for host in range(self.hosts)]
        if not quiet:
            orders = [one for one in orders if rng.random() >= 0.08]  # cron was late
        if self.kind == "two-runners" and rng.random() < 0.5:
            children = [start(self.place, one) for one in orders]
            if not quiet and rng.random() < 0.5:
                self._people(step)
            died = [self._wait(child) for child in children]
        else:
            died = [self._wait(start(self.place, one)) for one in orders]
        for one, dead in zip(orders, died, strict=True):
            if dead and rng.random() < 0.3:
                again = Orders(
                    one.step, one.host, 1, gone=one.gone, wrong_seconds=one.wrong_seconds, routing=one.routing
                )
                self._wait(start(self.place, again))

    def _wait(self, child: int) -> bool:
        """Whether it was killed."""
        deadline = time.monotonic() + _LONGEST_RUN_SECONDS
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                self.played.crashed.append(f"a run took longer than {_LONGEST_RUN_SECONDS:g} s")
                return True
            time.sleep(0.001)
        self.played.runs += 1
        if os.WIFSIGNALED(status):
            self.played.killed += 1
            return True
        code = os.WEXITSTATUS(status)
        if code == CRASHED:
            self.played.crashed.append(f"a run ended with {code}")
        self.played.refused += code not in {0, CRASHED}
        return False

    def _orders(self, step: int, host: int, *, quiet: bool) -> Orders:
        rng = self.rng
        gone = frozenset(bad.number for bad in self.truth if bad.gone is not None and step >= bad.gone)
        routing = self._routing(step)
        if quiet:
            return Orders(step, host, gone=gone, routing=routing)
        deadly = self._deadly() if rng.random() < 0.6 else None
        also = self._seldom()
        full_after, pages = None, False
        if self.kind == "disk" and rng.random() < 0.35:
            full_after, pages = rng.choice((20_000, 60_000, 120_000, 250_000)), rng.random() < 0.5
            self.played.happened["disk full (no page)" if pages else "disk full (file size)"] += 1
        blind = rng.random() < 0.06
        self.played.happened["backend away"] += blind
        scope = None
        if self.kind in {"plain", "rest", "groups"} and rng.random() < 0.1:
            half = rng.randrange(2)
            scope = frozenset(bad.number for bad in self.truth if bad.number % 2 == half)
            self.played.happened["run of half the rules"] += 1
        return Orders(
            step,
            host,
            0,
            deadly,
            also,
            full_after,
            pages,
            blind,
            scope,
            gone,
            self._jumped() if not host else 0.0,
            routing,
        )

    def _deadly(self) -> tuple[str, int]:
        """Every point in turn; one that was not reached is tried again, the first time that it is passed."""
        rng = self.rng
        if self.deadly is not None and self.killed == self.played.killed and self.tries < _TRIES:
            self.tries += 1
            return self.deadly, 1
        self.killed, self.tries = self.played.killed, 0
        if not self.points:
            self.points = self._reachable()
            rng.shuffle(self.points)
        self.deadly = self.points.pop()
        return self.deadly, rng.randint(1, _PLACES.get(self.deadly.partition(".")[0], 1))

    def _seldom(self) -> str | None:
        """One of those that hardly struck so far in any world, until each has."""
        shown = self.place.counters.shown()
        few = [name for name in self._reachable() if shown[name][1] < _ENOUGH]
        return self.rng.choice(few) if few else None

    def _reachable(self) -> list[str]:
        return [one for one in POINTS if self.spec.rest or not one.startswith("look")]

    def _jumped(self) -> float:
        if self.kind == "clock" and self.rng.random() < 0.12:
            self.wrong = 0.0 if self.wrong else self.rng.choice(_JUMPS)
            self.played.happened["clock jump"] += 1
        return self.wrong

    def _routing(self, step: int) -> Routing:
        routes: list[Route] = []
        if self.kind == "groups":
            team = Matcher("team", "=", GROUPED)
            routes.append(Route("pagerduty", (team,), GROUPED, group_by=("service",)))
        if self.kind == "routes" and step % 20 >= 10:
            routes.append(Route("pagerduty", (Matcher("service", "=~", "service-[0-3]"),), "night"))
            self.played.happened["route change"] += step % 10 == 0
        return Routing(namespace=self.spec.namespace, routes=tuple(routes))

    def _people(self, step: int) -> None:
        rng = self.rng
        share = 0.9 if self.kind == "people" else 0.35
        if rng.random() >= share:
            return
        bad = [one for one in self.truth if one.over(step) or one.over(step - 1)]
        for one in rng.sample(bad, min(len(bad), 3)):
            key = group_key(self.spec.namespace, one.service) if one.grouped else one.key(self.spec.namespace)
            what = rng.choice(("acknowledge", "acknowledge", "resolve"))
            if self.far.person(what, key):
                self.played.happened[f"a person's {what}"] += 1

    def _damage(self, step: int) -> None:
        if self.kind != "corrupt" or self.rng.random() >= 0.1:
            return
        how = self.rng.choice([one for one in CORRUPTIONS if self.spec.rest or one != "wal"])
        if corrupt(self.place.state(0), how, self.rng):
            self.played.damaged.append((0, self.shared.seconds(), how))
            self.played.happened[f"journal damaged ({how})"] += 1


def play(
    spec: Spec,
    folder: Path,
    shared: SharedTime,
    counters: Counters,
) -> Played:
    """Play a world from its beginning to its quiet end."""
    return _World(spec, folder, shared, counters).play()
