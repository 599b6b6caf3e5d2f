"""What one cycle leaves to the next: a rule's last state, budgets with their age, since when answers are missing.

Facts, never truth about health: with an empty memory every state is computed from the data again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from types import MappingProxyType

from opsctl.core.alerts import Alert
from opsctl.core.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Remembered:
    """A rule's alerts at its last step; `exact` when they were computed from whole answers.

    `alerts` are the machine's elements before any are merged under one key. Only an exact state of the step right
    before, of the same rule (`fingerprint`), is carried on; any other is what to fall back on where data ends.
    """

    at: datetime
    fingerprint: str
    exact: bool
    alerts: tuple[Alert, ...] = ()
    never_had_data: bool = False
    unsettled: bool = False  # the step was not plainly under: the next one may lean on this state


@dataclass(frozen=True, slots=True)
class BudgetAnswer:
    """What the queries of the whole period said, and when; `problem` is one line where they gave no ratio."""

    asked_at: datetime
    bad: float | None = None
    total: float | None = None
    problem: str | None = None
    heavy: bool = False  # the problem was load or time
    retry_at: datetime | None = None  # not asked again before


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything remembered, by rule uid; `frozen_since` is by `rule:UID` or `backend:NAME`."""

    rules: Mapping[str, Remembered] = field(default_factory=lambda: MappingProxyType({}))
    budgets: Mapping[str, BudgetAnswer] = field(default_factory=lambda: MappingProxyType({}))
    frozen_since: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))
    had_data: frozenset[str] = frozenset()
