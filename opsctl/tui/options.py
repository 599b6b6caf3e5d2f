"""How the board was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from types import MappingProxyType

from opsctl.core.frozen import dataclass


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
