"""What is known of an expression before it is evaluated: its tree, its type, what does not change from step to step.

Must never import numpy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from opsctl.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Expr,
    Negation,
    Number,
    Paren,
    Range,
    Selector,
    Subquery,
    Text,
    children,
    unwrap,
    walk,
)
from opsctl.promql.grammar import DATES, SCALARS
from opsctl.promql.lower import parse

_SORTS = frozenset({"sort", "sort_desc", "sort_by_label", "sort_by_label_desc"})
Kind = Literal["vector", "scalar", "string", "matrix"]


@dataclass(frozen=True, slots=True)
class Plan:
    """An expression ready to evaluate; `invariant` holds the identities of nodes that are the same at every step."""

    text: str
    expr: Expr
    kind: Kind
    invariant: frozenset[int]
    sorts: tuple[Call, ...]  # calls of sort and its kin: a range query warns of them
    line_starts: tuple[int, ...]


def plan(text: str) -> Plan:
    """Parse and look ahead; `PromqlError`, `UnsupportedError`."""
    expr = parse(text)
    sorts = tuple(node for node in walk(expr) if isinstance(node, Call) and node.function in _SORTS)
    lines = (0, *(match.end() for match in re.finditer("\n", text)))
    return Plan(text, expr, kind_of(expr), frozenset(_invariants(expr)), sorts, lines)


def kind_of(expr: Expr) -> Kind:
    """The type of an expression's value."""
    match unwrap(expr):
        case Number():
            return "scalar"
        case Text():
            return "string"
        case Range() | Subquery():
            return "matrix"
        case Call(function):
            return "scalar" if function in SCALARS else "vector"
        case Binary(_, left, right):
            return "scalar" if kind_of(left) == kind_of(right) == "scalar" else "vector"
        case Negation(inner):
            return kind_of(inner)
        case _:
            return "vector"


def _invariants(expr: Expr) -> set[int]:
    found: set[int] = set()
    nodes = list(walk(expr))
    for node in reversed(nodes):  # children before parents
        if _is_invariant(node, found):
            found.add(id(node))
    return {id(node) for node in nodes if id(node) in found and not isinstance(node, (Number, Text, Range, Subquery))}


def _is_invariant(node: Expr, known: set[int]) -> bool:
    match node:
        case Number() | Text():
            return True
        case Selector() | Subquery():
            return node.time is not None
        case Range(selector):
            return selector.time is not None
        case Call("time", _):
            return False
        case Call(function, args) if function in DATES and not args:
            return False
        case Call("timestamp", args):
            return isinstance(unwrap(args[0]), Selector) and id(args[0]) in known
        case Call("predict_linear", _):
            return False  # it looks ahead from the step
        case Aggregate() | Binary() | Call() | Negation() | Paren():
            return all(id(child) in known for child in children(node))
