"""What a person looks for in logs, as text, as chips, as a query's parts and as the words of a command.

Pure text. Wrong text is a ValueError of one line. Must never guess what a wrong word meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import get_args

from opsctl.core.catalogue import Service
from opsctl.core.frozen import dataclass
from opsctl.core.logs import SEVERITIES, FieldMatcher, MatchOp, severity_of
from opsctl.core.traces import span_id_of, trace_id_of

LENGTH_LIMIT = 4_000
KEYS = ("service", "severity", "trace", "span", "subtree")
_MATCHER = re.compile(r"([\w@][\w@.\-]*)\s*(=~|!~|!=|=)(.*)", re.DOTALL)
_HEX = re.compile(r"[0-9a-fA-F]+")
_KEYED = re.compile(rf"({'|'.join(KEYS)}):(.*)", re.DOTALL)
# Spaces part, but for those between quotes; a quote that nothing closes goes to the end.
_PART = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*(?:"|\Z))+', re.DOTALL)
_CLOSED = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+', re.DOTALL)
_PHRASES = 4  # of one pattern
_WORD = re.compile(r"[\w.'’]+")
_VARIABLE = re.compile(r"<(?:\*|num|id|ip|time)>")
_EMPTY = "(empty)"  # how patterns call lines without a text
_ESCAPE = re.compile(r"\\([\"\\])")


@dataclass(frozen=True, slots=True)
class Filter:
    """Everything of it must hold; `words` are single ones and phrases without quotes."""

    service: str = ""  # as the catalogue knows it
    severity: str = ""  # this one of SEVERITIES or a worse one
    words: tuple[str, ...] = ()
    matchers: tuple[FieldMatcher, ...] = ()
    trace_id: str = ""
    span_id: str = ""
    subtree: bool = False  # the span, and everything below it

    @property
    def word_text(self) -> str:
        """The words as `LogQuery` has them."""
        words = (word.replace('"', " ").strip() for word in self.words)
        return " ".join(f'"{word}"' if any(map(str.isspace, word)) else word for word in words)


@dataclass(frozen=True, slots=True)
class Chip:
    """One condition: what it is about, how it is written, and the filter without it."""

    text: str
    without: Filter


def matcher_of(text: str) -> FieldMatcher:
    """`field=value` and the like; ValueError says what is expected."""
    found = _MATCHER.fullmatch(text)
    if found is None or found[2] not in get_args(MatchOp):
        raise ValueError("expected FIELD=VALUE, FIELD!=VALUE, FIELD=~PATTERN or FIELD!~PATTERN")
    return FieldMatcher(found[1], found[2], found[3])  # type: ignore[arg-type]


def severity_word(text: str) -> str:
    """One of SEVERITIES; ValueError lists them."""
    severity = severity_of(text)
    if severity not in SEVERITIES:
        raise ValueError(f"expected one of {', '.join(SEVERITIES).lower()}")
    return severity


def hex_id(text: str, digits: int) -> str:
    """The id of a trace (32 digits) or of a span (16); ValueError for what is none."""
    bare = text.strip().lower().removeprefix("0x").replace("-", "")
    if not _HEX.fullmatch(bare) or len(bare) > digits:
        raise ValueError(f"expected at most {digits} hexadecimal digits")
    return trace_id_of(bare) if digits == 32 else span_id_of(bare)


def parse_filter(text: str) -> Filter:
    """Words, "phrases", severity:warn, service:NAME, trace:ID, span:ID, subtree:ID, field=value; ValueError."""
    if len(text) > LENGTH_LIMIT:
        raise ValueError(f"the filter is longer than {LENGTH_LIMIT:,} characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("the filter is not UTF-8")
    found = Filter()
    for part in _PART.findall(text):
        found = _with(found, part)
    if found.span_id and not found.trace_id and found.subtree:
        raise ValueError(f"subtree:{found.span_id} needs trace:ID: a span belongs to a trace")
    for matcher in found.matchers:
        _check_pattern(matcher)
    return found


def _with(found: Filter, part: str) -> Filter:
    if _CLOSED.fullmatch(part) is None:
        raise ValueError(f'{part}: the quote has no end; expected "words of a phrase"')
    keyed = _KEYED.fullmatch(part)
    if keyed is not None:
        return _keyed(found, keyed[1], _unquoted(keyed[2]))
    if not part.startswith('"') and (matched := _MATCHER.fullmatch(part)) is not None:
        try:
            one = matcher_of(f"{matched[1]}{matched[2]}{_unquoted(matched[3])}")
        except ValueError as wrong:
            raise ValueError(f"{part}: {wrong}") from None
        return replace(found, matchers=(*found.matchers, one))
    word = _unquoted(part).strip()
    return replace(found, words=(*found.words, word)) if word else found


def _keyed(found: Filter, key: str, value: str) -> Filter:
    if not value:
        raise ValueError(f"{key}: has no value; expected {_EXPECTED[key]}")
    try:
        match key:
            case "service" if found.service:
                raise ValueError('one service at a time; service.name=~"a|b" is either')
            case "service":
                return replace(found, service=value)
            case "severity":
                return replace(found, severity=severity_word(value))
            case "trace":
                return replace(found, trace_id=hex_id(value, 32))
        if found.span_id:
            raise ValueError('one span at a time; span.id=~"a|b" is either')
        return replace(found, span_id=hex_id(value, 16), subtree=key == "subtree")
    except ValueError as wrong:
        raise ValueError(f"{key}:{value}: {wrong}") from None


_EXPECTED = {
    "service": "service:NAME",
    "severity": "severity:warn",
    "trace": "trace:ID",
    "span": "span:ID",
    "subtree": "subtree:ID",
}


def _check_pattern(matcher: FieldMatcher) -> None:
    if matcher.op not in ("=~", "!~"):
        return
    from opsctl.promql.errors import PromqlError
    from opsctl.promql.regex import compile_anchored

    try:
        compile_anchored(matcher.value)
    except PromqlError as wrong:
        raise ValueError(f"{matcher.field}{matcher.op}{matcher.value}: {wrong}") from None


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _ESCAPE.sub(r"\1", text[1:-1])
    return text


def _quoted(text: str, *, always: bool = False) -> str:
    """A value as `parse_filter` reads it back."""
    if text and not always and not any(character.isspace() or character == '"' for character in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def word_written(word: str) -> str:
    """A word or a phrase as it is typed: in quotes where it would mean something else without."""
    special = word.startswith('"') or _KEYED.fullmatch(word) is not None or _MATCHER.fullmatch(word) is not None
    if not special and _CLOSED.fullmatch(word) is not None:
        return word
    return _quoted(word, always=True)


def filter_text(found: Filter) -> str:
    """The filter as it is typed; `parse_filter` reads the same."""
    return " ".join(text for text, _ in _parts(found))


def chips(found: Filter) -> tuple[Chip, ...]:
    """Each condition, and what is left without it; the one that was added last is the last."""
    return tuple(Chip(text, without) for text, without in _parts(found))


def _parts(found: Filter) -> Iterator[tuple[str, Filter]]:
    if found.service:
        yield f"service:{_quoted(found.service)}", replace(found, service="")
    if found.trace_id:
        yield f"trace:{found.trace_id}", replace(found, trace_id="", subtree=False)
    if found.span_id:
        yield f"{'subtree' if found.subtree else 'span'}:{found.span_id}", replace(found, span_id="", subtree=False)
    if found.severity:
        yield f"severity:{found.severity.lower()}", replace(found, severity="")
    for at, word in enumerate(found.words):
        yield word_written(word), replace(found, words=(*found.words[:at], *found.words[at + 1 :]))
    for at, one in enumerate(found.matchers):
        rest = (*found.matchers[:at], *found.matchers[at + 1 :])
        yield f"{one.field}{one.op}{_quoted(one.value)}", replace(found, matchers=rest)


def command_words(found: Filter) -> tuple[str, ...]:
    """The same as flags and arguments of `opsctl log search|tail|patterns`."""
    out: list[str] = []
    if found.service:
        out += ["--service", found.service]
    if found.severity:
        out += ["--severity", found.severity.lower()]
    if found.trace_id:
        out += ["--trace", found.trace_id]
    if found.span_id:
        out += ["--subtree" if found.subtree else "--span", found.span_id]
    for one in found.matchers:
        out += ["--where", f"{one.field}{one.op}{one.value}"]
    if any(word.startswith("-") for word in found.words):
        out.append("--")
    return (*out, *found.words)


def names_in_logs(name: str, service: Service | None) -> tuple[tuple[str, ...], tuple[FieldMatcher, ...]]:
    """A service as the logs have it, through the catalogue's selector: a name, or conditions on fields."""
    selector = service.selectors.get("elasticsearch", name) if service is not None else name
    if isinstance(selector, Mapping):
        return (), tuple(FieldMatcher(field, "=", value) for field, value in selector.items())
    return (selector,), ()


def service_of(name: str, catalogue: Mapping[str, Service]) -> str:
    """The catalogue's name of a service that the logs call so; the same name where it knows none."""
    if name in catalogue:
        return name
    return next((one for one, known in catalogue.items() if known.selectors.get("elasticsearch") == name), name)


def pattern_words(template: str) -> tuple[str, ...]:
    """What is the same in every line of a pattern, as words and phrases; the longest few, in their order."""
    if template == _EMPTY:
        return ()
    phrases: list[str] = []
    parts = _VARIABLE.split(template)
    for place, part in enumerate(parts):
        words = [found for found in _WORD.finditer(part)]
        if words and place and words[0].start() == 0:
            words = words[1:]  # grown together with what varies: no word of its own
        if words and place < len(parts) - 1 and words[-1].end() == len(part):
            words = words[:-1]
        phrase = " ".join(found[0] for found in words)
        if any(character.isalpha() for character in phrase):
            phrases.append(phrase)
    longest = sorted(phrases, key=len, reverse=True)[:_PHRASES]
    return tuple(dict.fromkeys(phrase for phrase in phrases if phrase in longest))
