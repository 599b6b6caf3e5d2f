"""What a context says by signal: how late data comes, and who answers for the series of logs and spans."""

from __future__ import annotations

from typing import Literal

from opsctl.files.context import Offsets, SeriesFrom
from opsctl.files.nodes import Table


def read_offsets(table: Table) -> Offsets:
    """`[contexts.X.offsets]`."""
    default = Offsets()
    section = table.table("offsets", ("metrics", "traces", "logs"))
    if section is None:
        return default
    return Offsets(
        metrics=section.duration("metrics", default.metrics),
        traces=section.duration("traces", default.traces),
        logs=section.duration("logs", default.logs),
    )


def read_series(table: Table) -> SeriesFrom:
    """`[contexts.X.series]`."""
    section = table.table("series", ("logs", "traces"))
    if section is None:
        return SeriesFrom()
    return SeriesFrom(logs=_source(table, section, "logs"), traces=_source(table, section, "traces"))


def _source(table: Table, section: Table, key: str) -> Literal["backend", "prometheus"]:
    if section.choice(key, ("backend", "prometheus"), "backend") == "backend":
        return "backend"
    node = section.node_of(key)
    if node is not None and "prometheus" not in table:
        section.problems.add(node, f"{node.where}: this context has no prometheus to ask")
    return "prometheus"
