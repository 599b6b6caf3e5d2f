"""`opsctl metric range --exemplars`: single events behind a metric, and the command that shows the trace of each."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import Any

from opsctl.cli.frame import Frame, write_json
from opsctl.cli.metric import finish, number, number_text, series_name, status
from opsctl.cli.metric_names import explorer
from opsctl.cli.pivots import pivot
from opsctl.core.exploring import Exemplar
from opsctl.core.signals import Absent, Failed, Labels, Measured
from opsctl.render.table import Column, write_rows
from opsctl.render.text import clean

_TRACE_ID = re.compile(r"[0-9A-Za-z_.:-]{1,128}")  # anything else is shown, but not in a command


def print_exemplars(
    run: Frame, expression: str, start: datetime, end: datetime, timeout_seconds: float, form: str
) -> None:
    """Ask and print, newest first."""
    reading = explorer(run).exemplars(expression, start, end, timeout_seconds)
    found: list[tuple[Labels, Exemplar]] = []
    match reading:
        case Measured():
            found = [(series.labels, one) for series in reading.data for one in series.exemplars]
        case Failed() if reading.partial is not None:
            run.warn(clean(f"partial: {reading.message}"))
            found = [(series.labels, one) for series in reading.partial for one in series.exemplars]
        case Absent():
            run.say(clean(f"nothing: no exemplar of {expression} in this time"))
            run.say("a Prometheus keeps them with --enable-feature=exemplar-storage, of what it scrapes as OpenMetrics")
    found.sort(key=lambda each: (-each[1].at, each[0]))
    if form == "json":
        body = {"expression": expression, "start": start, "end": end, "backend": reading.backend, **status(reading)}
        write_json("metric/exemplars/v1", {**body, "exemplars": [_body(run, *each) for each in found]})
    else:
        _print(run, found, form)
    finish(reading)


def trace_command(run: Frame, exemplar: Exemplar) -> str | None:
    """What to type to see the trace, where it has one with a plain id."""
    trace_id = exemplar.trace_id
    return pivot(run, f"opsctl trace show {trace_id}") if trace_id and _TRACE_ID.fullmatch(trace_id) else None


def _body(run: Frame, labels: Labels, exemplar: Exemplar) -> dict[str, Any]:
    return {
        "series": dict(labels),
        "labels": dict(exemplar.labels),
        "value": number(exemplar.value),
        "at": datetime.fromtimestamp(exemplar.at, UTC),
        "trace_id": exemplar.trace_id,
        "command": trace_command(run, exemplar),
    }


def _print(run: Frame, found: list[tuple[Labels, Exemplar]], form: str) -> None:
    def time(at: float) -> str:
        when = datetime.fromtimestamp(at, UTC)
        if form == "plain":
            return when.isoformat(timespec="milliseconds")
        local = when if run.utc else when.astimezone()
        return f"{local:%Y-%m-%d %H:%M:%S}" + ("Z" if run.utc else f"{local:%z}")

    cells = [
        [time(one.at), number_text(one.value, 6), trace_command(run, one) or _others(one), series_name(labels)]
        for labels, one in found
    ]
    columns = [Column("time"), Column("value", right=True), Column("trace"), Column("series", wrap=True)]
    write_rows(sys.stdout, columns, cells, table=form == "table", color=run.colored(sys.stdout))


def _others(exemplar: Exemplar) -> str:
    """Its labels, where no trace is among them."""
    return series_name(exemplar.labels)
