"""Texts that differ only in plain values of labels are read once: what is found of one of a form holds for all.

A value is plain where it follows `label=` or `label!=` and holds nothing that a quote, an escape or a size could alter.
Must never take texts for alike whose errors, or whose meaning, could differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import TypeVar, Union

from opsctl.core.frozen import dataclass
from opsctl.promql.coalesce import STRINGS
from opsctl.promql.errors import PromqlError

_MOST = 4096  # characters, so that no value takes a text over the cap on its size
_SLOT = "opsctl slot "
_SLOTS = re.compile(rf"(?<=[\"']){_SLOT}(\d+)(?=[\"'])")
_LABEL = re.compile(r"(?<![\w:.])([A-Za-z_][A-Za-z0-9_]*)\s*!?=\s*\Z")
_PLAIN = re.compile(r"([\"'])([ !#-&(-\[\]-_a-~]+)\1")
_NOT_BETWEEN = re.compile("[#\"'`]")  # a comment may hold quotes, and a quote without its partner is an error

T = TypeVar("T")
Change = Callable[..., Sequence[str]]


@dataclass(frozen=True, slots=True)
class Form:
    """Texts with the number of each plain value in its place, the same number for the same value."""

    texts: tuple[str, ...]
    values: tuple[str, ...]


def form_of(*texts: str) -> Form | None:
    """What the texts share with all others of their kind; None where that cannot be told without parsing them."""
    numbers: dict[str, int] = {}
    out = []
    for text in texts:
        parts = STRINGS.split(text)
        if len(text) > _MOST or _SLOT in text or any(map(_NOT_BETWEEN.search, parts[::2])):
            return None
        for i in range(1, len(parts), 2):
            if not parts[i - 1].rstrip().endswith("="):
                continue
            label, literal = _LABEL.search(parts[i - 1]), _PLAIN.fullmatch(parts[i])
            if label is None or literal is None:
                return None
            if label[1] != "__name__":
                parts[i] = f"{literal[1]}{_SLOT}{numbers.setdefault(literal[2], len(numbers))}{literal[1]}"
        out.append("".join(parts))
    return Form(tuple(out), tuple(numbers))


def by_form(read: Callable[..., T], *texts: str) -> T:
    """`read(*texts)`, once for all texts of a form: what it finds must not lean on which value a label has."""
    form = form_of(*texts)
    if form is not None:
        try:
            found: T = _found(read, *form.texts)
            return found
        except PromqlError:
            pass  # said below of the texts themselves
    return read(*texts)


def each_by_form(change: Change, text: str, *how: Hashable) -> Sequence[str]:
    """`change(text, *how)`, once for all texts of a form: it may change all but the values of labels."""
    form = form_of(text)
    if form is not None:
        try:
            found = _templates(change, form.texts[0], *how)
        except PromqlError:
            pass
        else:
            return ["".join([one if isinstance(one, str) else form.values[one] for one in parts]) for parts in found]
    return change(text, *how)


@lru_cache(maxsize=1024)
def _found(read: Callable[..., T], *marked: str) -> T:
    return read(*marked)


@lru_cache(maxsize=1024)
def _templates(change: Change, marked: str, *how: Hashable) -> tuple[tuple[Union[str, int], ...], ...]:
    return tuple(
        tuple(int(part) if i % 2 else part for i, part in enumerate(_SLOTS.split(text)))
        for text in change(marked, *how)
    )
