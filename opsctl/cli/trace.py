"""`opsctl trace search|show|compare`: what a request did, where its time went, and what two of them differ in."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.metric import finish, seconds, span, status
from opsctl.cli.options import Json, Output, Since, Timeout, To, chosen_output, duration
from opsctl.cli.pivots import pivot
from opsctl.core.rules import State
from opsctl.core.signals import Absent, Failed, Reading, came
from opsctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opsctl.core.traces import Span, Trace
    from opsctl.insight.trace_difference import Difference

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)

LIMIT_MAX = 1500
LINES_MAX = 200  # of a tree on a terminal
TraceId = Annotated[
    str, typer.Argument(metavar="TRACE_ID", help="Up to 32 hexadecimal digits; leading zeros may lack.")
]


@app.command()
def search(
    service: str = typer.Argument(..., metavar="SERVICE", help="A service of the catalogue, or as the backend has it."),
    operation: str = typer.Option("", "--operation", help="The name of a span of that service."),
    min_duration: str | None = typer.Option(None, "--min-duration", help="Its span took at least so long: 250ms."),
    max_duration: str | None = typer.Option(None, "--max-duration", help="Its span took at most so long."),
    error: bool = typer.Option(False, "--error", help="Its span failed."),
    attribute: list[str] | None = typer.Option(
        None, "-a", "--attribute", metavar="KEY=VALUE", help="A span, resource or event attribute; may be repeated."
    ),
    limit: int = typer.Option(20, "--limit", min=1, max=LIMIT_MAX, help="So many traces, the newest."),
    since: Since = "1h",
    to: To = None,
    timeout: Timeout = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Find traces of a service. Everything that is said must hold for one of its spans."""
    from opsctl.cli.trace_search import check_known, print_search, say_search, write_search
    from opsctl.ports.traces import TraceQuery

    run = frame()
    form = chosen_output(run, output, json)
    start, end = span(run, since, to)
    query = TraceQuery(
        backend_name(run, service),
        start,
        end,
        operation=operation,
        min_duration=_bound("--min-duration", min_duration),
        max_duration=_bound("--max-duration", max_duration),
        attributes=dict(_pair(text) for text in attribute or ()) or None,
        errors_only=error,
        limit=limit,
    )
    if query.min_duration and query.max_duration and query.max_duration < query.min_duration:
        raise UsageError("--max-duration is shorter than --min-duration")
    reading = run.composition.traces.search(query, seconds(run, timeout))
    page = came(reading)
    traces = list(page.traces) if page else []
    truncated = page.truncated if page else False
    if isinstance(reading, Absent):
        check_known(run, service, query, reading.backend, seconds(run, timeout))
    if form == "json":
        write_search(query, service, reading, traces, truncated)
    else:
        if page or isinstance(reading, Absent):
            print_search(run, traces, form)
        say_search(run, query, reading, traces, truncated)
    finish(reading)


@app.command()
def show(
    trace_id: TraceId,
    span_id: str | None = typer.Option(None, "--span", metavar="SPAN_ID", help="Everything about one span of it."),
    all_: bool = typer.Option(False, "--all", help="Every span, however many, also those that repeat."),
    timeout: Timeout = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Show where a trace's time went. The tree over time, and the path that it was waiting for."""
    run = frame()
    form = chosen_output(run, output, json)
    reading = run.composition.traces.trace(trace_id, seconds(run, timeout))
    if form == "json" and isinstance(reading, Failed) and reading.partial is None:
        write_json("trace/show/v1", {"backend": reading.backend, **status(reading), "trace": None})
    trace = _whole(run, trace_id, reading)
    chosen = None if span_id is None else _span(trace, span_id)
    if form == "json":
        _write_show(reading, trace, chosen)
    elif form == "plain":
        _plain_show(trace, chosen, unfold=all_)
    elif chosen is not None:
        _print_span(run, trace, chosen)
    else:
        _print_show(run, trace, unfold=all_)
    finish(reading)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="TRACE_A")],
    b: Annotated[str, typer.Argument(metavar="TRACE_B")],
    limit: int = typer.Option(30, "--limit", min=1, help="So many rows of the table; plain and json have all."),
    timeout: Timeout = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Compare two traces. Operation by operation, the greatest difference first."""
    from opsctl.insight.trace_difference import differences
    from opsctl.render.traces import difference_body, summary_body

    run = frame()
    form = chosen_output(run, output, json)
    readings = [run.composition.traces.trace(name, seconds(run, timeout)) for name in (a, b)]
    if form == "json" and any(isinstance(one, Failed) and one.partial is None for one in readings):
        nothing: dict[str, Any] = {"a": None, "b": None, "differences": []}
        write_json("trace/compare/v1", {"backend": readings[0].backend, **_worse(readings), **nothing})
    first, second = (_whole(run, name, reading) for name, reading in zip((a, b), readings, strict=True))
    found = differences(first, second)
    if form == "json":
        body = {"backend": readings[0].backend, **_worse(readings), "a": summary_body(first), "b": summary_body(second)}
        write_json("trace/compare/v1", body | {"differences": [difference_body(one) for one in found]})
    else:
        _print_compare(run, first, second, found if form == "plain" else found[:limit], form)
        if form == "table" and len(found) > limit:
            run.say(f"{len(found) - limit} more operations differ less; --limit shows more")
    for reading in readings:
        finish(reading)


# -- what was asked ----------------------------------------------------------------------------------------------------


def backend_name(run: Frame, service: str) -> str:
    """The name under which the trace backend knows a service."""
    from opsctl.views.services import name_in_traces

    return name_in_traces(run.composition.catalogue, run.composition.context, service)


def _bound(flag: str, text: str | None) -> timedelta | None:
    return None if text is None else duration(flag, text)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--attribute {text}: expected KEY=VALUE, such as http.response.status_code=500")
    return name, value


def _whole(run: Frame, trace_id: str, reading: Reading[Trace]) -> Trace:
    trace: Trace | None = came(reading)
    if isinstance(reading, Absent):
        hint = "traces are kept for a time only, and only a part of all requests is"
        raise UsageError(f"{reading.backend} has no trace {trace_id}", hint=hint)
    if trace is None:
        finish(reading)
        raise AssertionError("a failed reading without a trace was taken for one with")
    if isinstance(reading, Failed):
        from opsctl.render.text import clean

        run.warn(f"partial: {clean(reading.message)}")
    return trace


def _span(trace: Trace, span_id: str) -> Span:
    from opsctl.core.traces import span_id_of

    found = trace.by_id.get(span_id_of(span_id)) or trace.by_id.get(span_id)
    if found is None:
        raise UsageError(f"trace {trace.trace_id} has no span {span_id}")
    return found


def _worse(readings: Sequence[Reading[Trace]]) -> dict[str, Any]:
    return next((status(reading) for reading in readings if isinstance(reading, Failed)), status(readings[0]))


# -- show --------------------------------------------------------------------------------------------------------------


def _print_show(run: Frame, trace: Trace, *, unfold: bool) -> None:
    import shutil

    from opsctl.render.paint import paint
    from opsctl.render.traces import failure_line, few_warnings, heading, show_command, span_time, write_waterfall
    from opsctl.views.traces import moment_of, shortened, telling_span, waterfall

    out = sys.stdout
    every = waterfall(trace, unfold=unfold)
    lines = every if unfold else shortened(every, LINES_MAX)
    for text in heading(trace, when=span_time(moment_of(trace.start_us), utc=run.utc)):
        out.write(text + "\n")
    width = shutil.get_terminal_size((100, 40)).columns
    write_waterfall(out, trace, lines, color=run.colored(out), width=width)
    telling = telling_span(trace)
    if why := failure_line(telling):
        out.write(paint(why, State.FAIL, run.colored(out)) + "\n")
    for text in few_warnings(trace):
        out.write(f"! {text}\n")
    folded = sum(line.spans for line in lines if line.count > 1)
    if folded:
        run.say(f"{folded} spans are in lines with ×; --all shows each")
    if len(lines) < len(every):
        run.say(f"the {len(lines)} lines that tell most; {len(every) - len(lines):,} more with --all")
    run.say(f"next: {pivot(run, show_command(trace.trace_id, telling.span_id))}")
    _say_logs(run, trace)


def _say_logs(run: Frame, trace: Trace, span_id: str = "") -> None:
    from opsctl.render.traces import log_commands, log_window

    for command in log_commands(trace.trace_id, span_id, log_window(trace, run.composition.clock.now())):
        run.say(f"logs: {pivot(run, command)}")


def _print_span(run: Frame, trace: Trace, chosen: Span) -> None:
    from opsctl.render.traces import span_lines

    for text in span_lines(trace, chosen, whole=False):
        sys.stdout.write(text + "\n")
    _say_logs(run, trace, chosen.span_id)


def _plain_show(trace: Trace, chosen: Span | None, *, unfold: bool) -> None:
    from opsctl.render.table import Column, write_rows
    from opsctl.render.traces import span_lines
    from opsctl.views.traces import waterfall

    if chosen is not None:
        sys.stdout.writelines(text + "\n" for text in span_lines(trace, chosen, whole=True))
        return
    names = ("depth", "span", "service", "operation", "offset_us", "duration_us", "critical_us", "count", "errors")
    cells = [
        [
            str(line.depth),
            line.span_id,
            line.service,
            line.name,
            *map(str, (line.offset_us, line.duration_us, line.path_us, line.count, line.errors)),
        ]
        for line in waterfall(trace, unfold=unfold)
    ]
    write_rows(sys.stdout, [Column(name) for name in names], cells, table=False, color=False)


def _write_show(reading: Reading[Trace], trace: Trace, chosen: Span | None) -> None:
    from opsctl.render.traces import span_body, trace_body

    body: dict[str, Any] = {"backend": reading.backend, **status(reading)}
    if chosen is not None:
        body |= {"trace_id": trace.trace_id, "span": span_body(chosen, trace.start_us)}
    else:
        body["trace"] = trace_body(trace)
    write_json("trace/show/v1", body)


# -- compare -----------------------------------------------------------------------------------------------------------


def _print_compare(run: Frame, a: Trace, b: Trace, found: Sequence[Difference], form: str) -> None:
    from opsctl.render.table import Column, write_rows
    from opsctl.render.text import clean
    from opsctl.render.traces import counted
    from opsctl.views.traces import difference, took

    plain = form == "plain"
    shown = str if plain else took
    signed = str if plain else difference
    columns = [
        Column("own_difference_us" if plain else "own diff"),
        Column("difference_us" if plain else "diff"),
        Column("a_us" if plain else "a", right=True),
        Column("b_us" if plain else "b", right=True),
        Column("count"),
        Column("service"),
        Column("operation", wrap=True),
    ]
    columns[:2] = [Column(column.name, right=True) for column in columns[:2]]
    cells = []
    for one in found:
        sides = [shown(side.duration_us) if side else "" if plain else "–" for side in (one.a, one.b)]
        counts = [side.count if side else 0 for side in (one.a, one.b)]
        count = "" if counts == [1, 1] and not plain else f"{counts[0]} → {counts[1]}"
        cells.append([signed(one.own_us), signed(one.duration_us), *sides, count, one.service, one.operation])
    if not plain:
        for letter, trace in (("a", a), ("b", b)):
            root = trace.root
            sys.stdout.write(
                f"{letter} {clean(trace.trace_id)}  {counted(trace)}  {clean(root.service)} {clean(root.name)}\n"
            )
    write_rows(sys.stdout, columns, cells, table=not plain, color=run.colored(sys.stdout))
    if a.root.service != b.root.service or a.root.name != b.root.name:
        run.say("these are requests of different kinds: nothing of them can be aligned")
