"""What is looked for, in Elasticsearch's query language, over the fields that the mapping has.

Pure. Must never ask full text for what only whole values answer without saying so in `notes`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from collectors.elasticsearch.fields import EXACT, NUMBER, NUMBERS, WHOLE, FieldMap, Leaf
from collectors.elasticsearch.lucene import lucene, takes_nothing
from opsctl.core.logs import (
    SEVERITIES,
    FieldMatcher,
    LogQuery,
    at_least,
    first_number,
    severity_of,
    spellings,
    words_of,
)
from opsctl.core.signals import Reason
from opsctl.http import HttpProblem
from opsctl.promql.regex import compile_anchored

Clause = dict[str, Any]

NOTHING: Clause = {"match_none": {}}
_MS = timedelta(milliseconds=1)
_HEX = frozenset("0123456789abcdefABCDEF")
_ID_DIGITS = {"trace.id": 32, "span.id": 16}


class Question:
    """One query over one mapping; `clause` is Elasticsearch's, `notes` what is not exact about it."""

    def __init__(self, query: LogQuery, fields: FieldMap) -> None:
        self._fields = fields
        self._notes: dict[str, None] = {}
        self.clause: Clause = {"bool": {"filter": self._filters(query)}}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not exact, in words."""
        return tuple(self._notes)

    def _filters(self, query: LogQuery) -> list[Clause]:
        times = self._fields.times
        out = [_any([_between(query.start, query.end, leaf) for leaf in times])]
        out += [self._word(word) for word in words_of(query.words)]
        if query.services:
            out.append(_any([self._equal("service.name", service) for service in query.services]))
        if query.severity:
            out.append(_any([self._level(severity) for severity in at_least(query.severity)]))
        if query.trace_id:
            out.append(self._equal("trace.id", query.trace_id))
        if query.span_ids:
            out.append(_any(self._ids("span.id", [form for one in query.span_ids for form in _forms("span.id", one)])))
        out += [self._matcher(matcher) for matcher in query.matchers]
        if query.query_string:
            out.append(self._query_string(query.query_string))
        return out

    # -- words

    def _word(self, word: str) -> Clause:
        clauses = []
        for leaf in self._fields.full_text("message"):
            if leaf.type in EXACT:
                pattern = "*" + "".join("\\" + ch if ch in "*?\\" else ch for ch in word) + "*"
                clauses.append(_in(leaf, {"wildcard": {leaf.name: {"value": pattern, "case_insensitive": True}}}))
            else:
                phrase = {"query": word, "zero_terms_query": "all"}
                clauses.append(_in(leaf, {"match_phrase": {leaf.name: phrase}}))
        return _any(clauses)

    def _query_string(self, text: str) -> Clause:
        names = list(dict.fromkeys(leaf.name for leaf in self._fields.full_text("message")))
        said: Clause = {"query": text, "default_operator": "AND", "lenient": True}
        return {"query_string": {**said, "fields": names} if names else said}

    # -- conditions

    def _matcher(self, matcher: FieldMatcher) -> Clause:
        fits: Callable[[str, str], Clause] = self._equal if matcher.op in {"=", "!="} else self._fits
        clause = fits(matcher.field, matcher.value)
        return _not(clause) if matcher.op in {"!=", "!~"} else clause

    def _equal(self, field: str, value: str) -> Clause:
        if not value:
            return self._empty(field)
        if field == "log.level":
            return self._level(severity_of(value))
        if field in _ID_DIGITS:
            return _any(self._ids(field, _forms(field, value)))
        exact = self._fields.exact(field)
        clauses = [_in(leaf, clause) for leaf in exact if (clause := _term(leaf, value))]
        clauses += self._phrases(field, value)
        if not exact and not clauses and (leaves := self._fields.leaves(field)):
            kind = leaves[0].type
            raise HttpProblem(
                Reason.UNSUPPORTED,
                f"{leaves[0].name} is of the type {kind}, whose values are not compared: use --query-string",
            )
        return _any(clauses)

    def _phrases(self, field: str, value: str) -> list[Clause]:
        out = []
        for leaf in self._fields.text(field):
            self._notes[f"{leaf.name} is full text: it is compared by words, not whole"] = None
            out.append(_in(leaf, {"match_phrase": {leaf.name: value}}))
        return out

    def _fits(self, field: str, pattern: str) -> Clause:
        if field == "log.level":
            return self._level_fits(pattern)
        written = lucene(pattern)
        leaves = [leaf for leaf in self._fields.exact(field) if leaf.type in EXACT]
        other = [leaf for leaf in self._fields.leaves(field) if leaf.type not in EXACT]
        beside = {leaf.name.removesuffix(".keyword") for leaf in leaves}
        for leaf in other:
            if leaf.name not in beside:
                kind = "full text" if leaf in self._fields.text(field) else f"of the type {leaf.type}"
                raise HttpProblem(
                    Reason.UNSUPPORTED, f"{leaf.name} is {kind}: Elasticsearch has no patterns for it, only = and !="
                )
        clauses = [_in(leaf, _pattern(leaf.name, written)) for leaf in leaves]
        if takes_nothing(pattern):
            clauses.append(self._empty(field))
        return _any(clauses)

    def _empty(self, field: str) -> Clause:
        """Without the field, or with an empty text in it."""
        leaves = self._fields.leaves(field)
        there: list[Clause] = [{"exists": {"field": name}} for name in dict.fromkeys(leaf.name for leaf in leaves)]
        if field == "log.level":
            there.append({"range": {NUMBER: {"gte": 1, "lte": 24}}})
        blank = [_in(leaf, {"term": {leaf.name: ""}}) for leaf in leaves if leaf.type in EXACT]
        return _any([_not(_any(there)), *blank])

    def _ids(self, field: str, forms: Sequence[str]) -> list[Clause]:
        leaves = [leaf for leaf in self._fields.exact(field) if leaf.type in EXACT]
        clauses = [_in(leaf, {"terms": {leaf.name: list(forms)}}) for leaf in leaves]
        return [*clauses, *(clause for form in forms for clause in self._phrases(field, form))]

    # -- severity

    def _level(self, severity: str) -> Clause:
        """The records whose level, whatever its spelling, is this one; by number where no word says it."""
        words = spellings(severity)
        clauses = []
        leaves = [leaf for leaf in self._fields.exact("log.level") if leaf.type in EXACT]
        for leaf in (*leaves, *self._fields.text("log.level")):
            if leaf.type in EXACT:
                terms = [{"term": {leaf.name: {"value": word, "case_insensitive": True}}} for word in words]
                clauses.append(_in(leaf, _any(terms)))
            else:
                clauses += [_in(leaf, {"match_phrase": {leaf.name: word}}) for word in words]
        if severity in SEVERITIES:
            first = first_number(severity)
            numbered = {"range": {NUMBER: {"gte": first, "lte": first + 3}}}
            names = dict.fromkeys(leaf.name for leaf in self._fields.leaves("log.level"))
            worded = [{"exists": {"field": name}} for name in names]
            clauses.append({"bool": {"filter": [numbered], "must_not": worded}})
        return _any(clauses)

    def _level_fits(self, pattern: str) -> Clause:
        """Patterns fit the words of `severity_of`, so `ERROR` fits what is kept as `err`."""
        written, fits = lucene(pattern), compile_anchored(pattern).match
        clauses = [self._level(severity) for severity in SEVERITIES if fits(severity)]
        ours = _any([self._level(severity) for severity in SEVERITIES])
        others = [
            _in(leaf, _pattern(leaf.name, written, ignore_case=True))
            for leaf in self._fields.exact("log.level")
            if leaf.type in EXACT
        ]
        if others:
            clauses.append({"bool": {"filter": [_any(others)], "must_not": [ours]}})
        if takes_nothing(pattern):
            clauses.append(self._empty("log.level"))
        return _any(clauses)


def _between(start: datetime, end: datetime, leaf: Leaf) -> Clause:
    """From `start` (included) to `end` (excluded), at the precision that the times are kept in."""
    if leaf.type == "date":  # it cuts a bound to milliseconds, which would move it back
        start, end = whole_ms(start), whole_ms(end)
    bounds = {"gte": instant(start), "lt": instant(end), "format": "strict_date_optional_time_nanos"}
    return _in(leaf, {"range": {"@timestamp": bounds}})


def whole_ms(at: datetime) -> datetime:
    """The first millisecond that is not before."""
    over = timedelta(microseconds=at.microsecond % 1000)
    return at + (_MS - over) if over else at


def instant(at: datetime) -> str:
    """A time as the server reads it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _forms(field: str, value: str) -> tuple[str, ...]:
    """How an id may be kept: with the zeros on the left or without, in either case."""
    digits = _ID_DIGITS[field]
    bare = value.strip()
    if not bare or not set(bare) <= _HEX or len(bare) > digits:
        return (value,)
    full = bare.lower().rjust(digits, "0")
    short = full[16:] if digits == 32 and full.startswith("0" * 16) else full
    forms = (full, short, full.lstrip("0") or "0")
    return tuple(dict.fromkeys((*forms, *(form.upper() for form in forms))))


def _term(leaf: Leaf, value: str) -> Clause | None:
    """One whole value; None where no value of that type is written so."""
    if leaf.type in EXACT or _readable(leaf.type, value):
        return {"term": {leaf.name: value}}
    return None


def _readable(kind: str, value: str) -> bool:
    try:
        if kind in WHOLE:
            return abs(int(value)) < 2**63
        if kind in NUMBERS:
            return float(value) == float(value)
        if kind == "ip":
            ipaddress.ip_address(value)
            return True
        if kind == "boolean":
            return value in {"true", "false"}
        datetime.fromisoformat(value)
        return True
    except ValueError:
        return False


def _pattern(name: str, written: str, *, ignore_case: bool = False) -> Clause:
    more = {"case_insensitive": True} if ignore_case else {}
    return {"regexp": {name: {"value": written, "flags": "NONE", **more}}}


def _in(leaf: Leaf, clause: Clause) -> Clause:
    """Only in the indices where the field has that type."""
    if leaf.indices is None:
        return clause
    return {"bool": {"filter": [{"terms": {"_index": sorted(leaf.indices)}}, clause]}}


def _any(clauses: Sequence[Clause]) -> Clause:
    if not clauses:
        return NOTHING
    return clauses[0] if len(clauses) == 1 else {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def _not(clause: Clause) -> Clause:
    return {"bool": {"must_not": [clause]}}
