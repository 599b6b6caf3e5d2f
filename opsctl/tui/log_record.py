"""A whole log record as rows: the message with its lines, every field, JSON folded or unfolded.

Pure: no textual. Must never look at more of a huge value than a person can read; copying has the whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from opsctl.core.frozen import dataclass
from opsctl.core.logs import FieldValue, LogRecord, texts_of
from opsctl.render.logs import wrapped
from opsctl.render.text import clean
from opsctl.tui.log_rows import Piece, local, marked, severity_tone, severity_words

VALUE_CLIP = 20_000  # characters of a value
ROWS_CLIP = 2_000  # rows of one
JSON_CLIP = 200_000  # characters of JSON that is taken apart
FIELDS_CLIP = 1_000
_NAME_MOST = 28


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One row of the screen: the field that it is of, the field's whole value, whether it folds, and what is drawn."""

    field: str
    value: str
    folds: bool
    pieces: tuple[Piece, ...]


def fields_of(record: LogRecord, *, utc: bool) -> Iterator[tuple[str, str, str]]:
    """Name, whole value and tone of every field, the message last among those that every line has."""
    at = local(record.at, utc=utc)
    yield "@timestamp", at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "dim"
    yield "log.level", record.severity, severity_tone(record.severity)
    yield "service.name", record.service, "accent"
    yield "trace.id", record.trace_id, ""
    yield "span.id", record.span_id, ""
    yield "message", record.message, "strong"
    for name in sorted(record.fields)[:FIELDS_CLIP]:
        yield name, value_text(record.fields[name]), ""


def value_text(value: FieldValue) -> str:
    """A field's value as text; several with commas between."""
    return ", ".join(texts_of(value))


def record_rows(
    record: LogRecord, width: int, folded: frozenset[str], *, utc: bool, phrases: tuple[str, ...] = ()
) -> list[RecordRow]:
    """Every field, its name on the left; `folded` are fields whose JSON stands on one line."""
    names = [name for name, _, _ in fields_of(record, utc=utc)]
    name_width = min(max((len(clean(name[:_NAME_MOST])) for name in names), default=8), _NAME_MOST, max(8, width // 3))
    out: list[RecordRow] = []
    for name, value, tone in fields_of(record, utc=utc):
        shown = severity_words(value) if name == "log.level" else value
        folds, lines = _lines(shown, name in folded, max(8, width - name_width - 2))
        for at, line in enumerate(lines):
            label = clean(name[: name_width + 1])[:name_width].ljust(name_width) if not at else " " * name_width
            rest = marked(line, phrases if name == "message" else (), tone if value else "dim")
            out.append(RecordRow(name, value, folds, ((f"{label}  ", "head"), *rest)))
    if len(record.fields) > FIELDS_CLIP:
        more = f"… {len(record.fields) - FIELDS_CLIP:,} more fields; `opsctl log search --json` has them"
        out.append(RecordRow("", "", False, ((more, "dim"),)))
    return out


def _lines(value: str, folded: bool, room: int) -> tuple[bool, list[str]]:
    """Whether a value is JSON, and its rows."""
    if not value:
        return False, ["–"]
    written = _written(value, folded)
    if written is None:
        return False, _clipped(value, room)
    if not folded:
        return True, _clipped(written, room)
    first = wrapped(clean(written[: room + 1]), room)[0]
    return True, [f"{first[: room - 1]}…" if len(written) > room else first]


def _clipped(text: str, room: int) -> list[str]:
    rows: list[str] = []
    shown = text[:VALUE_CLIP]
    for line in shown.splitlines():
        rows += wrapped(clean(line), room)
        if len(rows) >= ROWS_CLIP:
            return [*rows[:ROWS_CLIP], "… more rows; y copies all of it"]
    if len(text) > len(shown):
        rows.append(f"… {len(text) - len(shown):,} more characters; y copies all of it")
    return rows or ["–"]


def _written(value: str, folded: bool) -> str | None:
    """An object or a list in JSON, on one line or on many; None for anything else."""
    if len(value) > JSON_CLIP or value.lstrip()[:1] not in ("{", "["):
        return None
    try:
        found = msgspec.json.decode(value.encode())
        if not isinstance(found, dict | list) or not found:
            return None
        return json.dumps(found, indent=None if folded else 2, ensure_ascii=False)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
