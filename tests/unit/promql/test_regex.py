"""RE2 patterns in Python: the same matches, or a refusal; never another meaning and never a hang."""

from __future__ import annotations

import pytest

from opsctl.promql import PromqlError
from opsctl.promql.regex import compile_anchored


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        ("a|b", ["a", "b"], ["ab", "xa"]),
        ("", [""], ["a"]),
        (".*", ["", "a\nb"], []),
        ("(?i)abc", ["ABC"], ["ABCD"]),
        ("a(?i)b", ["ab", "aB"], ["AB"]),
        ("a(x(?i)b)c", ["axBc"], ["axBC", "aXbc"]),
        ("a(?i:b)c", ["aBc"], ["aBC"]),
        ("(?i)a(?-i)b", ["Ab"], ["AB"]),
        ("(?-s).", ["a"], ["\n"]),
        (r"\d\w", ["1a"], ["١a"]),
        ("[[:alpha:]_]+", ["ab_"], ["1"]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[^]a]", ["b"], ["]"]),
        ("[a[b]", ["[", "a"], ["c"]),
        (r"\Qa.b\E+", ["a.b", "a.bb"], ["axb"]),
        (r"a\z", ["a"], ["a\n"]),
        ("a$", ["a"], ["a\n"]),
        (r"\x{41}\x42", ["AB"], []),
        ("(?P<n>a)(?<m>b)", ["ab"], []),
        ("a{2,3}", ["aa"], ["a", "aaaa"]),
        ("{a}", ["{a}"], []),
        ("a*?b", ["aab"], []),
        ("prod-.+-[0-9]+", ["prod-eu-1"], ["prod--x"]),
    ],
)
def test_matches_as_re2_does(pattern: str, hits: list[str], misses: list[str]) -> None:
    """Anchored at both ends, `.` takes line ends, classes are ASCII."""
    compiled = compile_anchored(pattern)
    assert all(compiled.match(text) for text in hits)
    assert not any(compiled.match(text) for text in misses)


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(?:a*)*", "((a|b)*c*){2,}", "(?=a)", r"\1", "a*+", r"\pL", "(?U)a", "("]
)
def test_what_python_would_read_otherwise_is_refused(pattern: str) -> None:
    """Also repetitions in repetitions: RE2 takes them in its stride, Python may never end."""
    with pytest.raises(PromqlError):
        compile_anchored(pattern)


@pytest.mark.parametrize("pattern", ["wal[let", "[^", "[]"])
def test_an_open_bracket_is_said_in_the_pattern_s_own_words(pattern: str) -> None:
    """What this engine adds around a pattern is in no message."""
    with pytest.raises(PromqlError, match=r"has a \[ without its \]"):
        compile_anchored(pattern)
