"""A filter as a person types one: words, `label=value`, and what is not wanted. All of it has to hold.

Pure. Must never drop what it cannot read: a filter that is not one is refused with one line.
"""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Iterable, Mapping

from opsctl.core.frozen import dataclass

_TERM = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)(!=|=)(.*)", re.DOTALL)
LENGTH_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: a label's value (`*` and `?` stand for anything), or with no `label` a word anywhere."""

    text: str
    label: str = ""
    wanted: bool = True

    def holds(self, labels: Mapping[str, str], words: Iterable[str]) -> bool:
        """Whether it is fulfilled; a label that is not there is the empty text."""
        if self.label:
            found = fnmatch.fnmatchcase(labels.get(self.label, "").casefold(), self.text.casefold())
        else:
            found = any(self.text.casefold() in one.casefold() for one in words)
        return found is self.wanted


@dataclass(frozen=True, slots=True)
class WordFilter:
    """Every term has to hold; none is no filter."""

    terms: tuple[Term, ...] = ()

    def holds(self, labels: Mapping[str, str], words: Iterable[str]) -> bool:
        """Whether something with these labels, that is read as these words, passes."""
        said = tuple(words)
        return all(term.holds(labels, said) for term in self.terms)


def parse_filter(text: str) -> WordFilter:
    """`wallet severity=page -canary`; a value with spaces stands in quotes. ValueError says what is wrong."""
    if len(text) > LENGTH_LIMIT:
        raise ValueError(f"the filter is longer than {LENGTH_LIMIT} characters")
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("the filter has a quote that is not closed") from None
    return WordFilter(tuple(_term(word) for word in words if word))


def _term(word: str) -> Term:
    found = _TERM.fullmatch(word)
    if found is not None:
        return Term(found[3], found[1], wanted=found[2] == "=")
    if word.startswith("-") and len(word) > 1:
        return Term(word[1:], wanted=False)
    return Term(word)
