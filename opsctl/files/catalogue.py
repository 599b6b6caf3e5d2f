"""The catalogue file (`services.yaml`) into services, and nothing else: who depends on whom, who is woken."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

from opsctl import assets
from opsctl.core.catalogue import Catalogue, Service
from opsctl.files.backend_settings import resolve_path
from opsctl.files.nodes import Node, Problems, Table, kind_words
from opsctl.files.yaml_lines import read_yaml

KEYS = ("name", "tier", "team", "kind", "depends_on", "selectors", "links", "display_name", "description")
BACKENDS = ("prometheus", "jaeger", "zipkin", "elasticsearch")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def catalogue_path(source: str, base: Path) -> Path:
    """The file that a source names; `bundled:` is the demo platform's."""
    return assets.catalogue() if source == "bundled:" else resolve_path(source, base)


def load_catalogue(source: str, base: Path) -> Catalogue:
    """Read a catalogue; `base` is the folder that a relative path is read from."""
    return read_catalogue(read_yaml(catalogue_path(source, base)))


def read_catalogue(root: Node) -> Catalogue:
    """The catalogue of a document."""
    problems = Problems()
    top = Table(root, problems, ("services",), "the catalogue")
    services: dict[str, Service] = {}
    nodes: dict[str, Node] = {}
    for node in top.nodes("services", required=True):
        service = _service(Table(node, problems, KEYS, node.where), problems)
        if service.name in services:
            first = nodes[service.name].line
            problems.add(node, f"service {service.name} stands twice, first in line {first}")
        elif service.name:
            services[service.name], nodes[service.name] = service, node
    for name, node in nodes.items():
        _check_dependencies(name, node, nodes, problems)
    problems.check()
    return Catalogue(MappingProxyType(services))


def _service(table: Table, problems: Problems) -> Service:
    name = table.text("name", required=True)
    node = table.node_of("name")
    if node is not None and name and not _NAME.fullmatch(name):
        problems.add(
            node, f"{node.where}: expected letters, digits, '.', '_' and '-', at most 63, got {kind_words(node)}"
        )
    table.need("tier")
    return Service(
        name=name,
        tier=table.integer("tier", 3, least=1, most=3),
        team=table.text("team", required=True),
        kind=cast(Literal["internal", "third_party"], table.choice("kind", ("internal", "third_party"), "internal")),
        depends_on=table.texts("depends_on"),
        selectors=MappingProxyType(_selectors(table)),
        links=MappingProxyType(_links(table)),
    )


def _selectors(table: Table) -> dict[str, str | MappingProxyType[str, str]]:
    inner = table.table("selectors", BACKENDS)
    out: dict[str, str | MappingProxyType[str, str]] = {}
    for backend, node in inner.items() if inner else ():
        if inner is None or backend not in BACKENDS:
            continue
        if isinstance(node.value, str):
            out[backend] = node.value
        else:
            out[backend] = MappingProxyType(inner.text_map(backend))
    return out


def _links(table: Table) -> dict[str, str]:
    links = table.text_map("links")
    node = table.node_of("links")
    for name, url in links.items():
        if not re.match(r"https?://[^\s/]", url):
            child = (node.get(name) if node else None) or table.node
            table.problems.add(child, f"{child.where}: expected an address like https://…, got {kind_words(child)}")
    return links


def _check_dependencies(name: str, node: Node, known: dict[str, Node], problems: Problems) -> None:
    listed = node.get("depends_on")
    for item in listed.value if listed is not None and isinstance(listed.value, list) else []:
        if not isinstance(item.value, str):
            continue
        if item.value == name:
            problems.add(item, f"service {name} depends on itself")
        elif item.value not in known:
            problems.unknown(item, "service", item.value, known, inside=f"depends_on of {name}")
