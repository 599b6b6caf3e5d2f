"""A tree back to text that parses to an equal tree.

Must never drop milliseconds, quotes or parentheses that are in the tree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from opsctl.core.windows import format_duration
from opsctl.promql.ast import (
    Aggregate,
    At,
    Binary,
    Call,
    Expr,
    Matcher,
    Matching,
    Negation,
    Number,
    Paren,
    Range,
    Selector,
    Subquery,
    Text,
)

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_NO_METRIC = re.compile(
    r"(?i:inf|nan)|and|or|unless|atan2|bool|offset|on|ignoring|group_left|group_right|by|without|start|end"
    r"|sum|avg|count|min|max|group|stddev|stdvar|topk|bottomk|count_values|quantile|limitk|limit_ratio|fill\w*"
)


def render(expr: Expr) -> str:
    """The text of a tree: `parse(render(e)) == e`."""
    return _RENDERERS[type(expr)](expr)


def _range(expr: Range) -> str:
    selector = expr.selector
    return f"{_selector(selector)}[{duration(expr.range_ms)}]{_modifiers(selector.offset_ms, selector.time)}"


def _subquery(expr: Subquery) -> str:
    step = "" if expr.step_ms is None else duration(expr.step_ms)
    modifiers = _modifiers(expr.offset_ms, expr.time)
    return f"{render(expr.expr)}[{duration(expr.range_ms)}:{step}]{modifiers}"


def duration(ms: int) -> str:
    """A duration of PromQL; it may be negative."""
    sign = "-" if ms < 0 else ""
    return sign + format_duration(timedelta(milliseconds=abs(ms)))


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _quote(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f")


def _name(label: str) -> str:
    return label if _LABEL.fullmatch(label) else _quote(label)


def _selector(selector: Selector) -> str:
    matchers = list(selector.matchers)
    first = matchers[0] if matchers else None
    bare = first is not None and first.name == "__name__" and first.op == "=" and _METRIC.fullmatch(first.value)
    unnamed = any(m.name == "__name__" for m in matchers[1:])
    if first is None or not bare or unnamed or _NO_METRIC.fullmatch(first.value):
        return "{" + ", ".join(map(_matcher, matchers)) + "}"
    rest = matchers[1:]
    return first.value + ("{" + ", ".join(map(_matcher, rest)) + "}" if rest else "")


def _matcher(matcher: Matcher) -> str:
    return f"{_name(matcher.name)}{matcher.op}{_quote(matcher.value)}"


def _modifiers(offset_ms: int, time: At) -> str:
    at = ""
    if isinstance(time, int):
        at = f" @ {'-' if time < 0 else ''}{abs(time) // 1000}.{abs(time) % 1000:03d}"
    elif time is not None:
        at = f" @ {time}()"
    return at + (f" offset {duration(offset_ms)}" if offset_ms else "")


def _aggregate(expr: Aggregate) -> str:
    param = "" if expr.param is None else f"{render(expr.param)}, "
    how = ""
    if expr.labels or expr.without:
        how = f" {'without' if expr.without else 'by'} ({', '.join(map(_name, expr.labels))}) "
    return f"{expr.op}{how}({param}{render(expr.expr)})"


def _how(expr: Binary) -> str:
    matching = expr.matching or Matching()
    out = " bool" if expr.returns_bool else ""
    if matching.labels or matching.on or matching.group:
        out += f" {'on' if matching.on else 'ignoring'} ({', '.join(map(_name, matching.labels))})"
    if matching.group:
        out += f" group_{matching.group} ({', '.join(map(_name, matching.include))})"
    return out


_RENDERERS: dict[type[Expr], Callable[[Any], str]] = {
    Aggregate: _aggregate,
    Binary: lambda e: f"{render(e.left)} {e.op}{_how(e)} {render(e.right)}",
    Call: lambda e: f"{e.function}({', '.join(map(render, e.args))})",
    Negation: lambda e: f"-{render(e.expr)}",
    Number: lambda e: _number(e.value),
    Paren: lambda e: f"({render(e.expr)})",
    Range: _range,
    Selector: lambda e: _selector(e) + _modifiers(e.offset_ms, e.time),
    Subquery: _subquery,
    Text: lambda e: _quote(e.value),
}
