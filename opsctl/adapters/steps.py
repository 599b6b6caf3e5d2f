"""Carries out promql, http and bash steps: one deadline, one output cap, no redirects, secrets to whom they belong.

Must never raise for what the other side does, follow where it points, or answer anything with a secret in it.
"""

from __future__ import annotations

import json
import math
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from opsctl.adapters.children import run_script
from opsctl.adapters.redact import redact, redact_values
from opsctl.core.binding import SECRET, Bound, BoundQuery, BoundRequest, BoundScript, environment_name
from opsctl.core.runbooks import OUTPUT_LIMIT_BYTES, Step
from opsctl.core.signals import Absent, Failed, Measured, Sample, Vector
from opsctl.errors import OpsctlError
from opsctl.ports import Clock, MetricsSource
from opsctl.ports.runbooks import StepBroke, StepDone, StepResult

_SHOWN_SAMPLES = 200


class Steps:
    """`opsctl.ports.runbooks.StepRunner` over a metrics source, the network and bash.

    `metrics` is opened on the first promql step; `secret` gives a declared secret by its name.
    """

    def __init__(self, metrics: Callable[[], MetricsSource], clock: Clock, secret: Callable[[str], str]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._secret = secret
        self._known: dict[str, str] = {}

    def perform(self, step: Step, bound: Bound, timeout_seconds: float, key: str | None) -> StepResult:
        """Do it once."""
        try:
            mine = {name: self._read(name) for name in step.secrets}
        except OpsctlError as wrong:
            return StepBroke(f"a secret cannot be read: {wrong}")
        match bound:
            case BoundQuery(expression):
                return self._ask(expression, timeout_seconds)
            case BoundRequest():
                return self._send(bound, mine, timeout_seconds, key)
            case BoundScript():
                return self._script(bound, mine, timeout_seconds)
            case _:
                return StepBroke(f"a {step.kind.value} step is for a person")

    def _read(self, name: str) -> str:
        if name not in self._known:
            self._known[name] = self._secret(name)
        return self._known[name]

    def _hidden(self) -> tuple[str, ...]:
        """Every secret read so far: a later step may print an earlier one's."""
        return tuple(secret for secret in self._known.values() if secret)

    # -- promql ---------------------------------------------------------------------------------------------------

    def _ask(self, expression: str, timeout_seconds: float) -> StepResult:
        try:
            reading = self._metrics().instant(expression, self._clock.now(), timeout_seconds)
        except OpsctlError as wrong:
            return StepBroke(str(wrong))
        match reading:
            case Measured(data):
                return StepDone(vector_values(data), _shown(data))
            case Absent():
                return StepDone({"absent": True, "count": 0}, "no data")
            case Failed():
                return StepBroke(f"{reading.backend}: {reading.message}")

    # -- http -----------------------------------------------------------------------------------------------------

    def _send(
        self, request: BoundRequest, mine: Mapping[str, str], timeout_seconds: float, key: str | None
    ) -> StepResult:
        from opsctl.http import Client, Endpoint, HttpProblem

        parts = urlsplit(request.url)
        headers = {name: SECRET.sub(lambda m: mine[m[1]], value) for name, value in request.headers}
        if key is not None:
            headers["Idempotency-Key"] = key
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        client = Client(
            Endpoint(f"{parts.scheme}://{parts.netloc}"),
            connect_seconds=min(5.0, timeout_seconds),
            request_seconds=timeout_seconds,
            max_body=OUTPUT_LIMIT_BYTES,
            pool_size=1,
        )
        try:
            answer = client.request(
                request.method, target or "/", body=request.body, headers=headers, timeout_seconds=timeout_seconds
            )
        except HttpProblem as wrong:
            return self._unanswered(wrong, wrong.status, wrong.__cause__)
        except OpsctlError as wrong:
            return StepBroke(redact(str(wrong), self._hidden()))
        finally:
            client.close()
        return self._answered(answer.status, answer.headers, answer.body)

    def _unanswered(self, wrong: OpsctlError, status: int | None, cause: BaseException | None) -> StepBroke:
        """A status that stops (3xx, 401, 403), a connection that was never made, or nobody knows."""
        message = redact(wrong.message, self._hidden())
        never = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)
        if status is not None or _caused_by(cause, never):
            return StepBroke(message)
        return StepBroke(message, begun=True, certain=False)

    def _answered(self, status: int, headers: Mapping[str, str], body: bytes) -> StepDone:
        hidden = self._hidden()
        text = redact(body.decode("utf-8", "replace"), hidden)
        values: dict[str, object] = {"status": status, "text": text, "headers": redact_values(dict(headers), hidden)}
        parsed = _json(body.decode("utf-8", "replace"))
        if parsed is not _NOT_JSON:
            values["body"] = redact_values(parsed, hidden)
        return StepDone(values, f"{status}\n{text}" if text else str(status))

    # -- bash -----------------------------------------------------------------------------------------------------

    def _script(self, script: BoundScript, mine: Mapping[str, str], timeout_seconds: float) -> StepResult:
        environment = dict(script.environment) | {environment_name(name): value for name, value in mine.items()}
        try:
            ended = run_script(script.text, environment, timeout_seconds, self._hidden())
        except (OSError, ValueError) as wrong:
            return StepBroke(f"bash cannot be started: {redact(str(wrong), self._hidden())}")
        if ended.exit_code is None:
            message = f"not over within {timeout_seconds:g} s: ended with TERM, then KILL"
            return StepBroke(message, begun=True, certain=False, output=ended.output)
        values: dict[str, object] = {"exit_code": ended.exit_code, "stdout": ended.stdout.rstrip("\n")}
        parsed = _json(ended.stdout)
        if parsed is not _NOT_JSON:
            values["json"] = parsed
        return StepDone(values, ended.output, ended.exit_code)


_NOT_JSON = object()


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _caused_by(cause: BaseException | None, kinds: tuple[type[BaseException], ...]) -> bool:
    while cause is not None:
        if isinstance(cause, kinds):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def vector_values(vector: Vector) -> dict[str, object]:
    """What conditions see of an answer: `value` and `labels` of a single element, `min`, `max`, `count`, `absent`."""
    numbers = [sample.value for sample in vector.samples if not math.isnan(sample.value)]
    values: dict[str, object] = {"absent": not vector.samples, "count": len(vector.samples)}
    if len(vector.samples) == 1:
        values |= {"value": vector.samples[0].value, "labels": dict(vector.samples[0].labels)}
    if numbers:
        values |= {"min": min(numbers), "max": max(numbers)}
    return values


def _shown(vector: Vector) -> str:
    lines = [_sample(sample) for sample in vector.samples[:_SHOWN_SAMPLES]]
    more = len(vector.samples) - _SHOWN_SAMPLES
    text = "\n".join(lines)
    if len(text) > OUTPUT_LIMIT_BYTES // 4:  # a character is at most four bytes
        return f"[{len(vector.samples)} elements with very long labels]"
    return text + (f"\n[{more} more elements]" if more > 0 else "")


def _sample(sample: Sample) -> str:
    labels = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sample.labels)
    return re.sub(r"^\{\} ", "", f"{{{labels}}} {sample.value:.6g}")
