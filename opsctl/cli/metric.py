"""`opsctl metric query|range|ls|labels`: ask one PromQL expression, now or over time, and what there is to ask for."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import At, Json, Output, Since, Timeout, To, chosen_output, duration, moment, timeout_seconds
from opsctl.core.signals import Absent, Failed, Labels, Measured, Reading, Reason
from opsctl.errors import AuthError, UnknownError, UsageError
from opsctl.render.text import clean

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)

Expression = typer.Argument(..., metavar="PROMQL", help="The expression; - reads it from stdin.")
Draw = Annotated[
    bool | None, typer.Option("--chart/--no-chart", help="Draw a chart above the table; the default on a terminal.")
]


@app.command()
def query(
    expression: str = Expression, at: At = None, timeout: Timeout = None, output: Output = None, json: Json = False
) -> None:
    """Evaluate an expression at one time."""
    run = frame()
    form = chosen_output(run, output, json)
    when = moment("--at", at, run.composition.clock.now()) if at is not None else run.composition.clock.now()
    text = _expression(expression)
    reading = run.composition.promql.instant(text, when, seconds(run, timeout))
    vector = _answer(run, text, reading, when, when)
    rows = [] if vector is None else list(vector.samples)
    if form == "json":
        samples = [{"labels": dict(s.labels), "value": number(s.value)} for s in rows]
        write_json(
            "metric/query/v1",
            {"expression": text, "at": when, "backend": reading.backend, **status(reading), "samples": samples},
        )
    else:
        from opsctl.render.table import Column, write_rows

        cells = [[series_name(s.labels), number_text(s.value)] for s in rows]
        write_rows(
            sys.stdout,
            [Column("series", wrap=True), Column("value", right=True)],
            cells,
            table=form == "table",
            color=run.colored(sys.stdout),
        )
    finish(reading)


@app.command("range")
def range_(
    expression: str = Expression,
    since: Since = "1h",
    to: To = None,
    step: str = typer.Option("1m", "--step", help="Distance between two values."),
    chart: Draw = None,
    exemplars: bool = typer.Option(
        False, "--exemplars", help="Not the values but the events behind them that carry a trace, newest first."
    ),
    timeout: Timeout = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Evaluate an expression over time, start and end included."""
    run = frame()
    form = _form(run, output, json, chart)
    start, end = span(run, since, to)
    text = _expression(expression)
    if exemplars:
        from opsctl.cli.metric_exemplars import print_exemplars

        if chart:
            raise UsageError("--chart draws values and --exemplars lists events: choose one")
        print_exemplars(run, text, start, end, seconds(run, timeout), form)
        return
    width = _step(step, start, end)
    reading = run.composition.promql.range(text, start, end, width, seconds(run, timeout))
    matrix = _answer(run, text, reading, start, end)
    series = [] if matrix is None else list(matrix.series)
    if form == "json":
        body = [{"labels": dict(s.labels), "points": [[t, number(v)] for t, v in s.points]} for s in series]
        write_json(
            "metric/range/v1",
            {
                "expression": text,
                "start": start,
                "end": end,
                "step_seconds": width.total_seconds(),
                "backend": reading.backend,
            }
            | status(reading)
            | {"series": body},
        )
    else:
        from opsctl.cli.metric_range import Asked, print_series

        print_series(run, series, Asked(text, start, end, width), form, drawn=chart is not False)
    finish(reading)


@app.command("ls")
def list_(
    pattern: Annotated[
        str | None, typer.Argument(metavar="[PATTERN]", help="A part of the name, or a glob for all of it.")
    ] = None,
    since: Since = "1h",
    to: To = None,
    timeout: Timeout = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """List the metrics that have data, with type, unit and what their exporters say of them."""
    from opsctl.cli.metric_names import print_metrics

    run = frame()
    form = chosen_output(run, output, json)
    start, end = span(run, since, to)
    print_metrics(run, pattern, start, end, seconds(run, timeout), form)


@app.command("labels")
def labels_(
    metric: Annotated[
        str | None, typer.Argument(metavar="[METRIC]", help="A metric or a selector; without it all label names.")
    ] = None,
    since: Since = "1h",
    to: To = None,
    timeout: Timeout = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """List the labels of a metric, their values and how many series have each."""
    from opsctl.cli.metric_names import print_labels

    run = frame()
    form = chosen_output(run, output, json)
    start, end = span(run, since, to)
    print_labels(run, metric, start, end, seconds(run, timeout), form)


def _form(run: Frame, output: str | None, json: bool, chart: bool | None) -> str:
    form = chosen_output(run, output, json)
    if not chart or form == "table":
        return form
    if output is None and not json:
        return "table"
    raise UsageError(f"--chart goes with a table, not with {form}")


def span(run: Frame, since: str, to: str | None) -> tuple[datetime, datetime]:
    """Start and end of what --since and --to say."""
    now = run.composition.clock.now()
    end = moment("--to", to, now) if to is not None else now
    start = moment("--since", since, end)
    if end < start:
        raise UsageError("the end is before the start: check --since and --to")
    return start, end


def _step(step: str, start: datetime, end: datetime) -> timedelta:
    width = duration("--step", step)
    if width <= timedelta(0) or (end - start) / width > 11_000:
        raise UsageError(f"--step {step}: more than 11,000 steps, or none; choose a longer step")
    return width


def _expression(text: str) -> str:
    if text == "-":
        text = sys.stdin.read()
    if not text.isascii() and any("\ud800" <= ch <= "\udfff" for ch in text):
        raise UsageError("the expression is not UTF-8")
    if not text.strip():
        raise UsageError("the expression is empty")
    return text.strip()


def seconds(run: Frame, text: str | None) -> float:
    """The time for one request: --timeout, or the configuration's."""
    if text is None:
        return run.composition.context.limits.request.total_seconds()
    return timeout_seconds(text)


def _answer(run: Frame, text: str, reading: Reading[Any], start: datetime, end: datetime) -> Any:
    match reading:
        case Measured():
            return reading.data
        case Absent():
            from opsctl.cli.metric_names import say_what_is_unknown

            run.say(clean(f"nothing: no series answers {text}"))
            say_what_is_unknown(run, text, start, end)
            return None
        case Failed():
            if reading.partial is not None:
                run.warn(clean(f"partial: {reading.message}"))
            return reading.partial


def status(reading: Reading[Any]) -> dict[str, Any]:
    """How a reading went, for JSON."""
    match reading:
        case Failed():
            return {
                "status": reading.reason.value,
                "error": reading.message,
                "partial": reading.partial is not None,
                "warnings": list(reading.warnings),
            }
        case Measured():
            return {"status": "measured", "error": None, "partial": False, "warnings": []}
        case Absent():
            return {"status": "absent", "error": None, "partial": False, "warnings": []}


def finish(reading: Reading[Any]) -> None:
    """Raise what the reading was, once everything that came is printed."""
    match reading:
        case Failed(reason=Reason.AUTH):
            raise AuthError(f"{reading.backend}: {reading.message}")
        case Failed(reason=Reason.REJECTED | Reason.UNSUPPORTED):
            raise UsageError(f"{reading.backend}: {reading.message}")
        case Failed():
            raise UnknownError(f"{reading.backend}: {reading.message}")
        case Measured() | Absent():
            return


def number(value: float) -> float | str:
    """A JSON number, or Prometheus's words for what JSON cannot say."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return value


def number_text(value: float, digits: int = 10) -> str:
    """A value for people and for tab-separated lines, NaN and infinities in Prometheus's words."""
    known = number(value)
    return known if isinstance(known, str) else f"{value:.{digits}g}"


def series_name(labels: Labels) -> str:
    """A series as PromQL writes it."""
    pairs = dict(labels)
    name = pairs.pop("__name__", "")
    inner = ", ".join(f'{k}="{_quoted(v)}"' for k, v in pairs.items())
    return f"{name}{{{inner}}}" if inner or not name else name


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
