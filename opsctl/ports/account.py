"""What a paging service's account says besides incidents: who is on call, which services are ours; change events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from opsctl.core.frozen import dataclass
from opsctl.ports.delivery import Delivery


@dataclass(frozen=True, slots=True)
class OnCall:
    """One person's stretch on call; no `starts` is a permanent one, no `ends` has no end."""

    person: str
    level: int  # 1 is called first
    url: str = ""  # the person's page, with the ways to reach them
    schedule: str = ""
    starts: datetime | None = None
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class Duty:
    """Who is called for the events of a routing key, the first first; without a service nobody can say."""

    key: str  # the routing key's name
    service: str = ""
    policy: str = ""
    policy_url: str = ""
    people: tuple[OnCall, ...] = ()


@dataclass(frozen=True, slots=True)
class OnCalls:
    """The duties of a time; `problem` says what could not be read, `refused` that it is the token."""

    at: datetime
    duties: tuple[Duty, ...] = ()
    problem: str | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class AccountState:
    """What doctor asks: may we, is the sender of notes known, where do our keys lead.

    `sender` is the user's name, "" where nobody has that address, None where that could not be read. `services`:
    routing key's name → service, "" where none was found. `maintenance`: routing key's name → the window in words.
    `warnings` are services whose pages open nothing, or late.
    """

    problem: str | None = None
    refused: bool = False
    sender: str | None = None
    services: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    maintenance: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()


class Account(Protocol):
    """Asks an account. Never raises for what the far side does."""

    name: str

    def on_call(self, keys: Sequence[str], at: datetime, timeout_seconds: float) -> OnCalls:
        """Who is on call for each of these routing keys' names."""
        ...

    def examine(self, timeout_seconds: float) -> AccountState:
        """What doctor shows."""
        ...

    def close(self) -> None:
        """Drop connections."""
        ...


class ChangeEvents(Protocol):
    """Takes news of deployments and other changes, which wake nobody."""

    def change(self, key: str, body: Mapping[str, Any], timeout_seconds: float = 5.0) -> Delivery:
        """Exactly one request, or none if there is no key; `body` is JSON in the form of PagerDuty's change events."""
        ...

    def close(self) -> None:
        """Drop connections."""
        ...
