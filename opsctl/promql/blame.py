"""Says where an expression is wrong: the parser's messages name the trouble but no place.

Must never decide whether an expression is right; it is asked only after the parser said no.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator

from opsctl.promql.ast import COMPARISONS
from opsctl.promql.errors import PromqlError
from opsctl.promql.grammar import AGGREGATIONS, FUNCTIONS
from opsctl.promql.lexer import Token
from opsctl.promql.places import GROUPINGS, RESERVED

_BINARY = frozenset({"==", "!=", ">=", "<=", "<", ">", "+", "-", "*", "/", "%", "^", "and", "or", "unless", "atan2"})


def blame(message: str, found: tuple[Token, ...], text: str) -> PromqlError:
    """The parser's refusal as our error, with the column of what it is about."""
    if message == "invalid promql query" or "unexpected end of input" in message:
        where, what = _modifiers(found, text) or _break(found, text)
        return PromqlError(what, column=where + 1)
    if unknown := re.fullmatch(r"unknown function with name '(.*)'", message):
        near = difflib.get_close_matches(unknown[1], FUNCTIONS | AGGREGATIONS, 1)
        hint = f"did you mean {near[0]}?" if near else None
        return PromqlError(f"unknown function {unknown[1]!r}", column=_column(unknown[1], found), hint=hint)
    return PromqlError(message, column=_quoted(message, found))


def _column(word: str, found: tuple[Token, ...]) -> int | None:
    return next((token.at + 1 for token in found if token.text == word or token.text[1:-1] == word), None)


def _quoted(message: str, found: tuple[Token, ...]) -> int | None:
    """The column of the first thing that the message quotes or ends with."""
    words = [*re.findall(r"'([^']+)'", message), *re.findall(r"(?:: |for )(\S+)$", message)]
    for word in words:
        column = _column(word, found)
        if column is not None:
            return column
    if "aggregat" in message:
        return next((t.at + 1 for t in found if t.word in AGGREGATIONS), None)
    if "comparison" in message.lower() or "BOOL" in message or "binary" in message:
        return next((t.at + 1 for t in found if t.word in _BINARY and t.inside != "{"), None)
    if "selector" in message:
        return next((t.at + 1 for t in found if t.text in ("{", "[")), None)
    return found[0].at + 1


def _break(found: tuple[Token, ...], text: str) -> tuple[int, str]:
    """The first token that cannot stand where it does."""
    wants = True
    for token, following in _outside(found):
        if wants:
            if token.text in ("+", "-"):
                continue
            if token.text == ")" and following != "call end":
                return token.at, "an expression is missing before ')'"
            if not _begins(token):
                return token.at, f"unexpected {token.text!r}: an expression is expected here"
            wants = token.text == "("
            continue
        if token.word in _BINARY or (token.text == "," and token.inside):
            wants = True
        elif token.text == "{" and following == "no name":
            return token.at, "unexpected '{': matchers follow a metric name"
        elif token.word not in (")", "(", "[", "]", "@", "offset", "{"):
            return token.at, f"unexpected {token.text!r} after an expression"
    if wants:
        return len(text.rstrip()), "the expression ends where an operand is expected"
    return _inside(found)


def _begins(token: Token) -> bool:
    if token.kind in ("number", "duration", "string"):
        return True
    return token.text in ("(", "{", ")") or (token.kind == "name" and token.word not in RESERVED)


def _outside(found: tuple[Token, ...]) -> Iterator[tuple[Token, str]]:
    """The tokens that carry the structure: no matchers, ranges, modifiers, label lists, `bool`."""
    i = 0
    while i < len(found):
        token = found[i]
        following = found[i + 1].text if i + 1 < len(found) else ""
        if token.inside in ("{", "[") or token.text in ("}", "]") or _is_bool(found, i):
            i += 1
        elif token.word in GROUPINGS and (following == "(" or token.word.startswith("group_")):
            i += 1
            if following == "(":
                while i < len(found) and found[i].text != ")":
                    i += 1
                i += 1
        elif token.word in ("offset", "@"):
            yield token, following
            i += 2 + (following in ("+", "-")) + 2 * (following in ("start", "end"))
        else:
            yield token, _context(found, i) or following
            i += 1


def _is_bool(found: tuple[Token, ...], i: int) -> bool:
    return found[i].word == "bool" and i > 0 and found[i - 1].text in COMPARISONS


def _context(found: tuple[Token, ...], i: int) -> str:
    """What only the tokens before tell: whether `)` ends a call without arguments, whether `{` follows no name."""
    if found[i].text == ")" and i >= 2 and found[i - 1].text == "(" and found[i - 2].kind == "name":
        return "call end"
    return "no name" if found[i].text == "{" and i and found[i - 1].kind != "name" else ""


def _inside(found: tuple[Token, ...]) -> tuple[int, str]:
    """What is wrong between braces or brackets, where the outside is sound."""
    for before, token in itertools.pairwise(found):
        if token.inside == "{" and before.text in ("=", "!=", "=~", "!~") and token.kind != "string":
            return token.at, f"unexpected {token.text!r}: a quoted label value is expected here"
        if before.text in ("=", "!=", "=~", "!~") and before.inside == "{" and token.text == "}":
            return token.at, "a quoted label value is missing before '}'"
        if token.inside == "{" and before.kind == "name" and before.inside == "{" and token.kind == "name":
            return token.at, f'unexpected {token.text!r}: a matcher is label="value"'
        if before.text == "[" and token.kind not in ("duration", "number"):
            return token.at, f"unexpected {token.text!r}: a duration is expected here"
    return found[0].at, "not a PromQL expression"


def _modifiers(found: tuple[Token, ...], text: str) -> tuple[int, str] | None:
    """An `offset` without a duration, or an `@` without a time."""
    for i, token in enumerate(found):
        if token.inside == "{" or token.word not in ("offset", "@"):
            continue
        what = "a duration" if token.word == "offset" else "a time"
        rest = [each for each in found[i + 1 : i + 3] if each.text not in ("+", "-")]
        if not rest:
            return len(text.rstrip()), f"the expression ends where {what} is expected"
        named = token.text == "@" and rest[0].word in ("start", "end")
        if rest[0].kind not in ("duration", "number") and not named:
            return rest[0].at, f"unexpected {rest[0].text!r}: {what} is expected here"
    return None
