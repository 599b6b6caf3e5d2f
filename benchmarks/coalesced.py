"""2,000 SLOs × 7 windows on one Prometheus: asked together, one by one by our own client, and by a plain httpx loop.

What is compared is processor time, of the asking process and of the server. The httpx loop asks the questions of every
20th service and its time is scaled: its requests cost the same each.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from benchmarks.pairs import Figure
from collectors.prometheus import PrometheusSource
from opsctl.core.signals import Failed, Measured, Reading, Vector
from opsctl.engine.asking import Asker
from opsctl.engine.batches import answered
from opsctl.http import Endpoint
from tests.servers import prometheus

SERVICES = 2000
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
SHAPES = (
    'sum(increase(app_requests_total{{service="{service}",code="500"}}[{window}]))',
    'sum(increase(app_requests_total{{service="{service}"}}[{window}]))',
)
END = datetime(2026, 1, 4, tzinfo=UTC)
SAMPLED = 20
CLOSE = 1e-9
_ANSWER_SECONDS = 120.0

Values = Mapping[str, float]


@dataclass(frozen=True)
class Cost:
    """What a way of asking took: requests, and seconds of processor time of both processes."""

    requests: int
    seconds: float
    values: Values


@dataclass(frozen=True)
class Costs:
    """All three ways; `httpx` is scaled to all questions."""

    together: Cost
    one_by_one: Cost
    httpx: Cost


def coalesced_requests() -> Figure:
    """Requests, in units of windows × shapes."""
    costs = _costs()
    value = costs.together.requests / (len(WINDOWS) * len(SHAPES))
    what = f"requests for {SERVICES:,} SLOs × {len(WINDOWS)} windows × {len(SHAPES)} sides / windows × shapes"
    return Figure("coalesced_requests", value, 1, "lower", what)


def coalesced_cpu() -> Figure:
    """Processor time of client and server, against our own client with one query each."""
    costs = _costs()
    value = costs.together.seconds / costs.one_by_one.seconds
    return Figure("coalesced_cpu", value, 1 / 2.5, "lower", "CPU of client + server: asked together / one by one, ours")


def coalesced_httpx() -> Figure:
    """The same against a plain loop over a kept-alive httpx client."""
    costs = _costs()
    value = costs.together.seconds / costs.httpx.seconds
    what = f"CPU of client + server: asked together / httpx one by one (every {SAMPLED}th service, scaled)"
    return Figure("coalesced_httpx", value, 1 / 8, "lower", what)


@cache
def _costs() -> Costs:
    texts = [
        shape.format(service=f"service-{n:04}", window=w) for n in range(SERVICES) for w in WINDOWS for shape in SHAPES
    ]
    sampled = [text for n in range(0, SERVICES, SAMPLED) for text in texts[14 * n : 14 * (n + 1)]]
    server = prometheus.start(_history(), "3.16")
    source = PrometheusSource(Endpoint(server.url), concurrency=1)
    try:
        pid = server.process.pid
        _together(source, texts, pid)  # the server's first look at its blocks is nobody's cost
        together = _together(source, texts, pid)
        one_by_one = _one_by_one(source, texts, pid)
        httpx = _httpx(server.url, sampled, pid)
    finally:
        source.close()
        server.stop()
    _same(together.values, one_by_one.values)
    _same({text: together.values[text] for text in httpx.values}, httpx.values)
    scaled = Cost(httpx.requests * SAMPLED, httpx.seconds * SAMPLED, httpx.values)
    return Costs(together, one_by_one, scaled)


def _together(source: PrometheusSource, texts: list[str], pid: int) -> Cost:
    """As a cycle asks: questions planned, answers taken apart."""
    asker = Asker(source, _ANSWER_SECONDS, time.monotonic)

    def ask() -> dict[str, float]:
        found = answered(asker, [(text, END) for text in texts], math.inf, hang_up=False)
        return {text: _value(reading) for (text, _), reading in found.items()}

    values, seconds = _timed(ask, pid)
    return Cost(asker.questions, seconds, values)


def _one_by_one(source: PrometheusSource, texts: list[str], pid: int) -> Cost:
    """The best that the same client does without planning: one kept-alive connection, no threads."""
    values, seconds = _timed(lambda: {text: _value(source.instant(text, END, _ANSWER_SECONDS)) for text in texts}, pid)
    return Cost(len(texts), seconds, values)


def _httpx(url: str, texts: list[str], pid: int) -> Cost:
    try:
        import httpx
    except ImportError:
        raise RuntimeError("httpx is not installed: pip install -e '.[bench]'") from None

    def one(client: httpx.Client, text: str) -> float:
        answer = client.get(f"{url}/api/v1/query", params={"query": text, "time": END.timestamp()})
        answer.raise_for_status()
        (element,) = answer.json()["data"]["result"]
        return float(element["value"][1])

    with httpx.Client() as client:
        one(client, texts[0])
        values, seconds = _timed(lambda: {text: one(client, text) for text in texts}, pid)
    return Cost(len(texts), seconds, values)


def _value(reading: Reading[Vector]) -> float:
    if isinstance(reading, Measured):
        return reading.data.samples[0].value
    raise RuntimeError(f"no number came: {reading.message if isinstance(reading, Failed) else 'absent'}")


def _timed(ask: Callable[[], dict[str, float]], pid: int) -> tuple[dict[str, float], float]:
    """What was asked, and the seconds of processor time that this process and the server took for it."""
    begun = time.process_time() + _server_seconds(pid)
    values = ask()
    return values, time.process_time() + _server_seconds(pid) - begun


def _server_seconds(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        raise RuntimeError("this system has no /proc: a server's processor time cannot be read")
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _same(ours: Values, theirs: Values) -> None:
    for text, value in theirs.items():
        if not math.isclose(ours[text], value, rel_tol=CLOSE):
            raise RuntimeError(f"not the same: {ours[text]!r} and {value!r} for {text}")


def _history() -> str:
    """Three days: every half hour, and every minute of the last hour."""
    end = round(END.timestamp())
    first = end - round(timedelta(days=3, hours=1).total_seconds())
    seconds = [*range(first, end - 3600, 1800), *range(end - 3600, end + 1, 60)]
    lines = ["# TYPE app_requests counter"]
    for n in range(SERVICES):
        for code, rate in (("200", 10 + n % 7), ("500", 1 + n % 3)):
            name = f'app_requests_total{{service="service-{n:04}",code="{code}"}}'
            lines += [f"{name} {rate * (at - first) // 60} {at}" for at in seconds]
    return "\n".join([*lines, "# EOF", ""])
