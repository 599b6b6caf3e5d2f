"""Anchored patterns in Lucene's language."""

from __future__ import annotations

import pytest

from collectors.elasticsearch.lucene import lucene, takes_nothing
from opsctl.core.signals import Reason
from opsctl.http import HttpProblem


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("abc", "abc"),
        ("^abc$", "abc"),
        ("a.c", "a.c"),
        ("a|b", "[ab]"),
        ("foo|bar", "(foo|bar)"),
        ("(?:foo)+?", "(foo)+"),
        ("a{2,3}b{2,}c{4}", "(a){2,3}(b){2,}(c){4,4}"),
        ("x?", "(x)?"),
        (r"\d+\.\d*", r"([0-9])+\.([0-9])*"),
        (r"\W", "[^0-9A-Za-z_]"),
        ("[^a-c_]", "[^a-c_]"),
        ("(?i:ab)c", "([aA][bB])c"),
        ("(?i)[a-c]", "([a-cA-C])"),
        (r"\Qa.b*\E", r"a\.b\*"),
        ('a"b#c~d@e<f>g&h', r"a\"b\#c\~d\@e\<f\>g\&h"),
        ("größe", "größe"),
        ("", ""),
    ],
)
def test_what_it_becomes(pattern: str, written: str) -> None:
    """Every operator that Lucene has by itself is escaped; anchors at the ends go, for both are anchored."""
    assert lucene(pattern) == written


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"a\bb", Reason.UNSUPPORTED),
        ("a(^b)", Reason.UNSUPPORTED),
        (r"[\D0]", Reason.UNSUPPORTED),
        ("a{2000}", Reason.UNSUPPORTED),
        ("(", Reason.REJECTED),
        ("a**", Reason.REJECTED),
        (r"\p{L}", Reason.REJECTED),
        ("(?=a)", Reason.REJECTED),
    ],
)
def test_what_cannot_be_said_is_refused(pattern: str, reason: Reason) -> None:
    """Not asked for something else."""
    with pytest.raises(HttpProblem) as wrong:
        lucene(pattern)
    assert wrong.value.reason is reason
    assert "\n" not in wrong.value.message


def test_what_takes_the_empty_text_takes_an_absent_field() -> None:
    """As in PromQL."""
    assert [takes_nothing(pattern) for pattern in ("", ".*", "a|", "a", ".+")] == [True, True, True, False, False]
