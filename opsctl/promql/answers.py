"""What the engine answers as readings: vectors, matrices, and whether warnings make them partial.

Must never drop a warning (an answer with one may not be whole) or import numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, TypeVar

from opsctl.core.signals import Absent, Failed, Labels, Matrix, Measured, Reading, Reason, Sample, Series, Vector
from opsctl.promql.errors import PromqlError, UnsupportedError

if TYPE_CHECKING:
    from opsctl.promql.engine import Result

D = TypeVar("D", Vector, Matrix)

STEPS_AT_ONCE = 11_000
STEPS_MAX = 1_000_000


def vector_of(result: Result) -> Vector:
    """An instant result; a scalar is one sample without labels."""
    values = result.values[:, 0].tolist()
    present = result.present[:, 0]
    if present.all():
        return Vector(tuple(map(Sample, result.labels, values)))
    row = zip(result.labels, values, present.tolist(), strict=True)
    return Vector(tuple(Sample(labels, value) for labels, value, is_there in row if is_there))


def matrix_of(results: Sequence[Result]) -> Matrix:
    """One matrix of results that follow each other in time."""
    points: dict[Labels, list[tuple[float, float]]] = {}
    for result in results:
        times = [ms / 1000 for ms in result.times_ms.tolist()]
        for labels, values, present in zip(result.labels, result.values, result.present, strict=True):
            row = zip(times, values.tolist(), strict=True)
            of = points.setdefault(labels, [])
            of += row if present.all() else compress(row, present.tolist())
    return Matrix(tuple(Series(labels, tuple(of)) for labels, of in points.items() if of))


def reading_of(data: D, results: Sequence[Result], backend: str, took: float) -> Reading[D]:
    """Measured, absent where there is nothing, partial where there are warnings."""
    warnings = tuple(dict.fromkeys(text for result in results for text in result.warnings))
    notes = tuple(dict.fromkeys(text for result in results for text in result.infos))
    if warnings:
        more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
        message = f"the answer may be partial: {warnings[0]}{more}"
        return Failed(Reason.PARTIAL, message, backend, data, warnings, took)
    if not (data.samples if isinstance(data, Vector) else data.series):
        return Absent(backend, took, notes)
    return Measured(data, backend, took, notes)


def wrong_span(first_ms: int, last_ms: int, step_ms: int) -> str | None:
    """Why a range cannot be asked for; None where it can."""
    if step_ms <= 0:
        return "the step of a range must be at least 1 ms"
    if last_ms < first_ms:
        return "the end of a range must not be before its start"
    steps = (last_ms - first_ms) // step_ms + 1
    return f"{steps} steps are more than {STEPS_MAX}: take a larger step" if steps > STEPS_MAX else None


def parts_of(first_ms: int, last_ms: int, step_ms: int) -> Iterator[tuple[int, int]]:
    """A range in parts of as many steps as the engine takes at once: first and last time of each."""
    span = (STEPS_AT_ONCE - 1) * step_ms
    for start in range(first_ms, last_ms + 1, span + step_ms):
        yield start, min(last_ms, start + span)


def failure_of(wrong: PromqlError, backend: str) -> Failed[Any]:
    """An expression that has no answer."""
    reason = Reason.UNSUPPORTED if isinstance(wrong, UnsupportedError) else Reason.REJECTED
    return Failed(reason, " ".join(str(wrong).split()), backend)
