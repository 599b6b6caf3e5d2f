"""What there is to watch: services, their tiers, teams and dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Literal

from opsctl.core.frozen import dataclass

Kind = Literal["internal", "third_party"]


@dataclass(frozen=True, slots=True)
class Service:
    """One service; tier 1 pages, 2 tickets, 3 shows."""

    name: str
    tier: int
    team: str
    kind: Kind = "internal"
    depends_on: tuple[str, ...] = ()
    selectors: Mapping[str, str | Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    links: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every service by name, in the order of the file."""

    services: Mapping[str, Service]

    def get(self, name: str) -> Service | None:
        """The service of that name, if the catalogue has it."""
        return self.services.get(name)
