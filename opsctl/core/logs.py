"""Log records as every log backend's answers become them, and what one asks for.

Pure. Must never import a backend's format; field names are ECS's with dots.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
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


def severity_of(text: str) -> str:
    """A level in OpenTelemetry's words; what is none of them stays as it is, in upper case."""
    level = text.strip().upper()
    return _SPELLED.get(level, level)


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


class FieldMatcher(msgspec.Struct, frozen=True):
    """One condition on a field; `=~` and `!~` are anchored regular expressions, as in PromQL. Absent equals ""."""

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
