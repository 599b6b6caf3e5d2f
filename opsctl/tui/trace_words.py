"""What the Traces screen says: of a search, of a span, of its log lines, in lines of pieces.

Pure: no textual. Must never say of a search that failed or came in part that there is nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from opsctl.core.logs import LogPage, LogQuery
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason, came
from opsctl.core.traces import Span, Trace, TracePage
from opsctl.core.windows import format_duration
from opsctl.insight.critical_path import critical_path
from opsctl.render.text import clean, shortened
from opsctl.render.traces import counted, failure_line, search_cells, span_lines, span_time
from opsctl.tui.focus import Window
from opsctl.tui.tree import Tree
from opsctl.views.logs import one_line, time_words
from opsctl.views.traces import moment_of
from opsctl.views.words import clock_time

if TYPE_CHECKING:
    from opsctl.files.context import ContextSettings

Piece = tuple[str, str]
"""A text and its tone, as `Lines` paints them."""
Paragraph = tuple[Piece, ...]
SCOPES = ("span", "subtree", "trace")
"""Whose log lines stand beside a waterfall."""
LOG_LINES = 100
_AROUND_US = 300_000_000
_MOST_LINES = 1_000  # of one span's attributes
_REASON = 240  # characters of why something is wrong
_REQUEST = 300  # characters of a request's name in a list
_LONGEST = 4_000  # characters of one line
_TONES = {"FATAL": "fail", "ERROR": "fail", "WARN": "warn", "DEBUG": "dim", "TRACE": "dim"}
SORTS = {
    "time": ("newest first", "oldest first"),
    "took": ("slowest first", "quickest first"),
    "errors": ("most errors first", "fewest errors first"),
}
"""What a list is sorted by, and how that and the reverse are said."""


def between(start: datetime, end: datetime, *, utc: bool) -> str:
    """A stretch of time, with its day where it is not of one day."""
    one, other = (at if utc else at.astimezone() for at in (start, end))
    if one.date() == other.date():
        return f"{one:%H:%M:%S} – {clock_time(end, utc=utc)}"
    return f"{one:%Y-%m-%d %H:%M} – {other:%Y-%m-%d %H:%M}{'Z' if utc else f'{other:%z}'}"


def sorted_traces(traces: Sequence[Trace], by: str, *, reverse: bool) -> list[Trace]:
    """A page in one of `SORTS`; what is equal stays newest first."""
    newest = sorted(traces, key=lambda trace: trace.start_us, reverse=True)
    keys = {
        "time": lambda trace: trace.start_us,
        "took": lambda trace: trace.duration_us,
        "errors": lambda trace: trace.errors,
    }
    return sorted(newest, key=keys[by], reverse=not reverse)


def search_lines(
    reading: Reading[TracePage], *, what: str, when: str, order: str, hint: str = ""
) -> Iterator[Paragraph]:
    """What came of a search; `what` was looked for in `when`, `hint` is what is known where nothing fits."""
    page = came(reading)
    if isinstance(reading, Failed):
        glyph, tone = ("!", "warn") if page is not None and page.traces else ("✖", "fail")
        partial = "partial: " if page is not None else "no answer: "
        yield ((f"{glyph} {partial}{reading.backend}: {reading.message}", tone),)
        yield from (((f"! {text}", "warn"),) for text in reading.warnings)
    if page is None or not page.traces:
        if isinstance(reading, Failed):
            yield ((f"asked for {what}, {when}", "dim"),)
            return
        yield ((f"nothing: {reading.backend} has no trace of {what} in {when}", "warn"),)
        yield ((hint, "dim"),) if hint else ()
        return
    traces = page.traces
    failed = sum(trace.errors > 0 for trace in traces)
    said = f"{len(traces)} trace{'' if len(traces) == 1 else 's'}, {failed} with errors"
    yield ((f"{what}  ", "strong"), (f"{when}  ", ""), (f"{said}, {order}", "dim"))
    if page.truncated:
        yield (("! there may be more that fit: a shorter window ( + ) or a filter ( / ) shows them", "warn"),)
    if isinstance(reading, Measured):
        yield from (((f"! {text}", "warn"),) for text in reading.notes)


def services_lines(reading: Reading[tuple[str, ...]], shown: int, known: int) -> Iterator[Paragraph]:
    """What came of asking which services have spans; `shown` of the `known` ones fit the filter."""
    if isinstance(reading, Failed):
        yield ((f"{'!' if known else '✖'} {reading.backend}: {reading.message}", "warn" if known else "fail"),)
        yield (("it is asked again every 15 s; ", "dim"), ("R", "accent"), (" asks now", "dim"))
    if isinstance(reading, Absent):
        yield ((f"{reading.backend} has no spans of any service", "warn"),)
    if known:
        count = f"{known}" if shown == known else f"{shown} of {known}"
        have = "service has spans" if count == "1" else "services have spans"
        yield ((f"{count} {have}; choose one: its traces, each with its critical path", "strong"),)


def mostly(trace: Trace) -> str:
    """The service that a trace waited for longest, and for what share of its time."""
    waited: dict[str, int] = {}
    for part in critical_path(trace.shape):
        if not part.idle:
            service = trace.spans[part.index].service
            waited[service] = waited.get(service, 0) + part.duration_us
    if not waited or trace.duration_us <= 0:
        return ""
    longest = max(waited, key=lambda service: waited[service])
    return f"{waited[longest] / trace.duration_us:4.0%} {longest}"


def trace_cells(traces: Sequence[Trace], now: datetime, *, utc: bool) -> list[tuple[str, tuple[Any, ...]]]:
    """The id of each trace and its cells: start, took, spans, errors, request, the most of its critical path, id."""
    out = []
    for trace, (start, long, spans, errors, name, request) in zip(
        traces, search_cells(traces, now, utc=utc), strict=True
    ):
        cells = (start, long, spans, (errors, "fail"), shortened(request, _REQUEST), mostly(trace), (name, "dim"))
        out.append((trace.trace_id, cells))
    return out


def ui_link(context: ContextSettings, trace_id: str) -> str:
    """Where a browser shows a trace; "" where that is not known."""
    name = quote(trace_id, safe="", errors="replace")
    if context.jaeger is not None:
        return f"{context.jaeger.url.rstrip('/')}/trace/{name}"
    if context.zipkin is not None:
        return f"{context.zipkin.url.rstrip('/')}/zipkin/traces/{name}"
    return ""


def search_command(service: str, flags: Sequence[str], window: Window, limit: int) -> tuple[str, ...]:
    """The words of `opsctl trace search` for the same."""
    if window.end is None:
        when: tuple[str, ...] = ("--since", format_duration(window.length))
    else:
        start = window.end - window.length
        when = ("--since", _typed(start), "--to", _typed(window.end))
    return ("trace", "search", service, *flags, *when, "--limit", str(limit))


def _typed(at: datetime) -> str:
    return at.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def missing_lines(trace_id: str, reading: Reading[Trace]) -> Iterator[Paragraph]:
    """Why there is no trace to look at."""
    if isinstance(reading, Absent):
        yield ((f"{reading.backend} has no trace {trace_id}", "warn"),)
        yield (("traces are kept for a time only, and only a part of all requests is; ", "dim"), *_BACK)
        return
    if isinstance(reading, Failed):
        yield ((f"✖ trace {trace_id}: {reading.backend}: {reading.message}", "fail"),)
        there = "" if reading.reason is Reason.REJECTED else "it may be there all the same; "
        yield ((there, "dim"), *_BACK)


_BACK: tuple[Piece, ...] = (("R", "accent"), (" asks again, ", "dim"), ("esc", "accent"), (" goes back", "dim"))


def trace_lines(tree: Tree, reading: Reading[Trace], *, legend: Iterable[Piece], utc: bool) -> Iterator[Paragraph]:
    """What a trace is, why it failed, and what is wrong with what came of it."""
    trace = tree.trace
    services = len(trace.services)
    of = f" of {services} service{'' if services == 1 else 's'}"
    yield (
        ("trace ", "dim"),
        (f"{trace.trace_id}  ", "strong"),
        (f"{_began(trace, utc=utc)}  ", "dim"),
        (counted(trace, of), "fail" if tree.errors else ""),
    )
    yield (*legend, (shortened(tree.failure, _REASON), "fail"))
    if isinstance(reading, Failed):
        yield ((f"! partial: {reading.backend}: {reading.message}", "warn"),)
    notes = reading.notes if isinstance(reading, Measured) else ()
    yield from (((f"! {shortened(text, _REASON)}", "warn"),) for text in (*notes, *tree.warnings))


def _began(trace: Trace, *, utc: bool) -> str:
    at = moment_of(trace.start_us)
    try:
        return span_time(at, utc=utc)
    except OverflowError:  # the last hours of a calendar, seen from another zone
        return span_time(at, utc=True)


def span_paragraphs(trace: Trace, span: Span, note: str = "") -> Iterator[Paragraph]:
    """Everything about one span, why it failed first; `note` says which of several it is."""
    if note:
        yield ((note, "accent"),)
    why = failure_line(span)
    if why:
        yield ((shortened(why, _REASON), "fail"),)
    for number, line in enumerate(span_lines(trace, span, whole=False)):
        if number >= _MOST_LINES:
            yield (("… more of it: opsctl trace show ID --span ID", "dim"),)
            return
        line = shortened(line, _LONGEST)
        head, rest = line[:12], line[12:]
        if line in ("attributes", "resource"):
            yield ((line, "head"),)
        elif not line.startswith(" "):
            yield ((head, "dim"), (rest, "fail" if "✖" in rest and head.startswith("status") else ""))
        else:
            yield ((line, ""),)


# -- log lines


def log_query(trace: Trace, span: Span, scope: str) -> LogQuery | None:
    """The lines of a span, of all below it, or of the trace, five minutes around; None where no calendar has that."""
    if not trace.shape.dated:
        return None
    ids: tuple[str, ...] = ()
    if scope == "span":
        ids = (span.span_id,)
    elif scope == "subtree" and span is not trace.root:
        ids = tuple(dict.fromkeys(one.span_id for one in trace.subtree(span.span_id)))
    end_us = trace.start_us + trace.duration_us
    return LogQuery(
        start=moment_of(trace.start_us - _AROUND_US),
        end=moment_of(end_us + _AROUND_US),
        trace_id=trace.trace_id,
        span_ids=ids,
    )


def scope_pieces(scope: str) -> Paragraph:
    """Whose lines are shown, and how to see others."""
    out: list[Piece] = [("logs of ", "dim")]
    for name in SCOPES:
        out.append((f"[{name}]" if name == scope else f" {name} ", "strong" if name == scope else "dim"))
    return (*out, ("  v", "accent"))


def log_paragraphs(reading: Reading[LogPage] | None, scope: str, *, utc: bool) -> Iterator[Paragraph]:
    """The lines, or why there are none; None is: there is no time to ask for."""
    if reading is None:
        yield (("no calendar has the times of this trace: its lines cannot be asked for", "warn"),)
        return
    if isinstance(reading, Failed):
        yield ((f"{'!' if reading.partial else '✖'} {reading.backend}: {reading.message}", "fail"),)
    page = came(reading)
    records = page.records if page is not None else ()
    if isinstance(reading, Absent) or (isinstance(reading, Measured) and not records):
        yield ((f"{reading.backend} has no line with the id of this {scope}, five minutes around", "dim"),)
    for record in records:
        yield (
            (f"{time_words(record.at.astimezone(UTC), utc=utc, day='')} ", "dim"),
            (f"{clean(record.severity) or '–'} ", _TONES.get(record.severity, "")),
            (shortened(one_line(record.message), _LONGEST), ""),
        )
    if page is not None and page.cursor:
        yield ((f"… more than {len(records)}: ", "dim"), ("d", "accent"), (" opens them in Logs", "dim"))
