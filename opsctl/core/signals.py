"""What a backend answered: vectors, matrices and the three kinds of reading.

Must never import numpy: `check` against a Prometheus has to start fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar, Union

from opsctl.core.frozen import dataclass

D = TypeVar("D")

Labels = tuple[tuple[str, str], ...]
"""Label pairs sorted by name, each name once; the metric name is the label `__name__`."""


def labels(pairs: Mapping[str, str]) -> Labels:
    """The canonical form of a label mapping."""
    return tuple(sorted(pairs.items()))


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of an instant answer."""

    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant answer; a scalar is one sample without labels."""

    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One element of a range answer: (unix seconds, value), ascending; a step without a value is not there."""

    labels: Labels
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A range answer."""

    series: tuple[Series, ...]


class Signal(StrEnum):
    """Which kind of backend an expression is asked of."""

    METRICS = "metrics"
    LOGS = "logs"
    TRACES = "traces"


class Reason(StrEnum):
    """Why a reading failed."""

    UNREACHABLE = "unreachable"  # refused, reset, no such host, TLS
    DEADLINE = "deadline"  # not back in time
    AUTH = "auth"  # 401, 403
    REJECTED = "rejected"  # the backend understood and said no: 400, 422
    OVERLOADED = "overloaded"  # 429, 503
    MALFORMED = "malformed"  # not the answer of such a backend: HTML, truncated JSON, wrong types, 5xx
    TOO_LARGE = "too_large"  # over the body or series cap
    PARTIAL = "partial"  # answered with warnings; what came is kept
    UNSUPPORTED = "unsupported"  # the expression is out of this engine's scope


@dataclass(frozen=True, slots=True)
class Measured(Generic[D]):
    """A whole answer; `backend` is its name for people (`prometheus https://…`)."""

    data: D
    backend: str
    took_seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """A whole answer with nothing in it: not zero, not failed."""

    backend: str
    took_seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed(Generic[D]):
    """No answer, or not a whole one; `message` is one line; `partial` keeps what came."""

    reason: Reason
    message: str
    backend: str
    partial: D | None = None
    warnings: tuple[str, ...] = ()
    took_seconds: float = 0.0


Reading = Union[Measured[D], Absent, Failed[D]]


def came(reading: Reading[D] | None) -> D | None:
    """What came, whole or in part; None where nothing did, or nothing was asked yet."""
    match reading:
        case Measured():
            return reading.data
        case Failed():
            return reading.partial
        case Absent() | None:
            return None
