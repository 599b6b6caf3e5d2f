"""Matchers as predicates over labels; a label that is not there is the empty text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opsctl.promql import Matcher
from opsctl.promql.regex import compile_anchored


def test_of(matcher: Matcher) -> Callable[[str], bool]:
    """Whether a value fits a matcher."""
    negated = matcher.op in ("!=", "!~")
    if matcher.op in ("=", "!="):
        return lambda value: (value == matcher.value) != negated
    pattern = compile_anchored(matcher.value)
    return lambda value: (pattern.match(value) is not None) != negated


def fits(matchers: Iterable[Matcher]) -> Callable[[Mapping[str, str]], bool]:
    """Whether labels fit all matchers."""
    tests = [(one.name, test_of(one)) for one in matchers]
    return lambda labels: all(test(labels.get(name, "")) for name, test in tests)


def equal_to(matchers: Iterable[Matcher], label: str) -> str:
    """The one value that a label must have; empty where the matchers do not say one."""
    return next((one.value for one in matchers if one.name == label and one.op == "="), "")
