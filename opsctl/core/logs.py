"""Log records as every log backend's answers become them, and what one asks for.

Pure. Must never import a backend's format; field names are ECS's with dots.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, Union

import msgspec

from opsctl.core.signals import Labels

FieldValue = Union[str, bool, int, float, None, list[str]]
MatchOp = Literal["=", "!=", "=~", "!~"]

SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""OpenTelemetry's severity_text, mildest first."""

_SPELLED = {
    "TRC": "TRACE",
    "DBG": "DEBUG",
    "NOTICE": "INFO",
    "INFORMATION": "INFO",
    "INFORMATIONAL": "INFO",
    "WARNING": "WARN",
    "ERR": "ERROR",
    "SEVERE": "ERROR",
    "CRIT": "FATAL",
    "CRITICAL": "FATAL",
    "ALERT": "FATAL",
    "EMERG": "FATAL",
    "EMERGENCY": "FATAL",
    "PANIC": "FATAL",
}


ECS_NAMES = {
    "message": "message",
    "severity": "log.level",
    "service": "service.name",
    "trace_id": "trace.id",
    "span_id": "span.id",
}
"""The ECS name of each attribute of a `LogRecord` that is a field in the backends."""

_ATTRIBUTES = {name: attribute for attribute, name in ECS_NAMES.items()}
_OF_SDK = re.compile("(?:TRACE|DEBUG|INFO|WARN|ERROR|FATAL)[2-4]")
_WORDS = re.compile(r'"([^"]*)"?|(\S+)')
_NOT_LABEL = re.compile("[^A-Za-z0-9_]")


@lru_cache(maxsize=1024)
def severity_of(text: str) -> str:
    """A level in OpenTelemetry's words; what is none of them stays as it is, in upper case."""
    level = text.strip().upper()
    return _SPELLED.get(level) or (level[:-1] if _OF_SDK.fullmatch(level) else level)


def severity_of_number(number: int) -> str:
    """OpenTelemetry's SeverityNumber, 1 to 24, in words; "" for another number."""
    return SEVERITIES[(number - 1) // 4] if 1 <= number <= 24 else ""


def first_number(severity: str) -> int:
    """The smallest SeverityNumber of one of SEVERITIES."""
    return SEVERITIES.index(severity) * 4 + 1


def at_least(severity: str) -> tuple[str, ...]:
    """One of SEVERITIES and every worse one."""
    return SEVERITIES[SEVERITIES.index(severity) :]


def spellings(severity: str) -> tuple[str, ...]:
    """Every word, in upper case, that `severity_of` takes for this one."""
    of_sdk = tuple(f"{severity}{n}" for n in (2, 3, 4)) if severity in SEVERITIES else ()
    return (severity, *(word for word, means in _SPELLED.items() if means == severity), *of_sdk)


def words_of(text: str) -> tuple[str, ...]:
    """The words and quoted phrases of a search, without their quotes."""
    return tuple(word for found in _WORDS.finditer(text) if (word := (found[1] or found[2] or "").strip()))


def label_name(field: str) -> str:
    """A field's name as a label's: `_` for every character that labels do not have."""
    return _NOT_LABEL.sub("_", field)


def texts_of(value: FieldValue) -> tuple[str, ...]:
    """A field's values as text, as conditions and labels see them; none for a field without a value."""
    match value:
        case None:
            return ()
        case bool():
            return ("true" if value else "false",)
        case list():
            return tuple(value)
        case float() if value.is_integer():
            return (str(int(value)),)
    return (str(value),)


class LogRecord(msgspec.Struct, frozen=True):
    """One line; `fields` are all others by their ECS name with dots, as the backend keeps them."""

    at: datetime
    message: str
    severity: str = ""  # as `severity_of`
    service: str = ""
    trace_id: str = ""  # 32 hex digits, or empty
    span_id: str = ""  # 16 hex digits, or empty
    fields: Mapping[str, FieldValue] = {}
    id: str = ""  # unique within the backend


def value_of(record: LogRecord, field: str) -> FieldValue:
    """A field of a record by its ECS name; None where it has none."""
    attribute = _ATTRIBUTES.get(field)
    return record.fields.get(field) if attribute is None else getattr(record, attribute) or None


class FieldMatcher(msgspec.Struct, frozen=True):
    """One condition on a field; `=~` and `!~` are anchored regular expressions, as in PromQL. Absent equals "".

    A field with several values fits `=` and `=~` where one of them does. Levels are compared as `severity_of` has them.
    """

    field: str  # an ECS name: service.name, log.level, event.action, …
    op: MatchOp
    value: str


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for in [start, end); everything that is said must hold."""

    start: datetime
    end: datetime
    words: str = ""  # words and "quoted phrases" that the message must have, in any case and order
    services: tuple[str, ...] = ()
    severity: str = ""  # this one of SEVERITIES or worse
    trace_id: str = ""
    span_ids: tuple[str, ...] = ()
    matchers: tuple[FieldMatcher, ...] = ()
    query_string: str = ""  # the backend's own language (Elasticsearch: Lucene); others answer `unsupported`


class LogPage(msgspec.Struct, frozen=True):
    """A part of an answer; `cursor` asks for the next one and is empty at the end."""

    records: tuple[LogRecord, ...]
    cursor: str = ""


class Bucket(msgspec.Struct, frozen=True):
    """How many records there are of one combination of labels, in each step from its start (unix seconds)."""

    labels: Labels
    points: tuple[tuple[float, int], ...]  # (start of the step, records in it); a step without any may be left out


class LogCounts(msgspec.Struct, frozen=True):
    """Counts by time and by fields, whole: a backend that left groups out answers `Failed(partial)`."""

    step: timedelta
    buckets: tuple[Bucket, ...]


class LogField(msgspec.Struct, frozen=True):
    """One field of the mapping; `aggregatable` fields can be counted by."""

    name: str
    type: str
    searchable: bool = True
    aggregatable: bool = True
