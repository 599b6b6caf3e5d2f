"""Where a remark on a batch's text stands in one member's own text: both have the same nodes in the same order.

Must never point at another place: a place that is not a node's is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from opsctl.promql.ast import walk
from opsctl.promql.coalesce import STRINGS, Pieces, marked
from opsctl.promql.errors import PromqlError
from opsctl.promql.lower import parse

_PLACE = re.compile(r" \(1:(\d+)\)$")
_MARKED = re.compile(r'("opsctl slot \d+")')

_At = tuple[int, int]
"""A place: which part of a text (every second one is a string literal), and how far into it."""


def moved(note: str, batch: str, pieces: Pieces, own: str) -> str:
    """The note with the place in `own` of the node that it means in `batch`; both columns and bytes are understood."""
    place = _PLACE.search(note)
    if place is None:
        return note
    parts, mine = STRINGS.split(batch), STRINGS.split(own)
    bare = note[: place.start()]
    try:
        places = _places(pieces, tuple(mine[::2]))
    except PromqlError:
        return bare
    for coded in (False, True):
        at = places.get(_at(_lengths(parts, coded), int(place[1]) - 1))
        if at is not None:
            return bare + _words(mine, at, coded)
    return bare


def _words(mine: Sequence[str], at: _At, coded: bool) -> str:
    part, within = at
    before = "".join(mine[:part]) + mine[part][:within]
    line = before.rpartition("\n")[2]
    return f" ({before.count(chr(10)) + 1}:{len(line.encode() if coded else line) + 1})"


def _lengths(parts: Iterable[str], coded: bool) -> list[int]:
    return [len(part.encode() if coded else part) for part in parts]


def _at(lengths: Iterable[int], offset: int) -> _At:
    number = -1
    for number, length in enumerate(lengths):
        if offset < length:
            return number, offset
        offset -= length
    return number, offset


@lru_cache(maxsize=256)
def _places(pieces: Pieces, form: tuple[str, ...]) -> dict[_At, _At]:
    """Each node's place in a batch of that form, and in a member."""
    batch = "".join(piece if isinstance(piece, str) else f'"opsctl slot {piece}"' for piece in pieces)
    mine = marked(form)
    return dict(zip(_nodes(batch), _nodes(mine), strict=True))


def _nodes(text: str) -> list[_At]:
    lengths = _lengths(_MARKED.split(text), coded=False)
    return [_at(lengths, node.at) for node in walk(parse(text))]
