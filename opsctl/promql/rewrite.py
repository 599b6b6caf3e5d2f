"""Changes to expressions before anybody evaluates them: windows put in, counters wrapped, recorded names inlined.

All by tokens or trees, never by replacing text that happens to look alike. Must never import numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from opsctl.core.windows import parse_duration
from opsctl.promql.ast import Call, Expr, Paren, Range, Selector, Subquery, transform, walk
from opsctl.promql.errors import PromqlError
from opsctl.promql.lexer import WINDOW, Token, tokens
from opsctl.promql.lower import parse
from opsctl.promql.render import render


def has_window(text: str) -> bool:
    """Whether the expression has the placeholder `{{.window}}` outside strings and comments."""
    return any(token.kind == "window" for token in tokens(text))


def with_window(text: str, duration_text: str) -> str:
    """The expression with a duration for each `{{.window}}`; `PromqlError` where it stands for anything else."""
    _ms(duration_text)
    out, end = [], 0
    found = tokens(text)
    for i, token in enumerate(found):
        if token.kind != "window":
            continue
        if not _is_duration(found, i):
            message = f"{WINDOW} may only stand where a range, a step or an offset has its duration"
            raise PromqlError(message, column=token.at + 1)
        out += [text[end : token.at], duration_text]
        end = token.end
    changed = "".join([*out, text[end:]])
    parse(changed)
    return changed


def _is_duration(found: tuple[Token, ...], i: int) -> bool:
    before = found[i - 1].word if i else ""
    if before == "-" and i > 1 and found[i - 2].word == "offset":
        return True
    return before in ("[", "offset") or (before == ":" and found[i].inside == "[")


def wrap_counter(text: str, window: str) -> str:
    """Each instant selector as `increase(selector[window])`; a range that is already there is an error."""
    range_ms = _ms(window)
    expr = _without_ranges(text, f"a counter query gets its window ({window}) from the SLO")

    def change(node: Expr) -> Expr | None:
        return Call("increase", (Range(node, range_ms),)) if isinstance(node, Selector) else None

    return render(transform(expr, change))


def over_steps(text: str, window: str, step: str) -> str:
    """`sum_over_time((q)[window:step])`; a range that is already there is an error with its place."""
    expr = _without_ranges(text, f"the query is summed over its window ({window}) step by step")
    inner = expr if isinstance(expr, (Selector, Paren)) else Paren(expr)
    return render(Call("sum_over_time", (Subquery(inner, _ms(window), _ms(step)),)))


def _without_ranges(text: str, why: str) -> Expr:
    for token in tokens(text):
        if token.text == "[" and token.kind == "bracket":
            raise PromqlError("a range is written into the query", column=token.at + 1, hint=why)
    return parse(text)


def _ms(duration: str) -> int:
    try:
        span = parse_duration(duration)
    except ValueError as wrong:
        raise PromqlError(str(wrong)) from None
    ms = round(span.total_seconds() * 1000)
    if ms <= 0:
        raise PromqlError(f"the duration {duration} must be greater than 0")
    return ms


def selectors(expr: Expr) -> tuple[Selector, ...]:
    """Every selector, in the order of the text; `.metric` is its name, `.matchers` has them all."""
    return tuple(node for node in walk(expr) if isinstance(node, Selector))


def metric_names(text: str) -> frozenset[str]:
    """The metric names that an expression asks for by name."""
    return frozenset(each.metric for each in selectors(parse(text)) if each.metric is not None)


def inline(text: str, recorded: Mapping[str, str]) -> str:
    """The expression with recorded names replaced by their expressions, however deep.

    Only a bare name is replaced: no matchers, no range, offset or `@`. Names that read each other are an error.
    """
    return render(_inlined(parse(text), recorded, ()))


def _inlined(expr: Expr, recorded: Mapping[str, str], open_names: tuple[str, ...]) -> Expr:
    def change(node: Expr) -> Expr | None:
        if isinstance(node, Range):
            return node
        if not isinstance(node, Selector):
            return None
        name = node.metric
        bare = len(node.matchers) == 1 and not node.offset_ms and node.time is None
        if name is None or not bare or name not in recorded:
            return node
        if name in open_names:
            raise PromqlError(f"recording rules read each other: {' → '.join((*open_names, name))}")
        return Paren(_inlined(parse(recorded[name]), recorded, (*open_names, name)))

    return transform(expr, change)


def adds_only_matchers(bad_text: str, total_text: str) -> bool:
    """Whether the bad expression is the total's but for more matchers on its selectors: then bad ≤ total."""
    bad, total = _plain(parse(bad_text)), _plain(parse(total_text))
    wide, narrow = selectors(total), selectors(bad)
    if len(wide) != len(narrow):
        return False
    if any(not set(a.matchers) <= set(b.matchers) for a, b in zip(wide, narrow, strict=True)):
        return False
    return _blank(bad) == _blank(total)


def _plain(expr: Expr) -> Expr:
    """Without parentheses: they do not change what a tree means."""

    def change(node: Expr) -> Expr | None:
        return _plain(node.expr) if isinstance(node, Paren) else None

    return transform(expr, change)


def _blank(expr: Expr) -> Expr:
    """With no matchers on any selector."""

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Range):
            return replace(node, selector=replace(node.selector, matchers=()))
        return replace(node, matchers=()) if isinstance(node, Selector) else None

    return transform(expr, change)
