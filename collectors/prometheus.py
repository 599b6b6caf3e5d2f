"""Asks a server that speaks Prometheus' HTTP API: Prometheus 2 and 3, Thanos, Mimir, VictoriaMetrics.

Every question ends as a reading: whatever the server does, nothing is raised and an answer that is not whole is never
`Measured`. Must never import numpy, guess a value, or follow what an answer says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec

from opsctl.core.frozen import dataclass
from opsctl.core.signals import (
    Absent,
    Failed,
    Labels,
    Matrix,
    Measured,
    Reading,
    Reason,
    Sample,
    Series,
    Vector,
)
from opsctl.http import MIB, Answer, Client, Endpoint, HttpProblem, one_line, status_problem
from opsctl.ports import Probe

STEPS_PER_REQUEST = 11_000  # the server's own limit: more is 400
STEPS_MAX = 1_000_000

D = TypeVar("D", Vector, Matrix)


class _Envelope(msgspec.Struct):
    status: str
    data: msgspec.Raw = msgspec.Raw()
    errorType: str | None = None
    error: str | None = None
    warnings: list[str] | None = None
    infos: list[str] | None = None


class _Data(msgspec.Struct):
    resultType: str
    result: msgspec.Raw


class _VectorItem(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None
    histogram: msgspec.Raw = msgspec.Raw()


class _MatrixItem(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]] | None = None
    histograms: msgspec.Raw = msgspec.Raw()


class _BuildInfo(msgspec.Struct):
    version: str = ""


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_data = msgspec.json.Decoder(_Data).decode
_decode_vector = msgspec.json.Decoder(list[_VectorItem]).decode
_decode_matrix = msgspec.json.Decoder(list[_MatrixItem]).decode
_decode_scalar = msgspec.json.Decoder(tuple[float, str]).decode

_NOT_JSON = (msgspec.MsgspecError, ValueError, RecursionError)  # a UnicodeDecodeError is a ValueError

_OF_ERROR_TYPE = {
    "bad_data": Reason.REJECTED,
    "execution": Reason.REJECTED,
    "not_found": Reason.REJECTED,
    "timeout": Reason.DEADLINE,
    "canceled": Reason.OVERLOADED,
    "unavailable": Reason.OVERLOADED,
    "too_many_requests": Reason.OVERLOADED,
}


class PrometheusSource:
    """One server; used by many threads at once."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connect_seconds: float = 2.0,
        request_seconds: float = 10.0,
        max_body: int = 64 * MIB,
        series: int = 200_000,
        concurrency: int = 8,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = f"prometheus {endpoint.address}"
        self.concurrency = concurrency
        self._address = endpoint.address
        self._series_cap = series
        self._wall_clock = wall_clock
        self._client = Client(
            endpoint,
            connect_seconds=connect_seconds,
            request_seconds=request_seconds,
            max_body=max_body,
            pool_size=concurrency,
        )

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        """Evaluate at one time; a scalar is one sample without labels."""
        begun = time.monotonic()
        try:
            form = {"query": query, "time": _seconds(_ms(at))}
            got = self._ask("/api/v1/query", form, begun + timeout_seconds, self._vector)
        except HttpProblem as wrong:
            return self._failed(wrong, begun)
        return self._reading(got, not got.data.samples, begun)

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        """Evaluate at start, start + step, … ≤ end; more steps than the server takes at once are asked in parts."""
        begun = time.monotonic()
        first, last, step_ms = _ms(start), _ms(end), round(step.total_seconds() * 1000)
        try:
            _check_steps(first, last, step_ms)
            parts = []
            span = (STEPS_PER_REQUEST - 1) * step_ms
            for from_ms in range(first, last + 1, span + step_ms):
                form = {
                    "query": query,
                    "start": _seconds(from_ms),
                    "end": _seconds(min(last, from_ms + span)),
                    "step": _seconds(step_ms),
                }
                parts.append(self._ask("/api/v1/query_range", form, begun + timeout_seconds, self._matrix))
        except HttpProblem as wrong:
            return self._failed(wrong, begun)
        got = _joined(parts)
        return self._reading(got, not got.data.series, begun)

    def probe(self, timeout_seconds: float) -> Probe:
        """Ask its version (not every such server tells) and its time, which needs an accepted credential."""
        begun = time.monotonic()
        version = ""
        try:
            version = self._version(timeout_seconds)
            left = max(timeout_seconds - (time.monotonic() - begun), 0.001)
            sent = self._wall_clock()
            theirs = self._ask("/api/v1/query", {"query": "time()"}, time.monotonic() + left, self._vector)
            skew = theirs.data.samples[0].value - (sent + self._wall_clock()) / 2
        except HttpProblem as wrong:
            silent = wrong.reason is Reason.UNREACHABLE or (wrong.reason is Reason.DEADLINE and wrong.status is None)
            return Probe(
                self.name,
                self._address,
                reachable=not silent,
                authorised=False,
                message=wrong.message,
                version=version,
                took_seconds=time.monotonic() - begun,
            )
        took = time.monotonic() - begun
        return Probe(self.name, self._address, True, True, "answers PromQL", version, round(skew, 3), took)

    def close(self) -> None:
        """Drop connections, also ones in use: their readings become `Failed(deadline)`."""
        self._client.close()

    def _version(self, timeout_seconds: float) -> str:
        answer = self._client.get("/api/v1/status/buildinfo", timeout_seconds=timeout_seconds)
        try:
            data = _decode_envelope(answer.body).data
            return one_line(msgspec.json.decode(data, type=_BuildInfo).version, 60)
        except _NOT_JSON:
            return ""

    def _ask(self, path: str, form: dict[str, str], deadline: float, read: Callable[[msgspec.Raw], D]) -> _Got[D]:
        left = deadline - time.monotonic()
        if left <= 0:
            raise HttpProblem(Reason.DEADLINE, "no time was left to ask")
        form["timeout"] = f"{max(left, 0.001):.3f}"
        answer = self._client.post_form(path, form, timeout_seconds=left, packed=True)
        try:
            envelope = _decode_envelope(answer.body)
        except _NOT_JSON as wrong:
            raise self._not_ours(answer, wrong) from wrong
        if envelope.status != "success" or not 200 <= answer.status < 300:
            raise _refusal(envelope, answer)
        try:
            data = read(envelope.data)
        except _NOT_JSON as wrong:
            raise HttpProblem(
                Reason.MALFORMED, f"answered JSON that is not Prometheus': {one_line(str(wrong))}"
            ) from wrong
        warnings, notes = _sorted_out(envelope)
        return _Got(data, warnings, notes)

    def _vector(self, raw: msgspec.Raw) -> Vector:
        data = _decode_data(raw)
        if data.resultType == "scalar":
            return Vector((Sample((), float(_decode_scalar(data.result)[1])),))
        if data.resultType != "vector":
            raise _wrong_kind(data.resultType)
        items = _decode_vector(data.result)
        self._check_count(len(items))
        samples = []
        for item in items:
            if item.value is None:
                raise _no_number(bool(bytes(item.histogram)))
            samples.append(Sample(tuple(sorted(item.metric.items())), float(item.value[1])))
        _check_unique([sample.labels for sample in samples])
        return Vector(tuple(samples))

    def _matrix(self, raw: msgspec.Raw) -> Matrix:
        data = _decode_data(raw)
        if data.resultType != "matrix":
            raise _wrong_kind(data.resultType)
        items = _decode_matrix(data.result)
        self._check_count(len(items))
        series = []
        for item in items:
            if bytes(item.histograms) or item.values is None:
                raise _no_number(bool(bytes(item.histograms)))
            points = tuple([(at, float(value)) for at, value in item.values])
            series.append(Series(tuple(sorted(item.metric.items())), points))
        _check_unique([one.labels for one in series])
        return Matrix(tuple(series))

    def _check_count(self, count: int) -> None:
        if count > self._series_cap:
            raise HttpProblem(
                Reason.TOO_LARGE, f"answered {count} series, more than {self._series_cap} (limits.series)"
            )

    def _not_ours(self, answer: Answer, wrong: Exception) -> HttpProblem:
        """Why a body that is not the API's JSON came: a missing prefix, a proxy's page, a cut."""
        kind = answer.content_type
        problem = status_problem(answer)
        if answer.status == 404:
            return HttpProblem(
                Reason.MALFORMED,
                f"answered 404: no Prometheus API below {self._address}; is a path prefix missing in the url?",
                status=404,
            )
        if problem is not None:
            return problem
        if not answer.body.strip():
            return HttpProblem(Reason.MALFORMED, "answered nothing (0 bytes) instead of Prometheus JSON")
        if "html" in kind or answer.body.lstrip()[:1] == b"<":
            shown = one_line(kind, 40) or "no content type"
            return HttpProblem(
                Reason.MALFORMED,
                f"answered HTML ({shown}) instead of Prometheus JSON; is the url right, or is there a login in front?",
            )
        said = one_line(str(wrong), 120)
        return HttpProblem(Reason.MALFORMED, f"answered {len(answer.body)} bytes that are not Prometheus JSON: {said}")

    def _failed(self, wrong: HttpProblem, begun: float) -> Failed[Any]:
        return Failed(wrong.reason, wrong.message, self.name, took_seconds=time.monotonic() - begun)

    def _reading(self, got: _Got[D], empty: bool, begun: float) -> Reading[D]:
        took = time.monotonic() - begun
        if got.warnings:
            more = f" (and {len(got.warnings) - 1} more)" if len(got.warnings) > 1 else ""
            message = f"the answer may be partial: {got.warnings[0]}{more}"
            return Failed(Reason.PARTIAL, message, self.name, got.data, got.warnings, took)
        if empty:
            return Absent(self.name, took, got.notes)
        return Measured(got.data, self.name, took, got.notes)


@dataclass(frozen=True, slots=True)
class _Got(Generic[D]):
    """A decoded answer with what the server said about it."""

    data: D
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _seconds(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03d}"


def _check_steps(first_ms: int, last_ms: int, step_ms: int) -> None:
    if step_ms <= 0:
        raise HttpProblem(Reason.REJECTED, "the step of a range must be at least 1 ms")
    if last_ms < first_ms:
        raise HttpProblem(Reason.REJECTED, "the end of a range must not be before its start")
    steps = (last_ms - first_ms) // step_ms + 1
    if steps > STEPS_MAX:
        raise HttpProblem(Reason.REJECTED, f"{steps} steps are more than {STEPS_MAX}: take a larger step")


def _joined(parts: list[_Got[Matrix]]) -> _Got[Matrix]:
    """One matrix of parts that follow each other in time."""
    if len(parts) == 1:
        return parts[0]
    points: dict[Labels, list[tuple[float, float]]] = {}
    for part in parts:
        for series in part.data.series:
            points.setdefault(series.labels, []).extend(series.points)
    warnings = tuple(dict.fromkeys(warning for part in parts for warning in part.warnings))
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return _Got(Matrix(tuple(Series(labels, tuple(of)) for labels, of in points.items())), warnings, notes)


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


def _wrong_kind(kind: str) -> HttpProblem:
    if kind in {"matrix", "string", "scalar", "vector"}:
        return HttpProblem(Reason.REJECTED, f"the expression gives a {kind}; an instant vector or a scalar is needed")
    return HttpProblem(Reason.MALFORMED, f"answered a result of the unknown type {one_line(kind, 40)!r}")


def _no_number(histogram: bool) -> HttpProblem:
    if histogram:
        return HttpProblem(
            Reason.UNSUPPORTED,
            "the expression gives native histograms, which have no one value; use histogram_quantile() or the like",
        )
    return HttpProblem(Reason.MALFORMED, "answered JSON that is not Prometheus': a series without a value")


def _check_unique(labels: list[Labels]) -> None:
    if len(set(labels)) != len(labels):
        raise HttpProblem(Reason.MALFORMED, "answered the same series twice")
