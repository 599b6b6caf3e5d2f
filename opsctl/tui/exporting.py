"""A view as a file: aligned text, CSV, Markdown, JSON, or the screen itself as SVG, by the file's suffix.

Must never leave half a file, write over one that nobody said may go, or let others read it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.cells import cell_len

from opsctl.errors import UsageError
from opsctl.files.atomic import write_whole
from opsctl.files.text import os_words
from opsctl.render.text import clean

Rows = Sequence[Sequence[str]]
SUFFIXES = (".txt", ".csv", ".md", ".json", ".svg")
_FORMULA = ("=", "@", "+", "\t")


def text_of(rows: Rows, suffix: str, *, screen: str, at: datetime) -> str:
    """Rows, the head first, in the format of that suffix; UsageError for one that there is none of."""
    match suffix.lower():
        case "" | ".txt":
            return _aligned(rows)
        case ".csv":
            return _csv(rows)
        case ".md":
            return _markdown(rows)
        case ".json":
            return _json(rows, screen, at)
    raise UsageError(f"export: nothing writes {suffix}", hint=f"one of {', '.join(SUFFIXES)}")


def _aligned(rows: Rows) -> str:
    count = max((len(row) for row in rows), default=0)
    widths = [max((cell_len(clean(row[i])) for row in rows if i < len(row)), default=0) for i in range(count)]
    lines = []
    for row in rows:
        cells = [clean(cell) for cell in row]
        lines.append("  ".join(cell + " " * (widths[i] - cell_len(cell)) for i, cell in enumerate(cells)).rstrip())
    return "".join(f"{line}\n" for line in lines)


def _csv(rows: Rows) -> str:
    """What a spreadsheet would take for a formula gets an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in map(clean, row)])
    return out.getvalue()


def _markdown(rows: Rows) -> str:
    if not rows:
        return ""
    count = max(len(row) for row in rows)
    escaped = [
        [clean(cell).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows
    ]
    lines = [f"| {' | '.join([*row, *[''] * (count - len(row))])} |" for row in escaped]
    return "".join(f"{line}\n" for line in (lines[0], f"|{' --- |' * count}", *lines[1:]))


def _json(rows: Rows, screen: str, at: datetime) -> str:
    import msgspec

    head, body = (list(rows[0]), [list(row) for row in rows[1:]]) if rows else ([], [])
    document = {"schema": "opsctl/tui/export/v1", "screen": screen, "at": at, "columns": head, "rows": body}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def write_export(path: Path, text: str, *, force: bool) -> None:
    """Write it at once or not at all, for its owner alone; UsageError in one line where that cannot be."""
    data = text.encode("utf-8", "replace")
    try:
        if force:
            write_whole(path, data, private=True)
        else:
            _write_new(path, data)
    except FileExistsError:
        raise UsageError(f"{path} is there already: nothing was written", hint=":export! overwrites it") from None
    except (OSError, ValueError) as wrong:
        said = os_words(wrong) if isinstance(wrong, OSError) else str(wrong)
        raise UsageError(f"{path} cannot be written: {said}") from None


def _write_new(path: Path, data: bytes) -> None:
    """A link is made at once, and fails where there is something already."""
    if os.path.lexists(path):
        raise FileExistsError(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def file_name(context: str, screen: str, at: datetime) -> str:
    """A name to begin with."""
    plain = "".join(ch if ch.isalnum() or ch in "._-" else "-" for ch in context)
    return f"opsctl-{plain}-{screen}-{at:%Y%m%dT%H%M%SZ}.csv"
