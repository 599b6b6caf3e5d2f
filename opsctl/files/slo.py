"""OpenSLO v1 objectives into `Slo` values that are ready to ask: queries for every window, burn rows, severities."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Union

from opsctl.core.catalogue import Catalogue, Service
from opsctl.core.frozen import dataclass
from opsctl.core.slo import BurnTable, MissingBad, Severity, Slo, WindowQueries, tier_severity
from opsctl.files.annotations import PREFIX, Annotations, read_annotations
from opsctl.files.burn import Shares, burn_table, choose
from opsctl.files.nodes import Node, Problems, Table, kind_words
from opsctl.files.openslo import METADATA_KEYS, SLO_KEYS, Documents, indicator, query
from opsctl.files.signals import signal_of_queries
from opsctl.files.slo_queries import (
    OPERATORS,
    Inline,
    Ratio,
    Threshold,
    missing_is_zero,
    ratio_queries,
    threshold_queries,
)

OBJECTIVE_KEYS = ("displayName", "op", "value", "target", "targetPercent")
_TIMESLICES = ("timeSliceTarget", "timeSliceWindow")
_COMPOSITE = ("indicator", "indicatorRef", "compositeWeight")
_SHORTHAND = re.compile(r"([1-9][0-9]{0,5})(m|h|d|w|M|Q|Y)")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")

Sides = Union[Ratio, Table]
"""What an indicator counts: both sides of a ratio, or the threshold metric that each objective completes."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What a file's objectives share."""

    catalogue: Catalogue
    windows: Mapping[str, Shares]
    documents: Documents
    inline: Inline
    problems: Problems


def read_slos(rest: Rest) -> list[Slo]:
    """Every objective of every SLO, in the order of the files; what is wrong is noted."""
    for root in rest.documents.slis.values():
        spec = root.get("spec")
        if spec is not None and isinstance(spec.value, dict):
            _sides(Table(spec, rest.problems, None), rest)
    return [slo for root in rest.documents.slos for slo in _read(root, rest)]


def _read(root: Node, rest: Rest) -> list[Slo]:
    problems = rest.problems
    top = Table(root, problems, None)
    metadata = top.table("metadata", METADATA_KEYS)
    spec = top.table("spec", SLO_KEYS, required=True)
    if metadata is None or spec is None:
        return []
    notes = read_annotations(metadata, problems)
    frame = _frame(metadata, spec, notes, rest)
    sides = _indicated(spec, rest)
    period = _period(spec)
    _budgeting(spec)
    objectives = spec.nodes("objectives", required=True)
    if not objectives and "objectives" in spec:
        problems.add(spec.node, f"{spec.what}.objectives: expected at least one")
    if frame is None or sides is None or period is None:
        return []
    out = []
    for index, node in enumerate(objectives):
        table = Table(node, problems, (*OBJECTIVE_KEYS, *_TIMESLICES, *_COMPOSITE), node.where)
        suffix = "" if len(objectives) == 1 else f"-{_slug(table.text('displayName')) or index + 1}"
        slo = _objective(table, frame, sides, period, suffix, rest)
        if slo is not None:
            out.append(slo)
    return out


@dataclass(frozen=True, slots=True)
class _Frame:
    """An SLO without its objectives."""

    at: Node
    name: str
    display_name: str
    description: str
    service: Service
    notes: Annotations
    shares: Shares
    identity: tuple[tuple[str, str], ...]


def _frame(metadata: Table, spec: Table, notes: Annotations, rest: Rest) -> _Frame | None:
    name = metadata.text("name")
    at = metadata.node_of("name")
    if at is not None and name and not _NAME.fullmatch(name):
        rest.problems.add(at, f"{at.where}: expected letters, digits, '.', '_' and '-', got {kind_words(at)}")
    service = _service(spec, rest)
    table = notes.windows or "standard"
    shares = choose(table, rest.windows, notes.nodes.get("windows", metadata.node), rest.problems)
    identity = _identity(metadata, notes, rest.problems)
    spec.nodes("alertPolicies")
    if service is None or shares is None or at is None or not name:
        return None
    display, description = metadata.text("displayName"), spec.text("description")
    return _Frame(at, name, display, description, service, notes, shares, identity)


def _service(spec: Table, rest: Rest) -> Service | None:
    name = spec.text("service", required=True)
    service = rest.catalogue.get(name)
    if service is None and name:
        at = spec.node_of("service") or spec.node
        rest.problems.unknown(at, "service", name, rest.catalogue.services, inside="the catalogue")
    return service


def _identity(metadata: Table, notes: Annotations, problems: Problems) -> tuple[tuple[str, str], ...]:
    """The labels that are part of the dedup key, from the SLO's own labels."""
    if not notes.identity_labels:
        return ()
    at = notes.nodes["identity-labels"]
    labels = metadata.text_map("labels", loose=True)
    for name in notes.identity_labels:
        if name not in labels:
            problems.unknown(at, "label", name, labels, inside="metadata.labels")
    return tuple(sorted((name, labels[name]) for name in notes.identity_labels if name in labels))


# -- what is asked


def _indicated(spec: Table, rest: Rest) -> Sides | None:
    found = indicator(spec, rest.documents, rest.problems)
    return None if found is None else _sides(found, rest)


def _sides(spec: Table, rest: Rest) -> Sides | None:
    if ("ratioMetric" in spec) == ("thresholdMetric" in spec):
        rest.problems.add(spec.node, f"{spec.what}: expected one of ratioMetric, thresholdMetric")
        return None
    if "thresholdMetric" in spec:
        return spec.table("thresholdMetric", ("metricSource",))
    ratio = spec.table("ratioMetric", ("counter", "good", "bad", "total", "raw", "rawType"))
    if ratio is None:
        return None
    if "raw" in ratio or "rawType" in ratio:
        at = ratio.node_of("raw") or ratio.node
        words = f"{ratio.what}.raw is not supported: it has no counts; use total, and good or bad"
        rest.problems.add(at, words)
        return None
    if ("good" in ratio) == ("bad" in ratio):
        rest.problems.add(ratio.node, f"{ratio.what}: expected total, and one of good, bad")
        return None
    counts = "bad" if "bad" in ratio else "good"
    part, total = _query(ratio, counts, rest), _query(ratio, "total", rest)
    if part is None or total is None:
        return None
    return Ratio(part, total, ratio.boolean("counter"), "bad" if counts == "bad" else "good")


def _query(ratio: Table, side: str, rest: Rest) -> Node | None:
    table = ratio.table(side, ("metricSource",), required=True)
    return None if table is None else query(table, rest.documents, rest.problems)


# -- one objective


def _objective(table: Table, frame: _Frame, sides: Sides, period: timedelta, suffix: str, rest: Rest) -> Slo | None:
    target = _target(table)
    for key in (*_TIMESLICES, *_COMPOSITE):
        if (node := table.node_of(key)) is not None:
            word = "Timeslices" if key in _TIMESLICES else "a composite of objectives"
            table.problems.add(node, f"{table.what}.{key}: {word} is not supported; use Occurrences with one indicator")
    threshold = None if isinstance(sides, Ratio) else _threshold(table, sides, rest)
    if isinstance(sides, Ratio) and ("op" in table or "value" in table):
        at = table.node_of("op") or table.node_of("value") or table.node
        table.problems.add(at, f"{table.what}: op and value belong to a thresholdMetric, this is a ratioMetric")
    if target is None:
        return None
    burn = _burn(table, frame, target, period)
    if burn is None:
        return None
    windows = (*burn.windows(), *(() if period in burn.windows() else (period,)))
    queries: Mapping[timedelta, WindowQueries] = {}
    if isinstance(sides, Ratio):
        queries = ratio_queries(sides, windows, rest.inline, rest.problems)
    elif threshold is not None:
        queries = threshold_queries(threshold, windows, rest.inline, rest.problems)
    missing = _missing(sides, frame, rest.problems)
    return _slo(table, frame, sides, suffix, target, period, burn, queries, missing) if queries else None


def _slo(
    table: Table,
    frame: _Frame,
    sides: Sides,
    suffix: str,
    target: float,
    period: timedelta,
    burn: BurnTable,
    queries: Mapping[timedelta, WindowQueries],
    missing: MissingBad,
) -> Slo:
    notes = frame.notes
    severity = notes.tier or tier_severity(frame.service.tier)
    return Slo(
        name=frame.name + suffix,
        uid=(notes.rule_uid or frame.name) + suffix,
        service=frame.service.name,
        team=frame.service.team,
        target=target,
        period=period,
        severity=severity,
        burn=burn,
        part=sides.counts if isinstance(sides, Ratio) else "good",
        queries=MappingProxyType(dict(queries)),
        missing_part=missing,
        on_no_data=notes.on_no_data or severity,
        on_no_events=notes.on_no_events or ("unknown" if severity is Severity.PAGE else "pass"),
        confidence=notes.confidence,
        origin=frame.at.origin,
        min_events=notes.min_events,
        display_name=" ".join(
            part for part in (frame.display_name, table.text("displayName") if suffix else "") if part
        ),
        description=frame.description,
        formerly=tuple(old + suffix for old in notes.formerly),
        identity=frame.identity,
        runbook=notes.runbook,
        runbook_no_data=notes.runbook_no_data,
        counts="events" if isinstance(sides, Ratio) else "steps",
        signal=signal_of_queries(queries, sides.part if isinstance(sides, Ratio) else table.node, table.problems),
    )


def _missing(sides: Sides, frame: _Frame, problems: Problems) -> MissingBad:
    """What an absent first query means: said by the author, or plain from the selectors."""
    said = frame.notes.missing_bad
    at = frame.notes.nodes.get("missing-bad")
    if not isinstance(sides, Ratio) or sides.counts == "good":
        if said is not None and at is not None:
            problems.add(at, f"{PREFIX}missing-bad belongs to ratioMetric.bad, this SLO counts good events")
        return "zero" if isinstance(sides, Ratio) and missing_is_zero(sides) else "no-data"
    if said is not None:
        return said
    if not missing_is_zero(sides):
        words = f"{sides.part.where}: does not only add matchers to total's: say {PREFIX}missing-bad: zero, or no-data"
        problems.add(sides.part, words)
    return "zero"


def _threshold(table: Table, metric: Table, rest: Rest) -> Threshold | None:
    node = query(metric, rest.documents, rest.problems)
    op = table.choice("op", tuple(OPERATORS), "")
    value = table.number("value", required=True)
    if not op and "op" not in table:
        table.need("op")
    return Threshold(node, op, value) if node is not None and op and value is not None else None


def _target(table: Table) -> float | None:
    if ("target" in table) == ("targetPercent" in table):
        table.problems.add(table.node, f"{table.what}: expected one of target, targetPercent")
        return None
    key, whole, ends = ("target", 1.0, "0 and 1") if "target" in table else ("targetPercent", 100.0, "0 and 100")
    value = table.number(key, required=True)
    if value is None:
        return None
    if 0 < value < whole:
        return round(value / whole, 12)
    node = table.node_of(key) or table.node
    hint = "targetPercent is the one in percent" if key == "target" and 1 < value < 100 else None
    table.problems.add(
        node, f"{node.where}: expected a number between {ends}, both excluded, got {node.text}", hint=hint
    )
    return None


def _burn(table: Table, frame: _Frame, target: float, period: timedelta) -> BurnTable | None:
    burn = burn_table(frame.shares, target, period)
    if burn.rows:
        return burn
    at = table.node_of("target") or table.node_of("targetPercent") or table.node
    words = f"no burn row of {burn.name} can fire at target {target:g}: use {PREFIX}windows: tickets"
    table.problems.add(at, words)
    return None


# -- the time window


def _budgeting(spec: Table) -> None:
    method = spec.text("budgetingMethod", required=True)
    node = spec.node_of("budgetingMethod")
    if node is None or not method or method == "Occurrences":
        return
    if method in {"Timeslices", "RatioTimeslices"}:
        spec.problems.add(node, f"budgetingMethod {method} is not supported; use Occurrences")
    else:
        spec.problems.unknown(node, "budgetingMethod", method, ("Occurrences",))


def _period(spec: Table) -> timedelta | None:
    windows = spec.nodes("timeWindow", required=True)
    if len(windows) != 1:
        if "timeWindow" in spec:
            spec.problems.add(spec.node_of("timeWindow") or spec.node, f"{spec.what}.timeWindow: expected exactly one")
        return None
    table = Table(windows[0], spec.problems, ("duration", "isRolling", "calendar"), windows[0].where)
    calendar = table.node_of("calendar")
    rolling = table.boolean("isRolling", calendar is None)
    if calendar is not None or not rolling:
        at = calendar or table.node_of("isRolling") or table.node
        words = "calendar-aligned time windows are not supported; use isRolling: true with a duration in days"
        spec.problems.add(at, words)
        return None
    text = table.text("duration", required=True)
    node = table.node_of("duration")
    return read_shorthand(text, node, spec.problems) if node is not None and text else None


def read_shorthand(text: str, node: Node, problems: Problems) -> timedelta | None:
    """OpenSLO's duration shorthand for a rolling window: `m` is minutes; months have no fixed length."""
    match = _SHORTHAND.fullmatch(text)
    if match is None:
        problems.add(node, f'{node.where}: expected a duration like "30d", got {kind_words(node)}')
        return None
    if match[2] not in _UNITS:
        word = {"M": "months", "Q": "quarters", "Y": "years"}[match[2]]
        words = (
            f"{node.where}: {text} means {word}, which a rolling window cannot have; say days, like 30d (m is minutes)"
        )
        problems.add(node, words)
        return None
    period = int(match[1]) * _UNITS[match[2]]
    if not timedelta(hours=1) <= period <= timedelta(days=400):
        problems.add(node, f"{node.where}: expected a rolling window from 1h to 400d, got {text}")
        return None
    return period


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
