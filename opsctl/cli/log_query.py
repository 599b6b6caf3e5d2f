"""What `opsctl log` looks for: flags and words as a `LogQuery`."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from opsctl.cli.frame import Frame
from opsctl.cli.metric import finish
from opsctl.core.catalogue import Service
from opsctl.core.frozen import dataclass
from opsctl.core.logs import FieldMatcher, LogQuery
from opsctl.core.signals import Absent, Failed, Measured, Reading
from opsctl.errors import UsageError
from opsctl.files.text import nearest
from opsctl.render.text import clean
from opsctl.views.log_filter import hex_id, matcher_of, names_in_logs, severity_word

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[WORDS]...", help="Words and phrases that the message must have, in any case and order."),
]
ServiceNames = Annotated[
    list[str] | None, typer.Option("-s", "--service", help="Of this service, as the catalogue knows it; repeatable.")
]
Severity = Annotated[str | None, typer.Option("--severity", help="This severity or a worse one, such as warn.")]
TraceId = Annotated[str | None, typer.Option("--trace", help="Of this trace.")]
SpanIds = Annotated[list[str] | None, typer.Option("--span", help="Of this span; repeatable.")]
Subtree = Annotated[
    str | None, typer.Option("--subtree", help="With --trace: of this span and of every span below it.")
]
Where = Annotated[
    list[str] | None,
    typer.Option("-w", "--where", metavar="FIELD=VALUE", help="A field's value: = != =~ !~ (patterns); repeatable."),
]
QueryString = Annotated[
    str | None, typer.Option("--query-string", metavar="LUCENE", help="In Elasticsearch's own query language.")
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Flags:
    """What was typed."""

    words: Sequence[str] | None = None
    services: Sequence[str] | None = None
    severity: str | None = None
    trace: str | None = None
    spans: Sequence[str] | None = None
    subtree: str | None = None
    where: Sequence[str] | None = None
    query_string: str | None = None


def query_of(run: Frame, flags: Flags, start: datetime, end: datetime, timeout_seconds: float) -> LogQuery:
    """The question; UsageError says which flag is wrong. `--subtree` asks the trace backend."""
    matchers = tuple(_matcher(text) for text in flags.where or ())
    services, more = _services(run, flags.services or ())
    trace = _hex("--trace", flags.trace, 32) if flags.trace is not None else ""
    spans = tuple(_hex("--span", text, 16) for text in flags.spans or ())
    query = LogQuery(
        start=start,
        end=end,
        words=" ".join(_word(word) for word in flags.words or ()),
        services=services,
        severity=_read("--severity", flags.severity, severity_word) if flags.severity is not None else "",
        trace_id=trace,
        span_ids=spans,
        matchers=(*matchers, *more),
        query_string=_text("--query-string", flags.query_string or ""),
    )
    if flags.subtree is None:
        return query
    if not trace:
        raise UsageError("--subtree needs --trace: a span belongs to a trace")
    below = _subtree(run, trace, _hex("--subtree", flags.subtree, 16), timeout_seconds)
    return msgspec.structs.replace(query, span_ids=(*spans, *below))


def check_services(run: Frame, reading: Reading[Any], query: LogQuery, timeout_seconds: float) -> None:
    """UsageError where nothing fits because a service is known to nobody: a typing error never looks like silence."""
    known = run.composition.catalogue.services
    strange = [name for name in query.services if name not in _names_in_logs(known.values())]
    if not strange or not isinstance(reading, Absent):
        return
    every = LogQuery(start=query.start, end=query.end)
    counts = run.composition.logs.count(every, query.end - query.start, ["service.name"], timeout_seconds)
    if not isinstance(counts, Measured):
        return
    there = {value for bucket in counts.data.buckets for _, value in bucket.labels if value}
    for name in strange:
        if name not in there:
            near = nearest(name, [*known, *there])
            hint = f"; did you mean {near}?" if near else ""
            raise UsageError(f"--service {name}: neither the catalogue nor the logs of this time have it{hint}")


def _names_in_logs(services: Iterable[Service]) -> set[str]:
    """The names that services have in the logs; one that is chosen by fields has none."""
    selectors = [service.selectors.get("elasticsearch", service.name) for service in services]
    return {selector for selector in selectors if isinstance(selector, str)}


def words_of(flags: Flags) -> str:
    """What was looked for, in a few words."""
    said = [*(flags.words or ()), *(flags.services or ()), *(flags.where or ())]
    said += [text for text in (flags.severity, flags.trace, flags.subtree, flags.query_string) if text]
    return " ".join([*said, *(flags.spans or ())])


def _word(word: str) -> str:
    """An argument with spaces was quoted for the shell, and so is a phrase."""
    _text("the words", word)
    return f'"{word}"' if any(map(str.isspace, word)) and '"' not in word else word


def _text(flag: str, text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(f"{flag}: not UTF-8")
    return text


def _matcher(text: str) -> FieldMatcher:
    return _read("--where", text, matcher_of)


def _read(flag: str, text: str, read: Callable[[str], T]) -> T:
    """What a flag says; UsageError with what was expected."""
    try:
        return read(_text(flag, text))
    except ValueError as wrong:
        raise UsageError(f"{flag} {text}: {wrong}") from None


def _hex(flag: str, text: str, digits: int) -> str:
    return _read(flag, text, lambda typed: hex_id(typed, digits))


def _services(run: Frame, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[FieldMatcher, ...]]:
    """Names as the logs have them: through the catalogue's selectors; a glob is every service that it fits."""
    services: list[str] = []
    matchers: list[FieldMatcher] = []
    for name in names:
        _text("--service", name)
        known = run.composition.catalogue.services
        found = fnmatch.filter(known, name) if any(character in name for character in "*?[") else [name]
        if not found:
            raise UsageError(f"--service {name}: fits no service of the catalogue")
        for one in found:
            logged, conditions = names_in_logs(one, known.get(one))
            if conditions and (len(names) > 1 or len(found) > 1):
                raise UsageError(f"service {one} is chosen by several fields: ask for it alone")
            services += logged
            matchers += conditions
    return tuple(dict.fromkeys(services)), tuple(matchers)


def _subtree(run: Frame, trace_id: str, span_id: str, timeout_seconds: float) -> tuple[str, ...]:
    reading = run.composition.traces.trace(trace_id, timeout_seconds)
    match reading:
        case Measured(trace):
            spans = tuple(span.span_id for span in trace.subtree(span_id))
            if not spans:
                raise UsageError(f"--subtree {span_id}: trace {trace_id} has no such span")
            return spans
        case Absent():
            raise UsageError(f"--trace {trace_id}: {reading.backend} has no such trace")
        case Failed(partial=None):
            finish(reading)
        case Failed(partial=trace) if trace is not None:
            run.warn(clean(f"partial: {reading.message}: spans may be missing below {span_id}"))
            return tuple(span.span_id for span in trace.subtree(span_id))
    raise UsageError(f"--subtree {span_id}: trace {trace_id} could not be read")
