"""Text to tree and back: the caps, the traps of the grammar's parser, and messages that say where."""

from __future__ import annotations

import contextlib
import math
import pickle
import subprocess
import sys
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.promql import PromqlError, UnsupportedError, parse, render
from opsctl.promql.ast import Aggregate, Binary, Call, Matcher, Number, Range, Selector, Subquery, Text, walk
from tests.promqltest.expressions import Expressions


def test_the_tree_is_our_own_comparable_and_picklable() -> None:
    """Equal texts but for spaces and comments give equal, hashable trees."""
    one = parse('sum by (job) (rate(x_total{code=~"5.."}[5m] offset 1m)) > 2')
    two = parse("sum by(job)(rate(x_total{code=~'5..'}[300s]offset 60))>2 # comment")
    assert one == two
    assert hash(one) == hash(two)
    assert pickle.loads(pickle.dumps(one)) == one
    assert one == Binary(
        ">",
        Aggregate(
            "sum",
            Call(
                "rate",
                (
                    Range(
                        Selector((Matcher("__name__", "=", "x_total"), Matcher("code", "=~", "5..")), 60_000), 300_000
                    ),
                ),
            ),
            None,
            ("job",),
        ),
        Number(2.0),
    )


@pytest.mark.parametrize(
    ("text", "ms"), [("x @ 1.234", 1234), ("x @ -1.5", -1500), ("x @ 100", 100_000), ("x @ 1m40s", 100_000)]
)
def test_the_time_of_at_is_exact_also_before_the_epoch(text: str, ms: int) -> None:
    """The parser's own type for it panics on negative times and rounds."""
    selector = parse(text)
    assert isinstance(selector, Selector)
    assert selector.time == ms


def test_backticks_and_bytes() -> None:
    r"""Backticks are raw, `\x41` is a byte, and bytes that are no UTF-8 equal nothing."""
    raw = parse("x{a=~`\\d+\"'`}")
    assert isinstance(raw, Selector)
    assert raw.matchers[1].value == "\\d+\"'"
    assert parse(r'"\x41\xc3\xa9\101"') == Text("AéA")
    assert parse(r'"\xff"') != Text("ÿ")


def test_holt_winters_is_an_alias() -> None:
    """The name of 2.x means the function of 3.x."""
    assert parse("holt_winters(x[5m], 0.5, 0.5)") == parse("double_exponential_smoothing(x[5m], 0.5, 0.5)")


def test_keywords_may_be_written_in_any_case() -> None:
    """As on a server; names of functions and metrics may not."""
    assert parse("SUM BY (a) (x) AND ON (a) y OFFSET 5m") == parse("sum by (a) (x) and on (a) y offset 5m")


def test_numbers_and_durations_as_numbers() -> None:
    """Hexadecimal, underscores, durations, infinities."""
    for text, value in (("0x1F", 31), ("1_000", 1000), ("1h30m", 5400), ("+Inf", math.inf), (".5e3", 500)):
        assert parse(text) == Number(float(value))
    assert parse("nan") == parse("NaN")


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "empty"),
        ("foo +", 6, "operand"),
        ("foo bar", 5, "unexpected 'bar' after an expression"),
        ("sum(foo", 4, "never closed"),
        ("a)", 2, "unexpected ')'"),
        ("foo{a=}", 7, "label value"),
        ("foo{a=1}", 7, "inside braces"),
        ('"abc', 1, "no end"),
        ("foo $ 1", 5, "'$'"),
        ("1 + rat(foo[5m])", 5, "did you mean rate?"),
        ("1 + rate(foo)", 5, "expected type matrix"),
        ("1 == 2", 3, "BOOL"),
        ('foo{a=~"("}', 8, "regex"),
        ("foo[30m1h]", 5, "duration"),
        ("foo @ 1e12", 7, "out of bounds"),
        ("foo @ 1e300", 7, "out of bounds"),
        ("foo @ NaN", 7, "out of bounds"),
        ("foo[99999999999y]", 5, "out of bounds"),
        ("foo[1h:18446744073709551616]", 8, "out of bounds"),
        ("foo offset -Inf", 13, "out of bounds"),
        ("1 + 99999999999y", 5, "out of bounds"),
        ('5{a="b"}', 2, "follow a metric name"),
        ("foo offset - bar", 14, "a duration is expected"),
        ("foo @ -5m @", 12, "ends where a time"),
        ("foo, bar", 4, "unexpected ','"),
        ("foo bool bar", 5, "unexpected 'bool'"),
        ('foo{a="b" or c="d"}', 1, "not PromQL"),
        ("rate(x[{{.window}}])", 8, "replaced by a duration"),
        ("x{a='\ud800'}", 6, "Unicode"),
    ],
)
def test_errors_say_where(text: str, column: int, says: str) -> None:
    """One line with the column of the trouble."""
    with pytest.raises(PromqlError) as caught:
        parse(text)
    assert caught.value.column == column
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "feature"),
    [
        ("info(x)", "info()"),
        ("x[5m] anchored", "`anchored`"),
        ("rate(x[5m] smoothed)", "`smoothed`"),
        ("x[5m+1m]", "duration arithmetic"),
        ("x offset (5m)", "duration arithmetic"),
        ("x[step()]", "duration arithmetic"),
        ("x offset -min(5m, 1h)", "duration arithmetic"),
        ("x[5m:1m*2]", "duration arithmetic"),
        ("x @ 5 smoothed", "`smoothed`"),
        ("max_of(x, 2)", "max_of"),
        ("x </ 5", "operator </"),
        ("START_TIMESTAMP(x)", "start_timestamp"),
        ("LIMIT_RATIO BY (a) (0.5, x)", "limit_ratio"),
        ("histogram_count(x)", "native histograms"),
        ("mad_over_time(x[5m])", "mad_over_time"),
        ("limitk(2, x)", "limitk"),
        ("x + fill(0) y", "fill"),
        ("end()", "end()"),
    ],
)
def test_what_is_out_of_scope_is_refused_by_name(text: str, feature: str) -> None:
    """Never a number, and never a syntax error either: a server may well answer it."""
    with pytest.raises(UnsupportedError) as caught:
        parse(text)
    assert feature in caught.value.feature
    assert str(caught.value).endswith("not supported")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x" + " or x" * 5000, "16 KiB"),
        ("x" + "+x" * 201, "deeper than 200"),
        ("x" + " OR x" * 3000, "deeper than 200"),
        ("x" + "[5m:1m]" * 2000, "deeper than 200"),
        ("(" * 201 + "x" + ")" * 201, "deeper than 200"),
        ("(" * 8000 + "x" + ")" * 8000, "deeper than 200"),
        ("-" * 10_000 + "x", "deeper than 200"),
        ("abs(" * 300 + "x" + ")" * 300, "deeper than 200"),
        ("(" * 50 + "x" + ("+x" * 10 + ")") * 50, "deeper than 200"),
        ("x{a=~'" + "é" * 9000 + "'}", "16 KiB"),
    ],
)
def test_caps_are_checked_before_parsing(text: str, says: str) -> None:
    """Such texts end the process of whoever hands them to the parser."""
    with pytest.raises(PromqlError, match=says):
        parse(text)


def test_just_below_the_caps_parses() -> None:
    """200 is allowed, in brackets as in chains."""
    assert parse(render(parse("x" + "+x" * 200))) is not None
    assert parse(render(parse("(" * 199 + "x" + ")" * 199))) is not None


def test_hostile_fragments_never_panic() -> None:
    """Whatever the text, the outcome is a tree or our error."""
    rng = Random(3)
    parts = [
        "x",
        "(",
        ")",
        "[5m]",
        "[",
        "]",
        "{",
        "}",
        "@",
        "-1",
        "offset",
        "sum",
        "by",
        ",",
        '"a"',
        "`",
        "5m",
        ":",
        "and",
        "1e999",
    ]
    for _ in range(2000):
        text = " ".join(rng.choice(parts) for _ in range(rng.randrange(1, 9)))
        with contextlib.suppress(PromqlError):
            parse(text)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_render_gives_back_the_same_tree(seed: int) -> None:
    """`parse(render(e)) == e`, with milliseconds, quotes and parentheses."""
    tree = parse(Expressions(Random(seed)).any(4))
    assert parse(render(tree)) == tree


@pytest.mark.parametrize(
    "text",
    [
        "x[1ms]",
        "x @ 1.234 offset -1ms",
        'sum by ("a.b") (x)',
        '{"a.b", x="y"}',
        "(a[5m:1s] @ end() offset 1h)",
        "a * on (x) group_left (y, z) b",
        "a > bool ignoring (x) b",
        'count_values("v", x)',
        'x{a="\\n\\t\\"\\\\"}',
        "-(2 ^ 3)",
        "-1.5e-7",
        '{__name__=~"a|b"}',
        "sum without () (x)",
        'rate(start[5m]) + sum{a="b"} + by',
    ],
)
def test_render_of_the_odd_ones(text: str) -> None:
    """Names that are words of the grammar, UTF-8 names, empty groupings."""
    assert parse(render(parse(text))) == parse(text)


def test_positions_point_into_the_text() -> None:
    """Leaves and calls know where they are; label lists, durations and keywords do not confuse them."""
    text = 'sum by (a) (x{a="b"}[5m:1m] @ 5 offset 1m) / on (a) group_left (c) (topk(3, {__name__="y"}) or vector(1))'
    text = text.replace("sum by (a) (x", "sum by (a) (avg_over_time(x").replace("offset 1m)", "offset 1m))")
    for node in walk(parse(text)):
        match node:
            case Selector():
                assert text[node.at] in "x{"
            case Number(value):
                assert text[node.at] == str(int(value))
            case Call(function) | Aggregate(function):
                assert text[node.at :].startswith(function)
            case Subquery():
                assert text[node.at] == "x"


def test_parsing_needs_no_numpy() -> None:
    """`check` against a server must start fast."""
    code = "import sys, opsctl.promql, opsctl.promql.plan, opsctl.promql.rewrite; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
