"""Tables of burn windows (`alert_rules/windows/*.yaml`) and their factors for one objective."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from opsctl.core.frozen import dataclass
from opsctl.core.slo import BurnRow, BurnTable, Origin, Severity
from opsctl.core.windows import format_duration
from opsctl.files.nodes import Node, Problems, Table

ROW_KEYS = ("severity", "long", "short", "budget")
SEVERITIES = tuple(severity.value for severity in Severity)


@dataclass(frozen=True, slots=True)
class Share:
    """One row as written: fires when `budget` of the whole budget would be gone within `long`."""

    severity: Severity
    long: timedelta
    short: timedelta
    budget: float


@dataclass(frozen=True, slots=True)
class Shares:
    """A named table as written."""

    name: str
    rows: tuple[Share, ...]
    origin: Origin


def read_windows(roots: Iterable[Node], problems: Problems) -> dict[str, Shares]:
    """Every table by its name."""
    out: dict[str, Shares] = {}
    for root in roots:
        table = Table(root, problems, ("name", "description", "rows"), "burn windows")
        name = table.text("name", required=True)
        rows = tuple(_row(Table(node, problems, ROW_KEYS, node.where)) for node in table.nodes("rows", required=True))
        if not rows and "rows" in table:
            problems.add(root, f"burn windows {name} have no rows")
        if name in out:
            problems.add(root, f"burn windows {name} stand twice, first in {out[name].origin}")
        out[name] = Shares(name, rows, root.origin)
    return out


def _row(table: Table) -> Share:
    for key in ROW_KEYS:
        table.need(key)
    severity = Severity(table.choice("severity", SEVERITIES, "show"))
    long, short = (table.duration(key, timedelta(hours=1)) for key in ("long", "short"))
    budget = table.number("budget")
    if budget is not None and not 0 < budget <= 1:
        table.problems.add(table.node_of("budget") or table.node, f"{table.what}.budget: expected a ratio in (0, 1]")
        budget = None
    if all(key in table for key in ("long", "short")) and not timedelta(0) < short < long:
        at = table.node_of("short") or table.node
        table.problems.add(at, f"{table.what}: expected short longer than 0s and shorter than long")
    return Share(severity, long, short, budget or 1.0)


def burn_table(shares: Shares, target: float, period: timedelta) -> BurnTable:
    """The factors for a period: budget × period / long, at least 1; rows that cannot fire at the target are dropped."""
    rows: list[BurnRow] = []
    dropped: list[BurnRow] = []
    for share in shares.rows:
        factor = round(share.budget * (period / share.long), 9)
        row = BurnRow(share.severity, share.long, share.short, max(1.0, factor), clamped=factor < 1.0)
        (rows if row.factor * (1.0 - target) < 1.0 else dropped).append(row)
    return BurnTable(shares.name, tuple(rows), tuple(dropped))


def row_words(row: BurnRow) -> str:
    """A row for people: `page 1h/5m × 14.4`."""
    return f"{row.severity} {format_duration(row.long)}/{format_duration(row.short)} × {row.factor:g}"


def choose(name: str, known: Mapping[str, Shares], at: Node, problems: Problems) -> Shares | None:
    """The table of that name; an unknown one is noted with the nearest."""
    if name not in known:
        problems.unknown(at, "burn windows", name, known)
        return None
    return known[name]
