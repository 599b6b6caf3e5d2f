"""Which unit an expression's values have, where its metric names or their metadata say it, and numbers in that unit.

Must never guess: an expression whose unit is not plain has none, and its numbers are shown bare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from opsctl.promql import Expr, PromqlError, Selector, parse
from opsctl.promql.ast import COMPARISONS, Aggregate, Binary, Call, Number, Paren, Range, Subquery

UNITS = (
    "seconds",
    "milliseconds",
    "bytes",
    "bits",
    "ratio",
    "percent",
    "celsius",
    "volts",
    "amperes",
    "joules",
    "meters",
)
_COUNTS = ("_count", "_bucket")
_STEMS = ("_total", "_sum", "_max", "_min", "_created")
_OVER_TIME = ("avg", "min", "max", "sum", "last", "quantile", "stddev")
_KEEPING = {
    *("abs", "ceil", "floor", "round", "clamp", "clamp_min", "clamp_max", "sort", "sort_desc"),
    *("label_replace", "label_join", "increase", "delta", "idelta"),
    *(f"{how}_over_time" for how in _OVER_TIME),
}
_KEEPING_AGGREGATES = {"sum", "min", "max", "avg", "topk", "bottomk", "quantile", "stddev"}
_SHORT = {
    "seconds": "s",
    "milliseconds": "ms",
    "bytes": "B",
    "bits": "bit",
    "percent": "%",
    "celsius": "°C",
    "volts": "V",
    "amperes": "A",
    "joules": "J",
    "meters": "m",
}


def unit_of(expression: str, told: Callable[[str], str]) -> str:
    """The unit in OpenMetrics' words (`seconds`, `bytes/s`), or nothing; `told(metric)` is its metadata's."""
    try:
        return _unit(parse(expression), told) or ""
    except PromqlError:
        return ""


def _unit(expr: Expr, told: Callable[[str], str]) -> str | None:
    match expr:
        case Paren():
            return _unit(expr.expr, told)
        case Selector():
            return _of_metric(expr.metric or "", told)
        case Range():
            return _unit(expr.selector, told)
        case Subquery():
            return _unit(expr.expr, told)
        case Aggregate():
            return _unit(expr.expr, told) if expr.op in _KEEPING_AGGREGATES else ""
        case Call():
            return _of_call(expr, told)
        case Binary():
            return _of_binary(expr, told)
        case _:
            return None


def _of_metric(name: str, told: Callable[[str], str]) -> str:
    if name.endswith(_COUNTS):
        return ""
    stem = name
    for suffix in _STEMS:
        stem = stem.removesuffix(suffix)
    unit = next((unit for unit in UNITS if stem.endswith(f"_{unit}") or stem == unit), None)
    return told(name) if unit is None else unit


def _of_call(call: Call, told: Callable[[str], str]) -> str | None:
    vectors = [arg for arg in call.args if not isinstance(arg, Number)]
    if not vectors:
        return None
    if call.function == "histogram_quantile":
        return next((_of_metric(name.removesuffix("_bucket"), told) for name in _names(vectors[0])), None)
    inner = _unit(vectors[0], told)
    if call.function in {"rate", "irate", "deriv"} and inner is not None:
        return "" if inner == "seconds" else f"{inner}/s"
    return inner if call.function in _KEEPING else None


def _names(expr: Expr) -> list[str]:
    from opsctl.promql.rewrite import selectors

    return [each.metric for each in selectors(expr) if each.metric]


def _of_binary(expr: Binary, told: Callable[[str], str]) -> str | None:
    left, right = _unit(expr.left, told), _unit(expr.right, told)
    if expr.returns_bool:
        return ""
    if expr.op in COMPARISONS or expr.op in {"and", "unless"}:
        return left
    if expr.op in {"+", "-", "or"}:
        return left if left == right else None
    if expr.op == "/" and left is not None:
        return "" if left == right else left if right == "" else None
    return None


def shown(value: float, unit: str, span: float | None = None) -> str:
    """A number with its unit, short enough for an axis; `span` is the distance between neighbours, for its digits."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    base, per = (unit.removesuffix("/s"), "/s") if unit.endswith("/s") else (unit, "")
    if base == "ratio":
        return f"{_digits(value * 100, None if span is None else span * 100)} %{per}"
    if base == "seconds":
        return _scaled(value, span, _TIMES) + per
    scale = _BINARY if base == "bytes" else _DECIMAL
    word = _SHORT.get(base, base)
    return _scaled(value, span, {factor: f"{prefix}{word}" for factor, prefix in scale.items()}) + per


_TIMES = {86400.0: "d", 3600.0: "h", 60.0: "min", 1.0: "s", 1e-3: "ms", 1e-6: "µs"}
_BINARY = {2.0**40: "Ti", 2.0**30: "Gi", 2.0**20: "Mi", 2.0**10: "Ki", 1.0: ""}
_DECIMAL = {1e12: "T", 1e9: "G", 1e6: "M", 1e3: "k", 1.0: ""}


def _scaled(value: float, span: float | None, scale: Mapping[float, str]) -> str:
    size = max(abs(value), span or 0.0)
    smallest = min(scale)
    factor = next((each for each in scale if size >= each * 0.9999999), smallest if size > 0 and smallest < 1 else 1.0)
    word = scale[factor]
    return f"{_digits(value / factor, None if span is None else span / factor)} {word}".rstrip()


def _digits(value: float, span: float | None) -> str:
    """Enough digits to tell neighbours apart, and no more than six."""
    if span is None or span <= 0:
        return f"{value:.4g}"
    places = min(6, max(0, -math.floor(math.log10(span) + 1e-9)))
    text = f"{value:.{places}f}"
    return f"{value:.3g}" if len(text) > 10 else text
