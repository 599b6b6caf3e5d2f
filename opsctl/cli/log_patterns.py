"""Reads lines and prints what they have in common."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from opsctl.cli.frame import Frame, write_json
from opsctl.cli.log import answer, notes_of, offer_trace
from opsctl.cli.log_query import Flags, check_services
from opsctl.cli.metric import finish, status
from opsctl.core.frozen import dataclass
from opsctl.core.logs import LogPage, LogQuery, LogRecord
from opsctl.core.signals import Absent, Failed, Reading, came
from opsctl.insight.patterns import Pattern, mine, newer_than

PAGE = 2_000  # lines at once: long ones must stay below the cap on a body
_TEMPLATE = 300  # characters of one pattern in a table


@dataclass(frozen=True, slots=True)
class _Read:
    """Lines, newest first; `more` says that there are older ones which were not read."""

    records: Sequence[LogRecord]
    more: bool
    reading: Reading[LogPage]


def print_patterns(
    run: Frame,
    flags: Flags,
    query: LogQuery,
    split: datetime | None,
    *,
    lines: int,
    limit: int,
    newest: bool,
    seconds: float,
    form: str,
) -> None:
    """Patterns of the lines that fit; from `split` on, and not before it, where that is asked for."""
    recent = query if split is None else msgspec.structs.replace(query, start=split)
    read = _read(run, recent, lines, seconds)
    check_services(run, read.reading, recent, seconds)
    answer(run, read.reading, flags, recent)
    before = None if split is None else _read(run, msgspec.structs.replace(query, end=split), lines, seconds)
    if before is None:
        found = mine(reversed(read.records))
    else:
        found = newer_than(list(reversed(read.records)), list(reversed(before.records)))
    if newest:
        found = tuple(sorted(found, key=lambda pattern: pattern.first, reverse=True))
    shown = found[:limit]
    if form == "json":
        _write_document(query, split, read, before, found, shown)
    elif read.records or not isinstance(read.reading, Failed):
        _write_table(run, shown, len(read.records), form)
    _say(run, read, before, len(found), len(shown))
    if form == "table":
        offer_trace(run, [pattern.example for pattern in shown])
    finish(read.reading)
    if before is not None:
        finish(before.reading)


def _read(run: Frame, query: LogQuery, lines: int, seconds: float) -> _Read:
    records: list[LogRecord] = []
    cursor = ""
    first: Reading[LogPage] | None = None
    while True:
        limit = min(PAGE, lines - len(records))
        reading = run.composition.logs.search(query, seconds, limit=limit, cursor=cursor)
        page = came(reading) or LogPage(())
        records += page.records
        cursor = page.cursor
        if first is None or isinstance(reading, Failed):
            first = reading
        if not cursor or isinstance(reading, Failed) or len(records) >= lines:
            return _Read(records, bool(cursor), first)


def _write_table(run: Frame, shown: Sequence[Pattern], lines: int, form: str) -> None:
    from opsctl.render.table import Column, write_rows
    from opsctl.views.logs import day_form, few, share, time_words, zone_of

    times = [run.composition.clock.now(), *(at for pattern in shown for at in (pattern.first, pattern.last))]
    zone = zone_of(times)
    utc = run.utc or form == "plain" or zone == "+0000"
    day = day_form(times, utc=utc)

    def when(at: datetime) -> str:
        if form == "plain":
            return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        words = time_words(at, utc=utc, day=day).replace(f".{at.microsecond // 1000:03d}", "", 1)
        return words if utc else words.removesuffix(zone)

    first = "first" if utc or not zone else f"first ({zone})"  # one clock for all: said once
    columns = [Column("count", right=True), Column("share", right=True), Column("severity"), Column("services")]
    columns += [Column(first), Column("last"), Column("pattern", wrap=True)]
    rows = [
        [
            str(pattern.count),
            share(pattern.count, lines),
            pattern.severity,
            few(pattern.services),
            when(pattern.first),
            when(pattern.last),
            pattern.template if form == "plain" else _cut(pattern.template),
        ]
        for pattern in shown
    ]
    if rows or form == "plain":
        write_rows(sys.stdout, columns, rows, table=form == "table", color=run.colored(sys.stdout))


def _cut(template: str) -> str:
    return template if len(template) <= _TEMPLATE else template[: _TEMPLATE - 1] + "…"


def _write_document(
    query: LogQuery,
    split: datetime | None,
    read: _Read,
    before: _Read | None,
    found: Sequence[Pattern],
    shown: Sequence[Pattern],
) -> None:
    body = {
        "start": query.start,
        "end": query.end,
        "new_since": split,
        "backend": read.reading.backend,
        **status(read.reading),
        "notes": notes_of(read.reading),
        "lines": len(read.records),
        "older_lines_unread": read.more,
        "before": None
        if before is None
        else {**status(before.reading), "lines": len(before.records), "older_lines_unread": before.more},
        "total": len(found),
        "patterns": [_as_json(pattern, len(read.records)) for pattern in shown],
    }
    write_json("log/patterns/v1", body)


def _as_json(pattern: Pattern, lines: int) -> dict[str, Any]:
    return {
        "template": pattern.template,
        "count": pattern.count,
        "share_ratio": pattern.count / lines,
        "severity": pattern.severity,
        "severities": dict(pattern.severities),
        "services": dict(pattern.services),
        "first": pattern.first,
        "last": pattern.last,
        "example": pattern.example.message,
        "trace_id": pattern.example.trace_id or None,
    }


def _say(run: Frame, read: _Read, before: _Read | None, found: int, shown: int) -> None:
    """On stderr: what was not read, and what is not shown."""
    from opsctl.render.text import clean

    if read.more:
        run.say(f"of the newest {len(read.records):,} lines; --lines reads more")
    if before is not None and before.more:
        run.say(f"compared with the newest {len(before.records):,} lines of the time before; --lines reads more")
    if before is not None and isinstance(before.reading, Absent):
        run.say("nothing to compare with: no line fits in the time before")
    if before is not None and isinstance(before.reading, Failed):
        run.warn(clean(f"partial: the time before: {before.reading.message}"))
    if before is not None and not found and read.records:
        run.say("no new pattern")
    if found > shown:
        run.say(f"{shown} of {found} patterns; --limit shows more")
