"""Text to our own tree: the grammar is `promql-parser`'s, its tree is lowered once and let go.

Must never hand that parser a text that `lexer` has not cut, capped and rewritten: some texts end the process.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import promql_parser

from opsctl.promql.ast import (
    COMPARISONS,
    Aggregate,
    At,
    Binary,
    Call,
    Expr,
    Matcher,
    Matching,
    MatchOp,
    Negation,
    Number,
    Paren,
    Range,
    Selector,
    Subquery,
    Text,
)
from opsctl.promql.errors import PromqlError
from opsctl.promql.grammar import ALIASES
from opsctl.promql.lexer import WINDOW, Token, tokens
from opsctl.promql.places import places
from opsctl.promql.quoting import requoted
from opsctl.promql.scope import refuse

TIME_MAX_MS = 2**43 - 1  # what the store's keys hold: 278 years around the epoch
_OPS: dict[str, MatchOp] = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
_SIGNS = ("+", "-")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_PARTS = re.compile(r"([0-9]+)(ms|[smhdwy])")


def parse(text: str) -> Expr:
    """The tree of an expression; `PromqlError` says what is wrong where, `UnsupportedError` names what is refused."""
    found = tokens(text)
    _refuse_placeholders(found)
    refuse(found)
    _check_durations(found)
    times, rewritten = _rewrite(text, found)
    try:
        tree = promql_parser.parse(rewritten)
    except ValueError as wrong:
        from opsctl.promql.blame import blame

        raise blame(str(wrong), found, text) from None
    except BaseException as wrong:  # a panic of the parser is no Exception
        if isinstance(wrong, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise PromqlError("the expression cannot be parsed") from None
    return _Lowering(found, times).lower(tree)


def _refuse_placeholders(found: tuple[Token, ...]) -> None:
    for token in found:
        if token.kind == "window":
            raise PromqlError(f"{WINDOW} has to be replaced by a duration first", column=token.at + 1)


def _check_durations(found: tuple[Token, ...]) -> None:
    """Lengths of time that the parser's types cannot hold make it panic."""
    for i, token in enumerate(found):
        before = found[i - 1].word if i else ""
        signed = before in _SIGNS and i > 1 and found[i - 2].word == "offset"
        lasts = token.kind == "duration" or token.inside == "[" or before == "offset" or signed
        if not lasts or token.inside == "{" or not _is_number(token):
            continue
        if not _seconds(token) * 1000 <= TIME_MAX_MS:  # also NaN
            raise PromqlError(f"the duration {token.text} is out of bounds: 278 years", column=token.at + 1)


def _is_number(token: Token) -> bool:
    return token.kind in ("duration", "number") or token.word in ("inf", "nan")


def _rewrite(text: str, found: tuple[Token, ...]) -> tuple[list[int], str]:
    """The text as the parser takes it, and the times of `@`: there they stand as 0, 1, 2 …"""
    times: list[int] = []
    out: list[str] = []
    skip = 0
    for i, token in enumerate(found):
        if skip:
            skip -= 1
            continue
        if token.text == "@" and token.inside != "{":
            taken, ms = _time(found, i)
            if taken:
                out.append(f"@ {len(times)}")
                times.append(ms)
                skip = taken
                continue
        out.append(_word(token, found[i + 1] if i + 1 < len(found) else None))
    return times, " ".join(out)


def _word(token: Token, following: Token | None) -> str:
    if token.kind == "string":
        return requoted(token.text)
    if token.kind == "number":
        return token.text.replace("_", "")
    if token.text in ALIASES and following is not None and following.text == "(":
        return ALIASES[token.text]
    return token.text


def _time(found: tuple[Token, ...], i: int) -> tuple[int, int]:
    """How many tokens after `@` are its time, and the time; none where it is `start()` or wrong."""
    signed = i + 1 < len(found) and found[i + 1].text in _SIGNS
    at = i + 1 + signed
    if at >= len(found) or found[at].kind not in ("number", "duration", "name"):
        return 0, 0
    token = found[at]
    try:
        seconds = _seconds(token)
    except ValueError:
        return 0, 0
    seconds = -seconds if signed and found[i + 1].text == "-" else seconds
    if not abs(seconds) * 1000 <= TIME_MAX_MS:  # also NaN
        raise PromqlError(f"the time after @ is out of bounds: {token.text}", column=token.at + 1)
    return 1 + signed, _round_ms(seconds)


def _seconds(token: Token) -> float:
    if token.kind == "duration":
        return sum(int(count) * _UNITS[unit] for count, unit in _PARTS.findall(token.text)) / 1000
    text = token.text.replace("_", "")
    if text[:2] in ("0x", "0X"):
        return float(int(text, 16)) if len(text) < 200 else math.inf
    return float(text)


def _round_ms(seconds: float) -> int:
    """As Prometheus: half away from zero."""
    return int(math.copysign(math.floor(abs(seconds) * 1000 + 0.5), seconds))


def _ms(delta: Any, at: int) -> int:
    ms = 0 if delta is None else round(delta.total_seconds() * 1000)
    if abs(ms) > TIME_MAX_MS:
        raise PromqlError("the duration is out of bounds", column=at + 1 if at >= 0 else None)
    return ms


class _Lowering:
    """One tree; `lower` goes through it in the order of the text, so the n-th leaf has the n-th place."""

    def __init__(self, found: tuple[Token, ...], times: list[int]) -> None:
        self._times = times
        self._places: Iterator[tuple[str, int]] = places(found)
        self._lost = False
        self._by_type = {
            "NumberLiteral": self._number,
            "StringLiteral": self._text,
            "VectorSelector": self._selector,
            "MatrixSelector": self._range,
            "SubqueryExpr": self._subquery,
            "Call": self._call,
            "AggregateExpr": self._aggregate,
            "BinaryExpr": self._binary,
            "UnaryExpr": self._negation,
            "ParenExpr": self._paren,
        }

    def lower(self, node: Any) -> Expr:
        """Our node for one of the parser's."""
        return self._by_type[type(node).__name__](node)

    def _place(self, kind: str) -> int:
        """Where the next leaf is; once one is not of the kind expected, nothing is said of the rest."""
        expected, at = next(self._places, ("", -1))
        self._lost = self._lost or expected != kind
        return -1 if self._lost else at

    def _number(self, node: Any) -> Expr:
        value = float(node.val)
        return Number(math.nan if math.isnan(value) else value, self._place("number"))

    def _text(self, node: Any) -> Expr:
        return Text(node.val, self._place("string"))

    def _selector(self, node: Any) -> Selector:
        at = self._place("selector")
        if node.matchers.or_matchers:
            raise PromqlError("`or` between matchers is not PromQL", column=at + 1 if at >= 0 else None)
        matchers = [Matcher(m.name, _OPS[str(m.op).rpartition(".")[2]], m.value) for m in node.matchers.matchers]
        if node.name is not None:
            matchers.insert(0, Matcher("__name__", "=", node.name))
        return Selector(tuple(matchers), _ms(node.offset, at), self._time(node.at), at)

    def _time(self, modifier: Any) -> At:
        if modifier is None:
            return None
        kind = str(modifier.type).rpartition(".")[2]
        if kind == "Start":
            return "start"
        return "end" if kind == "End" else self._times[round(modifier.at.timestamp())]

    def _range(self, node: Any) -> Expr:
        selector = self._selector(node.vector_selector)
        return Range(selector, _ms(node.range, selector.at), selector.at)

    def _subquery(self, node: Any) -> Expr:
        inner = self.lower(node.expr)
        step = None if node.step is None else _ms(node.step, inner.at)
        return Subquery(
            inner, _ms(node.range, inner.at), step, _ms(node.offset, inner.at), self._time(node.at), inner.at
        )

    def _call(self, node: Any) -> Expr:
        name, at = node.func.name, self._place("call")
        return Call(name, tuple(self.lower(arg) for arg in node.args), at)

    def _aggregate(self, node: Any) -> Expr:
        op, at = str(node.op), self._place("call")
        param = None if node.param is None else self.lower(node.param)
        inner = self.lower(node.expr)
        labels = () if node.modifier is None else tuple(node.modifier.labels)
        without = node.modifier is not None and str(node.modifier.type).endswith("Without")
        return Aggregate(op, inner, param, labels, without, at)

    def _binary(self, node: Any) -> Expr:
        left = self.lower(node.lhs)
        right = self.lower(node.rhs)
        op, modifier = str(node.op), node.modifier
        if modifier is None:
            return Binary(op, left, right, at=left.at)
        returns_bool = bool(modifier.return_bool) and op in COMPARISONS
        return Binary(op, left, right, returns_bool, _matching(modifier), left.at)

    def _negation(self, node: Any) -> Expr:
        inner = self.lower(node.expr)
        return Negation(inner, inner.at)

    def _paren(self, node: Any) -> Expr:
        inner = self.lower(node.expr)
        return Paren(inner, inner.at)


def _matching(modifier: Any) -> Matching | None:
    card = str(modifier.card).rpartition(".")[2]
    group = {"ManyToOne": "left", "OneToMany": "right"}.get(card)
    if modifier.matching is None and group is None:
        return None
    on = modifier.matching is not None and str(modifier.matching.type).endswith("Include")
    labels = () if modifier.matching is None else tuple(modifier.matching.labels)
    include = tuple(modifier.group_labels or ())
    return Matching(labels, on, group, include)  # type: ignore[arg-type]
