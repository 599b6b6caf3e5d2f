"""How well a text fits what somebody typed: in linear time, since texts come from outside.

Textual's own matcher tries every way to place the letters, which a name of forty equal letters turns into a standstill.
"""

from __future__ import annotations

from itertools import pairwise

Hit = tuple[float, tuple[int, ...]]
"""A score, higher is better, and the places of the letters."""


def fits(query: str, text: str) -> Hit | None:
    """Every word of the query in any order, each whole or letter by letter; None where one is not there."""
    low = text.lower()
    total, places = 0.0, set[int]()
    for word in query.lower().split():
        found = _fits(word, low)
        if found is None:
            return None
        total += found[0]
        places |= set(found[1])
    return total, tuple(sorted(place for place in places if place < len(text)))


def _fits(word: str, low: str) -> Hit | None:
    at = low.find(word)
    if at >= 0:
        for start in range(at, min(len(low), at + 200)):  # the beginning of a word is better than its middle
            if low.startswith(word, start) and _begins(low, start):
                at = start
                break
        bonus = 20.0 if at == 0 else 10.0 if _begins(low, at) else 0.0
        return 100 + bonus + 10 * len(word) / max(1, len(low)) - at / 100, tuple(range(at, at + len(word)))
    places = []
    position = -1
    for letter in word:
        position = low.find(letter, position + 1)
        if position < 0:
            return None
        places.append(position)
    runs = 1 + sum(after != before + 1 for before, after in pairwise(places))
    starts = sum(_begins(low, place) for place in places)
    return 40.0 * len(word) / (len(word) + runs) + 2 * starts - (places[-1] - places[0]) / 50, tuple(places)


def _begins(text: str, at: int) -> bool:
    return at == 0 or not text[at - 1].isalnum()
