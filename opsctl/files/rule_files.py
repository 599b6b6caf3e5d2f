"""Which files hold rules: the bundled folders, folders of a team, single files.

Must never skip a file that may hold rules in silence: a YAML file of another kind is noted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import Literal

from opsctl import assets
from opsctl.core.frozen import dataclass
from opsctl.errors import ConfigError
from opsctl.files.backend_settings import resolve_path
from opsctl.files.nodes import Node, Problems
from opsctl.files.text import meant
from opsctl.files.yaml_lines import read_yaml_all

FileKind = Literal["prometheus", "openslo", "windows"]
BUNDLED = "bundled:"
WINDOWS = "windows"


@dataclass(slots=True)
class Found:
    """The documents of every file, by kind; `notes` says which files of a folder were left alone and why."""

    prometheus: list[Node] = field(default_factory=list)
    openslo: list[Node] = field(default_factory=list)
    windows: list[Node] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find(sources: Sequence[str], base: Path, problems: Problems) -> Found:
    """Read every file of the sources once; the bundled burn windows are always among them."""
    found = Found()
    seen: set[Path] = set()
    for source in (f"{BUNDLED}{WINDOWS}", *sources):
        try:
            for path, named in _files(source, base):
                real = path.resolve()
                if real not in seen:
                    seen.add(real)
                    _read(path, named, found, problems)
        except ConfigError as wrong:
            problems.take(wrong)
    return found


def _files(source: str, base: Path) -> Iterator[tuple[Path, bool]]:
    """The files of one source, and whether the source names the file itself."""
    bundled = source.startswith(BUNDLED)
    root = _bundled(source.removeprefix(BUNDLED)) if bundled else resolve_path(source, base)
    if not root.exists():
        raise ConfigError(str(root), None, f"no such file or folder, named by rules as {source}")
    if not root.is_dir():
        yield root, True
        beside = root.parent / WINDOWS
        yield from ((path, False) for path in (_below(beside) if beside.is_dir() else ()))
        return
    files = list(_below(root))
    if not files and not bundled:
        raise ConfigError(str(root), None, "holds no rule files", hint="*.slo.yaml, *.rules.yaml, *.rules.yml")
    yield from ((path, False) for path in files)


def _bundled(name: str) -> Path:
    folder = assets.folder("alert_rules")
    if not name:
        return folder
    known = sorted(child.name for child in folder.iterdir() if child.is_dir())
    if name.strip("/") not in known:
        raise ConfigError(f"{BUNDLED}{name}", None, "no bundled rules of that name", hint=meant(name, known))
    return folder / name.strip("/")


def _below(root: Path) -> Iterator[Path]:
    """The YAML files under a folder, sorted; hidden folders and promtool's tests are left out."""
    for here, folders, files in os.walk(root, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            hidden = name.startswith(".") or name.endswith((".test.yaml", ".test.yml"))
            if name.endswith((".yaml", ".yml")) and not hidden:
                yield Path(here) / name


def _raise(wrong: OSError) -> None:
    words = os.strerror(wrong.errno) if wrong.errno else str(wrong)
    raise ConfigError(str(wrong.filename), None, f"cannot be read: {words}") from wrong


def _read(path: Path, named: bool, found: Found, problems: Problems) -> None:
    try:
        documents = read_yaml_all(path)
    except ConfigError as wrong:
        problems.take(wrong)
        return
    kinds = {kind_of(node, path) for node in documents}
    sure = named or path.name.endswith((".slo.yaml", ".slo.yml", ".rules.yaml", ".rules.yml"))
    if kinds == {None} and not sure:
        found.notes.append(f"{path} holds no rules: neither `groups:` nor `apiVersion: openslo/v1`")
        return
    for node in documents:
        match kind_of(node, path):
            case "prometheus":
                found.prometheus.append(node)
            case "openslo":
                found.openslo.append(node)
            case "windows":
                found.windows.append(node)
            case None:
                expected = "expected Prometheus rules (`groups:`), OpenSLO (`apiVersion:`) or burn windows (`rows:`)"
                problems.add(node, expected, hint=_near(node))
        if kind_of(node, path) == "prometheus" and len(documents) > 1:
            found.notes.append(f"{path}: only the first document is read, as Prometheus does")
            return


def _near(node: Node) -> str | None:
    keys = list(node.value) if isinstance(node.value, dict) else []
    hints = [hint for key in keys if (hint := meant(key, ("groups", "apiVersion"))).startswith("did")]
    return hints[0] if hints else None


def kind_of(node: Node, path: Path) -> FileKind | None:
    """What a document is, by its own words; a name that ends in `.rules.yaml` or `.slo.yaml` decides the rest."""
    if node.get("apiVersion") is not None or path.name.endswith((".slo.yaml", ".slo.yml")):
        return "openslo"
    if node.get("groups") is not None or path.name.endswith((".rules.yaml", ".rules.yml")):
        return "prometheus"
    if path.parent.name == WINDOWS and node.get("rows") is not None:
        return "windows"
    return None
