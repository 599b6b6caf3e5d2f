"""Asked together is asked alone: whole cycles over random rules, on real Prometheus servers and the embedded engine.

Some rules cannot be answered (a match of many to many, too many samples), some services are not there, some have names
that are patterns, quotes or lines. Verdicts, alerts and digests of the evidence have to be the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.memory import MemorySource
from collectors.memory_traces import MemoryTraceSource
from collectors.prometheus import PrometheusSource
from opsctl.core.memory import Memory
from opsctl.core.rules import AlertingRule, Outcome, Rule
from opsctl.core.signals import Matrix, Measured, Reading, Signal, Vector
from opsctl.core.signals import Series as Line
from opsctl.core.slo import BurnRow, BurnTable, Severity, Slo, WindowQueries
from opsctl.core.windows import format_duration
from opsctl.engine import CycleReport, run_cycle
from opsctl.http import Endpoint
from opsctl.ports import MetricsSource, Probe
from opsctl.promql.engine import Engine
from opsctl.promql.store import SeriesStore
from opsctl.series.spans import SpanSeries
from tests.servers.fixtures import StartPrometheus
from tests.unit.engine.fakes import rule, slo
from tests.unit.series.events import AT, logs_of, record, span, spans_of, traces_of

END = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)
MINUTES = 150
SAMPLES_MAX = 2500  # of a server, which counts those of one series at a time
SAMPLES_MAX_EMBEDDED = 6000  # all of an expression
SERVICES = (
    "wallet", "Wallet", "wal.let", "wal|let", 'a"b', "back\\slash", "new\nline", "tab\t", " ", "a.*", "(x", "[y]", "$^",
    "ünï-☃", "x{1,2}", "\\d+", "{{x}}", "%41", "a'b", "`", "#",
)  # fmt: skip
TWICE, HEAVY, GONE, SILENT = "twice", "heavy", "gone", "silent"
EVERYONE = (*SERVICES, TWICE, HEAVY, GONE, SILENT, "not there")
ONE_ROW = BurnTable("one", (BurnRow(Severity.PAGE, timedelta(hours=1), timedelta(minutes=5), 14.4),))

Series = dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[int, float]]]


def history() -> Series:
    """Counters by pod and code, classic histograms, a gauge, a counter that is not called like one."""
    out: Series = {}
    end = round(END.timestamp())
    for i, service in enumerate(EVERYONE[:-1]):
        step = 2 if service == HEAVY else 60
        seconds = range(end - 60 * MINUTES, end + 1 if service != GONE else end - 60 * 20, step)

        def add(name: str, per_step: float, *, at: range = seconds, **labels: str) -> None:
            pairs = tuple(sorted({"service": labels.pop("service"), **labels}.items()))
            out[name, pairs] = [(second, per_step * n) for n, second in enumerate(at)]

        for pod in ("p0", "p1")[: 1 + i % 2]:
            add("req_total", 60.0 + i, service=service, pod=pod, code="200")
            if service != SILENT:
                add("req_total", (0.0, 0.3, 20.0)[i % 3], service=service, pod=pod, code="500")
            add("dur_count", 60.0, service=service, pod=pod)
            add("dur_bucket", 60.0 - 9 * (i % 4), service=service, pod=pod, le="0.5")
            add("odd", 1.0 + i % 2, service=service, pod=pod)
            out["info", (("pod", pod), ("service", service))] = [(second, 1.0) for second in seconds]
        if service == TWICE:
            out["info", (("pod", "p0"), ("service", service), ("zone", "b"))] = [(second, 1.0) for second in seconds]
        values = [float("nan") if i % 5 == 4 and n % 2 else float((n * i) % 11) for n, _ in enumerate(seconds)]
        out["queue", (("service", service),)] = list(zip(seconds, values, strict=True))
    return out


def openmetrics(series: Series) -> str:
    lines: list[str] = []
    for name in sorted({name for name, _ in series}):
        lines.append(f"# TYPE {name} unknown")
        for (of, labels), points in series.items():
            if of == name:
                shown = ",".join(f'{key}="{escaped(value)}"' for key, value in labels)
                lines += [f"{name}{{{shown}}} {'NaN' if value != value else value} {at}" for at, value in points]
    return "\n".join([*lines, "# EOF", ""])


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def embedded(series: Series) -> MemorySource:
    store = SeriesStore()
    for (name, labels), points in series.items():
        times = np.array([at for at, _ in points], np.int64) * 1000
        store.add(name, [dict(labels)], times, np.array([[value for _, value in points]]))
    return MemorySource(Engine(store, samples_max=SAMPLES_MAX_EMBEDDED))


# Rules


SLOS = (
    ('sum(increase(req_total{service=$,code="500"}[W]))', "sum(increase(req_total{service=$}[W]))"),
    (
        'sum(increase(dur_count{service=$}[W])) - sum(increase(dur_bucket{service=$,le="0.5"}[W]))',
        "sum(increase(dur_count{service=$}[W]))",
    ),
    ("sum(sum_over_time((sum(queue{service=$}) > bool 9)[W:1m]))", "sum(count_over_time((sum(queue{service=$}))[W:1m]))"),
    ("sum(increase(odd{service=$}[W]))", "sum(increase(req_total{service=$}[W]))"),
    (
        'sum(increase(req_total{service=$,code="500"}[W]) * on (service, pod) group_left () info{service=$})',
        "sum by (service) (increase(req_total{service=$}[W]))",
    ),
    ('sum(increase(req_total{service=$,code="500"}[W])) or 0 * sum(increase(req_total{service=$}[W]))', "sum(increase(req_total{service=$}[W]))"),
)  # fmt: skip
ALERTS = (
    "sum by (pod) (rate(req_total{service=$}[5m])) > 1",
    'sum(rate(req_total{service=$,code="500"}[5m])) / sum(rate(req_total{service=$}[5m])) > 0.1',
    "max(queue{service=$}) > 5",
    "avg by (service) (queue{service=$} offset 3m)",
    "absent(queue{service=$})",
    "sum(rate(odd{service=$}[5m])) > 0.01",
    "count by (pod) (req_total{service=$} * on (service, pod) group_left () info{service=$})",
    "sum(never_there{service=$})",
    "sum(rate(req_total{service=$,code=~\"(\"}[5m]))",
)  # fmt: skip


def quoted(service: str) -> str:
    return json.dumps(service, ensure_ascii=False)


def objective(service: str, kind: int) -> Slo:
    def text(template: str, window: timedelta) -> str:
        return template.replace("W", format_duration(window)).replace("$", quoted(service))

    part, total = SLOS[kind]
    period = timedelta(hours=2)
    queries = {w: WindowQueries(text(part, w), text(total, w)) for w in (*ONE_ROW.windows(), period)}
    return slo(f"slo-{kind}-{EVERYONE.index(service)}", burn=ONE_ROW, period=period, queries=queries, service=service)


def alerting(service: str, kind: int) -> AlertingRule:
    name = f"Alert{kind}n{EVERYONE.index(service)}"
    annotations = {"summary": "{{ $labels.service }} {{ $labels.pod }} {{ $value }}"}
    for_ = timedelta(minutes=kind % 3)
    expr = ALERTS[kind].replace("$", quoted(service))
    metrics = ("never_there",) if "never" in expr else ("queue", "req_total")
    return rule(expr, name=name, uid=name, annotations=annotations, for_=for_, metrics=metrics)


services = st.lists(st.sampled_from(EVERYONE), min_size=2, max_size=9, unique=True)
rule_sets = st.tuples(
    services, st.sets(st.sampled_from(range(len(SLOS))), max_size=3), st.sets(st.sampled_from(range(len(ALERTS))), max_size=3)
)  # fmt: skip


def ours(drawn: tuple[list[str], set[int], set[int]]) -> list[Rule]:
    names, slos, alerts = drawn
    return [
        *(objective(name, kind) for kind in sorted(slos) for name in names),
        *(alerting(name, kind) for kind in sorted(alerts) for name in names),
    ]


class Counting:
    """Passes everything on and counts the instant questions; `query_bytes` 0: each rule is asked alone."""

    def __init__(self, source: MetricsSource, query_bytes: int) -> None:
        self.source = source
        self.name = source.name
        self.concurrency = source.concurrency
        self.query_bytes = query_bytes
        self.asked: list[str] = []

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        self.asked.append(query)
        return self.source.instant(query, at, timeout_seconds)

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        return self.source.range(query, start, end, step, timeout_seconds)

    def probe(self, timeout_seconds: float) -> Probe:
        return self.source.probe(timeout_seconds)

    def close(self) -> None:
        pass


def both(source: MetricsSource, rules: list[Rule], at: datetime, memory: Memory) -> tuple[CycleReport, int, int]:
    """The report of a cycle, after it was found to be the one of single questions; how many were asked each way."""
    together, alone = Counting(source, 16 * 1024), Counting(source, 0)
    one, other = run_cycle(rules, together, at, memory), run_cycle(rules, alone, at, memory)
    for mine, theirs in zip(one.verdicts, other.verdicts, strict=True):
        assert (mine.outcome, mine.headline) == (theirs.outcome, theirs.headline)
        assert mine.evidence.digest == theirs.evidence.digest, f"{mine.evidence}\n{theirs.evidence}"
        assert repr(mine) == repr(theirs)  # NaN is no equal of itself
    assert repr((one.stale, sorted(one.fresh), one.facts)) == repr((other.stale, sorted(other.fresh), other.facts))
    assert [(b.status, b.auth_failed) for b in one.backends] == [(b.status, b.auth_failed) for b in other.backends]
    return one, len(together.asked), len(alone.asked)


@contextmanager
def opened(kind: str, start_prometheus: StartPrometheus) -> Iterator[MetricsSource]:
    if kind == "embedded":
        yield embedded(history())
        return
    server = start_prometheus(openmetrics(history()), kind, flags=(f"--query.max-samples={SAMPLES_MAX}",))
    source = PrometheusSource(Endpoint(server.url), concurrency=2)
    try:
        yield source
    finally:
        source.close()


KINDS = ("embedded", "3.16", "2.42")


@pytest.mark.parametrize("kind", KINDS)
def test_together_is_alone(kind: str, start_prometheus: StartPrometheus) -> None:
    with opened(kind, start_prometheus) as source:

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(rule_sets, st.integers(0, 30))
        def cycles(drawn: tuple[list[str], set[int], set[int]], minutes_ago: int) -> None:
            at = END - timedelta(minutes=minutes_ago)
            report, _, _ = both(source, ours(drawn), at, Memory())
            both(source, ours(drawn), at + timedelta(minutes=1), report.memory)

        cycles()


@pytest.mark.parametrize("kind", KINDS)
def test_few_questions_answer_many_rules_and_bad_ones_cost_themselves(
    kind: str, start_prometheus: StartPrometheus
) -> None:
    """Every service at once: the two that cannot be answered are unknown, and everybody else is as if alone."""
    with opened(kind, start_prometheus) as source:
        fine = [name for name in EVERYONE if name not in (TWICE, HEAVY)]
        report, together, alone = both(source, [objective(name, 0) for name in fine[:12]], END, Memory())
        assert together == 6
        assert alone == 6 * 12
        assert Outcome.UNKNOWN not in {verdict.outcome for verdict in report.verdicts[:10]}

        rules = [objective(name, 4) for name in EVERYONE]
        report, together, alone = both(source, rules, END, Memory())
        unknown = {v.rule.service for v in report.verdicts if v.outcome is Outcome.UNKNOWN and not v.never_had_data}
        assert unknown - {GONE} == {TWICE, HEAVY}  # the embedded engine's cap is also on looking back for who is gone
        assert together < alone


def test_series_of_logs_and_spans_are_asked_together_too() -> None:
    """Names of services that are patterns; one service is not there; a field that no record has is everybody's error."""
    known = SERVICES[:8]
    logs = logs_of(
        record(20.0 * i, service, "ERROR" if (i + n) % 4 == 0 else "INFO", event_action="login")
        for n, service in enumerate(known)
        for i in range(40)
    )
    spans = spans_of(
        span(20.0 * i, 100 * n + i + 1, 100 * n + i + 1, service=service, status="error" if i % (n + 2) == 0 else "ok")
        for n, service in enumerate(known)
        for i in range(40)
    )
    for source, template in (
        (logs, 'sum(increase(log_record_count_total{service_name=$,severity_text="ERROR"}[5m])) > 3'),
        (logs, "sum by (event_action) (rate(log_record_count_total{service_name=$}[10m]))"),
        (logs, 'sum(increase(log_record_count_total{service_name=$,no_such_field="x"}[5m]))'),
        (
            spans,
            'sum(increase(traces_span_metrics_calls_total{service_name=$,status_code="STATUS_CODE_ERROR"}[10m])) > 1',
        ),
    ):
        rules: list[Rule] = [
            rule(template.replace("$", quoted(service)), name=f"A{n}", uid=f"A{n}")
            for n, service in enumerate((*known, "not there"))
        ]
        _, together, alone = both(source, rules, AT, Memory())
        assert alone == len(rules)
        assert together == 1 if "no_such" not in template else together < 3 * len(rules)


class Sampled(MemoryTraceSource):
    """A Jaeger that keeps few traces, and whose span metrics know all calls of one service at a time."""

    def span_metrics(self, kind: str, services: Sequence[str], *_: object, **__: object) -> Reading[Matrix]:
        (service,) = services
        labels = (("service_name", service),)
        return Measured(Matrix((Line(labels, ((AT.timestamp(), 10.0 if kind == "calls" else 0.5),)),)), self.name)


def test_who_has_the_numbers_of_one_service_is_not_asked_for_many() -> None:
    """Together they would be counted from sampled traces: a hundredth of the calls, and nobody would page."""
    source = Sampled()
    source.add(traces_of([span(30, i, i, service=name) for i, name in enumerate(("a", "b"), 1)]))
    expr = 'sum(increase(traces_span_metrics_calls_total{service_name=$,status_code="STATUS_CODE_ERROR"}[5m])) > 100'
    rules = [replace(rule(expr.replace("$", quoted(n)), name=n, uid=n), signal=Signal.TRACES) for n in ("a", "b")]
    report = run_cycle(rules, {Signal.TRACES: SpanSeries(source)}, AT)
    assert [verdict.outcome for verdict in report.verdicts] == [Outcome.FAIL] * 2


def test_both_sides_of_a_ratio_are_counted_in_one_way() -> None:
    """Failures among the traces that were kept over all calls that the span metrics know would be no share of them."""
    source = Sampled()
    calls = [span(30, i, i, service="a", attributes={"error.type": "timeout" if i % 2 else ""}) for i in range(1, 9)]
    source.add(traces_of(calls))
    family = 'sum(increase(traces_span_metrics_calls_total{service_name="a"$}[5m]))'
    expr = family.replace("$", ',error_type="timeout"') + " / " + family.replace("$", "")
    reading = SpanSeries(source).instant(expr, AT, 10.0)
    assert isinstance(reading, Measured)
    assert [sample.value for sample in reading.data.samples] == [0.5]
