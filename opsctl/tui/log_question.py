"""What the log screen asks: from what all screens look at, and from its own conditions, to a `LogQuery`.

No textual. Must never leave a condition out without saying so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from opsctl.core.catalogue import Service
from opsctl.core.frozen import dataclass
from opsctl.core.logs import SEVERITIES, FieldMatcher, LogQuery, LogRecord, severity_of, words_of
from opsctl.core.signals import Absent, Failed, Reading, came
from opsctl.core.traces import Trace, is_trace_id
from opsctl.insight.patterns import mine
from opsctl.tui.focus import Focus, Window
from opsctl.views.log_filter import Filter, names_in_logs, pattern_words, service_of

AROUND = timedelta(minutes=5)
"""Before and after a trace whose lines are looked for."""


class AskTrace(Protocol):
    """The question service, as far as traces go."""

    async def trace(self, trace_id: str) -> Reading[Trace]:
        """One trace."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """Conditions and time, as a person set them."""

    filter: Filter
    window: Window


@dataclass(frozen=True, slots=True)
class Question:
    """The same for a backend; `remarks` say what differs from what a person would expect."""

    query: LogQuery
    live: bool
    remarks: tuple[str, ...] = ()


def asked_of(focus: Focus, matchers: tuple[FieldMatcher, ...]) -> Asked:
    """With a trace the service is no condition: a trace goes through many."""
    severity = severity_of(focus.severity)
    if severity not in SEVERITIES:
        severity = ""
    if focus.errors_only and severity != "FATAL":
        severity = "ERROR"
    return Asked(
        Filter(
            service="" if focus.trace_id else focus.service,
            severity=severity,
            words=words_of(focus.words),
            matchers=matchers,
            trace_id=focus.trace_id,
            span_id=focus.span_id if focus.trace_id else "",
            subtree=focus.subtree and bool(focus.span_id),
        ),
        focus.window,
    )


def focus_changes(found: Filter, focus: Focus) -> tuple[dict[str, object], tuple[FieldMatcher, ...]]:
    """A filter as changes of the focus, and the conditions that only this screen has."""
    matchers, service = found.matchers, found.service
    if found.trace_id:
        if service:
            matchers = (*matchers, FieldMatcher("service.name", "=", service))
        service = focus.service
    elif found.span_id:
        matchers = (*matchers, FieldMatcher("span.id", "=", found.span_id))
    changes: dict[str, object] = {
        "service": service,
        "severity": found.severity,
        "errors_only": False,
        "words": found.word_text,
        "trace_id": found.trace_id,
        "span_id": found.span_id if found.trace_id else "",
        "subtree": found.subtree,
    }
    return changes, matchers


def query_of(asked: Asked, now: datetime, catalogue: Mapping[str, Service]) -> LogQuery:
    """Everything but the spans below a span, which only the trace knows."""
    found = asked.filter
    start, end = asked.window.bounds(now)
    services, more = names_in_logs(found.service, catalogue.get(found.service)) if found.service else ((), ())
    return LogQuery(
        start=start,
        end=end,
        words=found.word_text,
        services=services,
        severity=found.severity,
        trace_id=found.trace_id,
        span_ids=(found.span_id,) if found.span_id and not found.subtree else (),
        matchers=(*found.matchers, *more),
    )


async def question_of(asked: Asked, now: datetime, catalogue: Mapping[str, Service], ask: AskTrace) -> Question:
    """The whole question; a trace is asked for its time and its spans."""
    query = query_of(asked, now, catalogue)
    if not asked.filter.trace_id:
        return Question(query, asked.window.live)
    reading = await ask.trace(asked.filter.trace_id)
    trace = came(reading)
    if trace is None or not trace.spans:
        return _without(asked, query, reading)
    return _of_trace(asked, query, now, trace, reading)


def _without(asked: Asked, query: LogQuery, reading: Reading[Trace]) -> Question:
    why = "has no such trace" if isinstance(reading, Absent) else getattr(reading, "message", "has no span of it")
    remarks = [f"{reading.backend}: {why}: lines of the window are shown, not of the trace's time"]
    if asked.filter.subtree:
        query = msgspec.structs.replace(query, span_ids=(asked.filter.span_id,))
        remarks.append("of this span only: the spans below it are not known")
    return Question(query, asked.window.live, tuple(remarks))


def _of_trace(asked: Asked, query: LogQuery, now: datetime, trace: Trace, reading: Reading[Trace]) -> Question:
    remarks = ["the trace's time ± 5m instead of the window"]
    if isinstance(reading, Failed):
        remarks.append(f"the trace is partial: {reading.message}")
    first = min(span.start_us for span in trace.spans)
    last = max(span.start_us + span.duration_us for span in trace.spans)
    start, end = _moment(first, query.start) - AROUND, _moment(last, query.end) + AROUND
    live = end > now
    query = msgspec.structs.replace(query, start=start, end=max(start, min(end, now)))
    if asked.filter.subtree:
        below = tuple(span.span_id for span in trace.subtree(asked.filter.span_id))
        if not below:
            remarks.append(f"the trace has no span {asked.filter.span_id}")
        query = msgspec.structs.replace(query, span_ids=below or (asked.filter.span_id,))
    return Question(query, live, tuple(remarks))


def _moment(microseconds: int, otherwise: datetime) -> datetime:
    """A time of a span; one that no calendar has is none."""
    try:
        at = datetime.fromtimestamp(microseconds / 1e6, otherwise.tzinfo)
    except (OverflowError, ValueError, OSError):
        return otherwise
    return at if 1970 < at.year < 9000 else otherwise


def filter_by(found: Filter, field: str, value: str, keep: bool, catalogue: Mapping[str, Service]) -> Filter | None:
    """Only lines with this value, or only those without it; None where a backend cannot be asked so."""
    if field == "message":
        words = pattern_words(mine([LogRecord(datetime.now(UTC), value)])[0].template) if keep else ()
        return replace(found, words=words) if words else None
    if keep and value and field == "service.name" and not found.trace_id:
        return replace(found, service=service_of(value, catalogue))
    if keep and field == "trace.id" and is_trace_id(value):
        return replace(found, trace_id=value, span_id="", subtree=False)
    one = FieldMatcher(field, "=" if keep else "!=", value)
    return found if one in found.matchers else replace(found, matchers=(*found.matchers, one))
