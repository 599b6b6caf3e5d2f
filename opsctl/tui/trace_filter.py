"""Which traces of a service are searched for: the flags of `opsctl trace search` in short words.

A free word is an operation's name, `error` its span failed, `>250ms` and `<2s` how long that span took, `key=value` an
attribute; quotes hold together what has spaces. Pure. Must never guess what a word was meant to be.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from opsctl.core.frozen import dataclass
from opsctl.core.windows import format_duration, parse_duration
from opsctl.ports.traces import TraceQuery

EXPECTED = "an operation's name, error, >250ms, <2s or key=value"
LIMIT = 50
"""Traces of one search: each comes whole."""
_TOKEN = re.compile(r'(?:[^\s"]|"[^"]*")+|"')
_ERROR = frozenset({"error", "errors"})
_BOUND = re.compile(r"([<>])=?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """Everything that is said must hold for one span of the service."""

    operation: str = ""
    error: bool = False
    least: timedelta | None = None
    most: timedelta | None = None
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """As it is typed; `parsed` reads it back to the same."""
        words = [_quoted(self.operation)] if self.operation else []
        words += ["error"] if self.error else []
        words += [f">{format_duration(self.least)}"] if self.least is not None else []
        words += [f"<{format_duration(self.most)}"] if self.most is not None else []
        words += [f"{key}={_held(value)}" for key, value in self.attributes]
        return " ".join(words)

    @property
    def flags(self) -> tuple[str, ...]:
        """The same for `opsctl trace search`."""
        out = ["--operation", self.operation] if self.operation else []
        out += ["--error"] if self.error else []
        out += ["--min-duration", format_duration(self.least)] if self.least is not None else []
        out += ["--max-duration", format_duration(self.most)] if self.most is not None else []
        for key, value in self.attributes:
            out += ["-a", f"{key}={value}"]
        return tuple(out)

    def query(self, service: str, start: datetime, end: datetime) -> TraceQuery:
        """The question; `service` as the backend has it."""
        return TraceQuery(
            service,
            start,
            end,
            operation=self.operation,
            min_duration=self.least,
            max_duration=self.most,
            attributes=dict(self.attributes) or None,
            errors_only=self.error,
            limit=LIMIT,
        )


def parsed(text: str) -> TraceFilter:
    """Read what was typed; ValueError with one line that says what is wrong with it."""
    read = _Read()
    for token in _TOKEN.findall(text):
        read.take(token)
    least, most = read.bounds.get(">"), read.bounds.get("<")
    if least is not None and most is not None and most < least:
        raise ValueError(f"<{format_duration(most)} is shorter than >{format_duration(least)}: nothing can fit both")
    return TraceFilter(" ".join(read.operation), read.error, least, most, tuple(read.attributes.items()))


class _Read:
    """What the words so far say."""

    def __init__(self) -> None:
        self.operation: list[str] = []
        self.error = False
        self.bounds: dict[str, timedelta] = {}
        self.attributes: dict[str, str] = {}

    def take(self, token: str) -> None:
        """One word more."""
        bare = token.replace('"', "")
        if token.count('"') % 2:
            raise ValueError('a quote " is not closed')
        if token.startswith('"'):
            self.operation.append(bare)
        elif found := _BOUND.fullmatch(token):
            self._bound(token, found[1], found[2])
        elif token.lower() in _ERROR:
            self.error = True
        elif "=" in bare:
            self._attribute(token, *bare.split("=", 1))
        elif token.startswith("-"):
            raise ValueError(f'{token}: expected {EXPECTED}; an operation that begins with - stands in "quotes"')
        else:
            self.operation.append(bare)

    def _bound(self, token: str, side: str, text: str) -> None:
        if side in self.bounds:
            raise ValueError(f"{token}: {side} is said twice")
        try:
            self.bounds[side] = parse_duration(text)
        except ValueError:
            raise ValueError(f"{token}: expected a duration such as {side}250ms, {side}2s or {side}1m30s") from None

    def _attribute(self, token: str, key: str, value: str) -> None:
        if not key:
            raise ValueError(f"{token}: expected key=value, such as http.response.status_code=500")
        if self.attributes.get(key, value) != value:
            raise ValueError(f"{token}: {key} has one value, {self.attributes[key]} is said before")
        self.attributes[key] = value


def _quoted(operation: str) -> str:
    """An operation as it is typed: in quotes where a word of it would be read as something else."""
    words = operation.replace('"', "").split(" ")
    plain = all(word and "=" not in word and word[0] not in "<>-" and word.lower() not in _ERROR for word in words)
    return " ".join(words) if plain and operation.isprintable() else f'"{" ".join(words)}"'


def _held(value: str) -> str:
    value = value.replace('"', "")
    return f'"{value}"' if not value or any(map(str.isspace, value)) else value
