"""Where the leaves of an expression stand in its text, in the order of the text: the parser's tree does not say.

Must never be trusted blindly: who uses it compares kinds and drops all places when one does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator

from opsctl.promql.grammar import AGGREGATIONS
from opsctl.promql.lexer import Token

GROUPINGS = frozenset(
    {"by", "without", "on", "ignoring", "group_left", "group_right", "fill", "fill_left", "fill_right"}
)
RESERVED = frozenset({"and", "or", "unless", "atan2", "bool", "offset", "group_left", "group_right", "on", "ignoring"})
_SIGNS = ("+", "-")


def places(found: tuple[Token, ...]) -> Iterator[tuple[str, int]]:
    """(kind, position) of each number, string, selector and call; an aggregation is a call."""
    i = 0
    while i < len(found):
        token = found[i]
        following = found[i + 1].word if i + 1 < len(found) else ""
        if token.inside in ("{", "["):
            i += 1
        elif token.word in ("offset", "@"):
            i = _after_modifier(found, i)
        elif token.word in GROUPINGS and following == "(":
            i = _closing(found, i + 1) + 1
        else:
            kind = _kind(token, following)
            if kind:
                yield kind, token.at
            named = kind == "selector" and token.text != "{" and following == "{"
            i += 2 if named else 1


def _kind(token: Token, following: str) -> str:
    if token.kind in ("number", "duration"):
        return "number"
    if token.kind == "string" or token.text == "{":
        return "string" if token.kind == "string" else "selector"
    if token.kind != "name" or token.word in RESERVED:
        return ""
    if token.text.lower() in ("inf", "nan"):
        return "number"
    grouped = token.word in AGGREGATIONS and following in ("by", "without")
    return "call" if following == "(" or grouped else "selector"


def _after_modifier(found: tuple[Token, ...], i: int) -> int:
    """The token after `offset -5m`, `@ 12` or `@ start()`."""
    i += 1
    if i < len(found) and found[i].text in _SIGNS:
        i += 1
    if i < len(found) and found[i].word in ("start", "end"):
        return i + 3
    return i + 1


def _closing(found: tuple[Token, ...], i: int) -> int:
    """The index of the bracket that closes the one at `i`."""
    depth = 0
    for j in range(i, len(found)):
        depth += (found[j].text in ("(", "[", "{")) - (found[j].text in (")", "]", "}"))
        if depth == 0:
            return j
    return len(found) - 1
