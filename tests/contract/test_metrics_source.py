"""One contract for every metrics source: the embedded engine and Prometheus 3.16 and 2.42 on the same samples."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from math import inf, isnan, nan

import pytest

from collectors.prometheus import PrometheusSource
from opsctl.core.signals import Absent, Failed, Labels, Matrix, Measured, Reading, Reason, Vector
from opsctl.http import Endpoint
from opsctl.ports import MetricsSource
from tests.contract.history import END, HOSTILE, START, STEP, fill, openmetrics
from tests.servers.fixtures import StartPrometheus

NOW = END
TIMEOUT_SECONDS = 10.0
KINDS = ("memory", "prometheus 3.16", "prometheus 2.42")

# What opsctl and its rules are made of; every source must give the same answer to each.
QUERIES = (
    "requests_total",
    "sum(rate(requests_total[5m]))",
    "sum by (service) (rate(requests_total[5m]))",
    "sum(increase(requests_total{code=~'5..'}[30m])) / sum(increase(requests_total[30m]))",
    "rate(resets_total[15m])",
    "increase(resets_total[50m])",
    "histogram_quantile(0.9, sum by (le) (rate(took_seconds_bucket[5m])))",
    "level",
    "level == level",
    "-level",
    "max(level)",
    "vanished",
    "absent(vanished)",
    "absent(requests_total)",
    "gappy",
    "count_over_time(gappy[10m])",
    "avg_over_time((requests_total > bool 3000)[10m:1m])",
    "hostile",
    "requests_total offset 5m",
    "requests_total unless on (code) requests_total{service='lobby'}",
    "requests_total and on (service) requests_total{code='500'} > 300",
    "topk(1, requests_total > 0)",
    "1 + 1",
    "time()",
    "0 / 0",
    "vector(1) > 2",
    "sum(requests_total) by (nothing)",
    "no_such_metric",
    "label_replace(requests_total, 'tier', 'x$1', 'code', '(.).*')",
)

# Each is refused by all of them.
WRONG = (
    "sum(",
    "",
    "requests_total{",
    "no_such_function(requests_total)",
    "requests_total[5m]",
    "'text'",
    "requests_total + on (nothing) requests_total",
    "rate(requests_total)",
)


def memory(semantics: int = 3) -> MetricsSource:
    """The embedded engine on the contract's samples."""
    from collectors.memory import MemorySource
    from opsctl.promql.engine import Engine
    from opsctl.promql.store import SeriesStore

    store = SeriesStore()
    fill(store)
    return MemorySource(Engine(store, semantics=semantics))


MakeSource = Callable[[str], MetricsSource]


@pytest.fixture(scope="module")
def make(start_prometheus: StartPrometheus) -> MakeSource:
    """A fresh source of a kind; the servers behind them are shared."""

    def make_source(kind: str) -> MetricsSource:
        if kind == "memory":
            return memory()
        return PrometheusSource(Endpoint(start_prometheus(openmetrics(), kind.split()[1]).url))

    return make_source


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, make: MakeSource) -> Iterator[MetricsSource]:
    """Each kind of source."""
    one = make(request.param)
    yield one
    one.close()


def vector_of(reading: Reading[Vector]) -> dict[Labels, float]:
    """The samples by labels; fails unless the answer is whole."""
    if isinstance(reading, Absent):
        return {}
    assert isinstance(reading, Measured), reading
    return {sample.labels: sample.value for sample in reading.data.samples}


def matrix_of(reading: Reading[Matrix]) -> dict[Labels, dict[float, float]]:
    """The points by labels and time; fails unless the answer is whole."""
    if isinstance(reading, Absent):
        return {}
    assert isinstance(reading, Measured), reading
    return {series.labels: dict(series.points) for series in reading.data.series}


def same(one: float, other: float) -> bool:
    """Equal to twelve digits; NaN is NaN and infinities keep their sign."""
    if isnan(one) or isnan(other):
        return isnan(one) and isnan(other)
    return one == other or abs(one - other) <= 1e-12 * max(abs(one), abs(other))


def test_it_names_itself_and_its_bound(source: MetricsSource) -> None:
    """`name` is for people and `concurrency` at least one."""
    assert source.name
    assert source.concurrency >= 1


def test_an_instant_answer_has_labels_and_value(source: MetricsSource) -> None:
    """Labels are sorted pairs with the metric's name among them."""
    reading = source.instant("requests_total{service='lobby'}", NOW, TIMEOUT_SECONDS)
    labels = (("__name__", "requests_total"), ("code", "200"), ("service", "lobby"))
    assert vector_of(reading) == {labels: 3540.0}
    assert isinstance(reading, Measured)
    assert reading.backend == source.name
    assert reading.took_seconds > 0


def test_a_scalar_is_one_sample_without_labels(source: MetricsSource) -> None:
    """`time()` is the time that was asked about, to the millisecond."""
    at = START + timedelta(milliseconds=123_457)
    assert vector_of(source.instant("time()", at, TIMEOUT_SECONDS)) == {(): at.timestamp()}


def test_the_time_may_be_in_any_zone(source: MetricsSource) -> None:
    """An aware time in another zone is the same instant."""
    from datetime import timezone

    there = NOW.astimezone(timezone(timedelta(hours=-7)))
    assert vector_of(source.instant("time()", there, TIMEOUT_SECONDS)) == {(): NOW.timestamp()}


@pytest.mark.parametrize("query", ["no_such_metric", "vanished", "vector(1) > 2", "rate(level{kind='no'}[5m])"])
def test_nothing_is_absent(source: MetricsSource, query: str) -> None:
    """An unknown metric, one that vanished and a comparison that nothing passes: `Absent`, not zero, not failed."""
    assert isinstance(source.instant(query, NOW, TIMEOUT_SECONDS), Absent)
    reading = source.range(query, NOW - timedelta(minutes=9), NOW, STEP, TIMEOUT_SECONDS)
    assert isinstance(reading, Absent)


def test_nan_and_infinities_are_values(source: MetricsSource) -> None:
    """NaN, +Inf, -Inf, a tiny number and zero come back as themselves."""
    got = {dict(labels)["kind"]: value for labels, value in vector_of(source.instant("level", NOW, 10)).items()}
    assert isnan(got.pop("nan"))
    assert got == {"inf": inf, "minus": -inf, "tiny": 1e-300, "zero": 0.0}
    assert same(vector_of(source.instant("0 / 0", NOW, TIMEOUT_SECONDS))[()], nan)


def test_hostile_label_values_come_back_as_they_are(source: MetricsSource) -> None:
    """Quotes, backslashes, line ends, escape sequences and every script: data, not something to interpret."""
    got = vector_of(source.instant("hostile", NOW, TIMEOUT_SECONDS))
    assert {dict(labels)["text"] for labels in got} == set(HOSTILE)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_values_can_be_asked_for(source: MetricsSource, text: str) -> None:
    """A matcher with the value, escaped as PromQL says, finds that series and no other."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    got = vector_of(source.instant(f'hostile{{text="{escaped}"}}', NOW, TIMEOUT_SECONDS))
    assert list(got.values()) == [float(HOSTILE.index(text))]


def test_a_range_has_both_ends(source: MetricsSource) -> None:
    """start, start + step, … ≤ end: ten steps of a minute are eleven points."""
    reading = source.range("requests_total{code='500'}", START, START + 10 * STEP, STEP, TIMEOUT_SECONDS)
    points = next(iter(matrix_of(reading).values()))
    assert points == {START.timestamp() + 60 * i: 6.0 * i for i in range(11)}


def test_the_last_step_does_not_pass_the_end(source: MetricsSource) -> None:
    """An end between two steps is left out."""
    reading = source.range("vector(1)", START, START + timedelta(seconds=150), STEP, TIMEOUT_SECONDS)
    assert list(matrix_of(reading)[()]) == [START.timestamp() + 60 * i for i in range(3)]


def test_a_step_without_a_value_is_not_there(source: MetricsSource) -> None:
    """A series that vanished ends; its later steps are neither zero nor NaN."""
    reading = source.range("vanished", START, END, STEP, TIMEOUT_SECONDS)
    points = next(iter(matrix_of(reading).values()))
    assert max(points) < START.timestamp() + 25 * 60
    assert set(points.values()) == {1.0}


def test_a_range_of_a_scalar_is_a_series_without_labels(source: MetricsSource) -> None:
    """`1 + 1` over time."""
    reading = source.range("1 + 1", START, START + STEP, STEP, TIMEOUT_SECONDS)
    assert matrix_of(reading) == {(): {START.timestamp(): 2.0, START.timestamp() + 60: 2.0}}


def test_more_steps_than_a_server_takes_at_once(source: MetricsSource) -> None:
    """25,001 steps are answered whole, in order and without a step twice."""
    end = START + timedelta(seconds=25_000)
    reading = source.range("time()", START, end, timedelta(seconds=1), 60)
    assert isinstance(reading, Measured)
    (series,) = reading.data.series
    assert [at for at, _ in series.points] == [START.timestamp() + i for i in range(25_001)]
    assert all(at == value for at, value in series.points)


@pytest.mark.parametrize("query", WRONG)
def test_a_wrong_query_is_rejected_in_one_line(source: MetricsSource, query: str) -> None:
    """Neither an empty answer nor an exception: `Failed(rejected)` that says why."""
    reading = source.instant(query, NOW, TIMEOUT_SECONDS)
    assert isinstance(reading, Failed), reading
    assert reading.reason is Reason.REJECTED, reading
    assert reading.message
    assert "\n" not in reading.message


@pytest.mark.parametrize("query", ["sum(", "requests_total[5m]", "'text'"])
def test_a_wrong_range_query_is_rejected(source: MetricsSource, query: str) -> None:
    """The same over time."""
    reading = source.range(query, START, END, STEP, TIMEOUT_SECONDS)
    assert isinstance(reading, Failed), reading
    assert reading.reason is Reason.REJECTED, reading


@pytest.mark.parametrize(
    ("end", "step"),
    [(START - STEP, STEP), (END, timedelta(0)), (END, -STEP), (START + timedelta(days=9000), timedelta(seconds=1))],
    ids=["ends before it starts", "no step", "a negative step", "too many steps"],
)
def test_a_wrong_span_is_rejected(source: MetricsSource, end: datetime, step: timedelta) -> None:
    """All sources refuse it in the same words."""
    reading = source.range("vector(1)", START, end, step, TIMEOUT_SECONDS)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED
    reference = memory().range("vector(1)", START, end, step, TIMEOUT_SECONDS)
    assert isinstance(reference, Failed)
    assert reading.message == reference.message


def test_no_time_left_is_a_deadline(source: MetricsSource) -> None:
    """A question with no time is not asked."""
    for reading in (
        source.instant("vector(1)", NOW, 0.0),
        source.range("vector(1)", START, END, STEP, -1.0),
    ):
        assert isinstance(reading, Failed)
        assert reading.reason is Reason.DEADLINE


def test_a_probe_says_it_is_there(source: MetricsSource) -> None:
    """Reachable, authorised, and the clocks agree on this machine."""
    probe = source.probe(TIMEOUT_SECONDS)
    assert (probe.name, probe.reachable, probe.authorised) == (source.name, True, True)
    assert probe.clock_skew_seconds is not None
    assert abs(probe.clock_skew_seconds) < 2
    if "2.42" in probe.version:
        assert probe.version.startswith("2.42.0")


def test_after_close_every_answer_is_a_deadline(source: MetricsSource) -> None:
    """`close()` twice is once; nothing is answered after it."""
    source.close()
    source.close()
    readings = (source.instant("1", NOW, 10), source.range("1", START, END, STEP, 10))
    assert [reading.reason for reading in readings if isinstance(reading, Failed)] == [Reason.DEADLINE] * 2
    assert not source.probe(10).reachable


def test_many_threads_get_their_own_answers(source: MetricsSource) -> None:
    """As many threads as it allows, each with its own questions: no answer is another's."""
    wrong: list[object] = []

    def ask(number: int) -> None:
        for i in range(20):
            reading = source.instant(f"vector({number * 1000 + i})", NOW, TIMEOUT_SECONDS)
            if vector_of(reading) != {(): number * 1000 + i}:
                wrong.append(reading)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(source.concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_close_while_others_ask(source: MetricsSource) -> None:
    """Every reading under way or asked later is an answer or a deadline, and all threads end."""
    readings: list[Reading[Matrix]] = []
    asking = threading.Event()

    def ask() -> None:
        for _ in range(500):
            readings.append(source.range("sum(rate(requests_total[5m]))", START, END, STEP, TIMEOUT_SECONDS))
            asking.set()

    threads = [threading.Thread(target=ask) for _ in range(source.concurrency)]
    for thread in threads:
        thread.start()
    asking.wait(10)
    source.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert {type(reading) for reading in readings} <= {Measured, Failed}
    assert {reading.reason for reading in readings if isinstance(reading, Failed)} <= {Reason.DEADLINE}


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(("kind", "semantics"), [("prometheus 3.16", 3), ("prometheus 2.42", 2)])
def test_the_embedded_engine_agrees_with_the_real_server(
    make: MakeSource, kind: str, semantics: int, query: str
) -> None:
    """The same samples give the same answer, instant and range, with that version's windows."""
    embedded, real = memory(semantics), make(kind)
    for at in (NOW, NOW - timedelta(seconds=17), START + 21 * STEP):
        ours = vector_of(embedded.instant(query, at, TIMEOUT_SECONDS))
        theirs = vector_of(real.instant(query, at, TIMEOUT_SECONDS))
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not same(ours[key], theirs[key])] == []
    ours_range = matrix_of(embedded.range(query, START, END, timedelta(seconds=90), TIMEOUT_SECONDS))
    theirs_range = matrix_of(real.range(query, START, END, timedelta(seconds=90), TIMEOUT_SECONDS))
    assert ours_range.keys() == theirs_range.keys()
    for key, points in ours_range.items():
        assert points.keys() == theirs_range[key].keys()
        assert [at for at in points if not same(points[at], theirs_range[key][at])] == []
    real.close()


def test_times_are_utc_here() -> None:
    """The history's own times are aware."""
    assert START.tzinfo is UTC
