"""Worlds in processes of their own, until there are enough episodes; and what came of them, in words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.soak.clock import SharedTime
from tests.soak.crash import Counters
from tests.soak.oracle import Findings, judge
from tests.soak.run import warm_up
from tests.soak.world import KINDS, Played, play, spec_of

_MEMORY = Path("/dev/shm")
_SHOWN = 20
_SMALL = 4000


@dataclass(frozen=True)
class Options:
    """What is asked for."""

    episodes: int
    seed: int = 1
    jobs: int = 2
    carrier: str = "outbox"
    world: int | None = None
    kinds: tuple[str, ...] = ()
    report: Path | None = None
    keep: Path | None = None

    @property
    def small(self) -> bool:
        """Whether the worlds are small, so that few episodes see all of their kinds."""
        return self.episodes < _SMALL


class _Totals:
    def __init__(self) -> None:
        self.worlds = self.episodes = self.runs = self.killed = self.refused = self.told = self.warned = self.shared = (
            self.opened
        ) = 0
        self.lost: list[str] = []
        self.doubled: list[str] = []
        self.stuck: list[str] = []
        self.crashed: list[str] = []
        self.allowed: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()

    def add(self, one: dict[str, Any]) -> None:
        self.worlds += 1
        for name in ("episodes", "runs", "killed", "refused", "told", "warned", "shared", "opened"):
            setattr(self, name, getattr(self, name) + one[name])
        for name in ("lost", "doubled", "stuck", "crashed"):
            getattr(self, name).extend(f"world {one['number']} ({one['kind']}): {line}" for line in one[name])
        self.allowed.update(one["allowed"])
        self.happened.update(one["happened"])
        self.kinds[one["kind"]] += 1


def soak(options: Options, out: IO[str], err: IO[str]) -> int:
    """Play, judge, report; the exit code."""
    begun = time.monotonic()
    where = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="opsctl-soak-", dir=where))
    counters, totals = Counters(), _Totals()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was made is taken away
    warm_up()
    try:
        _play_all(options, folder, counters, totals, err)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    points = counters.shown()
    silent = [] if _partial(options) else [name for name, (_, struck) in points.items() if not struck]
    seconds = time.monotonic() - begun
    report = _report(options, totals, points, silent, seconds)
    err.write(_words(report))
    if options.report is not None:
        options.report.write_text(json.dumps(report, indent=1) + "\n")
    counted = totals.episodes if _partial(options) else min(totals.episodes, options.episodes)
    lost, doubled, stuck = len(totals.lost), len(totals.doubled), len(totals.stuck)
    out.write(f"episodes={counted} lost={lost} doubled={doubled} stuck={stuck}\n")
    return int(
        bool(
            lost
            or doubled
            or stuck
            or totals.crashed
            or silent
            or (counted < options.episodes > 0 and not _partial(options))
        )
    )


def _partial(options: Options) -> bool:
    return options.world is not None


def _play_all(options: Options, folder: Path, counters: Counters, totals: _Totals, err: IO[str]) -> None:
    """`jobs` worlds at a time, each in a process that leaves its answer in a file."""
    running: dict[int, int] = {}  # pid → number
    try:
        _play_some(options, folder, counters, totals, err, running)
    finally:
        for pid in running:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def _play_some(
    options: Options, folder: Path, counters: Counters, totals: _Totals, err: IO[str], running: dict[int, int]
) -> None:
    number = 0
    while True:
        while len(running) < max(1, options.jobs) and not _enough(options, totals, number):
            which = options.world if options.world is not None else number
            running[_begin(options, which, folder / str(which), counters)] = which
            number += 1
        if not running:
            return
        pid, _ = os.waitpid(-1, 0)
        which = running.pop(pid)
        answer = _answer_of(folder / str(which))
        one = json.loads(answer.read_text()) if answer.exists() else {"error": "it ended without an answer"}
        if "error" in one:
            raise RuntimeError(f"world {which} could not be played: {one['error']}")
        totals.add(one)
        _keep_or_drop(options, one, folder / str(which))
        if err.isatty():
            err.write(f"\r{totals.episodes} episodes in {totals.worlds} worlds ")
            err.flush()


def _enough(options: Options, totals: _Totals, begun: int) -> bool:
    if options.world is not None:
        return begun > 0
    return totals.episodes >= options.episodes and begun >= len(options.kinds)


def _answer_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.answer")


def _begin(options: Options, which: int, folder: Path, counters: Counters) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        folder.mkdir()
        spec = spec_of(which, options.seed, options.carrier, options.kinds, small=options.small)
        played = play(spec, folder, SharedTime(), counters)
        answer = _told(played, judge(played))
    except BaseException:  # noqa: BLE001 - the parent says it
        answer = {"error": traceback.format_exc()}
    _answer_of(folder).write_text(json.dumps(answer))
    os._exit(0)


def _told(played: Played, found: Findings) -> dict[str, Any]:
    crashed = [*played.crashed, *(file.read_text() for file in sorted(played.folder.glob("crashed-*")))]
    return {
        "number": played.spec.number,
        "kind": played.spec.kind,
        "episodes": found.episodes,
        "runs": played.runs,
        "killed": played.killed,
        "refused": played.refused,
        "told": found.told,
        "warned": found.warned,
        "shared": found.shared,
        "opened": found.opened,
        "lost": found.lost,
        "doubled": found.doubled,
        "stuck": found.stuck,
        "crashed": crashed,
        "allowed": found.allowed,
        "happened": played.happened,
        "seconds": played.seconds,
    }


def _keep_or_drop(options: Options, one: dict[str, Any], folder: Path) -> None:
    if options.keep is not None and (one["lost"] or one["doubled"] or one["stuck"] or one["crashed"]):
        options.keep.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, options.keep / folder.name, dirs_exist_ok=True)
    shutil.rmtree(folder)


def _report(
    options: Options, totals: _Totals, points: dict[str, tuple[int, int]], silent: list[str], seconds: float
) -> dict[str, Any]:
    return {
        "seed": options.seed,
        "carrier": options.carrier,
        "seconds": round(seconds, 1),
        "worlds": totals.worlds,
        "kinds": dict(totals.kinds),
        "episodes": totals.episodes,
        "runs": totals.runs,
        "killed": totals.killed,
        "refused": totals.refused,
        "opened": totals.opened,
        "told": totals.told,
        "warned": totals.warned,
        "shared": totals.shared,
        "allowed": dict(totals.allowed),
        "points": {name: {"passed": passed, "struck": struck} for name, (passed, struck) in points.items()},
        "never struck": silent,
        "happened": dict(totals.happened.most_common()),
        "lost": totals.lost,
        "doubled": totals.doubled,
        "stuck": totals.stuck,
        "crashed": totals.crashed,
        "again": _again(options),
    }


def _again(options: Options) -> str:
    kinds = "" if options.kinds == KINDS else "".join(f" --kind {kind}" for kind in options.kinds)
    carrier = "" if options.carrier == "outbox" else f" --{options.carrier}"
    return f"python -m tests.soak --episodes {options.episodes} --seed {options.seed}{kinds}{carrier} --world N"


def _words(report: dict[str, Any]) -> str:
    """For people."""
    lines = [
        f"{report['episodes']} episodes in {report['worlds']} worlds, {report['runs']} runs of 200 rules, "
        f"{report['killed']} killed, {report['opened']} incidents opened, {report['seconds']} s",
        f"told instead of delivered: {report['told']}, and {report['warned']} that went with the journal's file; late, "
        f"with the next episode in one incident: {report['shared']}; "
        f"runs that found the lock taken: {report['refused']}",
        *(f"a second incident, allowed: {count} ({why})" for why, count in report["allowed"].items()),
        "",
        f"{'crash point':<20}{'passed':>10}{'struck':>10}",
        *(f"{name:<20}{one['passed']:>10}{one['struck']:>10}" for name, one in report["points"].items()),
        "",
        f"{'what happened':<30}{'times':>10}",
        *(f"{name:<30}{count:>10}" for name, count in report["happened"].items()),
        "",
    ]
    if report["never struck"]:
        lines += [f"never struck: {', '.join(report['never struck'])}", ""]
    for name in ("lost", "doubled", "stuck", "crashed"):
        lines += [f"{name}: {line}" for line in report[name][:_SHOWN]]
        more = len(report[name]) - _SHOWN
        lines += [f"{name}: {more} more"] if more > 0 else []
    if any(report[name] for name in ("lost", "doubled", "stuck", "crashed")):
        lines += [f"play one again: {report['again']}"]
    return "\n".join(lines) + "\n"
