"""The table [tui] of the configuration: how the board looks, and which keys do what.

Which ids of bindings there are, only the board knows: it checks them (`opsctl.tui.keys`). Must never import it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType

from opsctl.core.frozen import dataclass
from opsctl.core.slo import Origin
from opsctl.files.nodes import Node, Table, kind_words

BOARD_KEYS = ("theme", "mouse", "utc", "keys")
BOARD_THEMES = ("dark", "light", "mono")
FORBIDDEN = frozenset(f"ctrl+{key}" for key in "sqzabhijm")
"""Flow control, job control, the prefix keys of multiplexers, and what a terminal cannot tell from another key."""
_KEY = re.compile(r"[^\s,]|((ctrl|shift|alt|meta|super|hyper)\+)*([^\s,+]|[a-z][a-z0-9_]*)")
_SHIFTED = re.compile(r"shift\+[a-zA-Z]")


@dataclass(frozen=True, slots=True)
class OwnKey:
    """Other keys for one binding: `keys` as written, separated by commas, and where that stands."""

    keys: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """What [tui] says; `utc` None: as the flag --utc does."""

    theme: str = "dark"
    mouse: bool = True
    utc: bool | None = None
    keys: Mapping[str, OwnKey] = field(default_factory=lambda: MappingProxyType({}))


def read_board(top: Table) -> BoardSettings:
    """Read the table; what is wrong is noted and a default stands in."""
    if top.node_of("tui") is None:
        return BoardSettings()
    section = top.table("tui", BOARD_KEYS)
    assert section is not None
    keys = section.text_map("keys")
    node = section.node_of("keys")
    own = {}
    for name, text in keys.items():
        child = node.get(name) if node is not None else None
        if child is not None and _is_keys(section, child, text):
            own[name] = OwnKey(text, child.origin)
    return BoardSettings(
        theme=section.choice("theme", BOARD_THEMES, "dark"),
        mouse=section.boolean("mouse", True),
        utc=section.boolean("utc") if section.node_of("utc") is not None else None,
        keys=own,
    )


def _is_keys(section: Table, node: Node, text: str) -> bool:
    for key in text.split(","):
        wrong = key_fault(key.strip())
        if wrong:
            section.problems.add(node, f"{node.where}: {wrong}, got {kind_words(node)}")
            return False
    return True


def key_fault(key: str) -> str:
    """What is wrong with one key; ""."""
    if key.lower() in FORBIDDEN:
        return f"{key.lower()} is not for binding: terminals and multiplexers use it themselves"
    if not _KEY.fullmatch(key):
        return 'expected keys like "e", "ctrl+n" or "f5,R"'
    if _SHIFTED.fullmatch(key):
        return f'write shift and a letter as the capital, "{key[-1].upper()}"'
    return ""
