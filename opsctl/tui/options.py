"""How the board was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from opsctl.core.frozen import dataclass

if TYPE_CHECKING:
    from opsctl.app import Composition
    from opsctl.tui.typed import CommandLine


@dataclass(frozen=True, slots=True)
class Options:
    """Flags of `opsctl tui`, and what [tui] of the configuration says; `keys` are other keys by a binding's id."""

    screen: str = "board"
    theme: str = "dark"
    read_only: bool = False
    mouse: bool = True
    utc: bool = True
    record: Path | None = None
    replay: Path | None = None
    keys: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    line: Callable[[Composition], CommandLine] | None = None  # the command line, for `:`
