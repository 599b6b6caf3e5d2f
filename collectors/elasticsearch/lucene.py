"""Anchored patterns, as PromQL has them, in Lucene's language.

Pure. Must never let a pattern through that means something else there.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from opsctl.core.signals import Reason
from opsctl.http import HttpProblem
from opsctl.promql.errors import PromqlError, UnsupportedError
from opsctl.promql.regex import compile_anchored, translate

_IGNORE_CASE = 2
_ENDLESS = 1000  # Lucene's own limit on a counted repetition
_CATEGORIES = {
    "CATEGORY_DIGIT": "0-9",
    "CATEGORY_WORD": "0-9A-Za-z_",
    "CATEGORY_SPACE": " \t\n\r\f\v",
}


def lucene(pattern: str) -> str:
    """The pattern in Lucene's language, without its optional operators; HttpProblem for what cannot be said there."""
    try:
        compile_anchored(pattern)
        parser: Any = import_module("re._parser")
        parsed = parser.parse(translate(pattern))
    except UnsupportedError as wrong:
        raise HttpProblem(Reason.UNSUPPORTED, str(wrong)) from wrong
    except PromqlError as wrong:
        raise HttpProblem(Reason.REJECTED, str(wrong)) from wrong
    return _Written(pattern).sequence(parsed, bool(parsed.state.flags & _IGNORE_CASE), edge=True)


def takes_nothing(pattern: str) -> bool:
    """Whether the pattern fits the empty text, and so a field that is absent."""
    return compile_anchored(pattern).match("") is not None


class _Written:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def _cannot(self, what: str) -> HttpProblem:
        return HttpProblem(Reason.UNSUPPORTED, f"Elasticsearch has no {what}, as in the pattern {self._pattern!r}")

    def sequence(self, parsed: Any, ignore_case: bool, edge: bool = False) -> str:
        items = list(parsed)
        out = []
        for number, (op, argument) in enumerate(items):
            if str(op) == "AT":
                where = str(argument)
                first = number == 0 and where in {"AT_BEGINNING", "AT_BEGINNING_STRING"}
                last = number == len(items) - 1 and where in {"AT_END", "AT_END_STRING"}
                if not edge or not (first or last):
                    raise self._cannot("place inside a text (^, $, \\b)")
                continue
            out.append(self._item(str(op), argument, ignore_case))
        return "".join(out)

    def _item(self, op: str, argument: Any, ignore_case: bool) -> str:
        match op:
            case "LITERAL":
                return _literal(argument, ignore_case)
            case "ANY":
                return "."
            case "NOT_LITERAL":
                return f"[^{_both(argument, ignore_case)}]"
            case "IN":
                return self._class(argument, ignore_case)
            case "BRANCH":
                return "(" + "|".join(self.sequence(one, ignore_case) or "()" for one in argument[1]) + ")"
            case "SUBPATTERN":
                _, add, remove, inner = argument
                now = (ignore_case or bool(add & _IGNORE_CASE)) and not remove & _IGNORE_CASE
                return f"({self.sequence(inner, now)})"
            case "MAX_REPEAT" | "MIN_REPEAT":  # greed changes nothing where only the whole text counts
                return self._repeat(argument, ignore_case)
        raise self._cannot(op.lower().replace("_", " "))

    def _repeat(self, argument: Any, ignore_case: bool) -> str:
        least, most, inner = int(argument[0]), int(argument[1]), self.sequence(argument[2], ignore_case)
        if not inner:
            return ""
        if least > _ENDLESS or (str(argument[1]) != "MAXREPEAT" and most > _ENDLESS):
            raise self._cannot(f"repetition of more than {_ENDLESS}")
        if str(argument[1]) == "MAXREPEAT":
            endless = {0: "*", 1: "+"}.get(least, f"{{{least},}}")
            return f"({inner}){endless}"
        return f"({inner})?" if (least, most) == (0, 1) else f"({inner}){{{least},{most}}}"

    def _class(self, parts: Any, ignore_case: bool) -> str:
        out, negated = "", ""
        for op, argument in parts:
            match str(op):
                case "NEGATE":
                    negated = "^"
                case "LITERAL":
                    out += _both(argument, ignore_case)
                case "RANGE":
                    out += self._range(argument, ignore_case)
                case "CATEGORY":
                    name = str(argument)
                    if name.replace("NOT_", "") not in _CATEGORIES:
                        raise self._cannot(f"class {name.lower()}")
                    if "NOT_" in name:
                        if len(parts) > 1:
                            raise self._cannot("class that is not another, inside brackets")
                        return f"[^{_CATEGORIES[name.replace('NOT_', '')]}]"
                    out += _CATEGORIES[name]
        return f"[{negated}{out}]"

    def _range(self, argument: Any, ignore_case: bool) -> str:
        low, high = argument
        out = f"{_escaped(low)}-{_escaped(high)}"
        for first, last, shift in ((65, 90, 32), (97, 122, -32)):
            start, end = max(low, first), min(high, last)
            if ignore_case and start <= end:
                out += f"{chr(start + shift)}-{chr(end + shift)}"
        return out


def _escaped(code: int) -> str:
    char = chr(code)
    return char if char.isalnum() or code > 127 or char in " _\t\n\r\f\v" else "\\" + char


def _both(code: int, ignore_case: bool) -> str:
    char = chr(code)
    if ignore_case and char.isascii() and char.isalpha():
        return char.lower() + char.upper()
    return _escaped(code)


def _literal(code: int, ignore_case: bool) -> str:
    both = _both(code, ignore_case)
    return f"[{both}]" if ignore_case and chr(code).isascii() and chr(code).isalpha() else both
