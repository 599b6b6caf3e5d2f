"""Judges a world: the truth's schedule against the far side's own file. The definitions are in `tests/soak/__init__.py`.

Must never read our journal: of the runs it knows only which of them had an evaluation on disk (the ledger).
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.carriers import MARK
from tests.soak.far_side import Period, periods
from tests.soak.settings import HOLD_SECONDS, NOT_AFTER_SECONDS, REOPEN_SECONDS
from tests.soak.truth import Bad
from tests.soak.world import Played

_MAY_BE_LOST = "may be lost"
_SLACK = 60.0  # seconds; a host looks once a minute


@dataclass
class Episode:
    """One key over the line, as completed evaluations found it; seconds of the world."""

    key: str
    name: str
    begin: float
    since: float  # when it really began
    last_over: float
    end: float | None = None
    until: float = float("inf")  # the next episode of the key begins
    decided: bool = False
    under_at: float | None = None

    def not_ahead_of(self, at: float) -> None:
        """A clock that went back makes nobody wait for it."""
        self.under_at = None if self.under_at is None else min(self.under_at, at)

    def ended(self, line: Mapping[str, Any], *, everything_gone: bool) -> bool:
        """Whether an evaluation under the line, or without the rule, is its end."""
        self.under_at = line["at"] if self.under_at is None else self.under_at
        if line["at"] - self.under_at < HOLD_SECONDS and not everything_gone:
            return False
        self.end = line["t"]
        return True


@dataclass
class Findings:
    """What was found; the texts name the episode and its key."""

    episodes: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    told: int = 0
    warned: int = 0  # lost with the journal's file, which a run said
    allowed: Counter[str] = field(default_factory=Counter)
    shared: int = 0
    opened: int = 0

    @property
    def good(self) -> bool:
        """Nothing was lost, doubled or stuck."""
        return not (self.lost or self.doubled or self.stuck)


def judge(played: Played) -> Findings:
    """The whole world."""
    lines = list(_ledger(played.folder / "ledger"))
    commits = [line for line in lines if line["k"] == "commit"]
    open_ = defaultdict(list)
    for period in periods(played.folder / "pagerduty.sqlite3"):
        open_[period.key.partition(MARK)[0]].append(period)
    said = defaultdict(list)
    for line in lines:
        for key in line["keys"] if line["k"] == "said" else ():
            said[key].append(line["t"])
    warned = [line["t"] for line in lines if line["k"] == "said" and any(_MAY_BE_LOST in one for one in line["lines"])]
    found = Findings(opened=sum(map(len, open_.values())))
    for key, name, bads in _keys(played):
        work = _Key(played, key, commits, open_.pop(key, []), said[key], found, warned)
        hosts = sorted({line["host"] for line in commits}) if played.hosts > 1 else []
        work.bads = bads
        work.ends = [t for host in hosts for t in _rests(bads, [line for line in commits if line["host"] == host])]
        work.judge(_episodes(key, name, bads, commits))
    for key, rest in open_.items():
        found.stuck += [f"{key} was opened, is of no rule, and stays open" for one in rest if one.closed is None]
    return found


def _ledger(folder: Path) -> Iterable[Mapping[str, Any]]:
    lines = [json.loads(line) for file in folder.iterdir() for line in file.read_bytes().splitlines()]
    return sorted(lines, key=lambda line: line.get("t", 0.0))


def _keys(played: Played) -> Iterable[tuple[str, str, tuple[Bad, ...]]]:
    for bad in played.truth:
        if not bad.grouped:
            yield bad.key(played.spec.namespace), bad.uid, (bad,)
    for key, bads in played.groups.items():
        yield key, f"the group of {bads[0].service}", bads


def _episodes(key: str, name: str, bads: tuple[Bad, ...], commits: list[Mapping[str, Any]]) -> list[Episode]:
    """From the evaluations that are on disk: over the line, and under it for as long as an incident is held open."""
    made: list[Episode] = []
    now: Episode | None = None
    for line in commits:
        if line["memory"]:
            continue
        if now is not None:
            now.not_ahead_of(line["at"])
        over = _over(bads, line)
        if over and now is None:
            now = Episode(key, name, line["t"], _since(bads, int(line["minute"])), line["t"])
            made.append(now)
        if now is None or over is None:
            continue
        if over:
            now.last_over, now.under_at = line["t"], None
        elif _pending(bads, line):
            now.under_at = None
        elif now.ended(line, everything_gone=all(bad.number in line["gone"] for bad in bads)):
            now = None
            continue
        now.decided = now.decided or key in line["triggers"]
    for before, after in itertools.pairwise(made):
        before.until = after.begin
    return made


def _rests(bads: tuple[Bad, ...], commits: list[Mapping[str, Any]]) -> Iterable[float]:
    """When one host alone had found it under the line for as long as an incident is held open."""
    under: float | None = None
    for line in commits:
        over = _over(bads, line)
        if over is None:
            continue
        rests = not over and not _pending(bads, line)
        under = (line["at"] if under is None else under) if rests else None
        if under is not None and line["at"] - under >= HOLD_SECONDS:
            yield line["t"]


def _over(bads: tuple[Bad, ...], line: Mapping[str, Any]) -> bool | None:
    """Whether that evaluation found one of them firing; None where it cannot say that none is."""
    there = [bad for bad in bads if bad.number not in line["gone"]]
    scope = line["scope"]
    seen = [bad for bad in there if scope is None or bad.number in scope] if line["fresh"] else []
    if any(bad.firing(int(line["minute"])) for bad in seen):
        return True
    return False if len(seen) == len(there) else None


def _pending(bads: tuple[Bad, ...], line: Mapping[str, Any]) -> bool:
    """Whether one of them is over the line and does not fire yet: what was open stays open."""
    scope, minute = line["scope"], int(line["minute"])
    return bool(line["fresh"]) and any(
        bad.over(minute) for bad in bads if bad.number not in line["gone"] and (scope is None or bad.number in scope)
    )


def _since(bads: tuple[Bad, ...], minute: int) -> float:
    """Since when they are really bad, in seconds."""
    while any(bad.over(minute - 1) for bad in bads):
        minute -= 1
    return minute * 60.0


class _Key:
    """One key's incidents against its episodes."""

    def __init__(
        self,
        played: Played,
        key: str,
        commits: list[Mapping[str, Any]],
        open_: list[Period],
        said: list[float],
        found: Findings,
        warned: list[float],
    ) -> None:
        self.played, self.key, self.open, self.said, self.found = played, key, open_, said, found
        self.episodes: list[Episode] = []
        self.warned, self.commits = warned, commits
        self.bads: tuple[Bad, ...] = ()
        self.ends: list[float] = []  # when one host alone was right to close it
        self.forgot = [t for _, t, _ in played.damaged] + [
            line["t"] for line in commits if line["memory"] or line["problem"] or line["disk"]
        ]
        self.unseen = [line["t"] for line in commits if not line["looked"]]

    def judge(self, episodes: list[Episode]) -> None:
        self.episodes = episodes
        self.found.episodes += len(episodes)
        mine = self._assigned(episodes)
        for one in episodes:
            if not mine[one.begin]:
                self._lost(one)
            self._doubled(one, mine[one.begin])
        if episodes or self.open:
            name = episodes[0].name if episodes else "no episode"
            self.found.stuck += [
                f"{self.key} ({name}): open since {one.created:.0f} s on {one.integration}, and healthy"
                for one in self.open
                if one.closed is None
            ]

    def _assigned(self, episodes: list[Episode]) -> dict[float, list[Period]]:
        """Each episode's incidents, by its beginning: a page that came late may have been opened in the next one."""
        mine = {
            one.begin: [period for period in self.open if one.begin - 1 <= period.created < one.until]
            for one in episodes
        }
        for place, one in enumerate(episodes):
            if not mine[one.begin]:
                _move_up(episodes[place:], mine)
        return mine

    def _lost(self, one: Episode) -> None:
        for period in self.open:
            # What was open before is before somebody's eyes; a person may close it after it really began again.
            begin = one.since if period.by_person else one.begin
            if period.created < one.until and (period.closed is None or period.closed > begin):
                return
        last = _last(one)
        if any(one.begin <= t <= last + NOT_AFTER_SECONDS for t in self.said):
            self.found.told += 1
            return
        if any(one.begin <= period.created <= last for period in self.open):
            self.found.shared += 1  # it came so late that the next episode had begun: one incident stands for both
            return
        damages = [t for _, t, _ in self.played.damaged if one.begin <= t <= last]
        if any(t <= heard for t in damages for heard in self.warned):
            self.found.warned += 1
            return
        end = "the end" if one.end is None else f"{one.end:.0f} s"
        self.found.lost.append(
            f"{self.key} ({one.name}): over from {one.begin:.0f} s to {one.last_over:.0f} s, closed by {end}, "
            f"{'decided' if one.decided else 'no trigger decided'}: nobody was paged or told"
        )

    def _joined(self, one: Episode, closed: float, again: float) -> bool:
        """Whether a member of the group fires when it is opened again that had not fired before it was closed."""
        before = [line for line in self.commits if one.begin <= line["t"] < closed and line["fresh"]]
        after = [line for line in self.commits if closed <= line["t"] <= again and line["fresh"]]
        return len(self.bads) > 1 and any(
            any(bad.firing(int(line["minute"])) for line in after)
            and not any(bad.firing(int(line["minute"])) for line in before)
            for bad in self.bads
        )

    def _began_anew(self, closed: float, again: float) -> bool:
        minutes = range(int(closed // 60), int(again // 60) + 1)
        return any(not any(bad.firing(minute) for bad in self.bads) for minute in minutes)

    def _doubled(self, one: Episode, mine: list[Period]) -> None:
        for before, after in itertools.pairwise(mine):
            why = self._allowed(one, before, after)
            if why:
                self.found.allowed[why] += 1
                continue
            closed = "open" if before.closed is None else f"closed at {before.closed:.0f} s"
            by = " by a person" if before.by_person else ""
            self.found.doubled.append(
                f"{self.key} ({one.name}): opened at {before.created:.0f} s ({closed}{by}) and again at "
                f"{after.created:.0f} s, in one episode since {one.begin:.0f} s, last over at {one.last_over:.0f} s"
            )

    def _allowed(self, one: Episode, before: Period, after: Period) -> str:
        """Why the contract allows a second incident in an episode."""
        if before.closed is None:
            return ""
        if before.by_person:
            if not self.played.spec.rest:
                return "a person closed it, and nobody can look"
            if after.created - before.closed >= REOPEN_SECONDS - _SLACK:
                return "a person closed it, and reopen_after passed"
            if any(before.closed <= t <= after.created for t in self.unseen):
                return "a person closed it, and a look failed"
            if self.played.hosts > 1 and self._began_anew(before.closed, after.created):
                return "a person closed it, and another host saw it begin anew"
            if self._joined(one, before.closed, after.created):
                return "a person closed a group, and another alert joined it"
        # The first may be the late page of an earlier episode, which a run without the journal had told before.
        since = min([before.created, *(one.begin for one in self.episodes if _last(one) >= before.created)])
        if any(since - _SLACK <= t <= after.created for t in self.forgot):
            return "the journal was lost in between"
        if any(before.created < t <= after.created for t in self.ends):
            return "one host's own evaluations ended the episode, another host's did not"
        return ""


def _move_up(episodes: list[Episode], mine: dict[float, list[Period]]) -> None:
    """The first has no incident: it has the next one's, that has the one after its, up to one that has two."""
    for place, one in enumerate(episodes[1:], 1):
        first = mine[one.begin][:1]
        if not first or first[0].created > _last(episodes[place - 1]):
            return
        if len(mine[one.begin]) > 1:
            for before, after in itertools.pairwise(episodes[: place + 1]):
                mine[before.begin].append(mine[after.begin].pop(0))
            return


def _last(one: Episode) -> float:
    return (one.end or one.last_over) + NOT_AFTER_SECONDS + _SLACK
