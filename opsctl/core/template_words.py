"""The functions of Prometheus's templates, by name, over plain values.

Pure. Must never touch a query, a file or a clock, nor build output without a bound.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from opsctl.core.windows import parse_duration

_LARGE = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL = ("m", "u", "n", "p", "f", "a", "z", "y")
_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d*))?([a-zA-Z%])")
_SUBJECT_MAX = 512
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_OPEN_ENDED = re.compile(r"(?<!\\)[*+]|\{\d*,\}")


class TemplateError(Exception):
    """A template that cannot be rendered; the text is shown as it is."""


def show(value: Any) -> str:
    """A value as Go's `%v` writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _go_float(value)
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{k}:{show(v)}" for k, v in sorted(value.items())) + "]"
    return str(value)


def _go_float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign = "-" if value < 0 else ""
    exact = Decimal(repr(abs(value))).normalize()
    exponent = exact.adjusted()
    digits = "".join(str(digit) for digit in exact.as_tuple().digits)
    if -4 <= exponent < 6:
        return f"{sign}{exact:f}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{exponent:+03d}"


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TemplateError(f"expected a number, got {show(value)!r}")
    try:
        return float(value)
    except ValueError:
        raise TemplateError(f"expected a number, got {value!r}") from None


def _scaled(value: float, prefixes: tuple[str, ...], base: float) -> tuple[float, str]:
    prefix = ""
    for name in prefixes:
        if abs(value) < base:
            break
        prefix, value = name, value / base
    return value, prefix


def _scaled_up(value: float) -> tuple[float, str]:
    prefix = ""
    for name in _SMALL:
        if abs(value) >= 1:
            break
        prefix, value = name, value * 1000
    return value, prefix


def _plain(value: float) -> str | None:
    if math.isfinite(value) and value != 0:
        return None
    return _go_float(value) if not math.isfinite(value) else "0"


def humanize(value: Any) -> str:
    """SI prefixes: 1234567 → 1.235M."""
    v = _number(value)
    if (plain := _plain(v)) is not None:
        return plain
    scaled, prefix = _scaled(v, _LARGE, 1000.0) if abs(v) >= 1 else _scaled_up(v)
    return f"{scaled:.4g}{prefix}"


def humanize1024(value: Any) -> str:
    """Binary prefixes: 1048576 → 1Mi."""
    v = _number(value)
    if (plain := _plain(v)) is not None:
        return plain
    if abs(v) <= 1:
        return f"{v:.4g}"
    scaled, prefix = _scaled(v, tuple(f"{p}i" for p in ("k", *_LARGE[1:])), 1024.0)
    return f"{scaled:.4g}{prefix}"


def humanize_duration(value: Any) -> str:
    """Seconds as 1d 2h 3m 4s."""
    v = _number(value)
    if not math.isfinite(v):
        return _go_float(v)
    if v == 0:
        return "0s"
    if abs(v) < 1:
        scaled, prefix = _scaled_up(v)
        return f"{scaled:.4g}{prefix}s"
    sign, whole = ("-" if v < 0 else ""), int(abs(v))
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{abs(v):.4g}s"


def humanize_percentage(value: Any) -> str:
    """A ratio in percent: 0.1234 → 12.34%."""
    v = _number(value) * 100
    return f"{v:.4g}%" if math.isfinite(v) else f"{_go_float(v)}%"


def humanize_timestamp(value: Any) -> str:
    """Unix seconds as a time in UTC."""
    v = _number(value)
    if not math.isfinite(v) or abs(v) > 2.5e11:
        return f"{v:.4g}"
    at = datetime.fromtimestamp(v, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S} +0000 UTC"


def printf(pattern: Any, *args: Any) -> str:
    """Go's verbs v, s, q, d, f, g, e, x, t; widths of at most 99."""
    rest = list(args)

    def one(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if len(width) > 2 or len(precision or "") > 2:
            raise TemplateError("printf: a width or precision over 99")
        if not rest:
            return f"%!{verb}(MISSING)"
        return _formatted(flags, width, precision, verb, rest.pop(0))

    return _VERB.sub(one, str(pattern))


def _formatted(flags: str, width: str, precision: str | None, verb: str, value: Any) -> str:
    dot = f".{precision or 0}" if precision is not None else ""
    if verb in "fFeEgG":
        return f"%{flags}{width}{dot}{verb}" % _number(value)
    if verb in "dxX":
        return f"%{flags}{width}{verb}" % int(_number(value))
    if verb in "vst":
        return f"%{flags.replace('0', '').replace('+', '')}{width}{dot if verb == 's' else ''}s" % show(value)
    if verb == "q":
        return '"' + show(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    raise TemplateError(f"printf: %{verb} is not supported")


def _pattern(pattern: Any) -> re.Pattern[str]:
    text = str(pattern)
    if _REPEATED_GROUP.search(text) or len(_OPEN_ENDED.findall(text)) > 3:
        raise TemplateError(f"the regular expression {text!r} may take too long here")
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError):
        raise TemplateError(f"not a regular expression here: {text!r}") from None


def _subject(value: Any) -> str:
    text = show(value)
    if len(text) > _SUBJECT_MAX:
        raise TemplateError(f"a text of {len(text)} characters is too long for a regular expression")
    return text


def replace_all(pattern: Any, by: Any, text: Any) -> str:
    """`reReplaceAll`; `$1` and `${1}` name groups."""
    template = re.sub(r"\$\{?(\d+)\}?", r"\\g<\1>", str(by).replace("\\", "\\\\"))
    try:
        return _pattern(pattern).sub(template, _subject(text))
    except (re.error, IndexError):
        raise TemplateError(f"not a replacement: {by!r}") from None


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(a: Any, b: Any) -> bool:
        numbers = isinstance(a, int | float) and isinstance(b, int | float)
        if not numbers and type(a) is not type(b):
            raise TemplateError(f"cannot compare {show(a)!r} with {show(b)!r}")
        return test(a, b)

    return compare


def _equal(a: Any, *others: Any) -> bool:
    return any(_compare(lambda x, y: bool(x == y))(a, other) for other in others)


def _index(of: Any, *keys: Any) -> Any:
    for key in keys:
        if not isinstance(of, Mapping):
            raise TemplateError("index of something that is no map")
        of = of.get(str(key), "")
    return of


def _length(value: Any) -> int:
    if not isinstance(value, str | Mapping):
        raise TemplateError("len of a number")
    return len(value)


def _print(*args: Any) -> str:
    return "".join(show(arg) for arg in args)


def _duration_seconds(text: Any) -> float:
    try:
        return parse_duration(str(text)).total_seconds()
    except ValueError as wrong:
        raise TemplateError(str(wrong)) from None


def truth(value: Any) -> bool:
    """Go's: empty, zero and false are false."""
    return bool(value)


WORDS: Mapping[str, Callable[..., Any]] = {
    "humanize": humanize,
    "humanize1024": humanize1024,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": humanize_percentage,
    "humanizeTimestamp": humanize_timestamp,
    "printf": printf,
    "print": _print,
    "println": lambda *args: " ".join(show(arg) for arg in args) + "\n",
    "title": lambda text: re.sub(r"(^|\s)(\S)", lambda m: m[1] + m[2].upper(), show(text)),
    "toUpper": lambda text: show(text).upper(),
    "toLower": lambda text: show(text).lower(),
    "stripPort": lambda text: re.sub(r":\d+$", "", show(text)),
    "stripDomain": lambda text: show(text).split(".")[0],
    "match": lambda pattern, text: _pattern(pattern).search(_subject(text)) is not None,
    "reReplaceAll": replace_all,
    "parseDuration": _duration_seconds,
    "safeHtml": lambda text: text,
    "len": _length,
    "index": _index,
    "not": lambda value: not truth(value),
    "and": lambda *args: next((arg for arg in args if not truth(arg)), args[-1]),
    "or": lambda *args: next((arg for arg in args if truth(arg)), args[-1]),
    "eq": _equal,
    "ne": _compare(lambda a, b: bool(a != b)),
    "lt": _compare(lambda a, b: bool(a < b)),
    "le": _compare(lambda a, b: bool(a <= b)),
    "gt": _compare(lambda a, b: bool(a > b)),
    "ge": _compare(lambda a, b: bool(a >= b)),
    "externalURL": lambda: "",
    "pathPrefix": lambda: "",
}
"""By the names that a template calls them."""
