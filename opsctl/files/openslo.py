"""OpenSLO v1 documents: what each kind may hold, and the references between them.

Must never accept what opsctl would not carry out: a part of the standard that it cannot execute is an error by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field

from opsctl.core.catalogue import Catalogue
from opsctl.core.frozen import dataclass
from opsctl.files.nodes import Node, Problems, Table
from opsctl.files.text import meant

API = "openslo/v1"
KINDS = ("SLO", "SLI", "Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
METADATA_KEYS = ("name", "displayName", "labels", "annotations")
SPEC_KEYS = {
    "SLI": ("description", "thresholdMetric", "ratioMetric"),
    "Service": ("description",),
    "DataSource": ("description", "type", "connectionDetails"),
    "AlertPolicy": (
        *("description", "alertWhenNoData", "alertWhenResolved", "alertWhenBreaching"),
        *("conditions", "notificationTargets"),
    ),
    "AlertCondition": ("description", "severity", "condition"),
    "AlertNotificationTarget": ("description", "target"),
}
SLO_KEYS = (
    *("description", "service", "indicator", "indicatorRef", "timeWindow", "budgetingMethod"),
    *("objectives", "alertPolicies"),
)
PROMQL_TYPES = ("prometheus", "thanos", "mimir", "cortex", "victoriametrics")


@dataclass(slots=True)
class Documents:
    """The documents of all files, by kind and name."""

    slos: list[Node] = field(default_factory=list)
    slis: dict[str, Node] = field(default_factory=dict)
    sources: dict[str, Node] = field(default_factory=dict)
    others: dict[tuple[str, str], Node] = field(default_factory=dict)


def sort_documents(roots: Iterable[Node], catalogue: Catalogue, problems: Problems) -> Documents:
    """Check what every document has in common and sort them by kind."""
    out = Documents()
    for root in roots:
        top = Table(root, problems, ("apiVersion", "kind", "metadata", "spec"), "the document")
        if not isinstance(root.value, dict):
            continue
        if not _is_v1(top, problems):
            continue
        kind = top.text("kind", required=True)
        if kind not in KINDS:
            if kind:
                problems.unknown(top.node_of("kind") or root, "kind", kind, KINDS)
            continue
        metadata = top.table("metadata", METADATA_KEYS, required=True)
        name = metadata.text("name", required=True) if metadata else ""
        if kind == "SLO":
            out.slos.append(root)
        else:
            _sort(out, kind, name, root, problems)
            _check(kind, name, top, catalogue, problems)
    return out


def _is_v1(top: Table, problems: Problems) -> bool:
    version = top.text("apiVersion", required=True)
    if version and version != API:
        node = top.node_of("apiVersion") or top.node
        problems.add(node, f"apiVersion: expected {API}, got {version}")
    return version == API


def _sort(out: Documents, kind: str, name: str, root: Node, problems: Problems) -> None:
    if not name:
        return
    first = out.others.setdefault((kind, name), root)
    if first is not root:
        problems.add(root, f"{kind} {name} stands twice, first in {first.origin}")
    elif kind == "SLI":
        out.slis[name] = root
    elif kind == "DataSource":
        out.sources[name] = root


def _check(kind: str, name: str, top: Table, catalogue: Catalogue, problems: Problems) -> None:
    spec = top.table("spec", SPEC_KEYS[kind], required=kind not in {"Service"})
    if kind == "Service" and name and catalogue.get(name) is None:
        problems.unknown(top.node, "service", name, catalogue.services, inside="the catalogue")
    if spec is None:
        return
    if kind == "DataSource":
        source_type(spec, problems)
    if kind == "SLI" and ("thresholdMetric" in spec) == ("ratioMetric" in spec):
        problems.add(spec.node, "spec: expected one of thresholdMetric, ratioMetric")


def source_type(spec: Table, problems: Problems) -> None:
    """Check the type of a data source: opsctl asks PromQL."""
    kind = spec.text("type", required=True)
    if kind and kind.lower() not in PROMQL_TYPES:
        node = spec.node_of("type") or spec.node
        problems.add(node, f"{spec.what}.type {kind} is not supported; use Prometheus")


def indicator(spec: Table, documents: Documents, problems: Problems) -> Table | None:
    """The indicator's spec of an SLO, written in it or named by `indicatorRef`."""
    inline, named = spec.node_of("indicator"), spec.node_of("indicatorRef")
    if (inline is None) == (named is None):
        problems.add(named or spec.node, f"{spec.what}: expected one of indicator, indicatorRef")
        return None
    if inline is not None:
        table = Table(inline, problems, ("metadata", "spec"))
        return table.table("spec", SPEC_KEYS["SLI"], required=True)
    name = spec.text("indicatorRef")
    if name not in documents.slis:
        if name and named is not None:
            problems.add(named, f"unknown SLI {name}", hint=meant(name, documents.slis))
        return None
    return Table(documents.slis[name], problems, None).table("spec", None)


def query(side: Table, documents: Documents, problems: Problems) -> Node | None:
    """The PromQL of one `metricSource`."""
    source = side.table("metricSource", ("metricSourceRef", "type", "spec"), required=True)
    if source is None:
        return None
    named = source.node_of("metricSourceRef")
    if "type" in source:
        source_type(source, problems)
    elif named is None:
        problems.add(source.node, f"{source.what}: expected type: Prometheus, or metricSourceRef")
    elif (name := source.text("metricSourceRef")) and name not in documents.sources:
        problems.add(named, f"unknown DataSource {name}", hint=meant(name, documents.sources))
    spec = source.table("spec", ("query",), required=True)
    if spec is None or not spec.text("query", required=True).strip():
        return None
    return spec.node_of("query")
