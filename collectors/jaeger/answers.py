"""An HTTP answer of Jaeger's to what it says: data and errors, whatever its content type claims.

Must never take an answer that is not whole for one that is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Failed, Reason
from opsctl.http import Answer, HttpProblem, one_line, status_problem
from opsctl.http.foreign import foreign

D = TypeVar("D")
W = TypeVar("W")

NOT_JSON = (msgspec.MsgspecError, ValueError, RecursionError)  # a UnicodeDecodeError is a ValueError


class _Error(msgspec.Struct):
    msg: str = ""
    code: int = 0
    traceID: str = ""


class Envelope(msgspec.Struct, Generic[W]):
    """What every answer is in; decoded with its data in one pass, as traces are large."""

    data: W
    errors: list[_Error] | None = None


class _Refusal(msgspec.Struct):
    errors: list[_Error]


_decode_refusal = msgspec.json.Decoder(_Refusal).decode


@dataclass(frozen=True, slots=True)
class Got(Generic[D]):
    """Decoded data with what the server said went wrong; `missing` is its "trace not found"."""

    data: D
    errors: tuple[str, ...] = ()
    missing: bool = False


def left(deadline: float) -> float:
    """The seconds until `deadline` (monotonic); `HttpProblem` when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise HttpProblem(Reason.DEADLINE, "no time was left to ask")
    return seconds


def read(answer: Answer, decode: Callable[[bytes], Envelope[W]], make: Callable[[W], D], address: str) -> Got[D]:
    """What an answer in an envelope says, made of what was decoded; raises `HttpProblem`, nothing else."""
    envelope = decoded(answer, decode, address)
    errors = envelope.errors or []
    missing = bool(errors) and all("trace not found" in error.msg for error in errors)
    return Got(make(envelope.data), tuple(one_line(error.msg) or f"error {error.code}" for error in errors), missing)


def decoded(answer: Answer, decode: Callable[[bytes], D], address: str) -> D:
    """The body of an answer as what it is; raises `HttpProblem`, nothing else."""
    if not 200 <= answer.status < 300:
        raise refusal(answer, address)
    try:
        return decode(answer.body)
    except msgspec.ValidationError as wrong:
        raise not_jaegers(wrong) from wrong
    except NOT_JSON as wrong:
        raise foreign(answer, wrong, "Jaeger", address) from wrong


def refusal(answer: Answer, address: str) -> HttpProblem:
    """What an answer that is not 2xx says: Jaeger's JSON (sent as text/plain), or somebody else's page."""
    try:
        errors = _decode_refusal(answer.body).errors
    except NOT_JSON as wrong:
        return foreign(answer, wrong, "Jaeger", address)
    said = "; ".join(one_line(error.msg) for error in errors if error.msg)
    problem = status_problem(answer)
    assert problem is not None
    if answer.status == 501:
        what = f"SPM is not configured on this Jaeger: {said}" if said else "SPM is not configured on this Jaeger"
        return HttpProblem(Reason.UNSUPPORTED, what, status=501)
    reason = Reason.REJECTED if answer.status == 404 else problem.reason
    return HttpProblem(reason, one_line(f"answered {answer.status}: {said or 'no reason'}"), status=answer.status)


def not_jaegers(wrong: Exception) -> HttpProblem:
    """JSON, and not of the API."""
    return HttpProblem(Reason.MALFORMED, f"answered JSON that is not Jaeger's: {one_line(str(wrong))}")


def failed(wrong: HttpProblem, backend: str, begun: float) -> Failed[Any]:
    """Trouble as a reading."""
    return Failed(wrong.reason, wrong.message, backend, took_seconds=time.monotonic() - begun)


def partial(errors: tuple[str, ...], data: D | None, backend: str, begun: float) -> Failed[D]:
    """Errors beside data."""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    message = f"the answer may be partial: {errors[0]}{more}"
    return Failed(Reason.PARTIAL, message, backend, data, errors, time.monotonic() - begun)
