"""What the far side says of our incidents: read before a plan is made, so that delivery is verified, not believed.

Pure. Must never mix "asked, and there is none" with "not asked": only the first may change anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from opsctl.core.frozen import dataclass

SeenStatus = Literal["triggered", "acknowledged", "resolved"]


@dataclass(frozen=True, slots=True)
class SeenOrigin:
    """What an incident says of where it comes from: a journal that was lost can still close it.

    `rule_uids` are its alert's rule or its group's members; `to` is the key of the sink that reaches it.
    """

    namespace: str
    rule_uids: tuple[str, ...]
    rule_name: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True)
class SeenIncident:
    """The newest incident of a key on the far side; `changed` is when its status last did, by the far side's clock."""

    key: str
    id: str
    status: SeenStatus
    created: datetime
    changed: datetime
    who: str = ""  # who changed it last
    by_person: bool = False  # a person did, not an event
    url: str = ""
    origin: SeenOrigin | None = None

    @property
    def open(self) -> bool:
        """Whether somebody still has it before them."""
        return self.status != "resolved"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one sink showed at a time.

    `incidents` are the newest ones by key: all open ones of ours where `complete`, and those that were asked for;
    `absent` are keys that were asked for and of which there is none. What is in neither is not known.
    `maintenance`: key of the sink (a routing key's name) → why its events open nothing now. `problem` says what could
    not be read. `others` are the ids of open incidents that are known not to be ours.
    """

    at: datetime
    incidents: Mapping[str, SeenIncident] = field(default_factory=lambda: MappingProxyType({}))
    absent: frozenset[str] = frozenset()
    complete: bool = False
    maintenance: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    problem: str | None = None
    others: frozenset[str] = frozenset()
