"""Every binding of the board by its id: the table for the documentation, and the check of a person's own keys.

Made from the classes' own BINDINGS, so that nothing can be listed which is not bound, or bound and not listed.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from textual.binding import Binding
from textual.keys import _character_to_key

from opsctl.core.frozen import dataclass
from opsctl.errors import ConfigError, ConfigErrors
from opsctl.files.board import OwnKey
from opsctl.files.text import meant
from opsctl.tui.panes import BY_NAME, PANES

EVERYWHERE, LISTS, LINE = "everywhere", "lists", "typing"


@dataclass(frozen=True, slots=True)
class Key:
    """One binding: `keys` in Textual's names; `where` is a screen's name, `everywhere`, `lists` or `typing`."""

    id: str
    keys: tuple[str, ...]
    label: str
    where: str


def all_keys() -> tuple[Key, ...]:
    """Every binding that has an id, screens in their order, then what holds everywhere."""
    from opsctl.tui.app import OpsctlApp
    from opsctl.tui.widgets.bar import Bar
    from opsctl.tui.widgets.lines import Lines

    found: dict[str, Key] = {}
    for entry in PANES:
        module = import_module(entry.where.partition(":")[0])
        for owner in _owners(module):
            found |= {key.id: key for key in _keys(owner, entry.name) if key.id not in found}
    for owner, where in ((Lines, LISTS), (Bar, LINE), *((one, EVERYWHERE) for one in reversed(OpsctlApp.__mro__))):
        found |= {key.id: key for key in _keys(owner, where)}
    return tuple(found.values())


def _owners(module: Any) -> Iterator[type]:
    """The classes of a screen's module that bind something, and those that it imports for itself alone."""
    for value in vars(module).values():
        if isinstance(value, type) and "BINDINGS" in value.__dict__ and value.__module__.startswith("opsctl.tui."):
            yield value


def _keys(owner: type, where: str) -> Iterator[Key]:
    for one in owner.__dict__.get("BINDINGS", ()):
        if isinstance(one, Binding) and one.id:
            place = where if one.id.partition(".")[0] not in {"list", "bar"} else LISTS if "list." in one.id else LINE
            yield Key(one.id, tuple(key.strip() for key in one.key.split(",")), one.description, place)


_CHARACTERS = {_character_to_key(ch): ch for ch in string.punctuation}


def written(key: str) -> str:
    """A key as a person writes it: `[` for left_square_bracket."""
    return _CHARACTERS.get(key, key)


def named(keys: str) -> tuple[str, ...]:
    """Keys as a person writes them in Textual's names."""
    return tuple(_character_to_key(one.strip()) if len(one.strip()) == 1 else one.strip() for one in keys.split(","))


def rebound(keys: Iterable[Key], own: Mapping[str, OwnKey]) -> tuple[Key, ...]:
    """The same with a person's own keys."""
    return tuple(Key(one.id, named(own[one.id].keys), one.label, one.where) if one.id in own else one for one in keys)


def check_keys(own: Mapping[str, OwnKey]) -> None:
    """ConfigError for ids that there are none of, and for keys that would mean two things on one screen."""
    if not own:
        return
    known = {one.id: one for one in all_keys()}
    wrong = [
        ConfigError(at.origin.path, at.origin.line, f"tui.keys: no binding {name}", hint=meant(name, known))
        for name, at in own.items()
        if name not in known
    ]
    wrong += _clashes(rebound(known.values(), own), own)
    if len(wrong) > 1:
        raise ConfigErrors(tuple(wrong))
    if wrong:
        raise wrong[0]


def _clashes(keys: tuple[Key, ...], own: Mapping[str, OwnKey]) -> list[ConfigError]:
    """Pairs on one screen that have a key in common, of which a person chose at least one."""
    wrong: dict[frozenset[str], ConfigError] = {}
    for screen in BY_NAME:
        taken: dict[str, Key] = {}
        here = [one for one in keys if one.where in {screen, LISTS, EVERYWHERE}]
        for one in sorted(here, key=lambda key: key.id in own):
            for key in one.keys:
                other = taken.setdefault(key, one)
                pair = frozenset({one.id, other.id})
                if other is one or not pair & own.keys() or pair in wrong:
                    continue
                at = own[one.id if one.id in own else other.id].origin
                words = f"tui.keys: {written(key)} would be both {other.id} ({other.label}) and {one.id} ({one.label})"
                wrong[pair] = ConfigError(at.path, at.line, words)
    return list(wrong.values())


def key_rows(own: Mapping[str, OwnKey]) -> list[tuple[str, str, str, str]]:
    """(where, keys as written, what they do, id), for people and for the documentation."""
    return [
        (one.where, ", ".join(written(key) for key in one.keys), one.label, one.id) for one in rebound(all_keys(), own)
    ]
