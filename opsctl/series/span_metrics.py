"""Windows of calls from Jaeger's service performance metrics (SPM), where these can say what is asked.

SPM is what Jaeger reads from its span metrics connector's series: calls per second and the share of errors, by service
and operation. Must never stand in for a label that SPM does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, Protocol

import numpy as np

from opsctl.core.signals import Labels, Matrix, Reading
from opsctl.ports.traces import TraceSource
from opsctl.promql import Matcher
from opsctl.promql.samples import stale_mark
from opsctl.promql.store import SeriesStore
from opsctl.series.counts import Floats, Question
from opsctl.series.matching import equal_to, fits
from opsctl.series.names import CALLS, DURATION_COUNT
from opsctl.series.needs import Family, Need
from opsctl.series.source import time_of
from opsctl.series.span_events import KINDS, STATUSES

_METRICS = frozenset({CALLS, DURATION_COUNT})
_LABELS = frozenset({"service_name", "span_name"})
_OPERATION = "operation"
_KIND_OF = {text: kind or "unspecified" for kind, text in KINDS.items()}
_SHORTEST_STEP_MS = 1_000


class SpanMetricsSource(TraceSource, Protocol):
    """A trace source that may also have span metrics."""

    def span_metrics(
        self,
        kind: Literal["calls", "errors", "latencies"],
        services: Sequence[str],
        end: Any,
        lookback: timedelta,
        step: timedelta,
        timeout_seconds: float,
        *,
        quantile: float | None = None,
        group_by_operation: bool = False,
        span_kinds: Sequence[str] = (),
        rate_per: timedelta = timedelta(minutes=10),
    ) -> Reading[Matrix]:
        """Series by `service_name` and `operation`; `Failed(unsupported)` where there are none to be had."""
        ...


class Told:
    """Numbers that a backend computed itself, by need."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[Labels, Floats]] = {}

    @property
    def cells(self) -> int:
        """How many numbers there are."""
        return sum(len(row) for rows in self._rows.values() for row in rows.values())

    def add(self, need: Need, labels: Mapping[str, str], values: Floats) -> None:
        """One series' numbers at the need's times; NaN where there is none. The same labels again are added up."""
        rows = self._rows.setdefault(need.name, {})
        key = tuple(sorted(labels.items()))
        before = rows.get(key)
        both = values if before is None else np.where(np.isnan(before), values, before + np.nan_to_num(values))
        rows[key] = both

    def store(self, needs: Iterable[Need], store: SeriesStore) -> None:
        """Put the numbers of each need into a store under its name."""
        for need in needs:
            rows = self._rows.get(need.name, {})
            if rows:
                values = np.vstack(list(rows.values()))
                values = np.where(np.isnan(values), stale_mark(), values)
                store.add(need.name, tuple(dict(labels) for labels in rows), need.times, values)


class Spm:
    """Asks a trace source's span metrics; `whole` gives the data of a reading or ends the evaluation."""

    def __init__(self, source: SpanMetricsSource, question: Question, timeout: Any, whole: Any) -> None:
        self._source = source
        self._question = question
        self._family = question.family
        self._timeout = timeout
        self._whole = whole

    def told(self) -> Told | None:
        """The numbers of every need; None where there are none, so that somebody else has to count."""
        told = Told()
        errors = equal_to(self._family.matchers, "status_code") != ""
        for need in self._question.needs:
            calls = self._asked("calls", need)
            shares = self._asked("errors", need) if calls and errors else calls
            if not calls or not shares:
                return None
            for labels, rates in calls.items():
                if errors:  # no call, no share of them that failed
                    rates = rates * np.nan_to_num(shares.get(labels, np.zeros(1)))
                self._add(told, need, dict(labels), rates * (need.range_ms / 1000))
        return told

    def _add(self, told: Told, need: Need, given: dict[str, str], counts: Floats) -> None:
        labels = {"service_name": given.get("service_name", ""), "span_name": given.get(_OPERATION, "")}
        if _fits_names(self._family)(labels):
            shown = {name: value for name, value in labels.items() if name in self._family.labels and value}
            told.add(need, shown, counts)

    def _asked(self, kind: Literal["calls", "errors"], need: Need) -> dict[Labels, Floats]:
        times = need.times
        last, first = int(times[-1]), int(times[0])
        step = int(times[1]) - first if len(times) > 1 else _SHORTEST_STEP_MS
        reading = self._source.span_metrics(
            kind,
            (equal_to(self._family.matchers, "service_name"),),
            time_of(last),
            timedelta(milliseconds=max(last - first, step)),
            timedelta(milliseconds=step),
            self._timeout(),
            group_by_operation=_by_operation(self._family),
            span_kinds=_kinds(self._family),
            rate_per=timedelta(milliseconds=need.range_ms),
        )
        matrix: Matrix | None = self._whole(reading)
        places = {int(at): i for i, at in enumerate(times.tolist())}
        out: dict[Labels, Floats] = {}
        for series in () if matrix is None else matrix.series:
            row = np.full(len(times), np.nan)
            for at, value in series.points:
                place = places.get(round(at * 1000))
                if place is not None:
                    row[place] = value
            if not np.isnan(row).all():
                out[tuple(pair for pair in series.labels if pair[0] != "__name__")] = row
        return out


def can_say(question: Question) -> bool:
    """Whether SPM has what a question asks."""
    family = question.family
    named = equal_to(family.matchers, "service_name") != ""
    labels = family.only and set(family.labels) <= _LABELS
    windows = all(need.range_ms >= _SHORTEST_STEP_MS and _even(need) for need in question.needs)
    return family.metric in _METRICS and named and labels and windows and all(map(_sayable, family.matchers))


def _sayable(matcher: Matcher) -> bool:
    match matcher.name, matcher.op:
        case "service_name", "=":
            return True
        case "span_name", _:
            return True
        case "span_kind", "=":
            return matcher.value in _KIND_OF
        case "status_code", "=":
            return matcher.value == STATUSES["error"]
        case _:
            return False


def _even(need: Need) -> bool:
    steps = np.diff(need.times)
    return len(steps) == 0 or (int(steps.min()) == int(steps.max()) and int(steps[0]) >= _SHORTEST_STEP_MS)


def _kinds(family: Family) -> tuple[str, ...]:
    said = equal_to(family.matchers, "span_kind")
    return (_KIND_OF[said],) if said else tuple(_KIND_OF.values())


def _by_operation(family: Family) -> bool:
    return "span_name" in family.labels or any(one.name == "span_name" for one in family.matchers)


def _fits_names(family: Family) -> Any:
    return fits(one for one in family.matchers if one.name == "span_name")
