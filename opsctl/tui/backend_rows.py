"""Backends as rows: who is there, how the last cycle went with it, what looking at details costs it.

Pure: no textual. Must never call one healthy that was not asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from opsctl.core.frozen import dataclass
from opsctl.core.replay import BackendRecord
from opsctl.core.signals import Signal
from opsctl.ports import Incident, Probe
from opsctl.tui.queries import Use
from opsctl.tui.report import Report
from opsctl.tui.widgets.grid import Column, Row
from opsctl.tui.widgets.lines import Piece
from opsctl.views.words import ago

COLUMNS = (
    Column("kind", "signal"),
    Column("name", "backend", most=44),
    Column("reachable", "reachable"),
    Column("cycle", "last cycle"),
    Column("took", "took", right=True, priority=1),
    Column("queries", "queries", right=True, priority=3),
    Column("details", "details/min", right=True, priority=2),
    Column("good", "last good", right=True),
    Column("error", "error", grow=True, least=12),
)
_UNDELIVERED = frozenset({"queued", "attempted", "dead", "never_delivered"})


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that is known of the backends; `probes` are None where nobody was asked yet."""

    report: Report | None
    probes: Mapping[str, Probe | None]  # by kind: metrics, logs, traces
    use: Mapping[str, Use]
    last_good: Mapping[str, datetime]  # by the backend's name
    configured: Mapping[str, str]  # kind -> name for people
    now: datetime


def backend_rows(known: Known) -> list[Row]:
    """One row for each signal."""
    return [_row(kind, known) for kind in Signal]


def _row(kind: Signal, known: Known) -> Row:
    record = record_of(known.report, kind)
    probe, use = known.probes.get(kind), known.use.get(kind)
    name = known.configured.get(kind, "") or (record.name if record else "")
    good = last_good(kind, known)
    old = known.report is not None and known.report.old
    error = (record.error or "") if record is not None and record.status != "ok" else ""
    error = (
        error or (probe.message if probe is not None and not _fine(probe) else "") or (use.last_error if use else "")
    )
    cells = (
        str(kind),
        name or ("not configured", "dim"),
        reachable(probe, configured=bool(name)),
        _cycle(record),
        f"{record.took_seconds:.2f}s" if record is not None else "–",
        str(record.queries) if record is not None else "–",
        _cost(use),
        f"{ago(known.now - good)} ago" if good is not None else "–",
        error,
    )
    return Row(kind, cells, "dim" if old else "")


def record_of(report: Report | None, kind: Signal) -> BackendRecord | None:
    """How the last cycle went with a signal's backend; None where no rule reads it."""
    return next((one for one in report.backends if one.signal is kind), None) if report is not None else None


def last_good(kind: Signal, known: Known) -> datetime | None:
    """When an answer of it came whole, in a cycle or to a question of ours."""
    record, use = record_of(known.report, kind), known.use.get(kind)
    found = [known.last_good.get(record.name) if record is not None else None, use.last_good if use else None]
    return max((one for one in found if one is not None), default=None)


def _fine(probe: Probe) -> bool:
    return probe.reachable and probe.authorised and probe.usable


def reachable(probe: Probe | None, *, configured: bool) -> Piece:
    """Glyph and word: whether it answers, lets us in, and has what it is configured for."""
    if not configured:
        return ("–", "dim")
    if probe is None:
        return ("? not asked yet", "unknown")
    if not probe.reachable:
        return ("✖ no", "fail")
    if not probe.authorised:
        return ("✖ not let in", "fail")
    return ("✔ yes", "ok") if probe.usable else ("! yes, and empty", "warn")


def _cycle(record: BackendRecord | None) -> Piece:
    if record is None:
        return ("no rule reads it", "dim")
    return {"ok": ("✔ whole", "ok"), "partial": ("! partial", "warn"), "failed": ("✖ failed", "fail")}[record.status]


def _cost(use: Use | None) -> Piece:
    if use is None:
        return ("0", "dim")
    waiting = f", {use.waiting} wait" if use.waiting else ""
    return (f"{use.last_minute}/{use.budget}{waiting}", "warn" if use.waiting else "")


def details(kind: Signal, known: Known) -> list[tuple[Piece, ...]]:
    """Everything about one signal's backend."""
    record, probe, use = record_of(known.report, kind), known.probes.get(kind), known.use.get(kind)
    lines: list[tuple[Piece, ...]] = [((f"{kind} ", "strong"), (known.configured.get(kind, "not configured"), ""))]
    if probe is not None:
        lines.append((("address ", "dim"), (probe.address or "–", "")))
        lines.append((("says ", "dim"), (f"{probe.message} {probe.version}".strip() or "–", "")))
        if probe.clock_skew_seconds is not None:
            lines.append((("its clock ", "dim"), (f"{probe.clock_skew_seconds:+.1f}s against ours", "")))
        lines.append((("answered in ", "dim"), (f"{probe.took_seconds * 1000:.0f} ms", "")))
    if record is not None:
        lines.append((("cycle ", "dim"), (f"{record.queries} queries in {record.took_seconds:.2f}s", "")))
        if record.error:
            lines.append((("error ", "dim"), (record.error, "fail")))
    if use is not None:
        said = f"{use.asked} questions, {use.failed} failed, {use.last_minute} of {use.budget} in the last minute"
        lines.append((("details ", "dim"), (said, "")))
        if use.last_seconds is not None:
            lines.append((("last detail ", "dim"), (f"took {use.last_seconds:.2f}s", "")))
        if use.last_error:
            lines.append((("last error of a detail ", "dim"), (use.last_error, "warn")))
    return lines


def sink_lines(sinks: Sequence[str], incidents: Sequence[Incident]) -> list[tuple[Piece, ...]]:
    """Where pages go, and what did not get there."""
    lines: list[tuple[Piece, ...]] = [(("sinks", "strong"),)]
    for name in sinks:
        mine = [one for one in incidents if one.route.startswith(f"{name}/") or one.route == name]
        stuck = [one for one in mine if one.resolved is None and one.delivery in _UNDELIVERED]
        said = f"{len(mine)} incidents in the last day"
        if stuck:
            numbers = ", ".join(f"#{one.episode} ({one.delivery.replace('_', ' ')})" for one in stuck[:5])
            lines.append(((f"✖ {name}: ", "fail"), (f"{said}; not through: {numbers}: {stuck[0].last_error}", "fail")))
        else:
            lines.append(((f"✔ {name}: ", "ok" if mine else "dim"), (said, "")))
    if not sinks:
        lines.append((("no sink is configured: nobody is paged", "warn"),))
    return lines
