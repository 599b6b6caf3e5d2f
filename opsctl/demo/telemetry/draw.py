"""Random numbers for one minute of one kind of request: a function of a key and the minute, whatever was drawn before.

Ids never hold more than eight decimal digits in a row, so that a scanner for card numbers can read every byte.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from opsctl.demo.noise import Floats, Ids, scramble, units

Ints = NDArray[np.int64]
_ROOM = np.uint64(1 << 20)  # numbers of one draw
_ODD = np.uint64(0xD1342543DE82EF95)
_LETTERS = np.uint64(0x000A_0000_000A_0000)  # makes two of sixteen hex digits letters
_TIME_LETTERS = np.uint64(0x0000_0000_A00A_0000)  # the same behind a minute's eight digits
_ALL = (1 << 64) - 1
_LOW = np.uint64(0xFFFF_FFFF)
_32 = np.uint64(32)


class Draw:
    """Draws `count` numbers at a time."""

    def __init__(self, key: int, minute: int, count: int) -> None:
        self._base = scramble(np.array([key ^ (minute * 0x9E3779B97F4A7C15 & _ALL)], dtype=np.uint64))
        self._index = np.arange(count, dtype=np.uint64)
        self._drawn = np.uint64(0)

    def words(self) -> Ids:
        """64 random bits each."""
        self._drawn += _ROOM
        return scramble(self._base + (self._index + self._drawn) * _ODD)

    def uniform(self) -> Floats:
        """Numbers in [0, 1)."""
        return units(self.words())

    def stretch(self, variation: float) -> Floats:
        """Log-normal factors of mean 1 and that standard deviation; normal numbers by Box and Muller (1958)."""
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform()))
        normal = radius * np.cos(2.0 * np.pi * self.uniform())
        sigma_squared = np.log1p(variation**2)
        factors: Floats = np.exp(np.sqrt(sigma_squared) * normal - 0.5 * sigma_squared)
        return factors

    def pick(self, shares: Sequence[float]) -> Ints:
        """Indices, each as often as its share says; what the shares leave of one is the index after the last."""
        chosen: Ints = np.searchsorted(np.cumsum(np.asarray(shares)), self.uniform(), side="right").astype(np.int64)
        return chosen


def span_words(trace_words: Ids, number: int) -> Ids:
    """The id of operation `number` of each trace."""
    return scramble(trace_words + np.uint64((number + 1) * int(_ODD) & _ALL)) | _LETTERS


def trace_words(draw: Draw, minute: int) -> tuple[Ids, Ids]:
    """Both halves of trace ids; the first eight digits are the minute, so that a trace is found by its id alone."""
    high = (np.uint64(minute) << _32) | (draw.words() & _LOW) | _TIME_LETTERS
    return high, draw.words() | _LETTERS


def minute_of(trace_id: str) -> int | None:
    """The epoch minute that a trace id of ours names."""
    try:
        return int(trace_id[:8], 16) if len(trace_id) == 32 else None
    except ValueError:
        return None


def hexes(words: Ids) -> list[str]:
    """Sixteen hex digits each."""
    text = words.astype(">u8").tobytes().hex()
    return [text[at : at + 16] for at in range(0, len(text), 16)]
