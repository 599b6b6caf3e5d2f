"""What goes wrong in a world besides kills: the far side's faults by script, the disk, the journal's file, people.

Must never be random in itself: everything is drawn from the world's own generator.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsctl.adapters.journal.database import FILE

_ENQUEUE = {"path": "/v2/enqueue"}
_LOOK = {"method": "GET", "path": "/incidents*"}

Rules = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Weather:
    """The far side's faults in minutes [begin, end)."""

    begin: int
    end: int
    rules: Rules


def _events(seed: int) -> list[Rules]:
    def some(share: float) -> dict[str, Any]:
        return {**_ENQUEUE, "probability": share, "seed": seed}

    return [
        ({"match": _ENQUEUE, "do": "status", "status": 503},),
        ({"match": some(0.5), "do": "status", "status": 503},),
        ({"match": some(0.4), "do": "status", "status": 429, "retry_after": 20 + seed % 80},),
        ({"match": some(0.4), "do": "status", "status": 429},),
        ({"match": some(0.4), "do": "status", "status": 500},),
        ({"match": some(0.3), "do": "lose_request"},),
        ({"match": some(0.3), "do": "lose_reply"},),
        ({"match": {**_ENQUEUE, "times": 2}, "do": "slow", "seconds": 0.8},),
        ({"match": {**_ENQUEUE, "times": 1}, "do": "drip", "seconds": 0.02}, {"match": some(0.2), "do": "lose_reply"}),
        ({"match": some(0.15), "do": "status", "status": 400},),
        (
            {"match": some(0.2), "do": "lose_request"},
            {"match": some(0.2), "do": "lose_reply"},
            {"match": some(0.2), "do": "status", "status": 429},
        ),
    ]


def _looks(seed: int) -> list[Rules]:
    """Only where somebody looks: what is accepted and cannot be seen, and looks that fail."""

    def some(match: Mapping[str, Any], share: float) -> dict[str, Any]:
        return {**match, "probability": share, "seed": seed}

    return [
        ({"match": some(_LOOK, 1.0), "do": "status", "status": 500},),
        ({"match": some(_LOOK, 0.5), "do": "status", "status": 429},),
        ({"match": some(_LOOK, 0.3), "do": "lose_reply"},),
        ({"match": {**_LOOK, "times": 2}, "do": "slow", "seconds": 0.5},),
        ({"match": {**some(_ENQUEUE, 0.3), "action": "trigger"}, "do": "accept_invisible"},),
        ({"match": some(_ENQUEUE, 0.3), "do": "accept_later", "seconds": 25},),
    ]


def make_weather(
    rng: random.Random, minutes: int, *, rest: bool, first: int, refuses: bool = True, outage: bool = False
) -> tuple[Weather, ...]:
    """Spells of bad weather with good ones between; `first` chooses the first, so that every kind comes up."""
    seed = rng.randint(1, 10_000)
    kinds = [rules for rules in _events(seed) if refuses or all(rule.get("status") != 400 for rule in rules)]
    kinds += _looks(seed) if rest else []
    spells, at, number = [], rng.randint(0, 3), first
    if outage:  # so long that pages are over before anybody could be told
        spells, at = [Weather(2, 9, kinds[0])], 10
    while at < minutes:
        long = rng.randint(2, 7)
        spells.append(Weather(at, min(at + long, minutes), kinds[number % len(kinds)]))
        number += 1
        at += long + rng.randint(0, 4)
    return tuple(spells)


CORRUPTIONS = ("header", "pages", "cut", "gone", "wal")


def corrupt(state: Path, how: str, rng: random.Random) -> bool:
    """Damage a journal between two runs; false if there was nothing to damage."""
    file = state / FILE
    wal = file.with_name(file.name + "-wal")
    if how == "wal":
        if not wal.exists() or wal.stat().st_size < 8192:
            return False
        _cut(wal, rng.randint(4096, wal.stat().st_size - 1))
        return True
    if not file.exists() or file.stat().st_size < 8192:
        return False
    match how:
        case "header":
            _overwrite(file, 0, rng.randbytes(200))
        case "pages":
            pages = file.stat().st_size // 4096
            for _ in range(1 + pages // 8):
                _overwrite(file, 4096 * rng.randrange(1, pages), rng.randbytes(4096))
        case "cut":
            _cut(file, rng.randint(4096, file.stat().st_size - 1))
        case "gone":
            for one in (file, wal, file.with_name(file.name + "-shm")):
                one.unlink(missing_ok=True)
    return True


def _overwrite(file: Path, place: int, with_: bytes) -> None:
    with file.open("r+b") as handle:
        handle.seek(place)
        handle.write(with_)


def _cut(file: Path, size: int) -> None:
    with file.open("r+b") as handle:
        handle.truncate(size)
