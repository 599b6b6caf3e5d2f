"""Conditions of runbook steps: a small typed language over the values of a step, with an evaluator of its own.

    condition  := both ("or" both)*            both := single ("and" single)*
    single     := "not" single | "(" condition ")" | operand [operator operand]
    operator   := == != < <= > >= in contains   operand := number "text" true false null [list] path
    path       := name ("." (name | index))*    e.g. value, status, body.state, body.items.0.id

Must never call `eval`, look up attributes of objects, or turn a type error into a pass: what cannot be compared is a
`ConditionError`, and the step fails with its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Union

from opsctl.core.frozen import dataclass

Scalar = Union[str, int, float, bool, None]


class ConditionError(ValueError):
    """The text is not a condition, or the values do not fit it; one line."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant, or a list of constants."""

    value: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """A value of the step: the root name, then keys of objects or indexes of lists."""

    parts: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class Compare:
    """Two operands and an operator."""

    left: Literal | Path
    operator: str
    right: Literal | Path


@dataclass(frozen=True, slots=True)
class Truth:
    """One operand that has to be a boolean."""

    operand: Literal | Path


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: Condition


@dataclass(frozen=True, slots=True)
class Both:
    """Every one holds; the rest is not looked at after one that does not."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One holds; the rest is not looked at after one that does."""

    parts: tuple[Condition, ...]


Condition = Union[Compare, Truth, Not, Both, Either]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)|(?P<text>\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<operator>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)|(?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*))"
)
_OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "in", "contains")
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_DEEPEST = 40


def parse_condition(text: str) -> Condition:
    """Read a condition; ConditionError says what was expected where."""
    reader = _Reader(_tokens(text), text)
    found = reader.either(0)
    reader.end()
    return found


def roots(condition: Condition) -> frozenset[str]:
    """The root names of every path in it: what the step's values have to offer."""
    match condition:
        case Compare(left, _, right):
            return _root(left) | _root(right)
        case Truth(operand):
            return _root(operand)
        case Not(inner):
            return roots(inner)
        case Both(parts) | Either(parts):
            return frozenset().union(*(roots(part) for part in parts))


def holds(condition: Condition, values: Mapping[str, object]) -> bool:
    """Whether it holds; ConditionError where a value is missing or of the wrong type."""
    match condition:
        case Compare(left, operator, right):
            return _compare(_value(left, values), operator, _value(right, values), f"{_shown(left)} {operator}")
        case Truth(operand):
            value = _value(operand, values)
            if not isinstance(value, bool):
                raise ConditionError(f"{_shown(operand)} is {_name(value)}, expected true or false")
            return value
        case Not(inner):
            return not holds(inner, values)
        case Both(parts):
            return all(holds(part, values) for part in parts)
        case Either(parts):
            return any(holds(part, values) for part in parts)


def look_up(path: str, values: Mapping[str, object]) -> object:
    """The value at a path such as `body.items.0.id`; ConditionError where it is not there."""
    return _value(Path(tuple(path.split("."))), values)


def _tokens(text: str) -> list[tuple[str, str, int]]:
    out: list[tuple[str, str, int]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ConditionError(f"unexpected {text[at:].lstrip()[:1]!r} at column {at + 1} of `{text}`")
        out.append((match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup) + 1))
        at = match.end()
    return out


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[tuple[str, str, int]], text: str) -> None:
        self.tokens = tokens
        self.text = text
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self, word: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at][0] != "text" and self.peek() == word:
            self.at += 1
            return True
        return False

    def wrong(self, expected: str) -> ConditionError:
        if self.at < len(self.tokens):
            _, word, column = self.tokens[self.at]
            return ConditionError(f"expected {expected}, found {word} at column {column} of `{self.text}`")
        return ConditionError(f"expected {expected} at the end of `{self.text}`")

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise self.wrong("and, or, or the end")

    def either(self, depth: int) -> Condition:
        parts = [self.both(depth)]
        while self.take("or"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def both(self, depth: int) -> Condition:
        parts = [self.single(depth)]
        while self.take("and"):
            parts.append(self.single(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def single(self, depth: int) -> Condition:
        if depth > _DEEPEST:
            raise ConditionError(f"more than {_DEEPEST} levels deep: `{self.text[:60]}`")
        if self.take("not"):
            return Not(self.single(depth + 1))
        if self.take("("):
            inner = self.either(depth + 1)
            if not self.take(")"):
                raise self.wrong(")")
            return inner
        left = self.operand()
        operator = self.peek()
        if operator in _OPERATORS:
            self.at += 1
            return Compare(left, operator, self.operand())
        return Truth(left)

    def operand(self) -> Literal | Path:
        if self.take("["):
            return self.list()
        if self.at >= len(self.tokens):
            raise self.wrong("a value")
        kind, word, _ = self.tokens[self.at]
        if kind == "operator" or word in {"and", "or", "not", "in", "contains"}:
            raise self.wrong("a value")
        self.at += 1
        return _operand(kind, word)

    def list(self) -> Literal:
        items: list[Scalar] = []
        while not self.take("]"):
            item = self.operand()
            if not isinstance(item, Literal) or isinstance(item.value, tuple):
                raise ConditionError(f"a list holds constants only: `{self.text}`")
            items.append(item.value)
            if not self.take(",") and self.peek() != "]":
                raise self.wrong(", or ]")
        return Literal(tuple(items))


def _operand(kind: str, word: str) -> Literal | Path:
    if kind == "number":
        return Literal(float(word) if any(ch in word for ch in ".eE") else int(word))
    if kind == "text":
        try:
            return Literal(str(json.loads(word)))
        except json.JSONDecodeError as wrong:
            raise ConditionError(f"not a text: {word}") from wrong
    return Literal(_WORDS[word]) if word in _WORDS else Path(tuple(word.split(".")))


def _root(operand: Literal | Path) -> frozenset[str]:
    return frozenset({operand.parts[0]}) if isinstance(operand, Path) else frozenset()


def _value(operand: Literal | Path, values: Mapping[str, object]) -> object:
    if isinstance(operand, Literal):
        return operand.value
    found: object = values
    for part in operand.parts:
        found = _child(found, part, operand)
    return found


def _child(parent: object, part: str, path: Path) -> object:
    if isinstance(parent, Mapping) and part in parent:
        return parent[part]
    if isinstance(parent, (list, tuple)) and part.isdecimal() and int(part) < len(parent):
        return parent[int(part)]
    raise ConditionError(f"no value {path}")


def _compare(left: object, operator: str, right: object, where: str) -> bool:
    if operator == "==":
        return _same(left, right)
    if operator == "!=":
        return not _same(left, right)
    if operator == "in":
        return _contains(right, left, where)
    if operator == "contains":
        return _contains(left, right, where)
    return _ordered(left, operator, right, where)


def _same(left: object, right: object) -> bool:
    """Equal and of one kind: true is not 1, "1" is not 1; null is equal to null only."""
    return _name(left) == _name(right) and left == right


def _contains(whole: object, part: object, where: str) -> bool:
    if isinstance(whole, str) and isinstance(part, str):
        return part in whole
    if isinstance(whole, Sequence) and not isinstance(whole, str):
        return any(_same(item, part) for item in whole)
    raise ConditionError(f"{where}: {_name(whole)} cannot contain {_name(part)}")


def _ordered(left: object, operator: str, right: object, where: str) -> bool:
    kinds = {_name(left), _name(right)}
    if kinds == {"a number"}:
        assert isinstance(left, (int, float))
        assert isinstance(right, (int, float))
        return _less(left, operator, right)
    if kinds == {"a text"}:
        assert isinstance(left, str)
        assert isinstance(right, str)
        return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator]
    raise ConditionError(f"{where}: cannot compare {_name(left)} with {_name(right)}")


def _less(left: float, operator: str, right: float) -> bool:
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator]


def _name(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case _:
            return "a list"


def _shown(operand: Literal | Path) -> str:
    return str(operand) if isinstance(operand, Path) else json.dumps(operand.value)
