"""An HTTP answer to what it says: the envelope, its warnings, and why a body that is no envelope came.

Must never take an answer that is not whole for one that is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.http import Answer, HttpProblem, one_line, status_problem
from opsctl.http.foreign import foreign

D = TypeVar("D")

NOT_JSON = (msgspec.MsgspecError, ValueError, RecursionError)  # a UnicodeDecodeError is a ValueError

_OF_ERROR_TYPE = {
    "bad_data": Reason.REJECTED,
    "execution": Reason.REJECTED,
    "not_found": Reason.REJECTED,
    "timeout": Reason.DEADLINE,
    "canceled": Reason.OVERLOADED,
    "unavailable": Reason.OVERLOADED,
    "too_many_requests": Reason.OVERLOADED,
}


class _Envelope(msgspec.Struct):
    status: str
    data: msgspec.Raw = msgspec.Raw()
    errorType: str | None = None
    error: str | None = None
    warnings: list[str] | None = None
    infos: list[str] | None = None


decode_envelope = msgspec.json.Decoder(_Envelope).decode


@dataclass(frozen=True, slots=True)
class Got(Generic[D]):
    """A decoded answer with what the server said about it."""

    data: D
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def left(deadline: float) -> float:
    """The seconds until `deadline` (monotonic); `HttpProblem` when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise HttpProblem(Reason.DEADLINE, "no time was left to ask")
    return seconds


def read(answer: Answer, decode: Callable[[msgspec.Raw], D], address: str) -> Got[D]:
    """The data of an answer, decoded; raises `HttpProblem`, nothing else."""
    try:
        envelope = decode_envelope(answer.body)
    except NOT_JSON as wrong:
        raise foreign(answer, wrong, "Prometheus", address) from wrong
    if envelope.status != "success" or not 200 <= answer.status < 300:
        raise _refusal(envelope, answer)
    try:
        data = decode(envelope.data)
    except NOT_JSON as wrong:
        raise HttpProblem(Reason.MALFORMED, f"answered JSON that is not Prometheus': {one_line(str(wrong))}") from wrong
    return Got(data, *_sorted_out(envelope))


def reading(got: Got[D], empty: bool, backend: str, begun: float) -> Reading[D]:
    """What came as a reading: warnings make it partial, nothing makes it absent."""
    took = time.monotonic() - begun
    if got.warnings:
        more = f" (and {len(got.warnings) - 1} more)" if len(got.warnings) > 1 else ""
        message = f"the answer may be partial: {got.warnings[0]}{more}"
        return Failed(Reason.PARTIAL, message, backend, got.data, got.warnings, took)
    if empty:
        return Absent(backend, took, got.notes)
    return Measured(got.data, backend, took, got.notes)


def failed(wrong: HttpProblem, backend: str, begun: float) -> Failed[Any]:
    """Trouble as a reading."""
    return Failed(wrong.reason, wrong.message, backend, took_seconds=time.monotonic() - begun)


def _refusal(envelope: _Envelope, answer: Answer) -> HttpProblem:
    """What an `error` envelope says, or a success that came with a failing status."""
    said = one_line(envelope.error or "")
    reason = _OF_ERROR_TYPE.get(envelope.errorType or "")
    if envelope.status == "error" and reason is not None:
        return HttpProblem(reason, said or one_line(envelope.errorType or ""), status=answer.status)
    problem = status_problem(answer)
    if problem is None:
        return HttpProblem(
            Reason.MALFORMED, f"answered status {one_line(envelope.status, 40)!r}: {said or 'no reason'}"
        )
    if not said:
        return problem
    return HttpProblem(problem.reason, f"answered {answer.status}: {said}", status=answer.status)


def _sorted_out(envelope: _Envelope) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Warnings and notes; before 2.54 both came as warnings."""
    warnings = [one_line(text) for text in envelope.warnings or ()]
    notes = [one_line(text) for text in envelope.infos or ()]
    notes += [text for text in warnings if text.startswith("PromQL info:")]
    return tuple(text for text in warnings if not text.startswith("PromQL info:")), tuple(notes)
