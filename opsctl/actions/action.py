"""What a person may ask for, what it would do and what became of it: values, nothing is done here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, Union

from opsctl.core.frozen import dataclass

if TYPE_CHECKING:
    from opsctl.core.catalogue import Catalogue
    from opsctl.core.routing import Routing, Silence
    from opsctl.core.runbooks import Runbook
    from opsctl.files.context import ContextSettings
    from opsctl.ports import Clock, Journal, Sinks
    from opsctl.ports.runbooks import Person
    from opsctl.runner import World


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Take an incident: its sink stops notifying."""

    episode: int


@dataclass(frozen=True, slots=True)
class Resolve:
    """Close an incident by hand."""

    episode: int


@dataclass(frozen=True, slots=True)
class WriteNote:
    """Write a line on an open incident."""

    episode: int
    text: str


@dataclass(frozen=True, slots=True)
class MakeSilence:
    """Write a silence into the context's file (`opsctl.actions.new_silence` makes one from what a person types)."""

    silence: Silence


@dataclass(frozen=True, slots=True)
class EndSilence:
    """End a silence now."""

    id: str


@dataclass(frozen=True, slots=True)
class StartRun:
    """Run a runbook, with parameters from the alert of an open incident (its number, or its `key`) where one is given.

    `auto` and `approve` are the flags of `opsctl runbook run`.
    """

    runbook: str
    params: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    episode: int | None = None
    key: str | None = None  # of an alert, in place of its incident's number
    auto: bool = False
    approve: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResumeRun:
    """Take up a run by its id or the beginning of it, or undo what it changed."""

    run: str
    undo: bool = False
    accept_edit: bool = False
    auto: bool = False
    approve: tuple[str, ...] = ()


Run = Union[StartRun, ResumeRun]
Action = Union[Acknowledge, Resolve, WriteNote, MakeSilence, EndSilence, StartRun, ResumeRun]


class Risk(StrEnum):
    """How much is at stake."""

    LOW = "low"  # a note, taking an incident
    MEDIUM = "medium"  # somebody is not told any more
    HIGH = "high"  # a runbook changes something, or the context is protected


@dataclass(frozen=True, slots=True)
class Planned:
    """What an action would do; `lines` may hold text from outside and are not cleaned.

    `command` are the words after `opsctl` that do the same; `confirm` is what a person types, "" for nothing.
    """

    title: str
    lines: tuple[str, ...]
    command: tuple[str, ...]
    risk: Risk
    confirm: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an action; no text is cleaned.

    `problem` says why it is written down and yet not through, `hint` what follows. `beside` are lines for whoever
    acted, `warnings` lines about anything that was sent meanwhile.
    """

    said: tuple[str, ...] = ()
    problem: str = ""
    changed: bool = False
    beside: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    hint: str = ""


class Acting(Protocol):
    """What a desk acts through, each opened on use: `opsctl.app.Composition`, or a test's world."""

    @property
    def context(self) -> ContextSettings:
        """The settings of the context."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """Every service."""
        ...

    @property
    def runbooks(self) -> tuple[Runbook, ...]:
        """Every runbook."""
        ...

    @property
    def routing(self) -> Routing:
        """Who is told of what, as of now."""
        ...

    @property
    def sinks(self) -> Sinks:
        """Where events go."""
        ...

    @property
    def env(self) -> Mapping[str, str]:
        """The environment, which parameters of runbooks may be taken from."""
        ...

    def journal(self) -> Journal:
        """The journal."""
        ...

    def runbook_world(self, person: Person, book: Runbook) -> World:
        """What a run of that runbook acts through."""
        ...
