"""Many traces, or the services that have some, in a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from opsctl.core.traces import Trace
from opsctl.render.text import shortened
from opsctl.tui.trace_words import sorted_traces, trace_cells
from opsctl.tui.widgets.grid import Column, Grid, Row

_TRACES = (
    Column("start", "start"),
    Column("took", "took", right=True),
    Column("spans", "spans", right=True, priority=2),
    Column("errors", "errors"),
    Column("request", "request", grow=True, least=16),
    Column("path", "critical path", most=22, priority=1),
    Column("trace", "trace", most=32, priority=3),
)
_SERVICES = (Column("service", "service", grow=True, least=20),)
_LONGEST = 300  # characters of a service's name


class TraceList(Grid):
    """The cursor stays on its trace, or its service."""

    def show_services(self, names: Iterable[str]) -> None:
        """A service a row."""
        self.show(_SERVICES, [Row(name, (shortened(name, _LONGEST),)) for name in names])

    def show_traces(self, rows: Sequence[Row]) -> None:
        """`trace_rows`."""
        self.show(_TRACES, rows)


def trace_rows(
    traces: Sequence[Trace], now: datetime, *, by: str, reverse: bool, old: bool, utc: bool
) -> Sequence[Row]:
    """A trace a row, in one of `SORTS`; looks at every span. `old` rows are not of the time that was asked for."""
    found = sorted_traces(traces, by, reverse=reverse)
    return [Row(key, cells, "stale" if old else "") for key, cells in trace_cells(found, now, utc=utc)]
