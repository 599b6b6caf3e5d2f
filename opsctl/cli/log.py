"""`opsctl log search|tail|patterns`: find lines, follow them, and see what they have in common."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

from opsctl.cli.frame import Frame, frame, json_escaped, write_json
from opsctl.cli.log_query import (
    Flags,
    QueryString,
    ServiceNames,
    Severity,
    SpanIds,
    Subtree,
    TraceId,
    Where,
    Words,
    check_services,
    query_of,
    words_of,
)
from opsctl.cli.metric import finish, seconds, span, status
from opsctl.cli.options import Json, Output, Since, Timeout, To, chosen_output, duration
from opsctl.core.frozen import dataclass
from opsctl.core.logs import LogCounts, LogPage, LogQuery, LogRecord
from opsctl.core.signals import Absent, Failed, Measured, Reading
from opsctl.errors import UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)

FORMS = ("table", "wide", "plain", "json", "ndjson")
COLUMNS = 60
_BESIDE_BARS = 30  # columns of words
_LEAST_ROWS, _AROUND_ROWS = 10, 7  # of a table on a terminal: bars, names, what is said below, the prompts
PAGE_MAX = 10_000
LINES_MAX = 100_000


@app.command()
def search(
    words: Words = None,
    service: ServiceNames = None,
    severity: Severity = None,
    trace: TraceId = None,
    span_id: SpanIds = None,
    subtree: Subtree = None,
    where: Where = None,
    query_string: QueryString = None,
    since: Since = "1h",
    to: To = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, max=PAGE_MAX, help="At most so many lines; default 100, or what a screen shows."
        ),
    ] = None,
    oldest_first: Annotated[
        bool, typer.Option("--oldest-first", help="Begin with the oldest; default: newest.")
    ] = False,
    timeout: Timeout = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Find log lines; everything that is said must hold."""
    run = frame()
    form = chosen_output(run, output, json, FORMS)
    start, end = span(run, since, to)
    flags = Flags(words, service, severity, trace, span_id, subtree, where, query_string)
    time = seconds(run, timeout)
    query = query_of(run, flags, start, end, time)
    most = fitting(run, limit, 100, form)
    reading = run.composition.logs.search(query, time, limit=most, oldest_first=oldest_first)
    check_services(run, reading, query, time)
    page = answer(run, reading, flags, query)
    counts: Reading[LogCounts] | None = None
    if form in {"table", "wide", "json"} and page is not None:
        counts = run.composition.logs.count(query, _step(start, end, form), (), time)
    found = _Found(query, reading, page, counts, oldest_first)
    if form == "json":
        _write_document(found)
    elif not isinstance(reading, Failed) or page is not None:
        write_records(run, found.records, form, found=found)
    _say_more(run, found, form)
    finish(reading)


@app.command()
def tail(
    words: Words = None,
    service: ServiceNames = None,
    severity: Severity = None,
    trace: TraceId = None,
    span_id: SpanIds = None,
    subtree: Subtree = None,
    where: Where = None,
    query_string: QueryString = None,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=0, max=PAGE_MAX, help="Begin with the last so many lines of an hour.")
    ] = 10,
    for_: Annotated[str | None, typer.Option("--for", help="Stop after so long; default: at Ctrl-C.")] = None,
    timeout: Timeout = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Follow log lines as they come."""
    from opsctl.cli.log_tail import follow

    run = frame()
    form = chosen_output(run, output, json, FORMS)
    length = duration("--for", for_) if for_ is not None else None
    flags = Flags(words, service, severity, trace, span_id, subtree, where, query_string)
    now = run.composition.clock.now()
    time = seconds(run, timeout)
    query = query_of(run, flags, now - timedelta(hours=1), now, time)
    follow(run, query, lines, length, time, "ndjson" if form == "json" else form)


@app.command()
def patterns(
    words: Words = None,
    service: ServiceNames = None,
    severity: Severity = None,
    trace: TraceId = None,
    span_id: SpanIds = None,
    subtree: Subtree = None,
    where: Where = None,
    query_string: QueryString = None,
    since: Since = "1h",
    to: To = None,
    new: Annotated[
        str | None, typer.Option("--new", metavar="DURATION", help="Only those that the time before this did not have.")
    ] = None,
    newest: Annotated[
        bool, typer.Option("--newest", help="Order by when they were first seen, not by how often.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", min=1, max=LINES_MAX, help="Read at most so many lines, the newest.")
    ] = PAGE_MAX,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Show at most so many; default 40, or what a screen shows.")
    ] = None,
    timeout: Timeout = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Group log lines that are alike, most frequent first."""
    from opsctl.cli.log_patterns import print_patterns

    run = frame()
    form = chosen_output(run, output, json, ("table", "plain", "json"))
    start, end = span(run, since, to)
    split = None
    if new is not None:
        split = end - duration("--new", new)
        if not start < split < end:
            raise UsageError(f"--new {new}: expected longer than 0s and shorter than the time since --since")
    flags = Flags(words, service, severity, trace, span_id, subtree, where, query_string)
    time = seconds(run, timeout)
    query = query_of(run, flags, start, end, time)
    most = fitting(run, limit, 40, form)
    print_patterns(run, flags, query, split, lines=lines, limit=most, newest=newest, seconds=time, form=form)


# -- what search and tail share


def fitting(run: Frame, asked: int | None, most: int, form: str) -> int:
    """So many rows: what was asked for, else at most `most`, and on a terminal the first stays in sight."""
    if asked is not None:
        return asked
    if form not in {"table", "wide"} or not run.stdout_is_terminal:
        return most
    return min(most, max(get_terminal_size((120, 40)).lines - _AROUND_ROWS, _LEAST_ROWS))


def _step(start: datetime, end: datetime, form: str) -> timedelta:
    """As long a step as its bars have room for."""
    from opsctl.views.logs import step_for

    room = COLUMNS
    if form != "json":
        room = min(COLUMNS, max(get_terminal_size((120, 40)).columns - _BESIDE_BARS, 10))
    return step_for(start, end, room)


@dataclass(frozen=True, slots=True)
class _Found:
    query: LogQuery
    reading: Reading[LogPage]
    page: LogPage | None
    counts: Reading[LogCounts] | None
    oldest_first: bool

    @property
    def records(self) -> Sequence[LogRecord]:
        return self.page.records if self.page is not None else ()

    @property
    def total(self) -> int | None:
        """All lines that fit; None where they were not counted."""
        if not isinstance(self.counts, Measured):
            return None
        return sum(count for bucket in self.counts.data.buckets for _, count in bucket.points)


def answer(run: Frame, reading: Reading[Any], flags: Flags, query: LogQuery) -> Any:
    """What came, with what there is to say about it."""
    from opsctl.render.text import clean

    match reading:
        case Failed():
            if reading.partial is not None:
                run.warn(clean(f"partial: {reading.message}"))
            return reading.partial
        case Absent():
            said = words_of(flags)
            between = f"between {query.start:%Y-%m-%dT%H:%M:%SZ} and {query.end:%Y-%m-%dT%H:%M:%SZ}"
            run.say(clean(f"nothing: no line fits {between}{': ' + said if said else ''}"))
    for note in reading.notes:
        run.say(clean(f"note: {note}"))
    return reading.data if isinstance(reading, Measured) else None


def notes_of(reading: Reading[Any]) -> list[str]:
    """What is not exact about an answer, for JSON."""
    return [] if isinstance(reading, Failed) else list(reading.notes)


def write_records(
    run: Frame,
    records: Sequence[LogRecord],
    form: str,
    *,
    found: _Found | None = None,
    header: bool = True,
    service: int = 8,
) -> None:
    """Lines in one of the forms; `found` puts its histogram above a table, `service` is its column's least width."""
    if form == "ndjson":
        from opsctl.views.logs import as_json

        for record in records:
            sys.stdout.write(_json_line(as_json(record)))
    elif form == "plain":
        _write_plain(records, header)
    elif records:
        _write_table(run, records, form == "wide", found, header, service)


def _json_line(record: dict[str, Any]) -> str:
    """One line of JSON, versioned like a document."""
    import msgspec

    from opsctl.cli.streams import whole_unicode

    raw = msgspec.json.encode({"schema": "opsctl/log/record/v1", **record})
    return json_escaped(raw.decode(), whole_unicode(sys.stdout)) + "\n"


def _write_plain(records: Sequence[LogRecord], header: bool) -> None:
    from opsctl.render.text import clean
    from opsctl.views.logs import one_line

    if header:
        sys.stdout.write("time\tseverity\tservice\ttrace_id\tmessage\n")
    for record in records:
        at = record.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        cells = (record.severity, record.service, record.trace_id, one_line(record.message))
        sys.stdout.write("\t".join((at, *map(clean, cells))) + "\n")


def _write_table(
    run: Frame, records: Sequence[LogRecord], wide: bool, found: _Found | None, header: bool, service: int
) -> None:
    from opsctl.render.logs import counts_line, head, look, shown
    from opsctl.views.logs import day_form, histogram, zone_of

    times = [record.at for record in records]
    utc = run.utc or zone_of(times) == "+0000"
    day = day_form([*times, run.composition.clock.now()], utc=utc)
    way = look(records, color=run.colored(sys.stdout), utc=utc, wide=wide, day=day, least=service)
    if found is not None and isinstance(found.counts, Measured):
        query = found.query
        sys.stdout.write(counts_line(histogram(found.counts.data, query.start, query.end), way) + "\n")
    if header:
        sys.stdout.write(head(way) + "\n")
    sys.stdout.write("".join(shown(record, way) + "\n" for record in records))


def _write_document(found: _Found) -> None:
    from opsctl.views.logs import as_json, histogram

    query = found.query
    counted = None
    if isinstance(found.counts, Measured):
        over = histogram(found.counts.data, query.start, query.end)
        counted = {"step_seconds": over.step.total_seconds(), "total": over.total, "counts": list(over.counts)}
    body = {
        "start": query.start,
        "end": query.end,
        "backend": found.reading.backend,
        **status(found.reading),
        "oldest_first": found.oldest_first,
        "notes": notes_of(found.reading),
        "more": bool(found.page and found.page.cursor and found.total != len(found.records)),
        "histogram": counted,
        "records": [as_json(record) for record in found.records],
    }
    write_json("log/search/v1", body)


def _say_more(run: Frame, found: _Found, form: str) -> None:
    """On stderr: what is not shown, and the next command."""
    from opsctl.render.text import clean

    if isinstance(found.counts, Failed) and not isinstance(found.reading, Failed):  # else it was said already
        run.warn(clean(f"no counts over time: {found.counts.message}"))
    shown, total = len(found.records), found.total
    which = "oldest" if found.oldest_first else "newest"
    if total is not None and total > shown:
        run.say(f"the {which} {shown:,} of {total:,} lines; --limit shows more")
    elif total is None and found.page is not None and found.page.cursor:
        run.say(f"the {which} {shown:,} line{'' if shown == 1 else 's'}; --limit shows more")
    if form in {"table", "wide"}:
        offer_trace(run, found.records)


def offer_trace(run: Frame, records: Sequence[LogRecord]) -> None:
    """The command that shows the trace of the worst line which has one."""
    from opsctl.cli.main import COMMANDS
    from opsctl.cli.pivots import pivot
    from opsctl.core.logs import SEVERITIES
    from opsctl.core.traces import is_trace_id
    from opsctl.render.traces import show_command

    rank = {severity: place for place, severity in enumerate(SEVERITIES)}
    traced = [record for record in records if is_trace_id(record.trace_id)]  # a log may say anything there
    if not traced or "trace" not in COMMANDS:
        return
    worst = max(traced, key=lambda record: rank.get(record.severity, -1))
    others = len({record.trace_id for record in traced}) - 1
    more = f"   ({others} more trace{'s' if others > 1 else ''})" if others else ""
    run.say(f"next: {pivot(run, show_command(worst.trace_id))}{more}")
