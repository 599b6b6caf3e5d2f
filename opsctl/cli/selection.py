"""Which rules a command is about: names, globs, `-` for stdin; what matches nothing is an error with a suggestion."""

from __future__ import annotations

import fnmatch
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.errors import UsageError

if TYPE_CHECKING:
    from opsctl.app import Composition
    from opsctl.core.rules import Rule

Services = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SERVICE]...", help="Names or globs; - reads them from stdin; default: all."),
]


def select(composition: Composition, words: list[str] | None) -> tuple[Rule, ...]:
    """The rules of the named services, in the order of their files; UsageError for a word that matches nothing."""
    rules = composition.rules.rules
    if not words:
        if not rules:
            raise UsageError(
                f"context {composition.context.name} has no rules", hint='add rules = ["bundled:slo"] or a folder'
            )
        return rules
    known = sorted({rule.service for rule in rules if rule.service})
    wanted: set[str] = set()
    asked = _words(words)
    if not asked:
        raise UsageError("stdin named no service", hint="write their names to it, or leave - out for all")
    for word in asked:
        found = fnmatch.filter(known, word)
        if not found:
            raise UsageError(_nothing(word, known, composition))
        wanted.update(found)
    return tuple(rule for rule in rules if rule.service in wanted)


def _words(words: list[str]) -> list[str]:
    return [part for word in words for part in (sys.stdin.read().split() if word == "-" else [word])]


def _nothing(word: str, known: list[str], composition: Composition) -> str:
    if composition.catalogue.get(word) is not None:
        return f"service {word} is in the catalogue and no rule is about it"
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"no rule is about a service {word}" + (f"; did you mean {near[0]}?" if near else "")


def pick(rules: tuple[Rule, ...], name: str, kind: str) -> Rule:
    """The one rule of that name or uid; UsageError with the nearest name."""
    for rule in rules:
        if name in (rule.name, rule.uid):
            return rule
    import difflib

    near = difflib.get_close_matches(name, [rule.name for rule in rules], n=1)
    raise UsageError(f"no {kind} {name}" + (f"; did you mean {near[0]}?" if near else ""))
