"""Traces as text for a person, and as JSON bodies; everything that came from a backend is cleaned here."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TextIO

from opsctl.core.rules import State
from opsctl.core.traces import Span, Trace, Value
from opsctl.insight.critical_path import critical_path
from opsctl.insight.trace_difference import Difference, Side
from opsctl.render.paint import paint
from opsctl.render.text import clean, clean_block
from opsctl.views.traces import WaterfallLine, bar, moment_of, took, why_failed

_LEAST_BAR = 12
_LEGEND = "  █ waited for  ░ ran"
_WARNINGS = 5  # of a backend's, in a list for people
_VALUE = 2_000  # characters of one attribute, for people
_REASON = 300  # characters of why a span failed
_CALLERS = 20  # of one difference, in JSON
_RECENT = timedelta(minutes=30)
_AROUND_US = 300_000_000
_DEEPEST = 12  # levels that are drawn as an indent; the rest is said as a number


def write_waterfall(out: TextIO, trace: Trace, lines: Sequence[WaterfallLine], *, color: bool, width: int) -> None:
    """The tree on the left, times in the middle, bars over the trace's whole time on the right."""
    from rich.cells import cell_len

    labels = [_label(line) for line in lines]
    services = [clean(line.service) for line in lines]
    times = [took(line.duration_us) for line in lines]
    paths = [took(line.path_us) if line.path_us else "" for line in lines]
    service_width = min(max(map(cell_len, (*services, "service"))), 18)
    time_width = max(map(len, (*times, "took")))
    path_width = max(map(len, (*paths, "on path")))
    rest = width - service_width - time_width - path_width - 8
    label_width = min(max(map(cell_len, (*labels, "span"))), max(20, rest - max(_LEAST_BAR, rest // 3)))
    bar_width = max(_LEAST_BAR, rest - label_width)
    total = took(trace.duration_us)
    legend = _LEGEND if bar_width >= len(_LEGEND) + len(total) + 3 else ""
    head = (
        f"{'span':<{label_width}}  {'service':<{service_width}}  {'took':>{time_width}}  "
        f"{'on path':>{path_width}}  0{legend}{total:>{bar_width - 1 - len(legend)}}"
    )
    out.write((f"\x1b[2m{head}\x1b[0m" if color else head) + "\n")
    for line, label, service, time, path in zip(lines, labels, services, times, paths, strict=True):
        name = _cell(label, label_width)
        if line.errors:
            name = paint(name, State.FAIL, color)
        drawn = bar(line.stretches, trace.duration_us, bar_width)
        times_of = f"{time:>{time_width}}  {path:>{path_width}}"
        out.write(f"{name}  {_cell(service, service_width)}  {times_of}  {drawn}".rstrip() + "\n")


def _cell(text: str, width: int) -> str:
    """Exactly so many columns of the terminal, where some characters take two."""
    from rich.cells import cell_len, set_cell_size

    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _label(line: WaterfallLine) -> str:
    """Indent, glyph of an error, name, and what a folded line stands for."""
    deep = f"{line.depth}› " if line.depth > _DEEPEST else ""
    out = "  " * min(line.depth, _DEEPEST) + deep
    out += "✖ " if line.errors else ""
    out += clean(line.name) or "(no name)"
    if line.count > 1:
        out += f" × {line.count}"
        out += f", {line.errors} {'error' if line.errors == 1 else 'errors'}" if line.errors else ""
        out += f", p50 {took(line.median_us)}, max {took(line.longest_us)}"
    return out


def heading(trace: Trace, *, when: str) -> list[str]:
    """What the trace is, in two lines; `when` is its start for people."""
    services = len(trace.services)
    of = f" of {services} service{'' if services == 1 else 's'}"
    return [f"trace {clean(trace.trace_id)}", f"began {when}, took {counted(trace, of)}"]


def counted(trace: Trace, of: str = "") -> str:
    """How long it took, its spans and its errors; `of` stands behind the spans."""
    spans, errors = len(trace.spans), trace.errors
    return (
        f"{took(trace.duration_us)}, {spans} span{'' if spans == 1 else 's'}{of}, "
        f"{errors} error{'' if errors == 1 else 's'}"
    )


def trace_warnings(trace: Trace) -> Iterator[str]:
    """What the backend, or we, found wrong with it: each once, with the number of spans that have it."""
    idle = sum(part.duration_us for part in critical_path(trace.shape) if part.idle)
    if idle:
        yield f"for {took(idle)} nothing of it ran: a queue, spans that have not arrived, or clocks that disagree"
    missing = {span.parent_id for span in trace.spans if span.parent_id and span.parent_id not in trace.by_id}
    if missing:
        yield f"{len(missing)} parent span{' has' if len(missing) == 1 else 's have'} not arrived: the tree has gaps"
    yield from (clean(text) for text in trace.warnings)
    counts: dict[str, int] = {}
    for span in trace.spans:
        for text in span.warnings:
            counts[text] = counts.get(text, 0) + 1
    for text, count in counts.items():
        yield clean(text) + (f" ({count} spans)" if count > 1 else "")


def few_warnings(trace: Trace) -> Iterator[str]:
    """`trace_warnings` for people: a backend may say the same of thousands of spans in as many words."""
    every = list(trace_warnings(trace))
    most = _WARNINGS + 2  # ours come first
    yield from every[:most]
    if len(every) > most:
        yield f"and {len(every) - most:,} more warnings; -o json has all"


def span_lines(trace: Trace, span: Span, *, whole: bool) -> Iterator[str]:
    """Everything about one span, what happened in it first; very long values only where they are asked for `whole`."""
    began = span.start_us - trace.start_us
    yield f"{'span':<12} {clean(span.span_id)}"
    yield f"{'operation':<12} {clean(span.name)}"
    yield f"{'service':<12} {clean(span.service)}{f' ({span.kind})' if span.kind else ''}"
    yield f"{'time':<12} {took(span.duration_us)}, from {took(began)} of {took(trace.duration_us)}"
    yield f"{'status':<12} {'✖ ' if span.failed else ''}{span.status}"
    if span.parent_id is not None:
        parent = trace.by_id.get(span.parent_id)
        what = f"{parent.service} {parent.name}" if parent else "has not arrived"
        yield f"{'parent':<12} {clean(span.parent_id)} {clean(what)}"
    for trace_id, span_id in span.links:
        yield f"{'link':<12} {clean(trace_id)} {clean(span_id)}"
    for text in span.warnings:
        yield f"{'warning':<12} {clean(text)}"
    for event in span.events:
        yield f"{'event':<12} {clean(event.name)} at {took(event.at_us - trace.start_us)}"
        yield from _pairs(event.attributes, whole)
    for title, values in (("attributes", span.attributes), ("resource", span.resource)):
        if values:
            yield title
            yield from _pairs(values, whole)


def _pairs(values: Mapping[str, Value], whole: bool) -> Iterator[str]:
    """A line for each; the lines of a value that has several, such as a stack trace, stand below its name."""
    width = min(max((len(clean(name)) for name in values), default=0), 36)
    for name in sorted(values):
        value = values[name]
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        left_out = "" if whole or len(shown) <= _VALUE else f"… ({len(shown):,} characters; -o json has all)"
        first, *below = clean_block(shown[:_VALUE] if left_out else shown).split("\n")
        lines = ["", *(f"    {line}".rstrip() for line in (first, *below))] if below else [first]
        lines[-1] += left_out
        yield f"  {clean(name):<{width}}  {lines[0]}".rstrip()
        yield from lines[1:]


def failure_line(span: Span) -> str:
    """Why a span failed, where it says so, on one line."""
    said = " ".join(why_failed(span)[:_VALUE].split())
    if len(said) > _REASON:
        said = said[: _REASON - 1] + "…"
    return f"✖ {clean(span.service)} {clean(span.name) or '(no name)'}: {clean(said)}" if said else ""


def show_command(trace_id: str, span_id: str = "") -> str:
    """What to type for a trace, or for one span of it; ids are what a backend sent, so they are quoted."""
    command = f"opsctl trace show {shlex.quote(clean(trace_id))}"
    return f"{command} --span {shlex.quote(clean(span_id))}" if span_id else command


def log_commands(trace_id: str, span_id: str = "", window: str = "") -> list[str]:
    """What to type for the log lines of a trace, or of a span and of all below it, in a `log_window`."""
    trace = f"opsctl log search --trace {shlex.quote(clean(trace_id))}"
    if not span_id:
        return [f"{trace}{window}"]
    span = shlex.quote(clean(span_id))
    return [f"{trace} --span {span}{window}", f"{trace} --subtree {span}{window}"]


def log_window(trace: Trace, now: datetime) -> str:
    """The flags for a trace's time, where the hour before now would miss it, or soon will; lines may come late."""
    start, end = moment_of(trace.start_us), moment_of(trace.start_us + trace.duration_us)
    if now - start < _RECENT and end <= now:
        return ""
    since, to = moment_of(trace.start_us - _AROUND_US), moment_of(trace.start_us + trace.duration_us + _AROUND_US)
    return "".join(
        f" {flag} {at.replace(microsecond=0).isoformat().replace('+00:00', 'Z')}"
        for flag, at in (("--since", since), ("--to", to))
    )


def summary_body(trace: Trace) -> dict[str, Any]:
    """One trace of a search for JSON."""
    root = trace.root
    return {
        "trace_id": trace.trace_id,
        "start": moment_of(trace.start_us),
        "duration_us": trace.duration_us,
        "spans": len(trace.spans),
        "errors": trace.errors,
        "services": list(trace.services),
        "root_service": root.service,
        "root_operation": root.name,
    }


def trace_body(trace: Trace) -> dict[str, Any]:
    """A whole trace for JSON; offsets are since its start."""
    began = trace.start_us
    path = critical_path(trace.shape)
    on_path: dict[int, int] = {}
    for part in path:
        if not part.idle:
            on_path[part.index] = on_path.get(part.index, 0) + part.duration_us
    return {
        **summary_body(trace),
        "warnings": list(trace_warnings(trace)),
        "critical_path": [
            {
                "span_id": part.span_id,
                "offset_us": part.from_us - began,
                "duration_us": part.duration_us,
                "idle": part.idle,
            }
            for part in path
        ],
        "tree": [
            {**span_body(trace.spans[index], began), "critical_us": on_path.get(index, 0)}
            for index in trace.shape.order
        ],
    }


def span_body(span: Span, began_us: int) -> dict[str, Any]:
    """One span for JSON; `offset_us` is since the trace's start."""
    return {
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "operation": span.name,
        "service": span.service,
        "kind": span.kind or None,
        "status": span.status,
        "start": moment_of(span.start_us),
        "offset_us": span.start_us - began_us,
        "duration_us": span.duration_us,
        "attributes": dict(span.attributes),
        "resource": dict(span.resource),
        "events": [
            {"name": event.name, "offset_us": event.at_us - began_us, "attributes": dict(event.attributes)}
            for event in span.events
        ],
        "links": [{"trace_id": trace_id, "span_id": span_id} for trace_id, span_id in span.links],
        "warnings": list(span.warnings),
    }


def difference_body(one: Difference) -> dict[str, Any]:
    """One aligned path for JSON; differences are B minus A, `callers` are the nearest at most."""
    return {
        "service": one.service,
        "operation": one.operation,
        "depth": one.depth,
        "callers": [{"service": service, "operation": name} for service, name in one.callers(_CALLERS)],
        "a": _side(one.a),
        "b": _side(one.b),
        "difference_us": one.duration_us,
        "own_difference_us": one.own_us,
    }


def _side(side: Side | None) -> dict[str, int] | None:
    if side is None:
        return None
    return {"count": side.count, "duration_us": side.duration_us, "own_us": side.own_us, "errors": side.errors}


def span_time(at: datetime, *, utc: bool) -> str:
    """Date and time of day to the millisecond, with its zone."""
    here = at if utc else at.astimezone()
    zone = here.strftime("%z")
    zone = "Z" if zone == "+0000" else zone
    return f"{here:%Y-%m-%d %H:%M:%S}.{here.microsecond // 1000:03d}{zone}"


def search_cells(traces: Sequence[Trace], now: datetime, *, utc: bool) -> list[list[str]]:
    """Start, took, spans, errors, id and request of each; the day is shown where not all of them are of today."""
    today = span_time(now, utc=utc)[:10]
    times = [span_time(moment_of(trace.start_us), utc=utc) for trace in traces]
    shown = times if any(time[:10] != today for time in times) else [time[11:] for time in times]
    return [
        [
            time,
            took(trace.duration_us),
            str(len(trace.spans)),
            f"✖ {trace.errors}" if trace.errors else "",
            trace.trace_id,
            f"{trace.root.service} {trace.root.name}",
        ]
        for time, trace in zip(shown, traces, strict=True)
    ]
