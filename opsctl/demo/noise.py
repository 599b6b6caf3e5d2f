"""Randomness without a state: a number is a function of seed, series and minute; the order of asking cannot matter."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.uint64]
Minutes = NDArray[np.int64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIFORM_TO_UNIT = 12.0**0.5  # standard deviations in the width of a uniform distribution


def series_id(seed: int, name: str) -> int:
    """64 bits that stand for one series under one seed."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8, key=str(seed).encode()).digest(), "little")


def _mix(x: Ids) -> Ids:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    x = x + _STEP
    x = (x ^ (x >> _S30)) * _MIX_1
    x = (x ^ (x >> _S27)) * _MIX_2
    mixed: Ids = x ^ (x >> _S31)
    return mixed


def uniform(ids: Ids, minutes: Minutes) -> Floats:
    """Numbers in [0, 1), one for each id and minute: shape (ids, minutes)."""
    keys = _mix(minutes.astype(np.uint64) * _STEP)
    drawn: Floats = (_mix(ids[:, None] ^ keys[None, :]) >> _S11).astype(np.float64) * 2.0**-53
    return drawn


def scramble(words: Ids) -> Ids:
    """Other 64 bits for each word, that look random."""
    return _mix(words)


def units(words: Ids) -> Floats:
    """Words of 64 random bits as numbers in [0, 1)."""
    drawn: Floats = (words >> _S11).astype(np.float64) * 2.0**-53
    return drawn


def events(expected: Floats, drawn: Floats) -> Floats:
    """Whole numbers of events around what is expected, with its square root as deviation, and right in the mean.

    Below four events only the rounding is random: a rate of one in a hundred minutes yields just that.
    """
    spread = np.sqrt(expected) * ((drawn - 0.5) * _UNIFORM_TO_UNIT)
    rounding = np.modf(drawn * 2.0**20)[0]
    counted: Floats = np.floor(expected + np.where(expected > 4.0, spread, 0.0) + rounding)
    return counted
