"""A log query as tests of one record: what a server does with an index, for records that are here already.

Words are compared as Lucene's standard analyser cuts text, near enough. Must never compare in another way than
`FieldMatcher` says.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from opsctl.core.logs import FieldMatcher, LogQuery, LogRecord, at_least, severity_of, texts_of, value_of, words_of
from opsctl.core.traces import span_id_of, trace_id_of
from opsctl.promql.regex import compile_anchored

Test = Callable[[LogRecord], bool]
# Letters joined by dots, digits by dots and commas.
_TOKEN = re.compile(r"\w+(?:(?:(?<=[^\W\d_])[.'’](?=[^\W\d_])|(?<=\d)[.,](?=\d))\w+)*")


def tests_of(query: LogQuery) -> list[Test]:
    """What must hold of a record, but for its time and the backend's own language; PromqlError for a bad pattern."""
    tests: list[Test] = []
    phrases = [phrase for word in words_of(query.words) if (phrase := tokens(word))]
    if phrases:
        tests.append(lambda record: _has_all(tokens(record.message), phrases))
    if query.services:
        tests.append(lambda record: record.service in query.services)
    if query.severity:
        wanted = frozenset(at_least(query.severity))
        tests.append(lambda record: record.severity in wanted)
    if query.trace_id:
        trace = trace_id_of(query.trace_id)
        tests.append(lambda record: record.trace_id == trace)
    if query.span_ids:
        spans = frozenset(map(span_id_of, query.span_ids))
        tests.append(lambda record: record.span_id in spans)
    return tests + [condition(matcher) for matcher in query.matchers]


def condition(matcher: FieldMatcher) -> Test:
    """Whether a record fits one condition; PromqlError for a bad pattern."""
    test = _equals(matcher) if matcher.op in {"=", "!="} else compile_anchored(matcher.value).match
    wanted = matcher.op in {"=", "=~"}

    def fits(record: LogRecord) -> bool:
        texts = texts_of(value_of(record, matcher.field)) or ("",)
        return any(map(test, texts)) is wanted

    return fits


def tokens(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [found[0].lower() for found in _TOKEN.finditer(text)]


def _has_all(words: list[str], phrases: list[list[str]]) -> bool:
    return all(
        any(words[at : at + len(phrase)] == phrase for at in range(len(words) - len(phrase) + 1)) for phrase in phrases
    )


def _equals(matcher: FieldMatcher) -> Callable[[str], bool]:
    value = matcher.value
    if value and matcher.field == "log.level":
        value = severity_of(value)
    elif value and matcher.field in {"trace.id", "span.id"}:
        value = (trace_id_of if matcher.field == "trace.id" else span_id_of)(value)
    return value.__eq__
