"""The two alert machines, run forward over steps: Prometheus's own, and the three-outcome one of SLO alerts.

Pure. Must never resolve an SLO alert on a step that is not measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from opsctl.core.alerts import AlertState
from opsctl.core.frozen import dataclass
from opsctl.core.signals import Labels
from opsctl.core.slo import Severity

CAP = timedelta(hours=24)
FIRST_CHUNK = 16  # steps
ZERO = timedelta(0)


def chunks(
    at: datetime, step: timedelta, at_least: timedelta = ZERO, cap: timedelta = CAP
) -> Iterator[tuple[datetime, datetime]]:
    """Spans (first, last step) that lead back from the step before `at` to the cap, each twice as long as the last."""
    size = max(FIRST_CHUNK, -(-at_least // step) + 1)
    left = max(cap // step, 1)
    end = at - step
    while left > 0:
        take = min(size, left)
        start = end - (take - 1) * step
        yield start, end
        end, left, size = start - step, left - take, size * 2


# Prometheus's machine


@dataclass(frozen=True, slots=True)
class Element:
    """One active element of a rule; `absent_since` while only `keep_firing_for` keeps it."""

    labels: Labels
    state: AlertState
    since: datetime
    value: float
    fired_at: datetime | None = None
    absent_since: datetime | None = None
    since_at_least: bool = False


Active = Mapping[Labels, Element]


def advance(
    active: Active, present: Mapping[Labels, float], at: datetime, for_: timedelta, keep_firing_for: timedelta
) -> dict[Labels, Element]:
    """One evaluation of a rule, as Prometheus's `AlertingRule.Eval` does it; resolved elements are dropped."""
    after: dict[Labels, Element] = {}
    for labels, value in present.items():
        was = active.get(labels)
        if was is None:
            was = Element(labels, AlertState.PENDING, at, value)
        if was.state is AlertState.PENDING and at - was.since >= for_:
            was = replace(was, state=AlertState.FIRING, fired_at=at, value=value, absent_since=None)
        elif was.value != value or was.absent_since is not None:
            was = replace(was, value=value, absent_since=None)
        after[labels] = was
    for labels, was in active.items():
        if labels in present or was.state is not AlertState.FIRING or keep_firing_for <= ZERO:
            continue
        gone = was.absent_since or at
        if at - gone < keep_firing_for:
            after[labels] = was if was.absent_since else replace(was, absent_since=gone)
    return after


@dataclass(slots=True)
class ResetWatch:
    """Fed with evaluated steps from the newest back: whether every element has a reset point in them.

    A reset point is one absent step where nothing keeps a gone element, else absent steps that span `keep_firing_for`.
    Before it the element's state does not matter, so a run forward may start empty at the oldest step.
    """

    keep_firing_for: timedelta
    _open: dict[Labels, datetime | None] = field(default_factory=dict)  # → newest step of the absent run followed now
    _done: set[Labels] = field(default_factory=set)
    _newest: datetime | None = None
    _oldest: datetime | None = None

    def feed(self, at: datetime, present: Iterable[Labels]) -> None:
        """The next older step; one whose query failed is left out, as Prometheus does not touch state on an error."""
        here = set(present) - self._done
        for labels in here:
            if labels not in self._open and self._spanned():
                self._done.add(labels)  # not seen in any newer step: that was its absent run
            else:
                self._open[labels] = None
        for labels, end in list(self._open.items()):
            if labels in here:
                continue
            end = end or at
            if end - at >= self.keep_firing_for:
                self._done.add(labels)
                del self._open[labels]
            else:
                self._open[labels] = end
        self._newest = self._newest or at
        self._oldest = at

    def settled(self) -> bool:
        """Whether nothing before the oldest step can matter to the newest one."""
        return not self._open and self._spanned()

    def _spanned(self) -> bool:
        if self._newest is None or self._oldest is None:
            return False
        return self._newest - self._oldest >= self.keep_firing_for


# The three-outcome machine of SLO alerts


class Step(StrEnum):
    """What one step says of an SLO's alert of one severity."""

    OVER = "over"
    UNDER = "under"
    UNKNOWN = "unknown"


class Presence(StrEnum):
    """What one step says of the data itself, on the shortest window."""

    COUNTED = "counted"
    SILENT = "silent"  # data that says: no event
    MISSING = "missing"
    UNKNOWN = "unknown"  # not answered, or not a ratio


@dataclass(frozen=True, slots=True)
class SloStep:
    """One evaluated step of an SLO."""

    burn: Mapping[Severity, Step]
    presence: Presence


@dataclass(frozen=True, slots=True)
class Since:
    """A beginning; `at_least` when it may lie further back."""

    at: datetime
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class SloState:
    """Which severities burn and since when; since when data is missing, and when that had lasted too long."""

    burning: Mapping[Severity, Since] = field(default_factory=lambda: MappingProxyType({}))
    missing: Since | None = None
    missing_fired: datetime | None = None


def advance_slo(state: SloState, step: SloStep, at: datetime, patience: timedelta) -> SloState:
    """One step: over fires, under resolves, unknown keeps; missing data counts from its first step."""
    burning = {}
    for severity, outcome in step.burn.items():
        was = state.burning.get(severity)
        if outcome is Step.OVER:
            burning[severity] = was or Since(at)
        elif outcome is Step.UNKNOWN and was is not None:
            burning[severity] = was
    missing, fired = _missing(state, step.presence, at, patience)
    return SloState(burning, missing, fired)


def _missing(
    state: SloState, presence: Presence, at: datetime, patience: timedelta
) -> tuple[Since | None, datetime | None]:
    match presence:
        case Presence.COUNTED:
            return None, None
        case Presence.MISSING:
            since = state.missing or Since(at)
            fired = state.missing_fired
            if fired is None and (since.at_least or at - since.at >= patience):
                fired = at
            return since, fired
        case Presence.SILENT if state.missing_fired is None:
            return None, None
        case _:
            return state.missing, state.missing_fired
