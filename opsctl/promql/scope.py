"""What this engine refuses by name: newer and experimental PromQL, seen in the tokens, before anything is parsed.

Must never let such an expression through to be called a syntax error: a server may well answer it.
"""

from __future__ import annotations

from opsctl.promql.errors import UnsupportedError
from opsctl.promql.grammar import EXPERIMENTAL, EXPERIMENTAL_AGGREGATIONS, NATIVE
from opsctl.promql.lexer import Token

_START = Token("mark", "", 0)
_IN_DURATIONS = frozenset({"(", "step", "range", "min_of", "max_of", "min", "max"})
_FILLS = frozenset({"fill", "fill_left", "fill_right"})


def refuse(found: tuple[Token, ...]) -> None:
    """`UnsupportedError` for the first thing that is out of scope."""
    for i, token in enumerate(found):
        if token.inside == "{":
            continue
        before = found[i - 1] if i else _START
        following = found[i + 1] if i + 1 < len(found) else _START
        feature = _syntax(found, i, following) or _function(before, token, following) or _modifier(before, token)
        if feature:
            raise UnsupportedError(feature, column=token.at + 1)


def _function(before: Token, token: Token, following: Token) -> str:
    if token.kind != "name" or before.text == "@":
        return ""
    if token.word in EXPERIMENTAL_AGGREGATIONS and (following.text == "(" or following.word in ("by", "without")):
        return f"the experimental aggregation {token.word} is"
    if following.text != "(":
        return ""
    if token.text in NATIVE:
        return f"native histograms ({token.text}) are"
    if token.text == "info":
        return "info() is"
    if token.word in _FILLS:
        return "the experimental modifier fill is"
    return f"the experimental function {token.word}() is" if token.word in EXPERIMENTAL else ""


def _modifier(before: Token, token: Token) -> str:
    ended = before.text in ("]", "}", ")") or before.kind in ("name", "duration", "number")
    return f"`{token.word}` is" if token.word in ("anchored", "smoothed") and ended else ""


def _syntax(found: tuple[Token, ...], i: int, following: Token) -> str:
    token = found[i]
    if token.inside == "[" and (token.kind in ("operator", "name") or token.text == "("):
        return "duration arithmetic is"
    signed = i >= 2 and found[i - 1].text in ("+", "-") and found[i - 2].word == "offset"
    if (signed or (i and found[i - 1].word == "offset")) and token.word in _IN_DURATIONS:
        return "duration arithmetic is"
    if token.text in ("<", ">") and following.text == "/" and following.at == token.end:
        return f"the experimental operator {token.text}/ is"
    return ""
