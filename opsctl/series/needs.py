"""What an expression needs to know about counted series, and the expression that reads exactly that.

`rate` and `increase` of a counted series are not estimated from scrapes: the window is counted, so they become
selectors of numbers that were counted. Every other use of a series reads its counter at the times that the expression
looks at. Pure. Must never ask for a time or a label that the expression does not use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opsctl.promql import Expr, Matcher, PromqlError, Selector, UnsupportedError
from opsctl.promql.ast import Aggregate, Binary, Call, Number, Paren, Range, Subquery, Text, transform, unwrap, walk

Ints = NDArray[np.int64]

SCRAPE_MS = 15_000
"""How far apart the samples are that other functions of a range see: a counter has no scrape interval of its own."""

POINTS_MAX = 50_000
NAME = "__name__"
_SUBQUERY_STEP_MS = 60_000
_OVERLAP = 20  # windows of a range query share most of their samples
_WINDOWED = frozenset({"rate", "increase"})


@dataclass(frozen=True, slots=True)
class Family:
    """One metric under one set of matchers, by labels; `only` says that no other label may be in the answer."""

    metric: str
    matchers: tuple[Matcher, ...]  # without the metric's name
    labels: tuple[str, ...]  # sorted
    only: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """Numbers of a family at some times: how many in (t − range, t], or the counter itself where `range_ms` is 0."""

    name: str  # the name that the rewritten expression has for it
    family: Family
    range_ms: int
    times: Ints  # ascending, each once
    presence_only: bool = False  # whether there is any: the number is not looked at


@dataclass(frozen=True, slots=True)
class Needs:
    """A rewritten expression and what its names stand for."""

    expr: Expr
    needs: tuple[Need, ...]


def needs_of(expr: Expr, times: Ints, end_ms: int) -> Needs:
    """Work it out for an expression that is evaluated at these times; `end_ms` is what `@ end()` means.

    `PromqlError` where it asks for too much.
    """
    return _Reader(expr, times, end_ms).read()


def labels_used(expr: Expr) -> frozenset[str]:
    """Every label name that an expression takes from its series: those that it makes itself are none of them."""
    used: set[str] = set()
    made: set[str] = set()
    matched: set[str] = set()
    for node in walk(expr):
        match node:
            case Selector(matchers):
                matched.update(one.name for one in matchers)
            case Aggregate(op, _, param, labels):
                used.update(labels)
                if op == "count_values":
                    made.update(_texts((param,)))
            case Binary(matching=matching) if matching is not None:
                used.update((*matching.labels, *matching.include))
            case Call("label_replace" | "label_join" as function, args):
                made.update(_texts(args[1:2]))
                used.update(_texts(args[3:4] if function == "label_replace" else args[3:]))
            case Call("sort_by_label" | "sort_by_label_desc", args):
                used.update(_texts(args[1:]))
    return frozenset((used - made) | matched) - {NAME, ""}


def _texts(args: tuple[Any, ...]) -> Iterator[str]:
    return (one.value for one in map(_bare, args) if isinstance(one, Text))


def _bare(expr: Any) -> Any:
    return expr if expr is None else unwrap(expr)


class _Reader:
    def __init__(self, expr: Expr, times: Ints, end_ms: int) -> None:
        self._expr = expr
        self._times = times
        self._ends = {"start": int(times[0]), "end": end_ms}
        self._used = tuple(sorted(labels_used(expr)))
        self._needs: dict[tuple[Family, int, bytes, bool], Need] = {}
        self._points = 0

    def read(self) -> Needs:
        changed = self._changed(self._expr, self._times)
        return Needs(changed, tuple(self._needs.values()))

    def _changed(self, expr: Expr, times: Ints) -> Expr:
        def change(node: Expr) -> Expr | None:
            match node:
                case Selector():
                    return self._counter(node, times)
                case Range(selector, range_ms):
                    seen = self._scrapes(self._looked_at(selector, times), range_ms)
                    return replace(node, selector=self._named(selector, seen))
                case Subquery(inner):
                    return replace(node, expr=self._changed(inner, self._steps(node, times)))
                case Call(function, (arg,)) if function in _WINDOWED:
                    return self._window(function, arg, times, only=None)
                case Aggregate("sum", inner, None, labels, False):
                    return self._sum(node, inner, labels, times)
                case Aggregate("group", Selector() as selector, None, (), False):
                    return replace(node, expr=self._named(selector, self._looked_at(selector, times), presence=True))
                case _:
                    return None

        return transform(expr, change)

    def _sum(self, node: Aggregate, inner: Expr, labels: tuple[str, ...], times: Ints) -> Expr | None:
        """A sum of windows is counted by its own labels alone."""
        call = unwrap(inner)
        if not (isinstance(call, Call) and call.function in _WINDOWED):
            return None
        changed = self._window(call.function, call.args[0], times, only=labels)
        return None if changed is None else replace(node, expr=changed)

    def _window(self, function: str, arg: Expr, times: Ints, only: tuple[str, ...] | None) -> Expr | None:
        window = unwrap(arg)
        if not isinstance(window, Range):
            return None
        selector = window.selector
        looked = self._looked_at(selector, times)
        family = self._family(selector, only)
        need = self._need(family, window.range_ms, looked)
        named = replace(selector, matchers=(Matcher(NAME, "=", need.name),))
        if function == "rate":  # an operation on it also takes the metric's name away, as the function does
            return Paren(Binary("/", named, Number(window.range_ms / 1000)))
        return Paren(Binary("*", named, Number(1.0)))

    def _counter(self, selector: Selector, times: Ints) -> Selector:
        return self._named(selector, self._looked_at(selector, times))

    def _named(self, selector: Selector, times: Ints, *, presence: bool = False) -> Selector:
        """The matchers stay: `absent` reads them, and the series have their labels."""
        need = self._need(self._family(selector, None), 0, times, presence=presence)
        kept = tuple(one for one in selector.matchers if one.name != NAME)
        return replace(selector, matchers=(Matcher(NAME, "=", need.name), *kept))

    def _family(self, selector: Selector, only: tuple[str, ...] | None) -> Family:
        metric = selector.metric
        if metric is None:
            raise UnsupportedError("a selector without a metric's name is")
        matchers = tuple(one for one in selector.matchers if one.name != NAME)
        if only is None:
            return Family(metric, matchers, self._used)
        return Family(metric, matchers, tuple(sorted(set(only) - {NAME})), only=True)

    def _need(self, family: Family, range_ms: int, times: Ints, *, presence: bool = False) -> Need:
        self._points += len(times)
        _check_points(self._points)
        key = (family, range_ms, times.tobytes(), presence)
        if key not in self._needs:
            self._needs[key] = Need(f"{family.metric}:{len(self._needs)}", family, range_ms, times, presence)
        return self._needs[key]

    # -- times ----------------------------------------------------------------------------------------------------

    def _looked_at(self, node: Selector | Subquery, times: Ints) -> Ints:
        if node.time is None:
            return times - node.offset_ms
        fixed = self._ends[node.time] if isinstance(node.time, str) else node.time
        return np.array([fixed - node.offset_ms], np.int64)

    def _steps(self, node: Subquery, times: Ints) -> Ints:
        """The multiples of the step in any of the subquery's windows, as the engine takes them."""
        at = self._looked_at(node, times)
        step = node.step_ms or _SUBQUERY_STEP_MS
        first = (int(at.min()) - node.range_ms) // step * step + step
        last = int(at.max())
        _check_points((last - first) // step)
        steps = np.arange(first, last + 1, step, dtype=np.int64)
        return steps if len(steps) else at[:1]

    def _scrapes(self, ends: Ints, range_ms: int) -> Ints:
        """The times at which a range of samples has one: every scrape back from its end, the start left out."""
        each = -(-range_ms // SCRAPE_MS)
        _check_points(each * len(ends) // _OVERLAP)
        back = np.arange(each, dtype=np.int64) * SCRAPE_MS
        return np.unique(ends[:, None] - back[None, :])


def _check_points(points: int) -> None:
    if points > POINTS_MAX:
        raise PromqlError(
            f"the expression looks at more than {POINTS_MAX} times, the cap for counted series",
            hint="take a larger step or a shorter range",
        )
