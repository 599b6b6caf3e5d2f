"""The configuration: which file, which context, what the environment changes, and where each value came from.

Must never be half read: one wrong key anywhere in the file is an error, for every context that it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from opsctl.core.frozen import dataclass
from opsctl.errors import UsageError
from opsctl.files.board import BoardSettings, read_board
from opsctl.files.context import (
    Backend,
    Basic,
    Bearer,
    ContextSettings,
    Credentials,
    Limits,
    Offsets,
    PagerDuty,
    Paging,
    Rest,
    RunbookPolicy,
    Secret,
)
from opsctl.files.context_reader import read_context
from opsctl.files.nodes import Node, Problems, Table
from opsctl.files.overlay import overlay
from opsctl.files.text import meant, read_text
from opsctl.files.toml_lines import parse_toml

__all__ = [
    "Backend",
    "Basic",
    "Bearer",
    "BoardSettings",
    "ContextSettings",
    "Credentials",
    "Limits",
    "Offsets",
    "PagerDuty",
    "Paging",
    "Rest",
    "RunbookPolicy",
    "Secret",
    "Settings",
    "candidates",
    "load_settings",
]

SYSTEM_FILE = Path("/etc/opsctl/config.toml")


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration; `path` is None where it came from no file (the demo).

    `origins` says for each dotted key of the chosen context where its value came from: `path:line`, `environment
    NAME`, `default`, `flag`.
    """

    path: Path | None
    default_context: str
    contexts: Mapping[str, ContextSettings]
    origins: Mapping[str, str] = field(default_factory=dict)
    chosen_name: str = ""
    board: BoardSettings = BoardSettings()

    @property
    def chosen(self) -> ContextSettings:
        """The context that this run works in."""
        return self.contexts[self.chosen_name or self.default_context]


def candidates(cwd: Path, env: Mapping[str, str]) -> tuple[Path, ...]:
    """Where a configuration may be; the first that exists is the one."""
    config_home = env.get("XDG_CONFIG_HOME", "")
    home = Path(env["HOME"]) if env.get("HOME") else None
    root = Path(config_home) if config_home.startswith("/") else home / ".config" if home else None
    user = (root / "opsctl" / "config.toml",) if root else ()
    return (cwd / "opsctl.toml", *user, SYSTEM_FILE)


def find_file(explicit: Path | None, env: Mapping[str, str], cwd: Path) -> Path:
    """The configuration file of this run; UsageError if there is none."""
    if explicit is None and env.get("OPSCTL_CONFIG"):
        explicit = Path(env["OPSCTL_CONFIG"])
    if explicit is not None:
        path = explicit if explicit.is_absolute() else cwd / explicit
        if not path.exists():
            raise UsageError(f"no such configuration file: {explicit}", hint="`opsctl config init` writes one")
        return path
    for path in candidates(cwd, env):
        if path.exists() or path.is_symlink():
            return path
    raise UsageError("no configuration: `opsctl config init`, or try `opsctl demo`")


def here(explicit: Path | None) -> Path:
    """The current folder, which somebody may have removed under us; UsageError where it is needed and gone."""
    try:
        return Path.cwd()
    except OSError as gone:
        if explicit is not None and explicit.is_absolute():
            return explicit.parent
        raise UsageError("the current folder is gone", hint="cd elsewhere, or give --config an absolute path") from gone


def flags_of(config: Path | None, context: str | None) -> tuple[str, ...]:
    """The global flags that lead another command to the same context."""
    words: tuple[str, ...] = () if config is None else ("--config", str(config))
    return words if context is None else (*words, "--context", context)


def load_settings(explicit: Path | None, context: str | None, *, env: Mapping[str, str], cwd: Path) -> Settings:
    """Read the configuration; ConfigError(s) for the file, UsageError for a context that it does not have."""
    path = find_file(explicit, env, cwd)
    root = parse_toml(read_text(path), str(path))
    problems = Problems()
    top = Table(root, problems, ("default_context", "tui", "contexts"), "the configuration")
    found = _contexts(top)
    chosen, origin = _choose(top, found, context, env)
    contexts, origins = {}, {"context": origin}
    for name, node in found.items():
        mine = Problems()
        layered = overlay(node, env) if name == chosen else node
        contexts[name] = read_context(name, layered, path.parent, mine, env)
        problems.errors.extend(mine.errors)
        if name == chosen:
            origins.update(mine.seen)
    board = read_board(top)
    origins.update({key: origin for key, origin in problems.seen.items() if key.startswith("tui.")})
    problems.check()
    return Settings(path, top.text("default_context") or chosen, contexts, origins, chosen, board)


def _contexts(top: Table) -> dict[str, Node]:
    node = top.need("contexts")
    if node is None:
        return {}
    found = dict(Table(node, top.problems, None).items())
    if not found and isinstance(node.value, dict):
        top.problems.add(node, "contexts: expected at least one, like [contexts.prod]")
    return {name: child for name, child in found.items() if _is_context(child, top.problems)}


def _is_context(node: Node, problems: Problems) -> bool:
    if isinstance(node.value, dict):
        return True
    problems.add(node, f"{node.where}: expected a table [{node.where}]")
    return False


def _choose(top: Table, found: Mapping[str, Node], flag: str | None, env: Mapping[str, str]) -> tuple[str, str]:
    """The context's name and who chose it."""
    default = top.text("default_context")
    node = top.node_of("default_context")
    if node is not None and default and default not in found:
        top.problems.unknown(node, "context", default, found)
    variable = env.get("OPSCTL_CONTEXT") or None
    wanted = flag or variable
    if wanted is not None:
        top.problems.check()
        if wanted not in found:
            raise UsageError(f"no context {wanted} in {top.node.path}", hint=meant(wanted, found))
        return wanted, "environment OPSCTL_CONTEXT" if variable == wanted else "flag --context"
    if default:
        return default, f"{top.node.path}:{node.line if node else 1}"
    if len(found) > 1:
        top.problems.add(top.node, "default_context is missing", hint=f"one of: {', '.join(sorted(found))}")
    return next(iter(found), ""), "the only context"
