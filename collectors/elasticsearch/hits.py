"""Hits as records: the known fields by typed decoding, all others only when somebody looks.

A page of 10,000 lines is read several times faster so than as dictionaries. Must never take one field's value for
another's, or fail for one value of a type that nobody expected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec

from collectors.elasticsearch.answers import NOT_JSON, Clusters, Shards, shown
from collectors.elasticsearch.fields import KNOWN_AS, NUMBER, FieldMap, canonical
from opsctl.core.logs import FieldValue, LogRecord, severity_of, severity_of_number
from opsctl.core.signals import Reason
from opsctl.core.traces import span_id_of, trace_id_of
from opsctl.http import HttpProblem, one_line


class _Hits(msgspec.Struct):
    hits: list[msgspec.Raw]


class SearchAnswer(msgspec.Struct):
    """The body of a search."""

    hits: _Hits
    shards: Shards = msgspec.field(name="_shards")
    timed_out: bool = False
    pit_id: str = ""
    clusters: Clusters | None = msgspec.field(name="_clusters", default=None)


class _Place(msgspec.Struct):
    sort: tuple[str, int]


class _Values(msgspec.Struct):
    fields: dict[str, list[Any]] = {}
    ignored_field_values: dict[str, list[Any]] = {}


class Fields(Mapping[str, FieldValue]):
    """The other fields of one hit, read when they are looked at."""

    __slots__ = ("_hit", "_read", "_reader")

    def __init__(self, hit: msgspec.Raw, reader: Reader) -> None:
        self._hit = hit
        self._reader = reader
        self._read: dict[str, FieldValue] | None = None

    def _all(self) -> dict[str, FieldValue]:
        if self._read is None:
            self._read = self._reader.others(self._hit)
        return self._read

    def __getitem__(self, name: str) -> FieldValue:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == dict(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a dictionary

    def __repr__(self) -> str:
        return repr(self._all())


class Reader:
    """Reads the hits of one mapping."""

    def __init__(self, fields: FieldMap, more: Mapping[str, tuple[str, ...]]) -> None:
        self._more = more
        self._names = {ecs: fields.mapped_names(ecs) for ecs in KNOWN_AS}
        attributes: dict[str, str] = {}
        for name in (NUMBER, *(name for names in self._names.values() for name in names)):
            attributes.setdefault(name, f"f{len(attributes)}")
        # Only these names: a typed decoder skips the rest without making anything of it.
        known = msgspec.defstruct(
            "_Known",
            [(attribute, list[Any] | None, None) for attribute in attributes.values()],
            rename={attribute: name for name, attribute in attributes.items()},
        )
        hit = msgspec.defstruct(
            "_Hit",
            [
                ("index", str),
                ("id", str),
                ("sort", tuple[datetime, int]),
                ("fields", known, msgspec.field(default_factory=known)),
                ("ignored", known | None, None),
            ],
            rename={"index": "_index", "id": "_id", "ignored": "ignored_field_values"},
        )
        self._decode: Callable[[msgspec.Raw], Any] = msgspec.json.Decoder(hit).decode
        self._firsts = [_first_of([attributes[name] for name in self._names[ecs]]) for ecs in KNOWN_AS]
        self._number = attributes[NUMBER]

    def records(self, hits: Sequence[msgspec.Raw]) -> tuple[LogRecord, ...]:
        """Each hit as a record; HttpProblem where one is not a hit."""
        try:
            return tuple([self._record(raw) for raw in hits])
        except (*NOT_JSON, OverflowError) as wrong:
            said = one_line(str(wrong), 120)
            raise HttpProblem(Reason.MALFORMED, f"answered a hit that is none: {said}") from wrong

    def _record(self, raw: msgspec.Raw) -> LogRecord:
        hit = self._decode(raw)
        known = hit.fields
        first_message, first_level, first_service, first_trace, first_span = self._firsts
        message, level, service = first_message(known), first_level(known), first_service(known)
        trace, span = first_trace(known), first_span(known)
        if hit.ignored is not None:  # too long for the index, but in the document
            ignored = [first(hit.ignored) for first in self._firsts]
            message, level, service = message or ignored[0], level or ignored[1], service or ignored[2]
        return LogRecord(
            hit.sort[0],
            message,
            severity_of(level) if level else self._numbered(known),
            service,
            trace_id_of(trace) if trace else "",
            span_id_of(span) if span else "",
            Fields(raw, self),
            f"{hit.index}/{hit.id}",
        )

    def _numbered(self, known: Any) -> str:
        number = next(iter(getattr(known, self._number) or ()), None)
        return severity_of_number(number) if isinstance(number, int) else ""

    def others(self, hit: msgspec.Raw) -> dict[str, FieldValue]:
        """What is in a hit beside what its record says, by ECS names, sorted."""
        try:
            values = msgspec.json.decode(hit, type=_Values)
        except NOT_JSON:
            return {}  # the record came of the same bytes: a field in it is no list
        every = {**values.ignored_field_values, **values.fields}
        said = {
            ecs: next((_text(every[name]) for name in names if every.get(name)), "")
            for ecs, names in self._names.items()
        }
        out: dict[str, FieldValue] = {}
        for name in sorted(every):
            base = name.removesuffix(".keyword")
            if name == "@timestamp" or (base != name and base in every):
                continue
            ecs = canonical(name, self._more)
            if ecs in KNOWN_AS:
                if _text(every[name]) != said[ecs]:
                    out[name] = _value(every[name])
            else:
                out.setdefault(ecs, _value(every[name]))
        return out


def place_of(hit: msgspec.Raw) -> tuple[str, int]:
    """The sort values of a hit as they came."""
    return msgspec.json.decode(hit, type=_Place).sort


def _first_of(attributes: Sequence[str]) -> Callable[[Any], str]:
    """The text of the first of these that has one."""
    if len(attributes) == 1:  # as it mostly is: this is asked five times for each line of a page
        get = attrgetter(attributes[0])

        def only(known: Any) -> str:
            values = get(known)
            return _text(values) if values else ""

        return only

    def first(known: Any) -> str:
        for attribute in attributes:
            values = getattr(known, attribute)
            if values and (text := _text(values)):
                return text
        return ""

    return first


def _text(values: list[Any]) -> str:
    """One text of a field's values; several are lines of it."""
    if len(values) == 1:
        value = values[0]
        return value if isinstance(value, str) else _plain(value)
    return "\n".join(map(_plain, values))


def _value(values: list[Any]) -> FieldValue:
    if len(values) != 1:
        return list(map(_plain, values))
    value = values[0]
    return value if value is None or isinstance(value, (str, bool, int, float)) else shown(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)
