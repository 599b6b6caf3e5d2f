"""Runbooks as values: the document, its typed parameters and its steps.

Must never read a file, run a step or substitute text: `params.py` checks parameters, `binding.py` puts them into
steps, `runs.py` says which step is next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import date, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Union

from opsctl.core.conditions import Condition
from opsctl.core.frozen import dataclass
from opsctl.core.slo import Origin

STEP_TIMEOUT = timedelta(seconds=60)
APPROVAL_TTL = timedelta(minutes=30)
OUTPUT_LIMIT_BYTES = 1024 * 1024


class Kind(StrEnum):
    """What a step is; the language of its fence."""

    PROMQL = "promql"
    HTTP = "http"
    BASH = "bash"
    APPROVAL = "approval"
    MANUAL = "manual"


class Idempotency(StrEnum):
    """What may be done with a mutation of which nobody knows whether it happened."""

    NATURAL = "natural"  # repeating it changes nothing
    KEY = "key"  # repeat it with the same Idempotency-Key
    CHECK = "check"  # run the `check:` step first
    NEVER = "never"  # ask a person


class Role(StrEnum):
    """When a step runs: in the flow, or only when another step's `undo:` or `check:` names it."""

    STEP = "step"
    UNDO = "undo"
    CHECK = "check"


# -- parameters ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnumType:
    """One of a few words."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IntType:
    """A whole number, both ends included."""

    min: int
    max: int


@dataclass(frozen=True, slots=True)
class PatternType:
    """A text that a pattern matches as a whole."""

    pattern: str
    max_length: int = 200


@dataclass(frozen=True, slots=True)
class DurationType:
    """A duration as Prometheus writes it, both ends included."""

    min: timedelta
    max: timedelta


@dataclass(frozen=True, slots=True)
class ServiceType:
    """A service of the catalogue."""


@dataclass(frozen=True, slots=True)
class UrlType:
    """The base of an address: https, or http to loopback; `hosts` are the allowed ones (`*.` for one label)."""

    hosts: tuple[str, ...] = ()


ParamType = Union[EnumType, IntType, PatternType, DurationType, ServiceType, UrlType]
Value = Union[str, int, float, bool, timedelta]
"""What a parameter or a captured value is, once checked."""


@dataclass(frozen=True, slots=True)
class Param:
    """One declared parameter; `sources` are tried in order (`alert.labels.x`, `env.NAME`), then `default`."""

    name: str
    type: ParamType
    origin: Origin
    default: str | None = None
    sources: tuple[str, ...] = ()
    description: str = ""


# -- steps -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression with `${name}` in quotes or in the place of a number or duration."""

    expression: str


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request; `body` is JSON text with `${name}` in the place of values or inside strings."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """A bash script; values reach it as `$OPS_NAME`, never by substitution."""

    text: str


@dataclass(frozen=True, slots=True)
class Approval:
    """A gate: what a person is asked to agree to, and under which policy."""

    text: str
    policy: str | None
    ttl: timedelta


@dataclass(frozen=True, slots=True)
class Manual:
    """Something a person does by hand."""

    text: str


Body = Union[Query, Request, Script, Approval, Manual]


@dataclass(frozen=True, slots=True)
class OnFail:
    """What happens after a step failed: `stop`, `end`, `undo`, or `goto` with a target further down."""

    jump: str = "stop"
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One fence with an id. `requires` is an approval step's id or `none`; `undo` a step's id or `none`."""

    id: str
    title: str
    body: Body
    origin: Origin
    role: Role = Role.STEP
    expect: Condition | None = None
    expect_text: str = ""
    on_fail: OnFail = field(default_factory=OnFail)
    capture: tuple[tuple[str, str], ...] = ()  # name, path into the step's values
    poll: timedelta | None = None
    for_: timedelta = timedelta(0)
    timeout: timedelta = STEP_TIMEOUT
    retries: int = 0
    mutates: str | None = None
    requires: str | None = None
    idempotency: Idempotency = Idempotency.NATURAL
    check: str | None = None
    undo: str | None = None
    secrets: tuple[str, ...] = ()
    line: int = 0  # of the first line of the body

    @property
    def kind(self) -> Kind:
        """The language of the fence."""
        match self.body:
            case Query():
                return Kind.PROMQL
            case Request():
                return Kind.HTTP
            case Script():
                return Kind.BASH
            case Approval():
                return Kind.APPROVAL
            case Manual():
                return Kind.MANUAL


@dataclass(frozen=True, slots=True)
class Trigger:
    """An alert that names this runbook, where its labels match."""

    alert: str
    match: Mapping[str, str]
    origin: Origin


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """Who agrees: `min` different people; `not_author` excludes who started the run; roles are shown to them."""

    name: str
    roles: tuple[str, ...] = ()
    min: int = 1
    not_author: bool = False


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret is read from: `source` is token_file, token_command or token_env."""

    name: str
    source: str
    reference: str


_NOTHING: Mapping[str, ApprovalPolicy] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Runbook:
    """One document; `digest` is sha256 over `source`, the exact text it was read from."""

    id: str
    version: int
    title: str
    owner: str
    services: tuple[str, ...]
    triggers: tuple[Trigger, ...]
    severity: str
    params: tuple[Param, ...]
    secrets: tuple[SecretRef, ...]
    max_duration: timedelta
    review_by: date | None
    steps: tuple[Step, ...]
    source: str
    digest: str
    origin: Origin
    approvals: Mapping[str, ApprovalPolicy] = field(default_factory=lambda: _NOTHING)

    def step(self, step_id: str) -> Step | None:
        """The step of that id."""
        return next((step for step in self.steps if step.id == step_id), None)

    @property
    def flow(self) -> tuple[Step, ...]:
        """The steps that run from top to bottom."""
        return tuple(step for step in self.steps if step.role is Role.STEP)

    @property
    def mutations(self) -> tuple[Step, ...]:
        """The steps that change something, undo steps included."""
        return tuple(step for step in self.steps if step.mutates is not None)

    def policy(self, step: Step) -> ApprovalPolicy:
        """The policy of an approval step; without one, any single person."""
        name = step.body.policy if isinstance(step.body, Approval) else None
        return self.approvals.get(name or "", ApprovalPolicy(name or ""))


def matching(runbooks: tuple[Runbook, ...], alert: str, labels: Mapping[str, str]) -> Runbook | None:
    """The first runbook with a trigger for this alert and these labels."""
    for runbook in runbooks:
        for trigger in runbook.triggers:
            if trigger.alert == alert and all(labels.get(k) == v for k, v in trigger.match.items()):
                return runbook
    return None
