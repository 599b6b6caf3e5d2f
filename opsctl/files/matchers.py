"""Matchers as people write them, in Alertmanager's syntax: `team="money"`, `service=~"wallet|payments"`.

Pure text. Must never let a pattern through that Python reads in another way than Prometheus does, or that may take
longer than a page can wait.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import cast

from opsctl.core.alerts import Cause
from opsctl.core.routing import Comparison, Matcher
from opsctl.core.slo import Severity
from opsctl.errors import UsageError

LENGTH_LIMIT = 1000
MOST_ENDLESS = 5  # a page must not wait for an expression: each more costs a factor of the label's length
WORDS: Mapping[str, tuple[str, ...]] = {
    "severity": tuple(one.value for one in Severity),
    "cause": tuple(one.value for one in Cause),
}
"""Labels with few values."""
_EXPECTED = 'expected a matcher like team="money", with =, !=, =~ or !~'
_QUOTED = r'"(?:[^"\\\n]|\\.)*"'
_ONE = re.compile(rf"""\s*({_QUOTED}|[^\s{{}}!=~,"'`\\]+)\s*(=~|!~|!=|=)\s*({_QUOTED}|(?![=~])[^\s{{}},"]*)\s*""")
_LITERAL = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\\.|\[:.*?:\]|[^\]\\])*\]", re.DOTALL)  # and classes
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_ENDLESS = re.compile(r"[*+]|\{\d+,\}")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
_STRANGERS = ("qx-7", "Zb_3", "0", "a.b")  # names that nothing has
_UNLABELLED = ("service", "team", "alertname", "rule_uid")


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """One matcher, or several with commas between, in braces or not; ValueError with what is wrong."""
    if len(text) > LENGTH_LIMIT:
        raise ValueError(f"is longer than {LENGTH_LIMIT} characters")
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    found: list[Matcher] = []
    at = 0
    while at < len(inner):
        match = _ONE.match(inner, at)
        if match is None:
            raise ValueError(_EXPECTED)
        found.append(_matcher(match[1], match[2], match[3]))
        at = match.end()
        if at < len(inner) and inner[at] != ",":
            if inner[at] in "=~":
                raise ValueError(_EXPECTED)
            raise ValueError(f"{_EXPECTED}; a value with spaces or commas stands in double quotes")
        at += 1
    if not found:
        raise ValueError(_EXPECTED)
    return tuple(found)


def matchers_of(flag: str, texts: Iterable[str]) -> tuple[Matcher, ...]:
    """The matchers of a repeated flag; UsageError with the text that is none."""
    found: list[Matcher] = []
    for text in texts:
        try:
            found.extend(parse_matchers(text))
        except ValueError as wrong:
            raise UsageError(f"{flag} {text}: {wrong}") from None
    return tuple(found)


def _matcher(name: str, comparison: str, value: str) -> Matcher:
    name, value = _unquoted(name), _unquoted(value)
    if not name:
        raise ValueError(_EXPECTED)
    pattern = _pattern(value) if comparison in ("=~", "!~") else ""
    made = Matcher(name, cast(Comparison, comparison), value, pattern)
    known = WORDS.get(name, ())
    if comparison in ("=", "!=") and known and value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}")
    if comparison == "=~" and known and not any(made.holds({name: word}) for word in known):
        raise ValueError(f"{name} is one of {', '.join(known)}: none of them fits")
    return made


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[0]), text[1:-1])


def _pattern(value: str) -> str:
    from opsctl.promql.errors import PromqlError
    from opsctl.promql.regex import compile_anchored

    try:
        pattern = compile_anchored(value).pattern
    except PromqlError as wrong:
        raise ValueError(str(wrong)) from None
    bare = _LITERAL.sub("x", value)
    if _REPEATED_GROUP.search(bare):
        raise ValueError("a repeated group may take for ever and is not supported in a matcher")
    if len(_ENDLESS.findall(bare)) > MOST_ENDLESS:
        raise ValueError(f"expected at most {MOST_ENDLESS} of * and + in a matcher: more may take for ever")
    return pattern


def excludes(matchers: Iterable[Matcher], severity: Severity) -> bool:
    """Whether the matchers can take no alert of that severity, whatever else it has."""
    return any(one.name == "severity" and not one.holds({"severity": severity.value}) for one in matchers)


def takes_everything(matchers: Iterable[Matcher], namespace: str, severities: Iterable[Severity] = Severity) -> bool:
    """Whether alerts of these severities are taken whatever their service, team, rule and labels are.

    Asked with names that nothing has: a matcher that only leaves a few out (`service!="wallet"`) takes everything.
    """
    several = tuple(matchers)
    strangers = (
        {**dict.fromkeys(_UNLABELLED, name), "severity": severity.value, "cause": cause.value, "namespace": namespace}
        for name, severity, cause in itertools.product(_STRANGERS, severities, (Cause.BURN, Cause.RULE))
    )
    return all(one.holds(labels) for labels in strangers for one in several)
