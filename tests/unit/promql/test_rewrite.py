"""Windows put into queries, counters wrapped, recorded names inlined: by structure, with errors that say where."""

from __future__ import annotations

import pytest

from opsctl.promql import PromqlError, parse
from opsctl.promql.rewrite import (
    adds_only_matchers,
    has_window,
    inline,
    metric_names,
    over_steps,
    selectors,
    with_window,
    wrap_counter,
)


def test_the_placeholder_is_replaced_only_where_it_is_one() -> None:
    """In strings and comments it is text."""
    text = 'sum(increase(x{a="{{.window}}"}[{{ .window }}] offset {{.window}})) # {{.window}}'
    assert with_window(text, "1h") == 'sum(increase(x{a="{{.window}}"}[1h] offset 1h)) # {{.window}}'
    assert with_window("sum_over_time(x[{{.window}}:1m])", "30d") == "sum_over_time(x[30d:1m])"
    assert with_window("x offset -{{.window}}", "5m") == "x offset -5m"
    assert has_window(text)
    assert not has_window('x{a="{{.window}}"}')


@pytest.mark.parametrize(
    ("text", "column"),
    [("sum({{.window}})", 5), ("x + {{.window}}", 5), ("x{a={{.window}}}", 5), ("x[5m{{.window}}]", 5)],
)
def test_a_placeholder_elsewhere_is_an_error(text: str, column: int) -> None:
    """Only a range, a step or an offset has a duration."""
    with pytest.raises(PromqlError) as caught:
        with_window(text, "1h")
    assert caught.value.column == column


@pytest.mark.parametrize("window", ["", "1", "5 m", "1h)] or vector(1) #", "0s", "-5m"])
def test_a_window_is_a_duration_and_nothing_else(window: str) -> None:
    """Nothing can be slipped in through it."""
    with pytest.raises(PromqlError):
        with_window("rate(x[{{.window}}])", window)


def test_counters_are_wrapped_each_by_itself() -> None:
    """Offsets and `@` stay with their selector."""
    assert wrap_counter('sum(x{a="b"} offset 5m) + on (a) y @ 7', "6h") == (
        'sum(increase(x{a="b"}[6h] offset 5m)) + on (a) increase(y[6h] @ 7.000)'
    )
    assert over_steps("a < bool 3", "30d", "1m") == "sum_over_time((a < bool 3)[30d:1m])"
    assert over_steps("up", "30d", "1m") == "sum_over_time(up[30d:1m])"


@pytest.mark.parametrize("text", ["sum(rate(x[5m]))", "sum( avg_over_time((a)[5m:1m]))"])
def test_a_range_in_such_a_query_is_an_error_with_its_place(text: str) -> None:
    """The window comes from the SLO."""
    with pytest.raises(PromqlError) as caught:
        wrap_counter(text, "1h")
    assert caught.value.column == text.index("[") + 1
    with pytest.raises(PromqlError) as caught:
        over_steps(text, "1h", "1m")
    assert caught.value.column == text.index("[") + 1


def test_selectors_and_names() -> None:
    """In the order of the text; a name asked by a pattern is none."""
    found = selectors(parse('sum(a) / rate(b{c="d"}[5m]) + {__name__="e"} + {__name__=~"f.*"} + max_over_time(g[1h:])'))
    assert [each.metric for each in found] == ["a", "b", "e", None, "g"]
    assert metric_names('a + b{c="d"} + {__name__="e", x="y"} + {__name__=~"f"}') == {"a", "b", "e"}


def test_recorded_names_are_inlined_when_bare() -> None:
    """However deep; with added matchers, a range or an offset the server is asked."""
    recorded = {"job:rate": "sum by (job) (rate(z[5m])) + other", "other": "max(k)"}
    assert inline("job:rate / 2", recorded) == "(sum by (job) (rate(z[5m])) + (max(k))) / 2"
    for text in ('job:rate{job="a"}', "job:rate offset 5m", "rate(job:rate[5m])", "job:rate @ 5", "unknown"):
        assert parse(inline(text, recorded)) == parse(text)


def test_recorded_names_that_read_each_other_are_an_error() -> None:
    """Named in the order they read each other."""
    with pytest.raises(PromqlError, match="a → b → a"):
        inline("a", {"a": "b", "b": "sum(a)"})


@pytest.mark.parametrize(
    ("bad", "total", "expected"),
    [
        ('sum(rate(x{code=~"5.."}[5m]))', "sum(rate(x[5m]))", True),
        ('(sum(rate(x{job="j",code=~"5.."}[5m])))', 'sum(rate((x{job="j"}[5m])))', True),
        ("sum(rate(x[5m]))", "sum(rate(x[5m]))", True),
        ('sum(rate(x{code="5"}[5m]))', "sum(rate(y[5m]))", False),
        ('sum(rate(x{code="5"}[5m]))', 'sum(rate(x{job="j"}[5m]))', False),
        ('sum(rate(x{code="5"}[1h]))', "sum(rate(x[5m]))", False),
        ('sum(rate(x{code="5"}[5m] offset 1m))', "sum(rate(x[5m]))", False),
        ('2 * sum(rate(x{code="5"}[5m]))', "sum(rate(x[5m]))", False),
        ('sum by (a) (x{code="5"})', "sum(x)", False),
    ],
)
def test_a_bad_count_that_only_narrows_the_total(bad: str, total: str, expected: bool) -> None:
    """Then its ratio cannot leave [0, 1]."""
    assert adds_only_matchers(bad, total) is expected
