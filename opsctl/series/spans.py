"""The series of spans: by Jaeger's own span metrics where those can say it, else from counted traces.

Must never take what sampling left out for a count of nothing where absence is the point (`traces_span_without_total`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from opsctl.core.signals import Failed, Reading, Reason, Signal
from opsctl.core.traces import Trace
from opsctl.ports.traces import TraceSource
from opsctl.series.counts import Counted, Question
from opsctl.series.fetching import Fetch, Search, Spans, fewest
from opsctl.series.matching import equal_to, fits, test_of
from opsctl.series.names import DURATION_BUCKET, PAIR_FAILED, PAIR_REQUESTS, SPAN_WITHOUT
from opsctl.series.needs import Family
from opsctl.series.source import CountedSeries, Deadline, Numbers
from opsctl.series.span_events import LE, STATUSES, Event, Wish, bound_of, events_of, fixed_labels, label_of
from opsctl.series.span_metrics import SpanMetricsSource, Spm, Told, can_say

_PAIRS = frozenset({PAIR_REQUESTS, PAIR_FAILED})
_CALL_TAKES_MS = 60_000
"""A caller has a span that began at most so long before the one of the service that it calls."""

_OTHER_WORDS = {
    "service": "service_name",
    "operation": "span_name",
    "span": "span_name",
    "name": "span_name",
    "kind": "span_kind",
    "status": "status_code",
    "code": "status_code",
}


class SpanSeries(CountedSeries):
    """PromQL over the spans of a `TraceSource`."""

    signal = Signal.TRACES
    kept_ms = 0  # five more minutes of traces would be fetched to tell a zero from nothing

    def __init__(self, traces: TraceSource) -> None:
        super().__init__(traces)
        self._traces = traces
        has_spm = callable(getattr(traces, "span_metrics", None))
        self._spm = cast(SpanMetricsSource, traces) if has_spm else None
        if has_spm:
            self.query_bytes = 0  # it tells of one service at a time: a question about several would be counted instead

    def _count(self, questions: Sequence[Question], deadline: Deadline) -> Sequence[tuple[Question, Numbers]]:
        for question in questions:
            self._check_matchers(question.family)
        told: list[tuple[Question, Numbers]] = []
        for question in questions if all(map(can_say, questions)) else ():
            numbers = self._told(question, deadline)
            if numbers is None:
                break
            told.append((question, numbers))
        # One expression, one way of counting: span metrics may know calls whose traces were not kept.
        return told if len(told) == len(questions) else self._from_traces(questions, deadline)

    def _told(self, question: Question, deadline: Deadline) -> Told | None:
        """What Jaeger's span metrics say; None where they cannot, or do not know the service."""
        if self._spm is None or not can_say(question):
            return None

        def data(reading: Reading[Any]) -> Any:
            if isinstance(reading, Failed) and reading.reason is Reason.UNSUPPORTED:
                self._spm = None
                return None
            return self._whole(reading)

        return Spm(self._spm, question, deadline.left, data).told()

    def _from_traces(self, questions: Sequence[Question], deadline: Deadline) -> list[tuple[Question, Numbers]]:
        if not questions:
            return []
        fetch = Fetch(self._traces, deadline)
        if len(questions) == 1 and questions[0].presence_only:
            seen = self._seen(questions[0], fetch, deadline)
            if seen is not None:
                return [(questions[0], seen)]
        for search, spans in fewest(self._wanted(questions, deadline)).items():
            for after_ms, to_ms in spans:
                fetch.fetch(search, after_ms, to_ms)
        found = list(fetch.found)
        return [(question, self._counted_spans(question, found, deadline)) for question in questions]

    def _seen(self, question: Question, fetch: Fetch, deadline: Deadline) -> Counted | None:
        """Whether there is anything at all: a few traces say so, unless they happen not to fit."""
        for search, spans in self._wanted((question,), deadline).items():
            for after_ms, to_ms in spans:
                fetch.newest(search, after_ms, to_ms)
            counted = self._counted_spans(question, list(fetch.found), deadline)
            if not counted.empty:
                return counted
        return None

    # -- what to fetch --------------------------------------------------------------------------------------------

    def _wanted(self, questions: Iterable[Question], deadline: Deadline) -> dict[Search, Spans]:
        services: list[str] | None = None
        wanted: dict[Search, Spans] = {}
        for question in questions:
            named = equal_to(question.family.matchers, _side(question.family))
            if named == "" and services is None:
                services = list(self._whole(self._traces.services(deadline.left())) or ())
            for search in _searches(question.family, [named] if named else services or []):
                wanted.setdefault(search, []).extend(_times(question))
        return wanted

    # -- what to count --------------------------------------------------------------------------------------------

    def _counted_spans(self, question: Question, found: Sequence[Trace], deadline: Deadline) -> Counted:
        family = question.family
        counted = Counted(question.buckets)
        fixed = frozenset(fixed_labels(family.metric))
        extra = frozenset((*family.labels, *(one.name for one in family.matchers))) - fixed
        self._check_attributes(family, extra, found)
        wish = Wish(extra, equal_to(family.matchers, "without"))
        shown = frozenset(family.labels) if family.only else fixed | frozenset(family.labels)
        takes = fits(family.matchers)
        histogram = _Histogram() if family.metric == DURATION_BUCKET else None
        for trace in found:
            deadline.left()
            for event in events_of(family.metric, trace, wish):
                bucket = counted.bucket_of(event.at_us / 1000)
                if bucket is None:
                    continue
                if histogram is not None:
                    histogram.add(event, bucket)
                elif takes(event.labels):
                    counted.add(_shown(event.labels, shown), bucket, event.weight)
        for labels, bucket, weight, spans in histogram.cumulative() if histogram is not None else ():
            if takes(labels):
                counted.add(_shown(labels, shown), bucket, weight, spans)
        return counted

    def _check_matchers(self, family: Family) -> None:
        if family.metric == SPAN_WITHOUT:
            for name in ("span_name", "without"):
                if not equal_to(family.matchers, name):
                    message = (
                        f'{SPAN_WITHOUT} needs {name}="…": it counts spans of one name without another before them'
                    )
                    self._stop(Reason.REJECTED, message)
        fixed = fixed_labels(family.metric)
        for name in (*family.labels, *(one.name for one in family.matchers)):
            if family.metric in _PAIRS and name not in fixed:
                self._stop(Reason.REJECTED, f"{family.metric} has no label {name}: it has {', '.join(fixed)}")

    def _check_attributes(self, family: Family, extra: frozenset[str], found: Sequence[Trace]) -> None:
        """A label that no span has is refused where it looks like one of the fixed labels."""
        suspects = {name: near for name in extra if (near := _near(name, fixed_labels(family.metric)))}
        if not suspects or not found:
            return
        spans = (span for trace in found for span in trace.spans)
        there = {label_of(name) for span in spans for name in (*span.attributes, *span.resource)}
        for name, near in suspects.items():
            if name not in there:
                self._stop(Reason.REJECTED, f"no span has the attribute of a label {name}; near: {near}")


class _Histogram:
    """Spans by labels, time and the first bound that they are not over."""

    def __init__(self) -> None:
        self._rows: dict[tuple[tuple[tuple[str, str], ...], int], list[int]] = {}

    def add(self, event: Event, bucket: int) -> None:
        """Count a span; the event's weight is its duration in milliseconds."""
        row = self._rows.setdefault((tuple(event.labels.items()), bucket), [0] * len(LE))
        row[bound_of(event.weight)] += 1

    def cumulative(self) -> Iterator[tuple[dict[str, str], int, int, int]]:
        """Labels with `le`, the time, how many spans are not over that bound, and how many there are."""
        for (labels, bucket), row in self._rows.items():
            within, spans = 0, sum(row)
            for bound, count in zip(LE, row, strict=True):
                within += count
                yield {**dict(labels), "le": bound}, bucket, within, spans


def _near(label: str, fixed: Sequence[str]) -> str | None:
    if _OTHER_WORDS.get(label) in fixed:
        return _OTHER_WORDS[label]
    return next(iter(difflib.get_close_matches(label, fixed, n=1, cutoff=0.85)), None)


def _shown(labels: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name in names}


def _side(family: Family) -> str:
    """The label that says whose traces have a family's events: the callee's, or the caller's if only that is said."""
    if family.metric not in _PAIRS:
        return "service_name"
    said = {one.name for one in family.matchers}
    return "client" if "client" in said and "server" not in said else "server"


def _searches(family: Family, services: Sequence[str]) -> list[Search]:
    pairs = family.metric in _PAIRS
    tests = [test_of(one) for one in family.matchers if one.name == _side(family)]
    operation = "" if pairs else equal_to(family.matchers, "span_name")
    errors = not pairs and equal_to(family.matchers, "status_code") == STATUSES["error"]
    return [Search(name, operation, errors) for name in services if all(test(name) for test in tests)]


def _times(question: Question) -> Spans:
    early = _CALL_TAKES_MS if _side(question.family) == "client" else 0
    return [(after - early, to) for after, to in question.buckets.spans()]
