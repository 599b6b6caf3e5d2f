"""Expressions asked as one: which may be, in what words, and that the answer taken apart is each one's own."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opsctl.promql.coalesce as module
from opsctl.core.signals import Labels, Sample, labels
from opsctl.promql import PromqlError, parse
from opsctl.promql.coalesce import Batch, coalesced, quote_meta, value_of
from opsctl.promql.engine import Engine, Result
from opsctl.promql.regex import compile_anchored
from opsctl.promql.store import SeriesStore

KIB = 1024
HOSTILE = (
    "wallet",
    "Wallet",
    "wal.let",
    "wal|let",
    'a"b',
    "back\\slash",
    "new\nline",
    "tab\t",
    " ",
    "a.*",
    "(x",
    "[y]",
    "$^",
)
HOSTILE += ("ünï-☃", "x{1,2}", "\\d+", "{{.window}}", "%41", "a'b", "`", "#", "opsctl slot 1", "\x7f", "\x01", "+?")


def texts(template: str, values: tuple[str, ...] = ("a", "b", "c")) -> list[str]:
    return [template.replace("$", json.dumps(value, ensure_ascii=False)) for value in values]


def one_batch(template: str) -> str:
    (batch,) = coalesced(texts(template), 16 * KIB)
    assert [member.text for member in batch.members] == texts(template)
    return batch.text


@pytest.mark.parametrize(
    ("template", "asked"),
    [
        ("sum(x{s=$})", 'sum by (s) (x{s=~"a|b|c"})'),
        ("sum by (s) (x{s=$})", 'sum by (s) (x{s=~"a|b|c"})'),
        ("count by (code) (x{s=$})", 'count by (s, code) (x{s=~"a|b|c"})'),
        ("max without (pod) (x{s=$})", 'max without (pod) (x{s=~"a|b|c"})'),
        ('sum(rate(x{code="5",s=$}[5m] offset 1h)) > 0.1', 'sum by (s) (rate(x{code="5", s=~"a|b|c"}[5m] offset 1h)) > 0.1'),
        (
            'sum(increase(n_count{s=$}[1h])) - sum(increase(n_bucket{s=$,le="0.5"}[1h]))',
            'sum by (s) (increase(n_count{s=~"a|b|c"}[1h])) - sum by (s) (increase(n_bucket{s=~"a|b|c", le="0.5"}[1h]))',
        ),
        (
            "sum(sum_over_time((max(q{s=$}) > bool 5)[1h:1m]))",
            'sum by (s) (sum_over_time((max by (s) (q{s=~"a|b|c"}) > bool 5)[1h:1m]))',
        ),
        ("sum(x{s=$}) / ignoring (zone) sum by (zone) (y{s=$})", 'sum by (s) (x{s=~"a|b|c"}) / ignoring (zone) sum by (s, zone) (y{s=~"a|b|c"})'),
        ("sum(x{s=$} * on (s, pod) y{s=$})", 'sum by (s) (x{s=~"a|b|c"} * on (s, pod) y{s=~"a|b|c"})'),
        ("time() - max(x{s=$})", 'time() - max by (s) (x{s=~"a|b|c"})'),
        ("sum(x{s=$} @ 100) unless sum(y{s=$})", 'sum by (s) (x{s=~"a|b|c"} @ 100.000) unless sum by (s) (y{s=~"a|b|c"})'),
        ('sum by ("a.b") ({"my.metric", s=$})', 'sum by (s, "a.b") ({__name__="my.metric", s=~"a|b|c"})'),
        ("sum(\n  x{s=$}\n)", 'sum by (s) (x{s=~"a|b|c"})'),
    ],
)  # fmt: skip
def test_expressions_of_one_form_are_one_question(template: str, asked: str) -> None:
    assert one_batch(template) == asked


@pytest.mark.parametrize(
    "template",
    [
        "sum(x{s=$}) or sum(y{s=$})",
        "sum(x{s=$} or y{s=$})",
        "absent(x{s=$})",
        "sum(absent(x{s=$}))",
        "sum(absent_over_time(x{s=$}[5m]))",
        "sum(x{s=$}) or vector(0)",
        "vector(1) - sum(x{s=$})",
        "scalar(sum(x{s=$}))",
        "sum(x{s=$}) / on () sum(y{s=$})",  # would meet across values
        "sum(x{s=$} * on (pod) y{s=$})",
        "sum(x{s=$} * ignoring (s) y{s=$})",
        "sum(x{s=$} * on (pod) group_left (s) y{s=$})",
        "sum(x{s=$} * on (s, pod) group_left (s) y{s=$})",
        "sum by (s) (x{s=$}) - sum(y{s=$})",  # alone they never meet, together they would
        "sum(x{s=$}) / sum(y)",  # not of one value
        "sum(x{s=$}) / sum(y{s!=$})",
        'sum(x{s=$,s!="z"})',
        "sum without (s) (x{s=$})",
        "topk(3, x{s=$})",
        "quantile(0.9, x{s=$})",
        'count_values("s", x{s=$})',
        'sum(label_replace(x{s=$}, "s", "$1", "t", "(.*)"))'.replace("$1", "one"),
        "histogram_quantile(0.9, sum by (le) (x_bucket{s=$}))",
        "sum(x{le=$})",  # servers write such numbers anew
        "sum(x{quantile=$})",
        "sum({__name__=$})",  # functions drop the name
        "sum(x{s=~$})",
        "sum(x{s!=$})",
        "x{s=$} > 5",  # no aggregation: as many elements as there are series
        "sum(x{s=$}) # it's a comment",
        "sum(x{s=$}",  # not an expression
        "sum(some_server_function(x{s=$}))",
    ],
)
def test_what_is_not_known_to_be_sound_is_asked_as_it_is_written(template: str) -> None:
    batches = coalesced(texts(template), 16 * KIB)
    assert [batch.text for batch in batches] == texts(template)


def test_a_value_that_no_label_can_be_asked_for_stays_alone() -> None:
    """An empty value also means "no such label", bytes that are no UTF-8 cannot be sent."""
    odd = ['sum(x{s=""})', 'sum(x{s="\\xff"})', 'sum(x{s="\\400"})', 'sum(x{s="\ud800"})']
    batches = coalesced([*texts("sum(x{s=$})"), *odd], 16 * KIB)
    assert [len(batch.members) for batch in batches] == [3, 1, 1, 1, 1]
    assert [batch.text for batch in batches[1:]] == odd


def test_values_that_differ_in_one_text_are_not_split_on() -> None:
    asked = ['sum(x{s="a"}) / sum(y{s="b"})', 'sum(x{s="c"}) / sum(y{s="d"})', *texts("sum(x{s=$}) / sum(y{s=$})")]
    assert [len(batch.members) for batch in coalesced(asked, 16 * KIB)] == [3, 1, 1]


def test_the_label_is_the_one_that_leaves_the_fewest_questions() -> None:
    asked = [f'sum(x{{env="prod",s="{s}",code="{c}"}})' for c in ("500", "503") for s in "abcde"]
    batches = coalesced(asked, 16 * KIB)
    assert [batch.text for batch in batches] == [
        f'sum by (s) (x{{env="prod", s=~"a|b|c|d|e", code="{c}"}})' for c in ("500", "503")
    ]


def test_windows_and_everything_else_are_part_of_the_form() -> None:
    asked = [f'sum(rate(x{{s="{s}"}}[{w}]))' for w in ("5m", "1h") for s in "ab"]
    assert [len(batch.members) for batch in coalesced(asked, 16 * KIB)] == [2, 2]
    assert len(coalesced(['sum(x{s="a"})', 'sum(x{s="b"} offset 5m)', 'sum(x{s="c"} @ 5)'], 16 * KIB)) == 3


def test_questions_whether_a_metric_is_there_are_one() -> None:
    (batch, other) = coalesced(["count(a)", "count(b:c)", 'count({__name__="d.e"})'], 16 * KIB)
    assert batch.text == 'count by (__name__) ({__name__=~"a|b:c"})'
    assert other.text == 'count({__name__="d.e"})'
    assert batch.apart([Sample((("__name__", "b:c"),), 4.0)]) == [(), (Sample((), 4.0),)]


def test_a_batch_is_no_longer_than_what_the_source_takes() -> None:
    asked = texts("sum(x{s=$}) - sum(y{s=$})", tuple(f"service-{i:04}" for i in range(2000)))
    batches = coalesced(asked, 16 * KIB)
    sizes = [len(batch.text.encode()) for batch in batches]
    assert max(sizes) <= 16 * KIB
    assert min(sizes[:-1]) > 15 * KIB
    assert sum(len(batch.members) for batch in batches) == 2000
    assert len(coalesced(asked, 256 * KIB)) == 1
    assert [len(batch.members) for batch in coalesced(asked[:3], 10)] == [1, 1, 1]  # what fits nowhere is asked alone
    assert [batch.text for batch in coalesced(asked[:3], 0)] == asked[:3]


def test_thousands_of_questions_are_not_parsed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    monkeypatch.setattr(module, "parse", lambda text: (parsed.append(text), parse(text))[1])
    windows = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
    asked = [f'sum(increase(seen_total{{s="s{i}"}}[{w}]))' for i in range(2000) for w in windows]
    assert len(coalesced(asked, 256 * KIB)) == 7
    assert len(parsed) <= 7
    coalesced(asked, 256 * KIB)
    assert len(parsed) <= 7


@given(st.text(min_size=1, max_size=8))
def test_a_quoted_value_matches_itself_and_nothing_else(value: str) -> None:
    pattern = compile_anchored(quote_meta(value))
    assert pattern.match(value)
    assert not pattern.match(value + "x")
    assert not pattern.match("x" + value)
    assert value_of(json.dumps(value)) in (value, None)


# Taken apart


def test_an_answer_to_something_else_is_not_taken_apart() -> None:
    (batch,) = coalesced(texts("sum(x{s=$})"), 16 * KIB)
    fine = [Sample((("s", "a"),), 1.0), Sample((("s", "c"),), 3.0)]
    assert batch.apart(fine) == [(Sample((), 1.0),), (), (Sample((), 3.0),)]
    assert batch.apart([*fine, Sample((("s", "z"),), 1.0)]) is None  # a server that ignores the pattern
    assert batch.apart([*fine, Sample((), 1.0)]) is None
    assert batch.apart([*fine, fine[0]]) is None


def test_halves_hold_everything_once() -> None:
    (batch,) = coalesced(texts("sum(x{s=$})", tuple("abcdefg")), 16 * KIB)
    left, right = batch.halves()
    assert (*left.members, *right.members) == batch.members
    assert left.text == 'sum by (s) (x{s=~"a|b|c"})'
    assert right.one(0).text == 'sum(x{s="d"})'


CODES, PODS = ("200", "500"), ("p0", "p1", "p2")
TEMPLATES = (
    "sum(x_total{s=$})",
    'sum(increase(x_total{s=$,code="500"}[10m]))',
    "sum by (code) (rate(x_total{s=$}[10m])) > 0.01",
    "sum by (s, code) (x_total{s=$})",
    "avg without (pod) (x_total{s=$})",
    "sum(rate(x_total{s=$}[10m])) - sum(rate(odd{s=$}[10m]))",
    "max(min by (pod) (x_total{s=$})) / count(odd{s=$})",
    "count(x_total{s=$} * on (s, pod) group_left () odd{s=$})",
    "sum(sum_over_time((sum(x_total{s=$}) > bool 20)[10m:1m]))",
    "-sum(x_total{s=$}) % 7",
    "avg(odd{s=$})",
    "sum(odd{s=$} offset 5m)",
    "time() - max(timestamped{s=$})",
)


def engine(values: tuple[str, ...]) -> Engine:
    """Counters with codes and pods for every other value, a metric with NaN and infinities for some."""
    store = SeriesStore()
    times = np.arange(0, 31) * 60_000
    for i, value in enumerate(values):
        if i % 4 != 3:
            series = [{"s": value, "code": code, "pod": pod} for code in CODES for pod in PODS[: 1 + i % 3]]
            steps = [np.arange(31.0) * (1 + i + n) for n in range(len(series))]
            store.add("x_total", series, times, np.stack(steps))
        if i % 3 != 1:
            odd = np.tile([1.0, math.nan, 3.0, math.inf], 8)[:31] if i % 2 else np.arange(31.0) + i
            store.add("odd", [{"s": value, "pod": "p0"}], times, odd[None, :])
        if i % 5 == 2:
            store.add("odd", [{"s": value, "pod": "p0", "twice": "yes"}], times, np.ones((1, 31)))
    return Engine(store)


def answer(result: Result) -> dict[Labels, float]:
    return {
        of: float(values[0])
        for of, values, here in zip(result.labels, result.values, result.present, strict=True)
        if here[0]
    }


@settings(max_examples=60, deadline=None)
@given(
    values=st.sets(
        st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=6),
        min_size=2,
        max_size=12,
    )
)
def test_one_answer_taken_apart_is_every_expressions_own(values: set[str]) -> None:
    """In the embedded engine: hostile values, values that are not there, NaN, and errors of one value alone."""
    known = tuple(sorted(values))
    ours = engine(known)
    for template in TEMPLATES:
        asked = texts(template, (*known, "not there"))
        batches = coalesced(asked, 16 * KIB)
        assert sum(len(batch.members) for batch in batches) == len(asked)
        for batch in batches:
            same(ours, batch)


def same(ours: Engine, batch: Batch) -> None:
    at = 25 * 60_000
    try:
        whole = ours.instant(batch.text, at)
    except PromqlError:
        if len(batch.members) > 1:  # some part has the same fault, alone
            for half in batch.halves():
                same(ours, half)
        return
    parts = batch.apart([Sample(labels(dict(of)), value) for of, value in answer(whole).items()])
    assert parts is not None
    for number, member in enumerate(batch.members):
        alone = ours.instant(member.text, at)
        mine, own = {sample.labels: sample.value for sample in parts[number]}, answer(alone)
        assert mine.keys() == own.keys()
        for key, value in own.items():
            assert mine[key] == value or (math.isnan(value) and math.isnan(mine[key])) or math.isclose(mine[key], value)
        if parts[number]:
            assert batch.notes(whole.infos, number) == alone.infos


# Remarks


@pytest.mark.parametrize(
    ("template", "node"),
    [
        ("sum(rate(odd{s=$}[5m]))", "odd"),
        ("sum(rate(x_total{s=$}[5m])) - sum(rate(odd{s=$}[5m]))", "odd"),
        ("sum(rate(x_total{s=$}[5m]))\n  - sum(\n  rate(odd{s=$}[5m]))", "odd"),
    ],
)
@pytest.mark.parametrize("coded", [False, True])
def test_a_remark_points_into_the_rules_own_text(template: str, node: str, coded: bool) -> None:
    """Servers count bytes, the embedded engine characters; lines are the rule's own."""

    def place(text: str) -> str:
        before = text[: text.index(node)]
        line = before.rpartition("\n")[2]
        return f"({before.count(chr(10)) + 1}:{len(line.encode() if coded else line) + 1})"

    (batch,) = coalesced(texts(template, ("ü", "a", "☃☃☃ long")), 16 * KIB)
    notes = (f"PromQL info: odd {place(batch.text)}", "PromQL info: of nothing (1:2)", "without a place")
    for number, member in enumerate(batch.members):
        assert batch.notes(notes, number) == (
            f"PromQL info: odd {place(member.text)}",
            "PromQL info: of nothing",
            "without a place",
        )
    assert batch.one(0).notes(notes, 0) == notes
