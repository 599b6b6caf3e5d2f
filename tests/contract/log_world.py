"""Log lines as the contract knows them, and as Elasticsearch keeps them in three shapes: ECS, OpenTelemetry, unplanned."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from opsctl.core.logs import LogRecord, severity_of

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
END = BEGAN + timedelta(minutes=10)
TRACE = "0af7651916cd43dd8448eb211c80319c"
SHORT_TRACE = "000000000000000000000000deadbeef"  # a 64-bit id: some writers drop the zeros
SPAN = "b7ad6b7169203331"
HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\nERROR  wallet  faked line\u202egnp.exe\x00"
STACK = 'payment failed\nTraceback (most recent call last):\n  File "a.py", line 1, in <module>\nValueError: no'


@dataclass(frozen=True)
class Line:
    """One line: seconds after BEGAN, in which shape it is kept, and what it says; `level` as its writer spells it."""

    second: float
    shape: str
    message: str
    level: str = ""
    service: str = ""
    trace: str = ""
    span: str = ""
    number: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def at(self) -> datetime:
        """When."""
        return BEGAN + timedelta(seconds=self.second)

    @property
    def severity(self) -> str:
        """In the contract's words."""
        if self.level:
            return severity_of(self.level)
        return (
            "" if self.number is None else ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")[(self.number - 1) // 4]
        )


LINES = (
    Line(0, "ecs", "wallet started", "info", "wallet", more={"event.action": "start"}),
    Line(10, "ecs", "payment accepted for order 4711", "INFO", "payments", TRACE, SPAN, more={"event.action": "pay"}),
    Line(
        20.123, "ecs", "payment declined: insufficient funds", "warn", "payments", TRACE, "00f067aa0ba902b7",
        more={"event.action": "pay", "http.response.status_code": 402, "tags": ["money", "declined"]},
    ),
    Line(30, "ecs", STACK, "ERROR", "payments", TRACE, SPAN, more={"event.action": "pay", "http.response.status_code": 500}),
    Line(60, "otel", "Wallet debit accepted", "Information", "wallet", TRACE, SPAN, 9, more={"event.action": "debit"}),
    Line(70.5, "otel", "wallet lock timeout after 250 ms", "", "wallet", "", "", 17, more={"event.action": "debit"}),
    Line(80, "otel", "out of memory", "FATAL", "matchmaking", number=21),
    Line(90, "otel", "queue depth 12", "debug2", "matchmaking", number=6, more={"http.response.status_code": 200}),
    Line(120, "plain", "disk almost full", "warning", "lobby", more={"event.action": "check"}),
    Line(121, "plain", "user logged in from 10.0.0.7", "notice", "lobby", SHORT_TRACE),
    Line(122, "plain", HOSTILE, "err", "lobby"),
    Line(123, "plain", "no level and no service"),
    Line(124, "plain", "declined by policy", "AUDIT", "lobby", more={"event.action": ""}),
    *(Line(300 + i / 10, "ecs", f"tick {i}", "INFO", "ticker", more={"event.action": "tick"}) for i in range(20)),
    *(Line(400, "otel", f"burst {i}", "INFO", "burst", number=9) for i in range(7)),
)  # fmt: skip


def records(lines: Iterable[Line] = LINES) -> list[LogRecord]:
    """The lines as records."""
    return [
        LogRecord(
            line.at, line.message, line.severity, line.service,
            line.trace.rjust(32, "0") if line.trace else "", line.span, dict(line.more), str(number),
        )
        for number, line in enumerate(lines)
    ]  # fmt: skip


# -- Elasticsearch


def call(url: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
    """Ask a server on loopback; fails on a status that is not 2xx."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        kind = "application/x-ndjson" if path.startswith("/_bulk") else "application/json"
        connection.request(method, path, body, {"Content-Type": kind, **(headers or {})})
        answer = connection.getresponse()
        raw = answer.read()
        assert answer.status < 300, (method, path, answer.status, raw[:600])
        return json.loads(raw) if raw else None
    finally:
        connection.close()


def fill(url: str, prefix: str, lines: Iterable[Line] = LINES, headers: Mapping[str, str] | None = None) -> None:
    """Put the lines into data streams `PREFIX-ecs-a` and `PREFIX-otel-a` and a plain index `PREFIX-plain`."""
    for shape, properties in (("ecs", _ECS), ("otel", _OTEL)):
        template = {
            "index_patterns": [f"{prefix}-{shape}-*"],
            "data_stream": {},
            "priority": 500,
            "template": {"settings": {"number_of_replicas": 0}, "mappings": {"properties": properties}},
        }
        call(url, "PUT", f"/_index_template/{prefix}-{shape}", json.dumps(template).encode(), headers)
    made = {"ecs": f"{prefix}-ecs-a", "otel": f"{prefix}-otel-a", "plain": f"{prefix}-plain"}
    write = {"ecs": _ecs, "otel": _otel, "plain": _plain}
    body = b""
    for line in lines:
        how = "index" if line.shape == "plain" else "create"
        body += json.dumps({how: {"_index": made[line.shape]}}).encode() + b"\n"
        body += json.dumps(write[line.shape](line)).encode() + b"\n"
    done = call(url, "POST", "/_bulk?refresh=true", body, headers)
    assert not done["errors"], done


_ECS: dict[str, Any] = {
    "@timestamp": {"type": "date"},
    "message": {"type": "text"},
    "log": {"properties": {"level": {"type": "keyword"}}},
    "service": {"properties": {"name": {"type": "keyword"}}},
    "trace": {"properties": {"id": {"type": "keyword"}}},
    "span": {"properties": {"id": {"type": "keyword"}}},
    "event": {"properties": {"action": {"type": "keyword"}}},
    "tags": {"type": "keyword"},
}
_OTEL: dict[str, Any] = {
    "@timestamp": {"type": "date_nanos"},
    "body": {"properties": {"text": {"type": "text"}}},
    "message": {"type": "alias", "path": "body.text"},
    "severity_text": {"type": "keyword"},
    "severity_number": {"type": "byte"},
    "trace_id": {"type": "keyword"},
    "span_id": {"type": "keyword"},
    "trace": {"properties": {"id": {"type": "alias", "path": "trace_id"}}},
    "attributes": {
        "type": "passthrough",
        "priority": 20,
        "dynamic": True,
        "properties": {"event.action": {"type": "keyword"}},
    },
    "resource": {"properties": {"attributes": {"type": "passthrough", "priority": 30, "dynamic": True}}},
}


def _time(line: Line) -> str:
    return line.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _filled(pairs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in pairs.items() if value not in ("", None)}


def _ecs(line: Line) -> dict[str, Any]:
    said = {"log.level": line.level, "service.name": line.service, "trace.id": line.trace, "span.id": line.span}
    return {"@timestamp": _time(line), "message": line.message, **_filled(said), **line.more}


def _otel(line: Line) -> dict[str, Any]:
    said = {
        "severity_text": line.level,
        "severity_number": line.number,
        "trace_id": line.trace.upper(),
        "span_id": line.span,
    }
    resource = {"attributes": {"service.name": line.service}} if line.service else {}
    return {
        "@timestamp": _time(line),
        "body": {"text": line.message},
        **_filled(said),
        "resource": resource,
        "attributes": dict(line.more),
    }


def _plain(line: Line) -> dict[str, Any]:
    said = {"level": line.level, "app": line.service, "traceId": line.trace.lstrip("0"), "spanId": line.span}
    return {"@timestamp": _time(line), "msg": line.message, **_filled(said), **line.more}
