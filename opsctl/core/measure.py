"""From the two answers of a window to its ratio, or to why there is none.

Pure. Must never turn an answer that is missing, partial or nonsense into a number.
"""

from __future__ import annotations

import math
from typing import Literal, Union

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason, Vector
from opsctl.core.slo import MissingBad
from opsctl.core.stats import surely_over

SLACK = 0.01
"""`increase` extrapolates each series on its own, so a sum may pass the other by this much and still be a whole."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """An answer came that is not one number in range: the rule is wrong, not the service."""

    message: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No whole answer came."""

    message: str
    reason: Reason


Number = Union[float, None, Unclear, Unanswered]
"""One query's answer as a number; None where there is no data."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Events were counted: `ratio` = bad / total, in [0, 1]."""

    bad: float
    total: float
    ratio: float

    @property
    def events(self) -> tuple[int, int]:
        """Bad and total as whole events, bad ≤ total."""
        total = round(self.total)
        return min(round(self.bad), total), total


@dataclass(frozen=True, slots=True)
class NoEvents:
    """There is data and it says: no event."""


@dataclass(frozen=True, slots=True)
class NoData:
    """A whole answer with nothing in it; `missing` is the side that is not there."""

    missing: Literal["total", "bad", "good"]


WindowValue = Union[Counted, NoEvents, NoData, Unclear, Unanswered]


def number(reading: Reading[Vector]) -> Number:
    """The one number of an answer; several series are an error that says so, never a sum."""
    match reading:
        case Absent():
            return None
        case Failed(reason, message, backend):
            word = "partial answer" if reason is Reason.PARTIAL else "no answer"
            return Unanswered(f"{word} from {backend}: {message}", reason)
        case Measured(data):
            samples = data.samples
            if not samples:
                return None
            if len(samples) > 1:
                return several(len(samples))
            return samples[0].value


def several(n: int) -> Unclear:
    """What an answer of many series means for a rule that needs one number."""
    return Unclear(f"expected one value, got {n} series: aggregate with sum()")


def window_value(part: Number, total: Number, counts: Literal["bad", "good"], missing: MissingBad) -> WindowValue:
    """Judge a window's two numbers; the order is: not answered, unclear, no data, no events, counted."""
    if isinstance(part, Unanswered):
        return part
    if isinstance(total, Unanswered | Unclear):
        return total
    if isinstance(part, Unclear):
        return part
    for side in (part, total):
        if side is not None and not math.isfinite(side):
            return Unclear(f"expected a count of events, got {side}")
    return _counted(part, total, counts, missing)


def _counted(
    part: float | None, total: float | None, counts: Literal["bad", "good"], missing: MissingBad
) -> WindowValue:
    if total is None:
        return NoData("total")
    if total < 0 or (total == 0 and part):
        return _outside(part, total, counts)
    if total == 0:
        return NoEvents()
    if part is None:
        if missing != "zero":
            return NoData(counts)
        part = 0.0
    return _ratio(part, total, counts)


def _ratio(part: float, total: float, counts: Literal["bad", "good"]) -> WindowValue:
    share = part / total
    if not -SLACK <= share <= 1.0 + SLACK:
        return _outside(part, total, counts)
    share = min(1.0, max(0.0, share))
    ratio = share if counts == "bad" else 1.0 - share
    bad = part if counts == "bad" else total - part
    return Counted(min(total, max(0.0, bad)), total, ratio)


def _outside(part: float | None, total: float, counts: str) -> Unclear:
    shown = "nothing" if part is None else f"{part:g}"
    return Unclear(f"{counts} {shown} of {total:g} events is not a ratio in [0, 1]: do both queries count the same?")


def sure(value: Counted, threshold: float, confidence: float, min_events: int) -> bool:
    """Whether a ratio over the threshold is more than chance: ≥ 2 bad events, and its lower bound is over too."""
    bad, total = value.events
    return bad >= 2 and total >= min_events and surely_over(bad, total, threshold, confidence)
