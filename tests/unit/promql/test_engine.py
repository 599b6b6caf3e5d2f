"""Evaluation: metamorphic relations, a naive oracle, caps, and the texts of errors and notes."""

from __future__ import annotations

import itertools
import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.promql import PromqlError
from opsctl.promql.engine import Engine, Result
from opsctl.promql.store import SeriesStore
from tests.promqltest.expressions import START_MS, Expressions, History, history

MINUTE = 60_000


def _store(samples: History) -> SeriesStore:
    store = SeriesStore()
    for series, points in samples.items():
        pairs = dict(series)
        times = np.array([at for at, _ in points], np.int64)
        store.add(pairs.pop("__name__"), (pairs,), times, np.array([[value for _, value in points]]))
    return store


@pytest.fixture(scope="module")
def engine() -> Engine:
    """Over the samples of the random expressions."""
    return Engine(_store(history(1, minutes=60)))


def _column(result: Result, step: int) -> dict[object, float]:
    rows = zip(result.labels, result.values[:, step].tolist(), result.present[:, step].tolist(), strict=True)
    return {labels: value for labels, value, there in rows if there}


def _equal(a: dict[object, float], b: dict[object, float]) -> bool:
    return a.keys() == b.keys() and all(
        math.isclose(a[k], b[k], rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(a[k]) and math.isnan(b[k])) for k in a
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_an_instant_is_the_middle_of_a_range(seed: int) -> None:
    """Whatever the expression, but for `@ start()` and `@ end()`, which mean something else there."""
    engine = Engine(_STORE)
    rng = Random(seed)
    text = Expressions(rng).any(3).replace("@ start()", "").replace("@ end()", "")
    at = START_MS + rng.randrange(70) * MINUTE + rng.choice((0, 1, 500, 15_000))
    try:
        instant = engine.instant(text, at)
    except PromqlError:
        return
    try:
        ranged = engine.range(text, at - 2 * MINUTE, at + 2 * MINUTE, MINUTE)
    except PromqlError:  # a clash of labels at another step fails the whole range
        return
    assert _equal(_column(instant, 0), _column(ranged, 2)), text


_STORE = _store(history(1, minutes=60))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["sum", "count", "min", "max"]))
def test_a_total_is_the_total_of_its_parts(seed: int, op: str) -> None:
    """`sum(e)` is the sum of `sum by (job) (e)`, at every step."""
    engine = Engine(_STORE)
    rng = Random(seed)
    inner = Expressions(rng).vector(2)
    outer = "sum" if op == "count" else op
    at = START_MS + rng.randrange(60) * MINUTE
    try:
        whole = engine.range(f"{op}({inner})", at, at + 10 * MINUTE, 45_000)
    except PromqlError:
        return
    parts = engine.range(f"{outer}({op} by (job) ({inner}))", at, at + 10 * MINUTE, 45_000)
    for step in range(len(whole.times_ms)):
        assert _equal(_column(whole, step), _column(parts, step)), inner


def test_one_query_by_labels_equals_one_query_for_each(engine: Engine) -> None:
    """Coalesced and one by one give the same, also where a label's value has no samples."""
    at = START_MS + 30 * MINUTE
    together = engine.instant("sum by (job, code) (increase(requests_total[10m]))", at)
    for labels, value in _column(together, 0).items():
        pairs = dict(labels)  # type: ignore[call-overload]
        matchers = ",".join(f'{k}="{v}"' for k, v in pairs.items())
        alone = engine.instant(f"sum(increase(requests_total{{{matchers}}}[10m]))", at)
        assert alone.values[0, 0] == pytest.approx(value, rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1e6)), min_size=1, max_size=40),
    st.integers(0, 1500),
    st.integers(1, 400),
)
def test_windows_against_a_naive_oracle(steps: list[tuple[int, float]], at_s: int, range_s: int) -> None:
    """Sums, extremes, changes and counter functions of irregular samples, computed the slow way."""
    times, values, now = [], [], 0
    for gap, value in steps:
        now += gap
        times.append(now * 1000)
        values.append(value)
    store = SeriesStore()
    store.add("x_total", ({"a": "b"},), np.array(times), np.array([values]))
    engine = Engine(store)
    inside = [(t, v) for t, v in zip(times, values, strict=True) if (at_s - range_s) * 1000 < t <= at_s * 1000]
    for name, expected in _naive(inside, at_s, range_s).items():
        result = engine.instant(f"{name}(x_total[{range_s}s])", at_s * 1000)
        if expected is None:
            assert not result.labels, name
        else:
            assert result.values[0, 0] == pytest.approx(expected, rel=1e-9, abs=1e-9), name


def _naive(inside: list[tuple[int, float]], at_s: int, range_s: int) -> dict[str, float | None]:
    values = [v for _, v in inside]
    turns = list(itertools.pairwise(values))
    out: dict[str, float | None] = dict.fromkeys(
        ("sum_over_time", "min_over_time", "max_over_time", "count_over_time", "resets", "changes", "increase")
    )
    if values:
        out |= {
            "sum_over_time": math.fsum(values),
            "min_over_time": min(values),
            "max_over_time": max(values),
            "count_over_time": len(values),
            "resets": sum(b < a for a, b in turns),
            "changes": sum(b != a for a, b in turns),
        }
    if len(values) > 1:
        out["increase"] = _naive_increase(inside, turns, at_s, range_s)
    return out


def _naive_increase(
    inside: list[tuple[int, float]], turns: list[tuple[float, float]], at_s: int, range_s: int
) -> float:
    change = inside[-1][1] - inside[0][1] + sum(a for a, b in turns if b < a)
    sampled = (inside[-1][0] - inside[0][0]) / 1000
    average = sampled / (len(inside) - 1)
    to_start = inside[0][0] / 1000 - (at_s - range_s)
    to_end = at_s - inside[-1][0] / 1000
    to_start = average / 2 if to_start >= 1.1 * average else to_start
    to_end = average / 2 if to_end >= 1.1 * average else to_end
    if change > 0:
        to_start = min(to_start, sampled * inside[0][1] / change)
    return change * (sampled + to_start + to_end) / sampled


def test_sums_are_compensated_where_terms_cancel() -> None:
    """As Prometheus's: 1 + 1e100 + 1 - 1e100 is 2, across series and over time, at an instant and in a range."""
    store = SeriesStore()
    values = np.array([1.0, 1e100, 1.0, -1e100])
    store.add("s", tuple({"i": str(i)} for i in range(4)), np.array([MINUTE]), values[:, None])
    store.add("t", ({},), np.arange(1, 5) * 1000, values[None, :])
    engine = Engine(store)
    for text in ("sum(s)", "sum_over_time(t[5m])", "4 * avg(s)", "4 * avg_over_time(t[5m])"):
        assert engine.instant(text, MINUTE).values.tolist() == [[2.0]]
        assert engine.range(text, MINUTE, 2 * MINUTE, MINUTE).values.tolist()[0][0] == 2.0


def test_results_say_what_they_are(engine: Engine) -> None:
    """A scalar is one row without labels, a string has none, a range vector has its own times."""
    assert engine.instant("1 + 1", 0).kind == "scalar"
    assert engine.instant("1 + 1", 0).labels == ((),)
    assert engine.instant('"a"', 0).text == "a"
    samples = engine.instant('requests_total{job="api",instance="a",code="200"}[2m]', START_MS + 5 * MINUTE)
    assert samples.kind == "matrix"
    assert (samples.times_ms - START_MS).tolist() == [210_000, 240_000, 270_000, 300_000]
    ranged = engine.range("up", START_MS, START_MS + 5 * MINUTE, MINUTE)
    assert list(ranged.labels) == sorted(ranged.labels)
    assert ranged.values.shape == (6, 6)
    assert ranged.present.dtype == bool


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("requests_total + on (job) requests_total", "many-to-many matching not allowed"),
        ("requests_total + on (job) limit", "many-to-one matching must be explicit"),
        ("requests_total * on (job, instance) group_left (code) up + requests_total", "grouping labels must ensure"),
        ('label_replace(up, "instance", "same", "", "")', "same labelset"),
        ('label_replace(up, "", "x", "", "")', "invalid label name"),
        ('label_replace(up, "a", "x", "job", "(a+)+")', "a repetition inside a repetition"),
        ("topk(NaN, up)", "NaN"),
        ("up[5m] + 1", "must contain only scalar and instant vector"),
        ("holt_winters(up[5m], 1.5, 0.5)", "smoothing factor"),
    ],
)
def test_errors_name_the_trouble(engine: Engine, text: str, says: str) -> None:
    """In Prometheus's words where it has some; at an instant as in a range."""
    at = START_MS + 30 * MINUTE
    with pytest.raises(PromqlError, match=says):
        engine.instant(text, at)
    with pytest.raises(PromqlError, match=says):
        engine.range(text, at, at + MINUTE, MINUTE)


@pytest.mark.parametrize(
    ("start", "end", "step", "says"),
    [
        (0, 11_000 * 1000, 1000, "11000, the cap"),
        (0, 10, 0, "at least 1 ms"),
        (10, 0, 1, "before its start"),
        (0, 10**20, 10**19, "out of bounds"),
    ],
)
def test_ranges_have_bounds(engine: Engine, start: int, end: int, step: int, says: str) -> None:
    """11,000 steps, as a server has."""
    with pytest.raises(PromqlError, match=says):
        engine.range("up", start, end, step)


@pytest.mark.parametrize(
    "text",
    [
        "sum_over_time(vector(1)[300d:1ms])",
        "sum_over_time(up[100000d:1s])",
        "max_over_time(sum_over_time(vector(1)[1h:1s])[300d:10ms])",
    ],
)
def test_what_touches_too_many_samples_is_refused_before_it_is_made(engine: Engine, text: str) -> None:
    """50 million is the cap; the error says so."""
    with pytest.raises(PromqlError, match="50000000 samples"):
        engine.instant(text, START_MS)


def test_a_lower_cap_counts_samples_that_are_loaded() -> None:
    """Also those of one long window."""
    engine = Engine(_STORE, samples_max=1000)
    assert engine.instant("sum(up)", START_MS + MINUTE).labels
    with pytest.raises(PromqlError, match="1000 samples"):
        engine.instant("sum(rate(requests_total[1h]))", START_MS + 60 * MINUTE)


def test_depth_just_below_the_cap_evaluates(engine: Engine) -> None:
    """A chain and a nest of 200 do not exhaust the stack."""
    assert engine.instant("1" + "+1" * 200, 0).values.tolist() == [[201.0]]
    assert engine.instant("(" * 199 + "1" + ")" * 199, 0).values.tolist() == [[1.0]]
    assert engine.instant("abs(" * 99 + "vector(1)" + ")" * 99, 0).values.tolist() == [[1.0]]


def test_notes_travel_with_the_result(engine: Engine) -> None:
    """Once each, with their place; none where nothing came."""
    at = START_MS + 30 * MINUTE
    found = engine.instant("sum(\n  rate(up[5m])) + sum(rate(up[10m]))", at)
    told = 'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "up"'
    assert found.infos == (f"{told} (2:8)", f"{told} (2:28)")
    assert engine.instant('rate(up{job="none"}[5m])', at).infos == ()
    assert engine.instant("quantile(1.5, up)", at).warnings == (
        "PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:10)",
    )
    assert engine.range("sort(up)", at, at, MINUTE).warnings == (
        "PromQL warning: sort is ineffective for range queries since results are always ordered by labels (1:1)",
    )


def test_falling_buckets_are_evened_out_and_told() -> None:
    """The answer is the one of the buckets made monotonic."""
    store = SeriesStore()
    bounds = ("0.1", "1", "+Inf")
    store.add("b_bucket", tuple({"le": le} for le in bounds), np.array([0]), np.array([[5.0], [3.0], [10.0]]))
    result = Engine(store).instant("histogram_quantile(0.5, b_bucket)", 0)
    assert result.values.tolist() == [[0.1]]
    assert result.infos[0].startswith("PromQL info: input to histogram_quantile needed to be fixed for monotonicity")


def test_plans_are_kept_by_text(engine: Engine) -> None:
    """The same text has the same plan."""
    assert engine.plan("sum(up)") is engine.plan("sum(up)")


def test_group_left_over_series_that_take_turns() -> None:
    """The one side may have two series of a key as long as they are never there together."""
    store = SeriesStore()
    store.add("info", ({"a": "x", "v": "1"},), np.array([0]), np.array([[1.0]]))
    store.add("info", ({"a": "x", "v": "2"},), np.array([10 * MINUTE]), np.array([[1.0]]))
    store.add("m", ({"a": "x"},), np.arange(0, 15) * MINUTE, np.arange(15.0)[None, :])
    result = Engine(store).range("m * on (a) group_left (v) info", MINUTE, 11 * MINUTE, 10 * MINUTE)
    assert [dict(labels)["v"] for labels in result.labels] == ["1", "2"]
    assert result.present.tolist() == [[True, False], [False, True]]
    with pytest.raises(PromqlError, match="many-to-many"):
        Engine(store, lookback_ms=20 * MINUTE).instant("m * on (a) group_left (v) info", 11 * MINUTE)


@pytest.mark.parametrize(("lead_s", "expected"), [(10.9, 10.9 + 30 + 9.1), (11.5, 5 + 30 + 8.5)])
def test_the_slope_goes_on_to_the_edge_only_when_it_is_close(lead_s: float, expected: float) -> None:
    """Up to 1.1 average intervals (of 10 s) away; beyond that, half an interval."""
    store = SeriesStore()
    times = 1_000_000 + np.arange(4) * 10_000
    store.add("x_total", ({},), times, np.array([[1000.0, 1010.0, 1020.0, 1030.0]]))
    end = 1_000_000 - round(lead_s * 1000) + 50_000
    result = Engine(store).instant("increase(x_total[50s])", end)
    assert result.values[0, 0] == pytest.approx(expected)


def test_duplicates_matter_only_where_the_other_side_has_something(engine: Engine) -> None:
    """As on a server: with nothing to match, nothing clashes."""
    at = START_MS + 30 * MINUTE
    assert engine.instant("(up > 7) + on (job) requests_total", at).labels == ()
    with pytest.raises(PromqlError, match="many-to-many"):
        engine.instant("up + on (job) requests_total", at)
