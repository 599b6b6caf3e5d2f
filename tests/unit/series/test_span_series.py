"""Spans as series: counted from whole traces, with the connector's labels, and never from a part of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.memory_traces import MemoryTraceSource
from opsctl.core.signals import Absent, Failed, Matrix, Measured, Reading, Reason, Series
from opsctl.core.traces import Span, TracePage
from opsctl.ports.traces import TraceQuery
from opsctl.series import fetching
from opsctl.series.span_events import LE
from opsctl.series.spans import SpanSeries
from tests.unit.series.events import AT, LONG, ago, counted, points, span, spans_of, traces_of, value, values

SERVICES = ("gateway", "wallet", "fraud")
ALWAYS = {"gaming.sampled": "always"}
WITHOUT = 'traces_span_without_total{span_name="wallet.credit",without="fraud.score"}'

some_spans = st.lists(
    st.tuples(
        st.integers(0, 20 * 60_000),
        st.sampled_from(SERVICES),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["server", "client", ""]),
        st.sampled_from(["unset", "ok", "error"]),
        st.integers(0, 20_000_000),
        st.integers(0, 5),
    ),
    max_size=40,
)


def made(drawn: Any) -> list[Span]:
    """Spans of what was drawn, in a few traces."""
    return [
        span(at / 1000, number, trace, service=service, name=name, kind=kind, status=status, milliseconds=took / 1000)
        for number, (at, service, name, kind, status, took, trace) in enumerate(drawn, 1)
    ]


@settings(deadline=None, max_examples=40)
@given(some_spans, st.sampled_from([7_000, 60_000, 300_000]), st.integers(0, 600_000))
def test_calls_are_the_number_of_spans(drawn: Any, range_ms: int, offset_ms: int) -> None:
    """increase() equals a plain count of the spans that began in the window."""
    spans = made(drawn)
    end = AT - timedelta(milliseconds=offset_ms)
    query = f"sum by (service_name, status_code) (increase(traces_span_metrics_calls_total[{range_ms}ms]))"
    got = values(spans_of(spans).instant(query, end, LONG))
    groups: dict[Any, list[int]] = {}
    for one in spans:
        labels = (("service_name", one.service), ("status_code", f"STATUS_CODE_{one.status.upper()}"))
        groups.setdefault(labels, []).append(one.start_us // 1000)
    end_ms = round(end.timestamp() * 1000)
    expected = {
        labels: float(counted(times, end_ms, range_ms))
        for labels, times in groups.items()
        if counted(times, end_ms, range_ms)
    }
    assert got == expected


@settings(deadline=None, max_examples=40)
@given(some_spans)
def test_buckets_count_and_sum_are_of_the_same_spans(drawn: Any) -> None:
    """Cumulative, up to +Inf; the sum is that of the milliseconds."""
    spans = made(drawn)
    source = spans_of(spans)
    window = "{service_name='wallet'}[30m]"
    name = "traces_span_metrics_duration_milliseconds"
    buckets = values(source.instant(f"sum by (le) (increase({name}_bucket{window}))", AT, LONG))
    took = [one.duration_us / 1000 for one in spans if one.service == "wallet"]
    expected = {(("le", bound),): float(sum(t <= float(bound.replace("+", "")) for t in took)) for bound in LE}
    assert buckets == (expected if took else {})
    total = value(source.instant(f"sum(increase({name}_sum{window}))", AT, LONG))
    assert total is None if not took else total == pytest.approx(sum(took))
    assert value(source.instant(f"sum(increase({name}_count{window}))", AT, LONG)) == (len(took) if took else None)


@settings(deadline=None, max_examples=40)
@given(some_spans, st.sampled_from([60_000, 45_000]))
def test_an_instant_is_the_middle_of_a_range(drawn: Any, step_ms: int) -> None:
    """As for logs."""
    source = spans_of(made(drawn))
    query = "sum by (service_name) (increase(traces_span_metrics_calls_total[5m]))"
    step = timedelta(milliseconds=step_ms)
    ranged = points(source.range(query, AT - 5 * step, AT, step, LONG))
    for i in range(6):
        at = AT - i * step
        alone = {labels: of[at.timestamp()] for labels, of in ranged.items() if at.timestamp() in of}
        assert values(source.instant(query, at, LONG)) == alone


def test_labels_are_the_connectors() -> None:
    """Four of them whatever is asked, and attributes of the span, else of its resource, where they are named."""
    one = span(
        5,
        1,
        kind="client",
        status="error",
        attributes={"http.response.status_code": 503},
        resource={"cloud.region": "eu-1"},
    )
    source = spans_of([one])
    fixed = {
        "service_name": "wallet",
        "span_kind": "SPAN_KIND_CLIENT",
        "span_name": "wallet.credit",
        "status_code": "STATUS_CODE_ERROR",
    }
    got = values(source.instant("traces_span_metrics_calls_total", AT, LONG))
    assert got == {tuple(sorted(fixed.items())): 1.0}
    more = values(
        source.instant('traces_span_metrics_calls_total{http_response_status_code="503",cloud_region="eu-1"}', AT, LONG)
    )
    labels = {**fixed, "http_response_status_code": "503", "cloud_region": "eu-1"}
    assert more == {tuple(sorted(labels.items())): 1.0}


def test_a_span_that_comes_twice_counts_once() -> None:
    """Two searches bring the same trace; a trace may lack a span that another copy has."""
    spans = [span(5, 1, service="gateway"), span(4, 2, service="wallet")]
    assert value(spans_of(spans).instant("sum(increase(traces_span_metrics_calls_total[5m]))", AT, LONG)) == 2.0


def test_no_trace_and_no_span_of_the_service_are_absent() -> None:
    """A silent service is not a service without errors."""
    for source in (spans_of([]), spans_of([span(10, 1, service="gateway")])):
        for query in (
            'group(traces_span_metrics_calls_total{service_name="wallet"})',
            'sum(increase(traces_span_metrics_calls_total{service_name="wallet"}[5m]))',
            'count(traces_service_graph_request_total{server="wallet"})',
        ):
            assert isinstance(source.instant(query, AT, LONG), Absent), query


def test_a_pair_is_a_caller_and_the_one_it_calls() -> None:
    """Below a client's span, or right below another service's; messages say so; a service's own parts are no pair."""
    spans = [
        span(10, 1, service="gateway", kind="server"),
        span(9, 2, parent=1, service="gateway", kind="client"),
        span(8, 3, parent=2, service="wallet", kind="server", status="error"),
        span(7, 4, parent=3, service="wallet", kind="internal", status="error"),
        span(6, 5, parent=3, service="fraud", kind="server"),
        span(5, 6, parent=3, service="ledger", kind="consumer"),
        span(4, 7, parent=99, service="orphan", kind="server"),
    ]
    source = spans_of(spans)
    got = values(source.instant("increase(traces_service_graph_request_total[5m])", AT, LONG))
    assert got == {
        (("client", "gateway"), ("server", "wallet")): 1.0,
        (("client", "wallet"), ("server", "fraud")): 1.0,
        (("client", "wallet"), ("connection_type", "messaging_system"), ("server", "ledger")): 1.0,
    }
    failed = values(source.instant("increase(traces_service_graph_request_failed_total[5m]) > 0", AT, LONG))
    assert failed == {(("client", "gateway"), ("server", "wallet")): 1.0}
    of_wallet = values(source.instant('increase(traces_service_graph_request_total{client="wallet"}[5m])', AT, LONG))
    assert {dict(labels)["server"] for labels in of_wallet} == {"fraud", "ledger"}


def test_a_credit_without_a_check_before_it_counts() -> None:
    """No check, or one that began after the credit."""
    spans = [
        span(10, 1, 1, attributes=ALWAYS),
        span(11, 2, 2, service="fraud", name="fraud.score"),
        span(10, 3, 2, attributes=ALWAYS),
        span(9, 4, 3, service="fraud", name="fraud.score"),
        span(10, 5, 3, attributes=ALWAYS),
    ]
    source = spans_of(spans)
    assert value(source.instant(f"increase({WITHOUT}[5m])", AT, LONG)) == 2.0


def test_a_credit_with_a_check_is_zero_and_not_absent() -> None:
    """So that "none" can be told from "nothing seen"."""
    spans = [span(11, 1, service="fraud", name="fraud.score"), span(10, 2, attributes=ALWAYS)]
    assert value(spans_of(spans).instant(f"increase({WITHOUT}[5m])", AT, LONG)) == 0.0


@pytest.mark.parametrize(
    "where", ["span", "resource", "root", "sampling.always"],
)  # fmt: skip
def test_only_traces_that_are_always_sampled_are_looked_at(where: str) -> None:
    """The span, its resource or the root says so; of any other trace a missing span proves nothing."""
    silent = [span(11, 1, service="gateway", name="POST /promo"), span(10, 2, parent=1)]
    assert isinstance(spans_of(silent).instant(f"increase({WITHOUT}[5m])", AT, LONG), Absent)
    said = {"sampling.always": True} if where == "sampling.always" else ALWAYS
    root = span(11, 1, service="gateway", name="POST /promo", attributes=said if where == "root" else {})
    below = span(
        10,
        2,
        parent=1,
        attributes=said if where in {"span", "sampling.always"} else {},
        resource=said if where == "resource" else {},
    )
    assert value(spans_of([root, below]).instant(f"increase({WITHOUT}[5m])", AT, LONG)) == 1.0


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ('increase(traces_span_without_total{span_name="a"}[5m])', 'needs without="…"'),
        ('increase(traces_span_without_total{span_name=~"a",without="b"}[5m])', 'needs span_name="…"'),
        ('traces_service_graph_request_total{service="a"}', "has no label service: it has client, server"),
        ('traces_span_metrics_calls_total{service="a"}', "no span has the attribute of a label service; near: service_name"),
        ('traces_span_metrics_calls_total{servicename="a"}', "near: service_name"),
        ("up", "up is not a series of traces: one signal per expression"),
        ('sum(traces_span_metrics_calls_total) / sum(log_record_count_total)', "one signal per expression"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused_in_one_line(query: str, words: str) -> None:
    """A typo is an error, not a rule that never fires."""
    reading = spans_of([span(10, 1)]).instant(query, AT, LONG)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED
    assert words in reading.message


def test_an_attribute_that_no_span_has_is_an_empty_label() -> None:
    """`error_type` is there on failures only: a healthy minute is no error of the rule."""
    source = spans_of([span(10, 1)])
    assert isinstance(source.instant('traces_span_metrics_calls_total{error_type="timeout"}', AT, LONG), Absent)
    assert value(source.instant('traces_span_metrics_calls_total{error_type=""}', AT, LONG)) == 1.0


class Short(MemoryTraceSource):
    """Answers with few traces at once and counts the questions."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.asked: list[TraceQuery] = []

    def search(self, query: TraceQuery, timeout_seconds: float) -> Reading[TracePage]:
        self.asked.append(query)
        reading = super().search(query, timeout_seconds)
        if isinstance(reading, Measured) and len(reading.data.traces) > self.most:
            return Measured(TracePage(reading.data.traces[: self.most], truncated=True), self.name)
        return reading


def test_a_truncated_search_is_cut_until_it_is_whole() -> None:
    """The count is of all traces, though no answer has them all."""
    source = Short(7)
    source.add(traces_of([span(i * 3.0, i + 1, i + 1) for i in range(100)]))
    query = 'sum(increase(traces_span_metrics_calls_total{service_name="wallet"}[5m]))'
    assert value(SpanSeries(source).instant(query, AT, LONG)) == 100.0
    assert 15 < len(source.asked) < 50


def test_more_than_the_budget_is_partial_and_not_a_smaller_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be counted whole is not counted."""
    monkeypatch.setattr(fetching, "SEARCHES_MAX", 10)
    source = Short(7)
    source.add(traces_of([span(i * 3.0, i + 1, i + 1) for i in range(100)]))
    reading = SpanSeries(source).instant("sum(increase(traces_span_metrics_calls_total[5m]))", AT, LONG)
    assert isinstance(reading, Failed)
    assert (reading.reason, reading.partial) == (Reason.PARTIAL, None)
    assert "10 searches did not bring all traces" in reading.message
    assert len(source.asked) == 10


def test_more_traces_in_a_moment_than_one_answer_has_is_partial() -> None:
    """Cutting ends: nothing can tell them apart by time."""
    source = Short(7)
    source.add(traces_of([span(10, i + 1, i + 1) for i in range(20)]))
    reading = SpanSeries(source).instant("sum(increase(traces_span_metrics_calls_total[5m]))", AT, LONG)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.PARTIAL
    assert "wallet has more traces at once than" in reading.message


class Small(MemoryTraceSource):
    """Refuses a limit that is more than it keeps, as Jaeger's memory store does."""

    def search(self, query: TraceQuery, timeout_seconds: float) -> Reading[TracePage]:
        if query.limit > 500:
            return Failed(Reason.REJECTED, "search depth must be less than max traces", self.name)
        return super().search(query, timeout_seconds)


def test_a_small_store_is_asked_for_less_at_once() -> None:
    """Its refusal is no end."""
    source = Small()
    source.add(traces_of([span(i * 0.5, i + 1, i + 1) for i in range(300)]))
    query = 'sum(increase(traces_span_metrics_calls_total{service_name="wallet"}[5m]))'
    assert value(SpanSeries(source).instant(query, AT, LONG)) == 300.0


def test_presence_looks_at_a_few_traces_only() -> None:
    """Whether there is anything at all costs one question, however much there is."""
    source = Short(25)
    source.add(traces_of([span(i / 10, i + 1, i + 1) for i in range(2_000)]))
    assert (
        value(SpanSeries(source).instant('group(traces_span_metrics_calls_total{service_name="wallet"})', AT, LONG))
        == 1.0
    )
    assert [query.limit for query in source.asked] == [fetching.A_FEW]


def test_presence_that_a_few_traces_do_not_show_is_looked_for() -> None:
    """The newest traces happen not to fit: then all are looked at, and nothing is called absent in haste."""
    source = Short(2_000)
    spans = [span(i / 10, i + 1, i + 1) for i in range(1_000)]
    spans.append(span(200, 5_000, 5_000, attributes={"error.type": "timeout"}))
    source.add(traces_of(spans))
    query = 'group(traces_span_metrics_calls_total{service_name="wallet",error_type="timeout"})'
    assert value(SpanSeries(source).instant(query, AT, LONG)) == 1.0


def test_only_the_services_that_are_asked_for_are_searched() -> None:
    """Names, patterns, operations: what the selector fixes is asked of the backend."""
    source = Short(1_000)
    source.add(traces_of([span(10, i, i, service=name) for i, name in enumerate(("wallet", "wallet-db", "auth"), 1)]))
    query = 'sum(increase(traces_span_metrics_calls_total{service_name=~"wallet.*",span_name="wallet.credit"}[5m]))'
    assert value(SpanSeries(source).instant(query, AT, LONG)) == 2.0
    assert {(one.service, one.operation) for one in source.asked} == {
        ("wallet", "wallet.credit"),
        ("wallet-db", "wallet.credit"),
    }


class WithSpm(MemoryTraceSource):
    """Has span metrics: `told` answers by kind."""

    def __init__(self, told: dict[str, Reading[Matrix]]) -> None:
        super().__init__()
        self.told = told
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def span_metrics(
        self, kind: str, services: Any, end: Any, lookback: Any, step: Any, timeout_seconds: float, **more: Any
    ) -> Any:
        self.asked.append((kind, {"services": services, "end": end, "lookback": lookback, "step": step, **more}))
        return self.told[kind]


def told(*rows: tuple[str, list[float]], end: float = AT.timestamp()) -> Measured[Matrix]:
    series = []
    for operation, row in rows:
        labels = {"service_name": "wallet", **({"operation": operation} if operation else {})}
        times = [end - 60 * (len(row) - 1 - i) for i in range(len(row))]
        series.append(Series(tuple(sorted(labels.items())), tuple(zip(times, row, strict=True))))
    return Measured(Matrix(tuple(series)), "jaeger")


def test_span_metrics_answer_where_they_can() -> None:
    """Calls per second over the window, times its length; no trace is fetched."""
    source = WithSpm({"calls": told(("", [2.0]))})
    query = 'sum by (service_name) (increase(traces_span_metrics_calls_total{service_name="wallet",span_kind="SPAN_KIND_SERVER"}[5m]))'
    assert values(SpanSeries(source).instant(query, AT, LONG)) == {(("service_name", "wallet"),): 600.0}
    ((kind, asked),) = source.asked
    assert (kind, asked["services"], asked["rate_per"]) == ("calls", ("wallet",), timedelta(minutes=5))
    assert (asked["span_kinds"], asked["group_by_operation"]) == (("server",), False)


def test_span_metrics_errors_are_a_share_of_calls() -> None:
    """Jaeger says a share; a series counts."""
    source = WithSpm(
        {"calls": told(("a", [2.0, 4.0]), ("b", [1.0, 1.0])), "errors": told(("a", [0.5, 0.25]), ("b", [0.0, 0.0]))}
    )
    query = 'sum by (span_name) (rate(traces_span_metrics_calls_total{service_name="wallet",status_code="STATUS_CODE_ERROR"}[5m]))'
    got = points(SpanSeries(source).range(query, ago(60), AT, timedelta(minutes=1), LONG))
    assert got == {
        (("span_name", "a"),): {ago(60).timestamp(): 1.0, AT.timestamp(): 1.0},
        (("span_name", "b"),): {ago(60).timestamp(): 0.0, AT.timestamp(): 0.0},
    }


@pytest.mark.parametrize(
    "query",
    [
        'sum(increase(traces_span_metrics_calls_total{service_name="wallet",http_route="/a"}[5m]))',
        'sum by (status_code) (increase(traces_span_metrics_calls_total{service_name="wallet"}[5m]))',
        "sum(increase(traces_span_metrics_calls_total[5m]))",
        'increase(traces_span_metrics_calls_total{service_name="wallet"}[5m])',
        'sum by (le) (increase(traces_span_metrics_duration_milliseconds_bucket{service_name="wallet"}[5m]))',
    ],
)
def test_what_span_metrics_cannot_say_is_counted(query: str) -> None:
    """Other labels, all services, buckets."""
    source = WithSpm({})
    source.add(traces_of([span(10, 1, attributes={"http.route": "/a"})]))
    assert values(SpanSeries(source).instant(query, AT, LONG))
    assert source.asked == []


@pytest.mark.parametrize("reading", [Failed(Reason.UNSUPPORTED, "501", "jaeger"), Absent("jaeger")])
def test_without_span_metrics_traces_are_counted(reading: Reading[Matrix]) -> None:
    """Jaeger without a metrics storage, or whose storage has not heard of the service."""
    source = WithSpm({"calls": reading})
    source.add(traces_of([span(10, 1)]))
    query = 'sum(increase(traces_span_metrics_calls_total{service_name="wallet"}[5m]))'
    series = SpanSeries(source)
    assert value(series.instant(query, AT, LONG)) == 1.0
    assert value(series.instant(query, AT, LONG)) == 1.0
    assert len(source.asked) == (1 if isinstance(reading, Failed) else 2), "what is not supported is asked once"


def test_broken_span_metrics_are_a_failure() -> None:
    """They are not replaced by another number in silence."""
    source = WithSpm({"calls": Failed(Reason.OVERLOADED, "503", "jaeger")})
    source.add(traces_of([span(10, 1)]))
    reading = SpanSeries(source).instant(
        'sum(increase(traces_span_metrics_calls_total{service_name="wallet"}[5m]))', AT, LONG
    )
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.OVERLOADED
