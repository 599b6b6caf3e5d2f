"""The keys that do something now, from the bindings that are active: nothing is listed that is not bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opsctl.tui.keys import written
from opsctl.tui.panes import BY_NAME
from opsctl.tui.picker import Choice

HERE, LISTS, TIME, EVERYWHERE, SCREENS = "this screen", "lists", "time", "everywhere", "screens"
_ORDER = (HERE, LISTS, TIME, EVERYWHERE, SCREENS)


def help_of(active: Mapping[str, Any]) -> list[Choice]:
    """One line a binding, those of this screen first; `active` is Textual's table, by key."""
    keys: dict[tuple[str, str, str], list[str]] = {}
    for key, one in active.items():
        binding = one.binding
        if binding.id and binding.description:
            keys.setdefault((_group(binding.id), binding.id, binding.description), []).append(written(key))
    rows = sorted(keys.items(), key=lambda row: _ORDER.index(row[0][0]))
    return [
        Choice(f"{', '.join(sorted(pressed, key=len)):<16} {label}", group, name)
        for (group, name, label), pressed in rows
    ]


def _group(name: str) -> str:
    place = name.partition(".")[0]
    if place in BY_NAME:
        return HERE
    return {"list": LISTS, "time": TIME, "screen": SCREENS}.get(place, EVERYWHERE if place == "app" else HERE)
