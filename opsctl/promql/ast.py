"""The syntax tree of PromQL, our own: frozen, comparable, hashable, picklable.

`at` is where a node begins in its text (0-based, -1 unknown) and never takes part in equality. Times and durations are
milliseconds. Must never import numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field, fields, replace
from typing import Any, Literal, Union

from opsctl.core.frozen import dataclass

MatchOp = Literal["=", "!=", "=~", "!~"]
At = Union[int, Literal["start", "end"], None]


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label matcher; the metric name is a matcher on `__name__`."""

    name: str
    op: MatchOp
    value: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number or a duration written where a number may stand (then in seconds)."""

    value: float
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal."""

    value: str
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Selector:
    """An instant vector selector; `time` is its `@` modifier."""

    matchers: tuple[Matcher, ...]
    offset_ms: int = 0
    time: At = None
    at: int = field(default=-1, compare=False)

    @property
    def metric(self) -> str | None:
        """The metric name, where exactly one is asked for."""
        return next((m.value for m in self.matchers if m.name == "__name__" and m.op == "="), None)


@dataclass(frozen=True, slots=True)
class Range:
    """A range vector selector."""

    selector: Selector
    range_ms: int
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Subquery:
    """An expression evaluated over a range; `step_ms` None is the default step."""

    expr: Expr
    range_ms: int
    step_ms: int | None = None
    offset_ms: int = 0
    time: At = None
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A function call."""

    function: str
    args: tuple[Expr, ...] = ()
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation over series; `without` says how to read `labels`."""

    op: str
    expr: Expr
    param: Expr | None = None
    labels: tuple[str, ...] = ()
    without: bool = False
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Matching:
    """How vectors are matched: `on` or `ignoring` the labels; `group` is the many side and what it takes over."""

    labels: tuple[str, ...] = ()
    on: bool = False
    group: Literal["left", "right", None] = None
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary operation; `matching` None is the default: all labels, one to one."""

    op: str
    left: Expr
    right: Expr
    returns_bool: bool = False
    matching: Matching | None = None
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Negation:
    """A unary minus."""

    expr: Expr
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Paren:
    """Parentheses as written."""

    expr: Expr
    at: int = field(default=-1, compare=False)


Expr = Union[Number, Text, Selector, Range, Subquery, Call, Aggregate, Binary, Negation, Paren]

COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})


def children(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly inside, in the order they are written."""
    match expr:
        case Number() | Text() | Selector():
            return ()
        case Range():
            return (expr.selector,)
        case Subquery() | Negation() | Paren():
            return (expr.expr,)
        case Call():
            return expr.args
        case Aggregate():
            return (expr.expr,) if expr.param is None else (expr.param, expr.expr)
        case Binary():
            return (expr.left, expr.right)


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything in it, outside first, left to right."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def transform(expr: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """A copy in which `change` has replaced nodes; what it returns is not looked into, None means: go inside."""
    changed = change(expr)
    if changed is not None:
        return changed
    inside: dict[str, Any] = {}
    for part in fields(expr):
        value = getattr(expr, part.name)
        if isinstance(value, tuple) and value and isinstance(value[0], NODES):
            inside[part.name] = tuple(transform(each, change) for each in value)
        elif isinstance(value, NODES):
            inside[part.name] = transform(value, change)
    return replace(expr, **inside) if inside else expr


def unwrap(expr: Expr) -> Expr:
    """The expression without parentheses around it."""
    while isinstance(expr, Paren):
        expr = expr.expr
    return expr


NODES = (Number, Text, Selector, Range, Subquery, Call, Aggregate, Binary, Negation, Paren)
