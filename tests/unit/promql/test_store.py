"""The store: appending, gaps, marks of staleness, and that what was worked out survives a live minute."""

from __future__ import annotations

import numpy as np
import pytest

from opsctl.promql.engine import Engine
from opsctl.promql.samples import Samples, stale_mark
from opsctl.promql.store import SeriesStore

SETS = tuple({"i": str(i)} for i in range(3))
MINUTE = 60_000


def _filled(minutes: int = 10) -> SeriesStore:
    store = SeriesStore()
    times = np.arange(1, minutes + 1) * MINUTE
    store.add("x_total", SETS, times, np.arange(minutes, dtype=float) * np.array([[1.0], [10.0], [100.0]]))
    return store


def _values(engine: Engine, text: str, at_ms: int) -> dict[str, float]:
    result = engine.instant(text, at_ms)
    return {dict(of).get("i", ""): float(v[0]) for of, v in zip(result.labels, result.values, strict=True)}


def test_blocks_append_in_time_and_answers_follow() -> None:
    """A column a minute, seen by a plan that was made before it."""
    store = _filled()
    engine = Engine(store)
    assert _values(engine, "x_total", 10 * MINUTE) == {"0": 9, "1": 90, "2": 900}
    for minute in range(11, 60):
        store.add("x_total", SETS, np.array([minute * MINUTE]), np.full((3, 1), float(minute)))
        assert _values(engine, "sum(x_total)", minute * MINUTE) == {"": 3.0 * minute}
    # the fall from 9, 90, 900 to 11 each is a reset of the two larger ones
    change = _values(engine, "increase(x_total[50m])", 59 * MINUTE)
    assert change["1"] == pytest.approx(59 + 90 - 8 * 10 + 0, rel=0.2)


def test_selections_and_groups_survive_an_append() -> None:
    """The same objects answer before and after a live minute; a new series makes new ones."""
    store = _filled()
    matchers = Engine(store).plan("x_total").expr.matchers  # type: ignore[union-attr]
    before = store.select(matchers)
    store.add("x_total", SETS, np.array([11 * MINUTE]), np.zeros((3, 1)))
    assert store.select(matchers) is before
    store.add("x_total", ({"i": "new"},), np.array([11 * MINUTE]), np.zeros((1, 1)))
    assert len(store.select(matchers).series) == 4


def test_gaps_and_marks_give_what_shared_times_give() -> None:
    """A series with a hole is asked like one without; a mark ends a series at once, and only until the next sample."""
    store = _filled()
    present = np.array([[True], [False], [True]])
    store.add("x_total", SETS, np.array([11 * MINUTE]), np.array([[10.0], [0.0], [stale_mark()]]), present)
    engine = Engine(store)
    assert _values(engine, "x_total", 11 * MINUTE) == {"0": 10, "1": 90}
    assert _values(engine, "x_total", 11 * MINUTE - 1) == {"0": 9, "1": 90, "2": 900}
    assert _values(engine, "count_over_time(x_total[2m])", 11 * MINUTE) == {"0": 2, "1": 1, "2": 1}
    store.add("x_total", SETS, np.array([13 * MINUTE]), np.array([[11.0], [91.0], [1.0]]))
    assert _values(engine, "x_total", 13 * MINUTE) == {"0": 11, "1": 91, "2": 1}
    assert _values(engine, "resets(x_total[10m])", 13 * MINUTE)["2"] == 1


@pytest.mark.parametrize("semantics", [2, 3])
def test_own_times_answer_as_shared_ones(semantics: int) -> None:
    """The two layouts are the same data."""
    shared, own = _filled(), SeriesStore()
    for i, labels in enumerate(SETS):
        times = np.arange(1, 11) * MINUTE
        own.add("x_total", (labels,), times, (np.arange(10.0) * 10.0**i)[None, :])
    for text in (
        "rate(x_total[5m])",
        "x_total",
        "sum_over_time(x_total[3m])",
        "timestamp(x_total)",
        "irate(x_total[2m])",
    ):
        a = Engine(shared, semantics=semantics).range(text, 0, 20 * MINUTE, 45_000)  # type: ignore[arg-type]
        b = Engine(own, semantics=semantics).range(text, 0, 20 * MINUTE, 45_000)  # type: ignore[arg-type]
        assert a.labels == b.labels
        assert (a.present == b.present).all()
        assert np.allclose(a.values[a.present], b.values[b.present], rtol=1e-12)


def test_windows_are_left_open_in_3_and_closed_in_2() -> None:
    """And so is the look-back."""
    three, two = Engine(_filled()), Engine(_filled(), semantics=2)
    assert _values(three, "count_over_time(x_total[5m])", 10 * MINUTE)["0"] == 5
    assert _values(two, "count_over_time(x_total[5m])", 10 * MINUTE)["0"] == 6
    assert _values(three, "x_total", 15 * MINUTE) == {}
    assert len(_values(two, "x_total", 15 * MINUTE)) == 3


@pytest.mark.parametrize(
    ("sets", "times", "values", "says"),
    [
        (SETS, [10 * MINUTE], np.zeros((3, 1)), "not after the last one"),
        (SETS, [12 * MINUTE, 11 * MINUTE], np.zeros((3, 2)), "must rise"),
        (SETS, [11 * MINUTE], np.zeros((2, 1)), "shape"),
        (({"i": "0"}, {"i": "0"}), [11 * MINUTE], np.zeros((2, 1)), "twice"),
        (SETS, [1 << 50], np.zeros((3, 1)), "278 years"),
    ],
)
def test_what_cannot_be_stored_is_an_error(
    sets: tuple[dict[str, str], ...], times: list[int], values: np.ndarray, says: str
) -> None:
    """Never a silent loss; the store stays as it was."""
    store = _filled()
    with pytest.raises(ValueError, match=says):
        store.add("x_total", sets, np.array(times), values)
    assert _values(Engine(store), "sum(x_total)", 10 * MINUTE) == {"": 999.0}


def test_resets_are_kept_up_whatever_the_order_of_asking() -> None:
    """Prefix sums made in one go, column by column, or row by row are equal."""
    rng = np.random.default_rng(5)
    values = rng.integers(0, 20, (4, 300)).astype(float)
    whole, stepwise, ragged = Samples(), Samples(), Samples()
    whole.append_shared(np.arange(300), values)
    for i in range(300):
        stepwise.append_shared(np.array([i]), values[:, i : i + 1])
        ragged.append_rows(np.arange(4), np.array([i]), values[:, i : i + 1], np.ones((4, 1), bool))
        if i % 7 == 0:
            stepwise.resets()
        if i % 11 == 0 or i > 200:
            ragged.resets()
    expected = _resets(whole)
    assert (_resets(stepwise) == expected).all()
    assert (_resets(ragged) == expected).all()
    late = Samples()
    late.append_rows(np.arange(4), np.arange(300), values, np.ones((4, 300), bool))
    assert (_resets(late) == expected).all()


def _resets(samples: Samples) -> np.ndarray:
    sums = samples.resets()
    assert sums is not None
    return sums.reshape(samples.values.shape)[:4, :300]


def test_infinite_counters_do_not_spoil_later_windows() -> None:
    """Prefix sums of infinities cannot be taken apart; the windows are looked at instead."""
    store = SeriesStore()
    values = np.array([[1.0, np.inf, 2.0, 3.0, 1.0, 5.0, 6.0]])
    store.add("x_total", ({},), np.arange(1, 8) * MINUTE, values)
    assert _values(Engine(store), "resets(x_total[3m])", 7 * MINUTE) == {"": 0}
    assert _values(Engine(store), "increase(x_total[4m])", 7 * MINUTE)[""] == pytest.approx((6 - 3 + 3) * 4 / 3)


def test_times_before_the_epoch_are_times() -> None:
    """In both layouts."""
    store = SeriesStore()
    store.add("a", ({},), np.array([-3000, -2000, 1000]), np.array([[1.0, 2.0, 3.0]]))
    store.add("b", ({"i": "1"},), np.array([-3000, 1000]), np.array([[1.0, 3.0]]))
    store.add("b", ({"i": "2"},), np.array([-2500]), np.array([[7.0]]))
    engine = Engine(store)
    assert _values(engine, "a", -1500) == {"": 2}
    assert _values(engine, "b", -1) == {"1": 1, "2": 7}
    assert _values(engine, "sum_over_time(b[10s] @ -1.5)", 0) == {"1": 1, "2": 7}


def test_a_native_histogram_is_refused_wherever_a_selector_meets_it() -> None:
    """Its absence must not look like no data."""
    store = _filled()
    store.add_native("latency_seconds", [{"i": "0"}])
    engine = Engine(store)
    from opsctl.promql import UnsupportedError

    for text in ("latency_seconds", 'rate({__name__=~"lat.*"}[5m])', "count({i!=''})"):
        with pytest.raises(UnsupportedError, match="native histograms are not supported"):
            engine.instant(text, MINUTE)
    assert _values(engine, 'latency_seconds{i="1"}', MINUTE) == {}
