"""Cuts an expression into tokens: for the caps, for saying where, and for what the grammar's parser cannot take.

The parser behind `parse` crashes on some texts and gives no positions; everything it is given went through here.
Must never import numpy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsctl.core.frozen import dataclass
from opsctl.promql.errors import PromqlError

TEXT_MAX_BYTES = 16 * 1024
DEPTH_MAX = 200
WINDOW = "{{.window}}"

_TOKENS = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<window>\{\{\s*\.window\s*\}\})
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    |(?P<duration>(?:[0-9]+(?:ms|[smhdwy]))+(?![A-Za-z0-9_]))
    |(?P<number>0[xX][0-9a-fA-F_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<operator>==|!=|>=|<=|=~|!~|[-+*/%^<>=@])
    |(?P<bracket>[()\[\]{}])
    |(?P<mark>,)""",
    re.VERBOSE | re.DOTALL,
)
_OPEN = {"(": ")", "[": "]", "{": "}"}
_WORDS = frozenset({"and", "or", "unless", "atan2", "bool", "offset", "on", "ignoring", "group_left", "group_right"})
_CHAINS = _WORDS | {"==", "!=", ">=", "<=", "-", "+", "*", "/", "%", "^", "<", ">"}


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is window, string, duration, number, name, operator, bracket or mark; `at` is 0-based."""

    kind: str
    text: str
    at: int
    inside: str = ""  # the innermost open bracket around it: "", "(", "[" or "{"

    @property
    def word(self) -> str:
        """The text as a keyword: those may be written in any case."""
        return self.text.lower() if self.kind == "name" else self.text

    @property
    def end(self) -> int:
        """Where the next one may begin."""
        return self.at + len(self.text)


def tokens(text: str) -> tuple[Token, ...]:
    """The tokens of an expression without spaces and comments; `PromqlError` for what is no token or over a cap."""
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as wrong:
        raise PromqlError("the expression is not valid Unicode", column=wrong.start + 1) from None
    if size > TEXT_MAX_BYTES:
        raise PromqlError(f"the expression has {size} bytes; {TEXT_MAX_BYTES} (16 KiB) is the cap")
    found = tuple(_nested(_cut(text)))
    if not found:
        raise PromqlError("the expression is empty", column=1)
    _cap_depth(found)
    return found


def _cut(text: str) -> Iterator[Token]:
    at, in_range = 0, False
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None:
            raise _no_token(text, at)
        kind, word = str(match.lastgroup), match.group()
        if kind == "bracket":
            in_range = word == "["
        elif in_range and kind == "name" and ":" in word:  # a colon begins a metric name, but here it begins the step
            kind, word = ("mark", ":") if word[0] == ":" else (kind, word.partition(":")[0])
        if kind != "space":
            yield Token(kind, word, at)
        at += len(word)


def _no_token(text: str, at: int) -> PromqlError:
    if text[at] in "\"'`":
        return PromqlError(f"the string that begins with {text[at]} has no end", column=at + 1)
    return PromqlError(f"unexpected character {text[at]!r}", column=at + 1)


def _nested(found: Iterator[Token]) -> Iterator[Token]:
    stack: list[Token] = []
    for token in found:
        if token.kind == "bracket" and token.text in _OPEN:
            yield Token(token.kind, token.text, token.at, stack[-1].text if stack else "")
            stack.append(token)
            if len(stack) > DEPTH_MAX:
                raise PromqlError(f"nested deeper than {DEPTH_MAX}", column=token.at + 1)
            continue
        if token.kind == "bracket":
            if not stack or _OPEN[stack[-1].text] != token.text:
                raise PromqlError(f"unexpected {token.text!r}", column=token.at + 1)
            stack.pop()
        yield Token(token.kind, token.text, token.at, stack[-1].text if stack else "")
    if stack:
        raise PromqlError(f"{stack[-1].text!r} is never closed", column=stack[-1].at + 1)


def _cap_depth(found: tuple[Token, ...]) -> None:
    """A chain `a or b or c …` is as deep as it is long: brackets and the operators in each of them count together."""
    groups = [_Group()]
    for token in found:
        if token.kind == "bracket" and token.text in _OPEN:
            groups[-1].operators += token.text == "["  # a subquery of a subquery of …
            groups.append(_Group())
        elif token.kind == "bracket":
            depth = groups.pop().depth + 1
            groups[-1].deepest = max(groups[-1].deepest, depth)
        elif token.text == ",":
            groups[-1] = _Group(before=groups[-1].depth)
        elif token.word in _CHAINS and token.inside != "{":
            groups[-1].operators += 1
        if groups[-1].depth > DEPTH_MAX:
            message = f"nested deeper than {DEPTH_MAX} (each operator of a chain counts)"
            raise PromqlError(message, column=token.at + 1)


@dataclass(slots=True)
class _Group:
    """What is between two brackets: `before` is the deepest argument that ended."""

    operators: int = 0
    deepest: int = 0
    before: int = 0

    @property
    def depth(self) -> int:
        return max(self.before, self.operators + self.deepest)
