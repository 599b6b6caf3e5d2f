"""Parameters of a run: where each comes from and whether it fits its type, decided before the first step.

Must never let a value through that its type does not allow: alert labels are text from outside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from types import MappingProxyType

from opsctl.core.frozen import dataclass
from opsctl.core.hosts import is_loopback
from opsctl.core.runbooks import (
    DurationType,
    EnumType,
    IntType,
    Param,
    ParamType,
    PatternType,
    Runbook,
    ServiceType,
    UrlType,
    Value,
)
from opsctl.core.windows import format_duration, parse_duration
from opsctl.errors import UsageError

_NOTHING: Mapping[str, str] = MappingProxyType({})
_URL = re.compile(
    r"(https?)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(:[0-9]{1,5})?((?:/[A-Za-z0-9._~-]+)*)/?"
)


@dataclass(frozen=True, slots=True)
class Given:
    """What a run may take parameters from; `services` empty means that the catalogue is not known."""

    flags: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    labels: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    environment: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    services: frozenset[str] = frozenset()


def collect(runbook: Runbook, given: Given) -> dict[str, Value]:
    """Every declared parameter with its checked value; UsageError names the first that is missing or does not fit."""
    known = {param.name for param in runbook.params}
    for name in given.flags:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise UsageError(f"{runbook.id} has no parameter {name[:60]!r}; it has: {listed}")
    return {param.name: _collect(runbook, param, given) for param in runbook.params}


def _collect(runbook: Runbook, param: Param, given: Given) -> Value:
    text, source = found(param, given)
    if text is None:
        raise UsageError(
            f"{runbook.id}: parameter {param.name} has no value; expected {expected(param.type)}",
            hint=f"-p {param.name}=…" + (f", or {' or '.join(param.sources)}" if param.sources else ""),
        )
    try:
        return check_value(param.type, text, given.services)
    except ValueError as wrong:
        raise UsageError(f"{runbook.id}: parameter {param.name} from {source}: {wrong}") from wrong


def found(param: Param, given: Given) -> tuple[str | None, str]:
    """The text that a parameter would take, None where there is none, and where it comes from; not checked."""
    if param.name in given.flags:
        return given.flags[param.name], "-p"
    for source in param.sources:
        kind, _, name = source.rpartition(".")
        text = (given.environment if kind == "env" else given.labels).get(name)
        if text:
            return text, source
    return param.default, "its default"


def check_value(kind: ParamType, text: str, services: frozenset[str] = frozenset()) -> Value:
    """The typed value of a text; ValueError says what was expected, and shows at most 60 characters of the text."""
    if not text.isprintable():
        raise ValueError(f"{text[:60]!r} has characters that cannot be printed")
    value = _value(kind, text, services)
    if value is None:
        raise ValueError(f"{text[:60]!r} is not {expected(kind)}")
    return value


def _value(kind: ParamType, text: str, services: frozenset[str]) -> Value | None:
    match kind:
        case EnumType(values):
            return text if text in values else None
        case IntType(low, high):
            fits = re.fullmatch(r"-?[0-9]{1,18}", text) is not None and low <= int(text) <= high
            return int(text) if fits else None
        case PatternType(pattern, longest):
            return text if len(text) <= longest and re.fullmatch(pattern, text) else None
        case DurationType(shortest, longest_):
            return _duration(text, shortest, longest_)
        case ServiceType():
            return text if _is_service(text, services) else None
        case UrlType(hosts):
            return check_url(text, hosts)


def _duration(text: str, low: timedelta, high: timedelta) -> timedelta | None:
    try:
        value = parse_duration(text) if len(text) <= 40 else None
    except (ValueError, OverflowError):
        return None
    return value if value is not None and low <= value <= high else None


def _is_service(text: str, services: frozenset[str]) -> bool:
    if services:
        return text in services
    return re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", text) is not None


def check_url(text: str, hosts: tuple[str, ...] = ()) -> str | None:
    """The base of an address without its last slash, or None: no user, no query, no `..`, http to loopback only."""
    match = _URL.fullmatch(text)
    if match is None or len(text) > 500:
        return None
    scheme, host, port, path = match.groups()
    host = host.lower()
    if (port and int(port[1:]) > 65535) or any(part in {".", ".."} for part in path.split("/")):
        return None
    if ".." in host or (scheme == "http" and not is_loopback(host)):
        return None
    if hosts and not any(_host_fits(host, allowed) for allowed in hosts):
        return None
    return f"{scheme}://{host}{port or ''}{path}"


def _host_fits(host: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        return host.partition(".")[2] == allowed[2:]
    return host == allowed


def expected(kind: ParamType) -> str:
    """What fits, in words."""
    match kind:
        case EnumType(values):
            return f"one of {', '.join(values)}"
        case IntType(low, high):
            return f"a whole number from {low} to {high}"
        case PatternType(pattern, longest):
            return f"a text like /{pattern}/ of at most {longest} characters"
        case DurationType(low_, high_):
            return f"a duration from {format_duration(low_)} to {format_duration(high_)}"
        case ServiceType():
            return "a service of the catalogue"
        case UrlType(hosts):
            return "an address such as https://host:port/path (http for loopback only)" + (
                f" at {', '.join(hosts)}" if hosts else ""
            )


def plain(value: Value) -> str:
    """A value as text that `check_value` reads back to the same value."""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
