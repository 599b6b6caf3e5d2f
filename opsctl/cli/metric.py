"""`opsctl metric query|range`: ask one PromQL expression, now or over time."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import At, Json, Output, Since, Timeout, To, chosen_output, duration, moment, timeout_seconds
from opsctl.core.signals import Absent, Failed, Labels, Matrix, Measured, Reading, Reason, Vector
from opsctl.errors import AuthError, UnknownError, UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)

Expression = typer.Argument(..., metavar="PROMQL", help="The expression; - reads it from stdin.")


@app.command()
def query(
    expression: str = Expression, at: At = None, timeout: Timeout = None, output: Output = None, json: Json = False
) -> None:
    """Evaluate an expression at one time."""
    run = frame()
    form = chosen_output(run, output, json)
    when = moment("--at", at, run.composition.clock.now()) if at is not None else run.composition.clock.now()
    text = _expression(expression)
    reading = run.composition.metrics.instant(text, when, _timeout(run, timeout))
    vector = _answer(run, text, reading)
    rows = [] if vector is None else list(vector.samples)
    if form == "json":
        samples = [{"labels": dict(s.labels), "value": number(s.value)} for s in rows]
        write_json(
            "metric/query/v1",
            {"expression": text, "at": when, "backend": reading.backend, **_status(reading), "samples": samples},
        )
    else:
        from opsctl.render.table import Column, write_rows

        cells = [[series_name(s.labels), f"{s.value:.10g}"] for s in rows]
        write_rows(
            sys.stdout,
            [Column("series", wrap=True), Column("value", right=True)],
            cells,
            table=form == "table",
            color=run.colored(sys.stdout),
        )
    _finish(reading)


@app.command("range")
def range_(
    expression: str = Expression,
    since: Since = "1h",
    to: To = None,
    step: str = typer.Option("1m", "--step", help="Distance between two values."),
    timeout: Timeout = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Evaluate an expression over time, start and end included."""
    run = frame()
    form = chosen_output(run, output, json)
    now = run.composition.clock.now()
    end = moment("--to", to, now) if to is not None else now
    start = moment("--since", since, end)
    width = duration("--step", step)
    if end < start:
        raise UsageError("the end is before the start: check --since and --to")
    if width <= timedelta(0) or (end - start) / width > 11_000:
        raise UsageError(f"--step {step}: more than 11,000 steps, or none; choose a longer step")
    text = _expression(expression)
    reading = run.composition.metrics.range(text, start, end, width, _timeout(run, timeout))
    matrix = _answer(run, text, reading)
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
            | _status(reading)
            | {"series": body},
        )
    else:
        _print_series(run, series, form)
    _finish(reading)


def _print_series(run: Frame, series: list[Any], form: str) -> None:
    from opsctl.render.table import Column, write_rows

    if form == "plain":
        cells = [
            [series_name(s.labels), f"{t:.3f}".rstrip("0").rstrip("."), f"{v:.10g}"]
            for s in series
            for t, v in s.points
        ]
        write_rows(sys.stdout, [Column("series"), Column("time"), Column("value")], cells, table=False, color=False)
        return
    from opsctl.views.sparkline import sparkline

    columns = [
        Column("series", wrap=True),
        Column("first", right=True),
        Column("last", right=True),
        Column("min", right=True),
        Column("max", right=True),
        Column("over time"),
    ]
    cells = []
    for s in series:
        values = [v for _, v in s.points]
        cells.append(
            [
                series_name(s.labels),
                *(f"{v:.6g}" for v in (values[0], values[-1], min(values), max(values))),
                sparkline(values, 40),
            ]
        )
    write_rows(sys.stdout, columns, cells, table=True, color=run.colored(sys.stdout))


def _expression(text: str) -> str:
    if text == "-":
        text = sys.stdin.read()
    if not text.isascii() and any("\ud800" <= ch <= "\udfff" for ch in text):
        raise UsageError("the expression is not UTF-8")
    if not text.strip():
        raise UsageError("the expression is empty")
    return text.strip()


def _timeout(run: Frame, text: str | None) -> float:
    if text is None:
        return run.composition.context.limits.request.total_seconds()
    return timeout_seconds(text)


def _answer(run: Frame, text: str, reading: Reading[Any]) -> Any:
    match reading:
        case Measured():
            return reading.data
        case Absent():
            run.say(f"nothing: no series answers {text}")
            return None
        case Failed():
            if reading.partial is not None:
                run.warn(f"partial: {reading.message}")
            return reading.partial


def _status(reading: Reading[Any]) -> dict[str, Any]:
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


def _finish(reading: Reading[Vector] | Reading[Matrix]) -> None:
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


def series_name(labels: Labels) -> str:
    """A series as PromQL writes it."""
    pairs = dict(labels)
    name = pairs.pop("__name__", "")
    inner = ", ".join(f'{k}="{_quoted(v)}"' for k, v in pairs.items())
    return f"{name}{{{inner}}}" if inner or not name else name


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
