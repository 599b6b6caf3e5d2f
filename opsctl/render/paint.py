"""Colour, never alone: what it paints already carries its word."""

from __future__ import annotations

from opsctl.core.rules import State

_CODES = {State.OK: "32", State.WARN: "33", State.FAIL: "1;31", State.UNKNOWN: "35"}


def paint(text: str, state: State, on: bool) -> str:
    """`text` in the colour of a state, or as it is."""
    return f"\x1b[{_CODES[state]}m{text}\x1b[0m" if on else text
