"""Asks a server that speaks Prometheus' HTTP API for values, and whether it is there.

Every question ends as a reading: whatever the server does, nothing is raised and an answer that is not whole is never
`Measured`. Must never import numpy, guess a value, or follow what an answer says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import msgspec

from collectors.prometheus import values
from collectors.prometheus.answers import NOT_JSON, Got, decode_envelope, failed, left, read, reading
from opsctl.core.signals import Labels, Matrix, Reading, Reason, Vector
from opsctl.http import MIB, Client, Endpoint, HttpProblem, one_line
from opsctl.ports import Probe

if TYPE_CHECKING:
    from collectors.prometheus.explore import Explorer
    from opsctl.core.exploring import ExemplarSeries, Metadata, RuleQuery, SeriesQuery, ServerAlert, ServerRule

STEPS_PER_REQUEST = 11_000  # the server's own limit: more is 400
STEPS_MAX = 1_000_000

D = TypeVar("D", Vector, Matrix)


class _BuildInfo(msgspec.Struct):
    version: str = ""


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
            form = {"query": query, "time": seconds(ms(at))}
            got = self._ask("/api/v1/query", form, begun + timeout_seconds, self._vector)
        except HttpProblem as wrong:
            return failed(wrong, self.name, begun)
        return reading(got, not got.data.samples, self.name, begun)

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        """Evaluate at start, start + step, … ≤ end; more steps than the server takes at once are asked in parts."""
        begun = time.monotonic()
        first, last, step_ms = ms(start), ms(end), round(step.total_seconds() * 1000)
        try:
            _check_steps(first, last, step_ms)
            parts = []
            span = (STEPS_PER_REQUEST - 1) * step_ms
            for from_ms in range(first, last + 1, span + step_ms):
                form = {
                    "query": query,
                    "start": seconds(from_ms),
                    "end": seconds(min(last, from_ms + span)),
                    "step": seconds(step_ms),
                }
                parts.append(self._ask("/api/v1/query_range", form, begun + timeout_seconds, self._matrix))
        except HttpProblem as wrong:
            return failed(wrong, self.name, begun)
        got = values.joined(parts)
        return reading(got, not got.data.series, self.name, begun)

    def series(self, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[Labels, ...]]:
        """The label sets of series; a query without selectors is rejected."""
        return self._explorer.series(query, timeout_seconds)

    def label_names(self, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every label name that series have."""
        return self._explorer.label_names(query, timeout_seconds)

    def label_values(self, label: str, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every value of a label."""
        return self._explorer.label_values(label, query, timeout_seconds)

    def exemplars(
        self, expression: str, start: datetime, end: datetime, timeout_seconds: float
    ) -> Reading[tuple[ExemplarSeries, ...]]:
        """The exemplars in [start, end] of the series that an expression reads; absent where storage is off."""
        return self._explorer.exemplars(expression, start, end, timeout_seconds)

    def rules(self, query: RuleQuery, timeout_seconds: float) -> Reading[tuple[ServerRule, ...]]:
        """The rules that the server evaluates itself."""
        return self._explorer.rules(query, timeout_seconds)

    def alerts(self, timeout_seconds: float) -> Reading[tuple[ServerAlert, ...]]:
        """What is pending or firing at the server."""
        return self._explorer.alerts(timeout_seconds)

    def metadata(self, metric: str | None, timeout_seconds: float) -> Reading[Mapping[str, tuple[Metadata, ...]]]:
        """Type, help and unit by metric family."""
        return self._explorer.metadata(metric, timeout_seconds)

    def probe(self, timeout_seconds: float) -> Probe:
        """Ask its version (not every such server tells) and its time, which needs an accepted credential."""
        begun = time.monotonic()
        version = ""
        try:
            version = self._version(timeout_seconds)
            rest = max(timeout_seconds - (time.monotonic() - begun), 0.001)
            sent = self._wall_clock()
            theirs = self._ask("/api/v1/query", {"query": "time()"}, time.monotonic() + rest, self._vector)
            skew = _one(theirs.data) - (sent + self._wall_clock()) / 2
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

    @property
    def closed(self) -> bool:
        """Whether nothing more can be asked of it."""
        return self._client.closed

    def close(self) -> None:
        """Drop connections, also ones in use: their readings become `Failed(deadline)`."""
        self._client.close()

    @property
    def _explorer(self) -> Explorer:
        """Who looks around with our connections; a check never needs one."""
        from collectors.prometheus.explore import Explorer

        return Explorer(self._client, self.name, self._address, self._series_cap)

    def _version(self, timeout_seconds: float) -> str:
        answer = self._client.get("/api/v1/status/buildinfo", timeout_seconds=timeout_seconds)
        try:
            data = decode_envelope(answer.body).data
            return one_line(msgspec.json.decode(data, type=_BuildInfo).version, 60)
        except NOT_JSON:
            return ""

    def _ask(self, path: str, form: dict[str, str], deadline: float, decode: Callable[[msgspec.Raw], D]) -> Got[D]:
        rest = left(deadline)
        form["timeout"] = f"{max(rest, 0.001):.3f}"
        answer = self._client.post_form(path, form, timeout_seconds=rest, packed=True)
        return read(answer, decode, self._address)

    def _vector(self, raw: msgspec.Raw) -> Vector:
        return values.vector(raw, self._series_cap)

    def _matrix(self, raw: msgspec.Raw) -> Matrix:
        return values.matrix(raw, self._series_cap)


def ms(at: datetime) -> int:
    """Unix milliseconds."""
    return round(at.timestamp() * 1000)


def seconds(at_ms: int) -> str:
    """Milliseconds as the API's seconds."""
    return f"{at_ms // 1000}.{at_ms % 1000:03d}"


def _one(data: Vector) -> float:
    if len(data.samples) != 1:
        raise HttpProblem(Reason.MALFORMED, f"answered time() with {len(data.samples)} values instead of one")
    return data.samples[0].value


def _check_steps(first_ms: int, last_ms: int, step_ms: int) -> None:
    if step_ms <= 0:
        raise HttpProblem(Reason.REJECTED, "the step of a range must be at least 1 ms")
    if last_ms < first_ms:
        raise HttpProblem(Reason.REJECTED, "the end of a range must not be before its start")
    steps = (last_ms - first_ms) // step_ms + 1
    if steps > STEPS_MAX:
        raise HttpProblem(Reason.REJECTED, f"{steps} steps are more than {STEPS_MAX}: take a larger step")
