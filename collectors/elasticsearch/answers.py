"""What Elasticsearch answered: typed bodies, refusals in words, and what makes an answer not whole.

Must never guess a number, or show an answer's text in more than one line.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from opsctl.core.signals import Reason
from opsctl.http import Answer, HttpProblem, one_line, status_problem
from opsctl.http.foreign import no_json

T = TypeVar("T")

_MISSING = {"index_not_found_exception": "no such index", "index_closed_exception": "index is closed"}
_FORGOTTEN = "search_context_missing_exception"
NOT_JSON = (msgspec.MsgspecError, ValueError, RecursionError)  # a UnicodeDecodeError is a ValueError


class Cause(msgspec.Struct):
    """Why the server refused; causes are nested."""

    type: str = ""
    reason: str | None = None
    caused_by: Cause | None = None
    index: str | None = None
    resource: str | None = msgspec.field(name="resource.id", default=None)
    root_cause: list[Cause] = []
    failed_shards: list[ShardFailure] = []


class ShardFailure(msgspec.Struct):
    """One shard that did not answer."""

    reason: Cause = msgspec.field(default_factory=Cause)
    index: str | None = None


class Shards(msgspec.Struct):
    """How many shards answered."""

    total: int
    failed: int
    failures: list[ShardFailure] = []


class Clusters(msgspec.Struct):
    """How many clusters of a search over several answered."""

    total: int = 0
    skipped: int = 0
    partial: int = 0
    failed: int = 0


class _Refused(msgspec.Struct):
    error: Cause | str


class MissingIndex(HttpProblem):
    """An index that was named without a wildcard is not there, or closed."""


class Forgotten(HttpProblem):
    """The server no longer knows the point in time."""


# What comes first is kept: an escaped backslash, a whole pair. The rest are halves of pairs.
_HALVES = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)")


def _whole(body: bytes) -> bytes:
    """A body without half characters: the server passes them on, and no decoder takes a page that has one."""
    if b"\\u" not in body:
        return body
    return _HALVES.sub(lambda found: b"\\ufffd" if found[1] else found[0], body)


def decoded(body: bytes, kind: type[T]) -> T:
    """A good answer of that shape; `HttpProblem` says what came instead."""
    try:
        return msgspec.json.decode(_whole(body), type=kind)
    except NOT_JSON as wrong:
        said = one_line(str(wrong), 120)
        if not body.strip():
            said = "0 bytes"
        raise HttpProblem(Reason.MALFORMED, f"answered what is not Elasticsearch's JSON: {said}") from wrong


def not_ours(body: bytes, kind: str) -> HttpProblem:
    """Why a good status came without Elasticsearch's mark."""
    words = "answered without the header X-Elastic-Product: not Elasticsearch, or a proxy in front removes the header"
    return no_json(Answer(200, {"content-type": kind}, body), "Elasticsearch") or HttpProblem(Reason.MALFORMED, words)


def refusal(status: int, body: bytes, kind: str, address: str) -> HttpProblem:
    """What a status that is not 2xx means."""
    problem = status_problem(Answer(status, {"content-type": kind}, body))
    reason = problem.reason if problem else Reason.MALFORMED
    try:
        said = msgspec.json.decode(body, type=_Refused).error
    except NOT_JSON:
        if status in {404, 405} or problem is None:
            words = f"answered {status}: no Elasticsearch API below {address}; is a path prefix missing in the url?"
            return HttpProblem(Reason.MALFORMED, words, status=status)
        return problem
    if isinstance(said, str):
        return HttpProblem(reason, f"answered {status}: {one_line(said)}", status=status)
    if said.type in _MISSING:
        name = one_line(said.resource or said.index or "", 120)
        return MissingIndex(Reason.REJECTED, f"{_MISSING[said.type]}: {name}", status=status)
    if status == 404 and any(cause.type == _FORGOTTEN for cause in said.root_cause):
        return Forgotten(Reason.MALFORMED, "the server forgot the point in time", status=status)
    return HttpProblem(reason, f"answered {status}: {why(said)}", status=status)


def forgotten(shards: Shards) -> bool:
    """Whether a shard no longer knows the point in time."""
    return any(failure.reason.type == _FORGOTTEN for failure in shards.failures)


def why(cause: Cause) -> str:
    """The most telling reason of nested ones, on one line."""
    first: Cause = cause
    if cause.failed_shards:
        first = cause.failed_shards[0].reason
    elif cause.root_cause:
        first = cause.root_cause[0]
    words = [first.reason or first.type]
    deepest = first
    while deepest.caused_by is not None:
        deepest = deepest.caused_by
    if deepest is not first and deepest.reason and deepest.reason not in words[0]:
        words.append(deepest.reason)
    return one_line(": ".join(words)) or "no reason"


def missing_parts(shards: Shards, timed_out: bool, clusters: Clusters | None) -> tuple[str, ...]:
    """What makes an answer with a good status not whole; empty where it is."""
    out: list[str] = []
    if shards.failed:
        reasons = dict.fromkeys(
            one_line(f"{failure.index or '?'}: {why(failure.reason)}", 200) for failure in shards.failures
        )
        shown = next(iter(reasons), "no reason")
        out.append(f"{shards.failed} of {shards.total} shards did not answer: {shown}")
        out += list(reasons)[1:]
    if timed_out:
        out.append("the server stopped at its time limit")
    if clusters is not None and (lost := clusters.skipped + clusters.partial + clusters.failed):
        out.append(f"{lost} of {clusters.total} clusters did not answer whole")
    return tuple(out)


def shown(value: Any) -> str:
    """A value that is no text as JSON."""
    return msgspec.json.encode(value).decode()
