"""What `opsctl trace search` found, as rows, as words and as JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from opsctl.cli.frame import Frame, write_json
from opsctl.cli.metric import status
from opsctl.cli.pivots import pivot
from opsctl.core.signals import Absent, Failed, Measured, Reading
from opsctl.errors import UsageError

if TYPE_CHECKING:
    from opsctl.core.traces import Trace
    from opsctl.ports.traces import TraceQuery


def print_search(run: Frame, traces: list[Trace], form: str) -> None:
    """Rows of traces, or tab-separated lines with times in µs."""
    from opsctl.render.table import Column, write_rows
    from opsctl.render.traces import search_cells
    from opsctl.views.traces import moment_of

    if form == "plain":
        names = ("start", "duration_us", "spans", "errors", "trace", "service", "operation")
        rows = [
            [
                moment_of(t.start_us).isoformat(),
                *map(str, (t.duration_us, len(t.spans), t.errors)),
                *(t.trace_id, t.root.service, t.root.name),
            ]
            for t in traces
        ]
        write_rows(sys.stdout, [Column(name) for name in names], rows, table=False, color=False)
        return
    if not traces:
        return
    columns = [Column("start"), Column("took", right=True), Column("spans", right=True), Column("errors")]
    columns += [Column("trace"), Column("request", wrap=True)]
    cells = search_cells(traces, run.composition.clock.now(), utc=run.utc)
    write_rows(sys.stdout, columns, cells, table=True, color=run.colored(sys.stdout))


def say_search(run: Frame, query: TraceQuery, reading: Reading[Any], traces: list[Trace], truncated: bool) -> None:
    """What a person should know of the answer, and what to type next."""
    from opsctl.render.text import clean
    from opsctl.render.traces import show_command

    if isinstance(reading, Absent):
        between = f"between {query.start:%Y-%m-%dT%H:%M:%SZ} and {query.end:%Y-%m-%dT%H:%M:%SZ}"
        run.say(f"nothing: no trace of {clean(query.service)} fits {between}")
    if isinstance(reading, Failed) and traces:
        run.warn(f"partial: {clean(reading.message)}")
    if truncated and traces:
        run.say(f"there may be more that fit: these are {len(traces)}; a higher --limit or a shorter time shows them")
    if traces:
        slowest = max(traces, key=lambda trace: (trace.errors > 0, trace.duration_us))
        run.say(f"next: {pivot(run, show_command(slowest.trace_id))}")


def check_known(run: Frame, service: str, query: TraceQuery, backend: str, timeout_seconds: float) -> None:
    """UsageError where the backend has no such service or operation at all, with what was probably meant."""
    from opsctl.files.text import nearest
    from opsctl.views.services import trace_kind

    name = query.service
    kept = str.lower if trace_kind(run.composition.context) == "zipkin" else str  # which keeps names so
    known = run.composition.traces.services(timeout_seconds)
    if not isinstance(known, Measured):
        return
    if kept(name) in known.data:
        _check_operation(run, query, kept(query.operation), backend, timeout_seconds)
        return
    catalogue = run.composition.catalogue
    callers = [one.name for one in catalogue.services.values() if service in one.depends_on]
    if catalogue.get(service) is not None and callers:
        hint = f"it may send no spans; look at who needs it: {', '.join(callers)}"
        raise UsageError(f"{backend} has no traces of {name}", hint=hint)
    near = nearest(name, known.data)
    raise UsageError(f"{backend} has no traces of {name}" + (f"; did you mean {near}?" if near else ""))


def _check_operation(run: Frame, query: TraceQuery, kept: str, backend: str, timeout_seconds: float) -> None:
    from opsctl.files.text import nearest

    if not kept:
        return
    known = run.composition.traces.operations(query.service, timeout_seconds)
    if not isinstance(known, Measured):
        return
    names = {one.name for one in known.data}
    if kept not in names:
        near = nearest(kept, sorted(names))
        hint = f"; did you mean {near}?" if near else ""
        raise UsageError(f"{backend} has no operation {query.operation} of {query.service}{hint}")


def write_search(query: TraceQuery, service: str, reading: Reading[Any], traces: list[Trace], truncated: bool) -> None:
    """The answer as JSON."""
    from opsctl.render.traces import summary_body

    body = {
        "service": service,
        "backend": reading.backend,
        "start": query.start,
        "end": query.end,
        **status(reading),
        "truncated": truncated,
        "traces": [summary_body(trace) for trace in traces],
    }
    write_json("trace/search/v1", body)
